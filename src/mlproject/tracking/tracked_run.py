"""An open tracked run: logging to it, and the tags that record who ran which code."""

from __future__ import annotations

import contextlib
import getpass
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mlproject import __version__
from mlproject.cell import Cell
from mlproject.errors import (
    BadInput,
    MLProjectError,
    StoreUnreachable,
    is_disk_full,
    masked,
    one_line,
    printable,
)
from mlproject.tracking.artifacts import SUMS_DIGEST, write_sums

log = logging.getLogger(__name__)

BATCH_METRICS = 800
"""Metrics in a request: MLflow takes 1000 entries, of which 100 parameters and 100 tags at most."""
LONGEST_RUN_NAME, LONGEST_DATASET_NAME = 250, 500
"""Characters of the columns that MLflow's databases keep names in; PostgreSQL refuses longer ones."""
ENGINE_TASK = "engine.task"
"""The tag of a run by a worker of an engine: the driver and the cell."""
PREDICTION_HEAD = "prediction.head"
"""The tag of a cell's run that names the newest predictions of its experiment when its plan started."""
COMMIT = "# branch.oid "
"""Begins the line of ``git status`` that names the commit."""


def shortened(name: str, longest: int = LONGEST_RUN_NAME) -> str:
    """A name of at most ``longest`` characters: of a longer one the beginning and the end, where the seed is.

    >>> shortened("resnet18 · 100 images · photos · seed 0", 21)
    'resnet18 ·…s · seed 0'
    """
    kept = longest - 1
    return name if len(name) <= longest else f"{name[: kept - kept // 2]}…{name[-(kept // 2) :]}"


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """An open run of the tracking store.

    ``check_root`` raises where the folder of all artifacts is gone and must not be made anew.
    """

    run_id: str
    client: Any
    check_root: Callable[[], None]

    def log(
        self,
        *,
        params: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        history: Sequence[tuple[int, Mapping[str, float]]] = (),
    ) -> None:
        """Log everything in one request, and one more for each further 800 metrics."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        rows = [(name, value, 0) for name, value in (metrics or {}).items()]
        rows += [(name, value, step) for step, values in history for name, value in values.items()]
        points = [Metric(name, float(value), now, step) for name, value, step in rows]
        self.client.log_batch(
            self.run_id,
            metrics=points[:BATCH_METRICS],
            params=[Param(name, value) for name, value in (params or {}).items()],
            tags=[RunTag(name, value) for name, value in (tags or {}).items()],
        )
        for start in range(BATCH_METRICS, len(points), BATCH_METRICS):
            self.client.log_batch(self.run_id, metrics=points[start : start + BATCH_METRICS])

    def log_files(self, folder: Path) -> None:
        """Log every file below ``folder`` as an artifact, by its relative path, with all their digests.

        A run logs its files once. Raises: StoreUnreachable where their place cannot be written.
        """
        digest = write_sums(folder)
        self.check_root()
        try:
            self.client.log_artifacts(self.run_id, str(folder))
        except ImportError as error:  # of the package for an address such as s3://
            raise StoreUnreachable(f"the artifacts of run {self.run_id}: {one_line(error)}") from error
        except OSError as error:
            if error.filename is None or is_disk_full(error):  # the former: of a network
                raise
            reason = f"{error.filename} cannot be written: {error.strerror}"
            raise StoreUnreachable(f"the artifacts of run {self.run_id}: {reason}") from error
        self.client.set_tag(self.run_id, SUMS_DIGEST, digest)

    def log_dataset(self, *, name: str, digest: str, source: str, context: str) -> None:
        """Log the images that the run read as an MLflow dataset, which the UI shows and filters."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        short = shortened(name, LONGEST_DATASET_NAME)
        dataset = Dataset(
            name=short, digest=digest[:36], source_type="local", source=json.dumps({"uri": source})
        )
        tag = InputTag("mlflow.data.context", context)
        self.client.log_inputs(self.run_id, [DatasetInput(dataset=dataset, tags=[tag])])

    def end(self, status: str, failure: str, trace: str = "") -> bool:
        """End a run that failed or was stopped: status, reason, and the traceback as ``error.txt``.

        Each is written whatever became of the others; whether the run has ended.
        """
        # The first error is reported; a store that fails as well must not hide it.
        ended = False
        try:
            self.client.set_terminated(self.run_id, status)
            ended = True
        except StoreUnreachable:
            return False  # it was tried for a minute, and the rest would be in vain
        except Exception as error:
            log.warning("run %s cannot be ended: %s", self.run_id, printable(masked(one_line(error))))
        with contextlib.suppress(Exception):
            self.log(tags={"failure": failure})
        if trace:
            with contextlib.suppress(Exception):
                self.check_root()
                self.client.log_text(self.run_id, trace, "error.txt")
        return ended


def close_attempts(client: Any, running: Iterable[Any], task: str) -> list[str]:
    """Close as KILLED those of the RUNNING runs that are of a task of an engine, which runs it again: their
    worker is gone.

    This is how a run of another machine is closed. Whoever runs the task holds the lock of its cell.
    """
    closed = [str(run.info.run_id) for run in running if run.data.tags.get(ENGINE_TASK) == task]
    for run_id in closed:
        client.set_tag(run_id, "reconciled", "its worker is gone")
        client.set_terminated(run_id, "KILLED")
    return closed


def read_cell(tags: Mapping[str, str]) -> Cell:
    """The cell that a run's tags hold. Raises: BadInput for tags that hold none, or that of another key."""
    try:
        cell = Cell.from_dict(dict(json.loads(tags["cell.json"])))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, MLProjectError) as error:
        raise BadInput(f"its tag cell.json holds no cell ({one_line(error)})") from error
    if cell.key != tags.get("cell.key"):
        raise BadInput("its tags cell.json and cell.key are of different cells")
    return cell


@cache
def context_tags() -> dict[str, str]:
    """Who ran which code, as tags that MLflow's UI shows, and the version of this code."""
    # MLflow's documented system tags; the call that sets them by itself keeps one active run a process.
    tags = {"mlflow.source.name": sys.argv[0], "mlflow.source.type": "LOCAL"}
    with contextlib.suppress(KeyError, OSError):  # a user id without a name, in a container
        tags["mlflow.user"] = getpass.getuser()
    return tags | code_version()


def code_version() -> dict[str, str]:
    """The version of the running code, its git commit, and whether its tree has uncommitted changes."""
    folder = Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    version = {"code.version": __version__}
    try:
        status = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return version
    lines = status.stdout.splitlines()
    version["code.dirty"] = "false" if all(line.startswith("#") for line in lines) else "true"
    commit = next((line.removeprefix(COMMIT) for line in lines if line.startswith(COMMIT)), "")
    return version | ({"mlflow.source.git.commit": commit} if commit.isalnum() else {})
