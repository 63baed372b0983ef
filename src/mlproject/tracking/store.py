"""An experiment of a tracking store: track runs, list finished cells, read finished runs back."""

from __future__ import annotations

import contextlib
import time
import traceback
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlproject.cell import Cell
from mlproject.errors import (
    BadInput,
    DigestMismatch,
    MLProjectError,
    NoRoom,
    Stopped,
    StoreUnreachable,
    WrongUse,
    is_disk_full,
    masked,
    one_line,
    stop_received,
)
from mlproject.files import read_columns, try_locked
from mlproject.losses import Observation, PerImageLosses, read_losses
from mlproject.tracking.tracked_run import TrackedRun, context_tags, read_cell, shortened

COMPLETE = "cell.complete"
LOSSES_DIGEST = "losses.digest"
PROVENANCE = "provenance."
LOSSES_FILE = "losses.parquet"
LAUNCHED = "mlflow.project.entryPoint"
"""MLflow's tag of runs that ``mlflow run`` begins, before it makes their environment."""
PAGE = 1000
_FINISHED = f"attributes.status = 'FINISHED' and tags.`{COMPLETE}` = 'true'"


@dataclass(kw_only=True)
class Store:
    """One experiment of one tracking store, whose location MLflow's environment decides.

    ``file`` is that of a SQLite store; ``locks`` is the folder of the locks of running cells. ``unreadable``
    says, by run, why one that was listed or read cannot be used: it is left out, and the others are not.
    """

    uri: str
    experiment_id: str
    client: Any
    file: Path | None
    locks: Path
    launcher_run: str | None = None
    unreadable: dict[str, str] = field(default_factory=dict)
    _context: dict[str, str] = field(default_factory=dict)

    def lock_path(self, name: str) -> Path:
        """The lock file of a cell's key or of another name: the running process holds it."""
        return self.locks / f"{name}.lock"

    def beside(self, name: str) -> Path:
        """A file beside a SQLite store; for a server, in the folder of this machine's locks."""
        return self.file.with_name(name) if self.file else self.locks / name

    @contextlib.contextmanager
    def run(
        self, *, kind: str, name: str, lock: str, tags: Mapping[str, str], adopt: bool = False
    ) -> Iterator[TrackedRun]:
        """Track a block of code as a run, which ends FINISHED, FAILED with its reason, or KILLED.

        With ``adopt`` the launcher's run (``mlflow run``) becomes this run, once. The caller holds
        ``lock``. On success ``cell.complete`` is written last.
        """
        with reaching(self.uri):
            run = self._start(name, {**tags, "kind": kind, "lock": lock}, adopt)
        try:
            yield run
        except (Stopped, KeyboardInterrupt):
            stop_received()
            run.end("KILLED", "stopped by a signal")
            raise
        except BaseException as error:
            run.end("FAILED", one_line(error), trace=traceback.format_exc())
            raise
        with reaching(self.uri):
            self.client.set_terminated(run.run_id, "FINISHED")
            self.client.set_tag(run.run_id, COMPLETE, "true")

    def log_children(self, parent: str, *, kind: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log finished child runs of ``parent``: name, status, params, metrics and tags of each."""
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        with reaching(self.uri):
            for row in rows:
                tags = {**self._context, **row["tags"], "kind": kind, "mlflow.parentRunId": parent}
                name = shortened(row["name"])
                child = self.client.create_run(self.experiment_id, tags=tags, run_name=name)
                self.client.log_batch(
                    child.info.run_id,
                    metrics=[Metric(name, value, now, 0) for name, value in row["metrics"].items()],
                    params=[Param(name, value) for name, value in row["params"].items()],
                )
                self.client.set_terminated(child.info.run_id, row["status"])

    def done(self, keys: Iterable[str] | None = None) -> dict[str, str]:
        """Run ids of finished cells by key (only of ``keys`` when given)."""
        wanted = None if keys is None else set(keys)
        clause = _FINISHED
        if wanted is not None and len(wanted) == 1:
            clause += f" and tags.`cell.key` = '{next(iter(wanted))}'"
        run_ids: dict[str, str] = {}
        for run in self._search(f"tags.kind = 'cell' and {clause}"):
            key = run.data.tags.get("cell.key", "")
            if wanted is None or key in wanted:
                run_ids.setdefault(key, run.info.run_id)
        return run_ids

    def observations(self, *, keys: Iterable[str] | None = None, where: str = "") -> Iterator[Observation]:
        """Read finished cells back page by page; losses are read on demand.

        ``where`` is a further condition in MLflow's filter language.
        """
        wanted = None if keys is None else set(keys)
        clause = f" and {where}" if where else ""
        for run in self._search(f"tags.kind = 'cell' and {_FINISHED}{clause}"):
            if wanted is None or run.data.tags.get("cell.key") in wanted:
                cell = self._cell(run)
                if cell is not None:
                    yield self._observation(run, cell)

    def finished(self, *, kind: str, tags: Mapping[str, str]) -> str | None:
        """The newest finished run of a kind that has these tags."""
        clauses = "".join(f" and tags.`{name}` = '{value}'" for name, value in tags.items())
        runs = self._search(f"tags.kind = '{kind}' and {_FINISHED}{clauses}")
        return next((run.info.run_id for run in runs), None)

    def artifact(self, run_id: str, name: str) -> Path:
        """A local path of an artifact, which is downloaded when the store is on another machine."""
        return self._fetch(run_id, self.artifact_uri(run_id), name)

    def artifact_uri(self, run_id: str) -> str:
        """The address of a run's artifacts; the path of those that lie on this machine."""
        with reaching(self.uri):
            return _readable(self.client.get_run(run_id).info.artifact_uri)

    def records(self) -> Iterator[dict[str, Any]]:
        """One plain record for every cell run of the experiment, finished or not."""
        for run in self._search("tags.kind = 'cell'"):
            tags = run.data.tags
            complete = run.info.status == "FINISHED" and tags.get(COMPLETE) == "true"
            cell = self._cell(run)
            status = "done" if complete else run.info.status.lower()
            yield {
                "cell": tags.get("cell.key", ""),
                "label": run.info.run_name,
                "coordinates": {} if cell is None else cell.to_dict(),
                "status": "damaged" if complete and cell is None else status,
                "run_id": run.info.run_id,
                "digest": tags.get(LOSSES_DIGEST, ""),
                "metrics": dict(run.data.metrics),
                "started": run.info.start_time,
            }

    def reconcile(self) -> list[str]:
        """Close as KILLED the runs whose owner died: RUNNING, but their lock is free."""
        closed = []
        for run in self._search("attributes.status = 'RUNNING'"):
            lock = run.data.tags.get("lock")
            if lock is None:
                continue
            with try_locked(self.lock_path(lock)) as free:
                if free:
                    self.client.set_tag(run.info.run_id, "reconciled", "its process died")
                    self.client.set_terminated(run.info.run_id, "KILLED")
                    closed.append(run.info.run_id)
        return closed

    def never_started(self) -> list[str]:
        """Ids of runs that ``mlflow run`` began and no process has adopted; a launcher may still be busy."""
        running = self._search("attributes.status = 'RUNNING'")
        return [r.info.run_id for r in running if LAUNCHED in r.data.tags and "lock" not in r.data.tags]

    def _start(self, name: str, tags: dict[str, str], adopt: bool) -> TrackedRun:
        if not self._context:
            self._context.update(context_tags())
        tags = {**self._context, **tags, "attempt": uuid.uuid4().hex}
        if adopt and self.launcher_run:
            run = TrackedRun(run_id=self.launcher_run, client=self.client)
            self.launcher_run = None
            self.client.update_run(run.run_id, name=shortened(name))
            run.log(tags={k: v for k, v in tags.items() if not k.startswith("mlflow.")})
            return run
        created = self.client.create_run(self.experiment_id, tags=tags, run_name=shortened(name))
        return TrackedRun(run_id=created.info.run_id, client=self.client)

    def _search(self, clause: str) -> Iterator[Any]:
        token = None
        while True:
            with reaching(self.uri, clause=clause):
                page = self.client.search_runs(
                    [self.experiment_id], clause, max_results=PAGE, page_token=token
                )
            yield from page
            token = page.token
            if not token:
                return

    def _cell(self, run: Any) -> Cell | None:
        """The cell of a run, or None where its tags do not hold one, which ``unreadable`` then says."""
        try:
            return read_cell(run.data.tags)
        except BadInput as error:
            run_id, remedy = run.info.run_id, "lets its cell run again"
            text = f"run {run_id} is left out: {error}; mlflow runs delete --run-id {run_id} {remedy}"
            self.unreadable[run_id] = text
            return None

    def _observation(self, run: Any, cell: Cell) -> Observation:
        tags = run.data.tags
        digest = tags.get(LOSSES_DIGEST, "")
        return Observation(
            cell=cell,
            run_id=run.info.run_id,
            metrics=dict(run.data.metrics),
            losses_digest=digest,
            load_losses=lambda: self._losses(run.info, digest),
            load_table=lambda name: self._table(run.info, name),
            provenance={
                name.removeprefix(PROVENANCE): text
                for name, text in tags.items()
                if name.startswith(PROVENANCE)
            },
        )

    def _fetch(self, run_id: str, artifact_uri: str, name: str) -> Path:
        local = Path(_readable(artifact_uri)) / name
        if local.exists():
            return local
        with reaching(self.uri):
            return Path(self.client.download_artifacts(run_id, name))

    def _table(self, info: Any, name: str) -> dict[str, list[str]]:
        try:
            return read_columns(self._fetch(info.run_id, info.artifact_uri, f"{name}.csv"))
        except (OSError, StoreUnreachable):
            return {}
        except BadInput as error:
            raise BadInput(f"run {info.run_id}: {error}; delete that run, and its cell runs again") from error

    def _losses(self, info: Any, digest: str) -> PerImageLosses:
        run_id = info.run_id
        path = self._fetch(run_id, info.artifact_uri, LOSSES_FILE)
        try:
            losses = read_losses(path)
        except (OSError, ValueError) as error:
            raise DigestMismatch(f"losses of run {run_id} cannot be read: {error}") from error
        if losses.digest != digest:
            raise DigestMismatch(
                f"losses of run {run_id} ({path}) differ from what was logged; remove it:"
                f" mlflow runs delete --run-id {run_id}"
            )
        return losses


def _readable(uri: str) -> str:
    return url2pathname(urlsplit(uri).path) if uri.startswith("file:") else uri


@contextlib.contextmanager
def reaching(uri: str, *, clause: str = "") -> Iterator[None]:
    """Raise errors of MLflow, databases and networks as MLProjectError; ``clause`` is the filter in use."""
    try:
        yield
    except (MLProjectError, Stopped):
        raise
    except Exception as error:
        module = type(error).__module__.partition(".")[0]
        if module in {"mlflow", "sqlalchemy", "requests", "urllib3", "sqlite3", "alembic"}:
            raise _problem(uri, error, clause) from error
        raise


def _problem(uri: str, error: Exception, clause: str) -> MLProjectError:
    where = masked(uri)
    if is_disk_full(error):
        return NoRoom(f"no room in the tracking store {where}; free some space")
    if clause and getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE":
        return WrongUse(masked(f"MLflow refuses this: {one_line(error)}"))
    if "Max retries exceeded" in str(error):
        return StoreUnreachable(
            f"no tracking server answers at {where}; start it, or set MLFLOW_TRACKING_URI"
        )
    return StoreUnreachable(masked(f"tracking store {where}: {one_line(error)}"))
