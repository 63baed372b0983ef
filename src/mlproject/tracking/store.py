"""An experiment of a tracking store: track runs, list finished cells, read finished runs back."""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mlproject.cell import Cell
from mlproject.errors import BadInput, DigestMismatch, MLProjectError, Stopped, one_line
from mlproject.files import try_locked
from mlproject.losses import Observation
from mlproject.signals import stop_received
from mlproject.tracking.addresses import beside_store
from mlproject.tracking.artifacts import SUSPECT, Artifacts, artifacts_of, deletion, observation_of
from mlproject.tracking.done import COMPLETE, FEW, FINISHED, FINISHED_CELLS, RUNNING, DoneCells, record_of
from mlproject.tracking.ownership import (
    ATTEMPT,
    LOCK,
    Reconciled,
    close_dead_runs,
    describe_unknown,
    launched_lock,
    owner_tags,
)
from mlproject.tracking.place import check_root, local_folder, readable
from mlproject.tracking.reach import reaching
from mlproject.tracking.tracked_run import TrackedRun, context_tags, read_cell, shortened

log = logging.getLogger(__name__)

PAGE = 1000
Times = tuple[int | None, int | None]
NOW: Times = (None, None)


@dataclass(kw_only=True)
class Store:
    """One experiment of one tracking store, whose location MLflow's environment decides.

    ``file`` is that of a SQLite store; ``locks`` is the folder of the locks of running cells. ``unreadable``
    says, by run, why one that was listed or read cannot be used: it is left out, and the others are not.
    ``colours`` are those of models in MLflow's UI, as far as they were asked for.
    """

    uri: str
    experiment_id: str
    client: Any
    file: Path | None
    locks: Path
    launcher_run: str | None = None
    unreadable: dict[str, str] = field(default_factory=dict)
    colours: dict[str, str] = field(default_factory=dict)
    _context: dict[str, str] = field(default_factory=dict)
    _reported: set[str] = field(default_factory=set)

    def lock_path(self, name: str) -> Path:
        """The lock file of a cell's key or of another name: the running process holds it."""
        return self.locks / f"{name}.lock"

    def beside(self, name: str) -> Path:
        """A file beside a SQLite store; for a server, in the folder of this machine's locks."""
        return beside_store(self.uri, name)

    @contextlib.contextmanager
    def run(
        self, *, kind: str, name: str, tags: Mapping[str, str], adopt: bool = False, times: Times = NOW
    ) -> Iterator[TrackedRun]:
        """Track a block of code as a run, which ends FINISHED, FAILED with its reason, or KILLED.

        With ``adopt`` the launcher's run (``mlflow run``) becomes this run, once. A lock of the run's own is
        held until it has ended. On success ``cell.complete`` is written last. ``times``: ms, of a past run.
        """
        self._check_root()
        with self._lock_of_run() as owner:
            with reaching(self.uri):
                run = self._start(name, {**tags, "kind": kind, **owner}, adopt, times[0])
            ended = False
            try:
                yield run
                with reaching(self.uri):
                    self.client.set_terminated(run.run_id, "FINISHED", times[1])
                    self.client.set_tag(run.run_id, COMPLETE, "true")
                ended = True
            except (Stopped, KeyboardInterrupt):
                stop_received()
                ended = run.end("KILLED", "stopped by a signal")
                raise
            except BaseException as error:
                ended = run.end("FAILED", one_line(error), trace=traceback.format_exc())
                raise
            finally:
                if ended:  # else its lock shows the next start that its owner is dead
                    self.lock_path(owner[LOCK]).unlink(missing_ok=True)

    def log_children(self, parent: str, *, kind: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log finished child runs of ``parent``: name, status, params, metrics and tags of each."""
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        with reaching(self.uri):
            for row in rows:
                tags = {**self._context, **row["tags"], "kind": kind, "mlflow.parentRunId": parent}
                with self._lock_of_run() as owner:
                    child = self.client.create_run(
                        self.experiment_id, tags={**tags, **owner}, run_name=shortened(row["name"])
                    )
                    self.client.log_batch(
                        child.info.run_id,
                        metrics=[Metric(name, value, now, 0) for name, value in row["metrics"].items()],
                        params=[Param(name, value) for name, value in row["params"].items()],
                    )
                    self.client.set_terminated(child.info.run_id, row["status"])
                    self.lock_path(owner[LOCK]).unlink(missing_ok=True)

    @cached_property
    def done_cells(self) -> DoneCells:
        """Which cells of the experiment are done."""
        return DoneCells(
            experiment_id=self.experiment_id,
            search=self.search,
            client=self.client,
            file=self.file,
            folder=self.locks,
        )

    def done(self, keys: Iterable[str] | None = None) -> dict[str, str]:
        """Run ids of finished cells by key (of ``keys`` when given); damaged ones are reported, once."""
        wanted = None if keys is None else set(keys)
        known = self.done_cells.recorded(wanted) if wanted is None or len(wanted) > FEW else None
        done = self.done_artifacts(wanted) if known is None else known
        return {key: run.run_id for key, run in done.items()}

    def done_artifacts(self, keys: Iterable[str] | None = None) -> dict[str, Artifacts]:
        """The artifacts of finished cells by key, as ``done`` counts them."""
        with reaching(self.uri):
            return self.done_cells.artifacts(None if keys is None else set(keys))

    def faults(self) -> dict[str, str]:
        """By run, what is wrong with the losses of finished cells that have no intact run; all are read."""
        with reaching(self.uri):
            return self.done_cells.faults()

    def mark_suspect(self, run_id: str) -> None:
        """Have the artifacts of a run verified from now on whenever it is asked whether its cell is done."""
        with reaching(self.uri):
            self.client.set_tag(run_id, SUSPECT, "true")

    def observations(self, *, keys: Iterable[str] | None = None, where: str = "") -> Iterator[Observation]:
        """Read finished cells back page by page; losses are read on demand.

        ``where`` is a further condition in MLflow's filter language.
        """
        wanted = None if keys is None else set(keys)
        clause = f" and {where}" if where else ""
        for run in self.search(f"{FINISHED_CELLS}{clause}"):
            if wanted is None or run.data.tags.get("cell.key") in wanted:
                cell = self._cell(run)
                if cell is not None:
                    with reaching(self.uri):
                        yield observation_of(run, cell, artifacts_of(run, self.client), self._read)

    def finished(self, *, kind: str, tags: Mapping[str, str], reads: str = "") -> str | None:
        """The newest finished run of a kind that has these tags, and whose artifacts are whole.

        ``reads`` is the artifact that will be read; without it none is looked at.
        """
        clauses = "".join(f" and tags.`{name}` = '{value}'" for name, value in tags.items())
        for run in self.search(f"tags.kind = '{kind}' and {FINISHED}{clauses}"):
            with reaching(self.uri):
                if not reads or artifacts_of(run, self.client).is_whole(reads):
                    return str(run.info.run_id)
                log.warning("%s run %s has lost artifacts; it is made again", kind, run.info.run_id)
        return None

    def artifact(self, run_id: str, name: str) -> Path:
        """A local path of an artifact, which is downloaded when the store is on another machine.

        Raises: FileNotFoundError where there is none.
        """
        with reaching(self.uri):
            return artifacts_of(self.client.get_run(run_id), self.client).path(name)

    def artifact_uri(self, run_id: str) -> str:
        """The address of a run's artifacts; the path of those that lie on this machine."""
        with reaching(self.uri):
            return readable(self.client.get_run(run_id).info.artifact_uri or "")

    def records(self, where: str = "") -> Iterator[dict[str, Any]]:
        """One plain record for every cell run of the experiment, finished or not, newest first.

        ``where`` is a further condition in MLflow's filter language.
        """
        for run in self.search(f"tags.kind = 'cell'{f' and {where}' if where else ''}"):
            cell = self._cell(run)
            with reaching(self.uri):
                yield record_of(run, cell, self.client, self.unreadable.get(run.info.run_id, ""))

    def running(self) -> list[Any]:
        """The runs of the experiment that say RUNNING, dead or alive."""
        return list(self.search(RUNNING))

    def owners(self) -> Reconciled:
        """What ``reconcile`` would do; nothing is changed."""
        with reaching(self.uri):
            return close_dead_runs(self.running(), self.client, self.lock_path, self.file, close=False)

    def reconcile(self) -> Reconciled:
        """Close as KILLED the RUNNING runs whose owner is known to be dead; say which cannot be checked."""
        with reaching(self.uri):
            result = close_dead_runs(self.running(), self.client, self.lock_path, self.file)
        unknown = {k: v for k, v in result.unknown.items() if k not in self._reported}
        if unknown:
            log.warning("%s", describe_unknown(unknown, result.hosts))
            self._reported.update(unknown)
        return result

    @contextlib.contextmanager
    def _lock_of_run(self) -> Iterator[dict[str, str]]:
        """Hold a new lock; yields the tags by which a run names its owner. The caller removes the lock."""
        attempt = uuid.uuid4().hex
        path = self.lock_path(f"run-{attempt}")
        with try_locked(path):
            yield {ATTEMPT: attempt, **owner_tags(path.stem)}

    def _start(self, name: str, tags: dict[str, str], adopt: bool, began: int | None) -> TrackedRun:
        if began is None:  # else other code ran, elsewhere
            self._context.update(self._context or context_tags())
            tags = {**self._context, **tags}
        if adopt and self.launcher_run:
            run = TrackedRun(run_id=self.launcher_run, client=self.client, check_root=self._check_root)
            self.launcher_run = None
            run.log(tags={k: v for k, v in tags.items() if not k.startswith("mlflow.")})
            self.client.update_run(run.run_id, status="RUNNING", name=shortened(name))
            self.lock_path(launched_lock(run.run_id)).unlink(missing_ok=True)
            return run
        named = {"tags": tags, "run_name": shortened(name), "start_time": began}
        run_id = self.client.create_run(self.experiment_id, **named).info.run_id
        return TrackedRun(run_id=run_id, client=self.client, check_root=self._check_root)

    @cached_property
    def _root(self) -> Path | None:
        """The folder of the experiment's artifacts on this machine; None where they lie elsewhere."""
        with reaching(self.uri):
            return local_folder(self.client.get_experiment(self.experiment_id).artifact_location)

    def _check_root(self) -> None:
        check_root(self._root, self.search(f"{FINISHED_CELLS} and tags.`{SUSPECT}` IS NULL"))

    def search(self, clause: str, *, deleted: bool = False, everywhere: bool = False) -> Iterator[Any]:
        """The MLflow runs of the experiment that match a condition, newest first, page by page.

        With ``deleted`` those that were deleted, and no others; with ``everywhere`` of all experiments.
        """
        from mlflow.entities import ViewType

        experiments = [self.experiment_id]
        if everywhere:
            listed = self.client.search_experiments(view_type=ViewType.ALL)
            experiments = [each.experiment_id for each in listed]
        view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
        token = None
        while True:
            with reaching(self.uri, clause=clause):
                page = self.client.search_runs(
                    experiments, clause, run_view_type=view, max_results=PAGE, page_token=token
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
            text = f"run {run.info.run_id} is left out: {error}; `{deletion(run.info.run_id)}`"
            self.unreadable[run.info.run_id] = f"{text} lets its cell run again"
            return None

    def _read(self, artifacts: Artifacts, read: Callable[[Artifacts], Any]) -> Any:
        """What is read of a run's artifacts; where they do not match, it is marked as suspect."""
        with reaching(self.uri):
            try:
                return read(artifacts)
            except DigestMismatch:
                with contextlib.suppress(MLProjectError):  # a store that takes no tags must not hide it
                    self.mark_suspect(artifacts.run_id)
                raise
