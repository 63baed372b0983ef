"""Calls to a tracking store: repeated while it is busy or away for a moment, their errors as one line.

A store is busy when SQLite stays locked beyond MLflow's own 20 s, and away when a server answers with a
status of 500 and more, or not at all. Where MLflow looks a row up and then inserts it (tags of experiments,
data sets), another process may have inserted it in between: that call is repeated at once. Nothing else is
repeated. Calls that log the same thing again change
nothing: MLflow keeps a metric by name, step and time once, and a run is found by the mark of its attempt.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlproject.errors import (
    MLProjectError,
    NoRoom,
    Stopped,
    StoreUnreachable,
    WrongUse,
    is_disk_full,
    masked,
    one_line,
    printable,
)
from mlproject.tracking.ownership import ATTEMPT

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0
RACES = ("UniqueViolation", "UNIQUE constraint failed", "Duplicate entry")
"""In messages of PostgreSQL, SQLite and MySQL on a row that another process has just inserted."""
MOST_RACES = 5
LIBRARIES = {"mlflow", "sqlalchemy", "requests", "urllib3", "sqlite3", "alembic", "google"}
ANSWERS = ("Max retries exceeded", "Connection aborted", "failed with timeout", "failed with error code 5")
"""In messages on servers that do not answer, or whose answer has a status of 500 and more."""
SERVER_FAULTS = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
"""Error codes of a server with a status of 500 and more, or that asks to come back later."""


@dataclass
class PatientClient:
    """An MLflow client whose calls are repeated for a minute while the store is busy or away.

    Once that minute was spent in vain, calls are tried once each until one is answered.
    Raises, from every call: StoreUnreachable after that minute, NoRoom, and what MLflow raises otherwise.
    """

    client: Any
    uri: str
    patience: float = PATIENCE_SECONDS

    def __getattr__(self, name: str) -> Any:
        member = getattr(self.client, name)
        if not callable(member):
            return member
        return lambda *values, **named: self._repeat(lambda: member(*values, **named))

    def create_run(self, experiment_id: str, *, tags: Mapping[str, str] | None = None, **named: Any) -> Any:
        """Create a run whose tags name its attempt; one whose answer was lost is found, not created twice."""
        attempts = 0

        def create() -> Any:
            nonlocal attempts
            attempts += 1
            if attempts > 1 and tags and ATTEMPT in tags:
                clause = f"tags.{ATTEMPT} = '{tags[ATTEMPT]}'"
                for run in self.client.search_runs([experiment_id], clause, max_results=1):
                    return run
            return self.client.create_run(experiment_id, tags=tags, **named)

        return self._repeat(create)

    def _repeat(self, call: Callable[[], Any]) -> Any:
        start, wait, n_races = time.monotonic(), FIRST_WAIT, 0
        while True:
            try:
                answer = call()
            except Exception as error:
                if n_races < MOST_RACES and any(race in str(error) for race in RACES):
                    n_races += 1
                    continue
                self._wait(error, time.monotonic() - start, wait)
                wait = min(2 * wait, LONGEST_WAIT)
            else:
                if wait > FIRST_WAIT:
                    log.warning("the tracking store answers again, after %.0f s", time.monotonic() - start)
                self.patience = PATIENCE_SECONDS
                return answer

    def _wait(self, error: Exception, spent: float, seconds: float) -> None:
        """Wait before a call is repeated. Raises: the error, if it will not pass or patience is at an end."""
        if is_disk_full(error):
            raise store_problem(self.uri, error) from error
        if not is_passing(error, self.uri):
            raise error
        if spent >= self.patience:
            self.patience = 0.0
            raise store_problem(self.uri, error) from error
        if seconds == FIRST_WAIT:
            text = f"tracking store {self.uri} is busy or away ({one_line(error)}); trying again"
            log.warning("%s for %.0f s", printable(masked(text)), self.patience)
        time.sleep(min(seconds, self.patience - spent))


def is_passing(error: BaseException, uri: str) -> bool:
    """Whether an error of a call is that of a store which is busy or away, and may answer later."""
    text, code = str(error), getattr(error, "error_code", "")
    if type(error).__module__.partition(".")[0] not in LIBRARIES or is_disk_full(error):
        return False
    if uri.startswith("sqlite"):
        return "database is locked" in text or "database table is locked" in text
    if uri.startswith(("http:", "https:")):
        answered = type(error).__name__ == "RestException" and code in SERVER_FAULTS
        status = getattr(getattr(error, "response", None), "status_code", 0)  # of an upload of artifacts
        return answered or status >= 500 or any(answer in text for answer in ANSWERS)
    return code == "TEMPORARILY_UNAVAILABLE"  # the driver's OperationalError: a connection that broke


@contextlib.contextmanager
def reaching(uri: str, *, clause: str = "") -> Iterator[None]:
    """Raise errors of MLflow, databases and networks as MLProjectError; ``clause`` is the filter in use."""
    try:
        yield
    except (MLProjectError, Stopped):
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] in LIBRARIES:
            raise store_problem(uri, error, clause) from error
        raise


def store_problem(uri: str, error: Exception, clause: str = "") -> MLProjectError:
    """An error of MLflow, of its database or of a network as one line."""
    where = masked(uri)
    if is_disk_full(error):
        return NoRoom(f"no room in the tracking store {where}; free some space")
    if clause and getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE":
        return WrongUse(masked(f"MLflow refuses this: {one_line(error)}"))
    if "database is locked" in str(error):
        return StoreUnreachable(
            f"tracking store {where} is busy: another process is writing to it; try again"
        )
    if "Max retries exceeded" in str(error):
        return StoreUnreachable(
            f"no tracking server answers at {where}; start it, or set MLFLOW_TRACKING_URI"
        )
    return StoreUnreachable(masked(f"tracking store {where}: {one_line(error)}"))
