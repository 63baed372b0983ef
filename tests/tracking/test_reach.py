"""Calls to a store that is busy or away for a moment are repeated, and nothing else is."""

from __future__ import annotations

import sqlite3
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException, RestException
from requests.exceptions import ConnectionError as Unanswered
from sqlalchemy.exc import OperationalError

from mlproject.errors import NoRoom, StoreUnreachable
from mlproject.tracking import reach
from mlproject.tracking.reach import PATIENCE_SECONDS, PatientClient, is_passing

SQLITE, SERVER, DATABASE = "sqlite:///x.db", "http://me:secret@lab:5000", "postgresql://lab/runs"
LOCKED = OperationalError("INSERT", {}, sqlite3.OperationalError("database is locked"))


def mlflow_error(cause: object, code: int) -> MlflowException:
    return MlflowException(cause, error_code=code)


BUSY, INTERNAL = 2, 1
"""Numbers of TEMPORARILY_UNAVAILABLE and INTERNAL_ERROR."""


@pytest.mark.parametrize(
    ("uri", "error", "passing"),
    [
        (SQLITE, LOCKED, True),
        (SQLITE, mlflow_error(LOCKED, BUSY), True),
        (SQLITE, sqlite3.OperationalError("disk I/O error"), False),
        (SQLITE, sqlite3.OperationalError("attempt to write a readonly database"), False),
        (SQLITE, OSError(30, "database is locked"), False),
        (SERVER, RestException({"error_code": "INTERNAL_ERROR", "message": "x"}), True),
        (SERVER, RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "x"}), True),
        (SERVER, RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": "x"}), False),
        (SERVER, RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "x"}), False),
        (SERVER, mlflow_error("API request to endpoint /x failed with error code 503 != 200", BUSY), True),
        (
            SERVER,
            mlflow_error("API request to endpoint /x failed with error code 404 != 200", INTERNAL),
            False,
        ),
        (
            SERVER,
            mlflow_error("API request to http://lab failed with exception Max retries exceeded", 1),
            True,
        ),
        (SERVER, Unanswered("HTTPConnectionPool: Max retries exceeded with url"), True),
        (SERVER, KeyError("Max retries exceeded"), False),
        (DATABASE, mlflow_error("server closed the connection unexpectedly", BUSY), True),
        (DATABASE, mlflow_error("value too long", 1), False),
    ],
)
def test_a_store_that_is_busy_or_away_is_told_from_every_other_error(
    uri: str, error: BaseException, passing: bool
) -> None:
    assert is_passing(error, uri) == passing


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(reach, "time", clock)
    return clock


class Busy:
    """A client whose store is locked until a time; ``runs`` are those created, also if the answer is lost."""

    def __init__(self, clock: Clock, until: float) -> None:
        self.clock, self.until, self.calls, self.runs = clock, until, 0, []

    def log_batch(self, run_id: str, **named: Any) -> str:
        self.calls += 1
        if self.clock.now < self.until:
            raise mlflow_error(LOCKED, BUSY)
        return run_id

    def create_run(self, experiment_id: str, tags: Any = None, run_name: Any = None) -> Any:
        self.runs.append(SimpleNamespace(tags=tags))
        self.log_batch("")
        return self.runs[-1]

    def search_runs(self, ids: list[str], clause: str, max_results: int) -> list[Any]:
        return [run for run in self.runs if f"'{run.tags['attempt']}'" in clause][:max_results]


def test_a_call_is_repeated_until_the_store_answers_and_two_lines_say_so(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Busy(clock, until=30)
    assert PatientClient(store, SERVER.replace("http", "sqlite")).log_batch("r", tags=[]) == "r"
    assert 30 <= clock.now < 40
    assert store.calls < 10
    first, last = caplog.messages
    assert "database is locked" in first
    assert "trying again for 60 s" in first
    assert "secret" not in first
    assert "answers again" in last


def test_after_a_minute_the_store_is_unreachable_and_is_not_waited_for_again(clock: Clock) -> None:
    store = Busy(clock, until=1000)
    client = PatientClient(store, SQLITE)
    with pytest.raises(StoreUnreachable, match="is busy: another process is writing"):
        client.log_batch("r")
    assert clock.now == PATIENCE_SECONDS
    with pytest.raises(StoreUnreachable):
        client.log_batch("r")
    assert clock.now == PATIENCE_SECONDS, "ending the run is tried once"
    store.until = clock.now
    client.log_batch("r")
    store.until = clock.now + 30
    assert client.log_batch("r") == "r", "patient again since it answered"


def test_a_run_whose_creation_was_not_answered_is_not_created_twice(clock: Clock) -> None:
    store = Busy(clock, until=2)
    run = PatientClient(store, SQLITE).create_run("0", tags={"attempt": "a"}, run_name="x")
    assert store.runs == [run]


@pytest.mark.parametrize("text", ["psycopg2.errors.UniqueViolation", "UNIQUE constraint failed: datasets"])
def test_a_row_that_another_process_has_just_inserted_is_no_error(
    clock: Clock, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    class Racing:
        def __init__(self, n_lost: int) -> None:
            self.n_lost = n_lost

        def set_experiment_tag(self, name: str) -> str:
            self.n_lost -= 1
            if self.n_lost >= 0:
                raise MlflowException(f"({text}) duplicate key value", 1)
            return name

    assert PatientClient(Racing(2), SERVER).set_experiment_tag("x") == "x"
    assert (clock.now, caplog.messages) == (0, [])
    with pytest.raises(MlflowException, match="duplicate"):
        PatientClient(Racing(100), SQLITE).set_experiment_tag("x")


def test_an_error_that_will_not_pass_is_raised_at_once(clock: Clock) -> None:
    class Broken:
        def log_batch(self) -> None:
            raise MlflowException.invalid_parameter_value("too long")

    with pytest.raises(MlflowException, match="too long"):
        PatientClient(Broken(), SQLITE).log_batch()
    assert clock.now == 0


def test_a_full_disk_is_no_room_at_once(clock: Clock) -> None:
    class Full:
        def log_artifacts(self) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(NoRoom, match="no room in the tracking store"):
        PatientClient(Full(), SQLITE).log_artifacts()
    assert clock.now == 0
