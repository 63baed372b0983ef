"""A store's experiment: run under its eye, find what is done, read finished runs back."""

from __future__ import annotations

import contextlib
import json
import time
import traceback
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlproject.cell import Cell
from mlproject.errors import DigestMismatch, Stopped, StoreUnreachable, one_line, stop_received
from mlproject.files import try_locked
from mlproject.losses import Observation, PerImageLosses, read_columns, read_losses
from mlproject.tracking.context import context_tags
from mlproject.tracking.store_errors import reaching

COMPLETE = "cell.complete"
LOSSES_DIGEST = "losses.digest"
PROVENANCE = "provenance."
LOSSES_FILE = "losses.parquet"
PAGE = 1000
BATCH_METRICS = 900
_FINISHED = f"attributes.status = 'FINISHED' and tags.`{COMPLETE}` = 'true'"


@dataclass(frozen=True, kw_only=True)
class Run:
    """An open tracked run."""

    run_id: str
    client: Any

    def log(
        self,
        *,
        params: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        history: Sequence[tuple[int, Mapping[str, float]]] = (),
    ) -> None:
        """Log everything in one request (a further one for each 900 metrics)."""
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
        """Log every file below ``folder`` as an artifact, by its relative path."""
        self.client.log_artifacts(self.run_id, str(folder))

    def log_dataset(self, *, name: str, digest: str, source: str, context: str) -> None:
        """Say which images the run read, as MLflow's UI shows and filters them."""
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.exceptions import MlflowException

        dataset = Dataset(
            name=name, digest=digest[:36], source_type="local", source=json.dumps({"uri": source})
        )
        tag = InputTag("mlflow.data.context", context)
        inputs = [DatasetInput(dataset=dataset, tags=[tag])]
        try:
            self.client.log_inputs(self.run_id, inputs)
        except MlflowException:
            # MLflow looks for the data set, then inserts it: another process may have done so in between.
            self.client.log_inputs(self.run_id, inputs)


@dataclass(kw_only=True)
class Store:
    """One experiment of one tracking store; its location is MLflow's own to decide."""

    uri: str
    experiment_id: str
    client: Any
    locks: Path
    launcher_run: str | None = None
    _context: dict[str, str] = field(default_factory=dict)

    def lock_path(self, name: str) -> Path:
        """The lock that whoever works under ``name`` (a cell's key) holds."""
        return self.locks / f"{name}.lock"

    @contextlib.contextmanager
    def run(
        self, *, kind: str, name: str, lock: str, tags: Mapping[str, str], adopt: bool = False
    ) -> Iterator[Run]:
        """A tracked run around a piece of work: FINISHED, FAILED with its reason, or KILLED.

        With ``adopt`` the launcher's run (``mlflow run``) becomes this run, once. The caller holds
        ``lock``. On success ``cell.complete`` is the last thing written.
        """
        with reaching(self.uri):
            run = self._start(name, {**tags, "kind": kind, "lock": lock}, adopt)
        try:
            yield run
        except (Stopped, KeyboardInterrupt):
            stop_received()
            self._end(run, "KILLED", {"failure": "stopped by a signal"})
            raise
        except BaseException as error:
            self._end(run, "FAILED", {"failure": one_line(error)}, trace=traceback.format_exc())
            raise
        with reaching(self.uri):
            self.client.set_terminated(run.run_id, "FINISHED")
            self.client.set_tag(run.run_id, COMPLETE, "true")

    def log_children(self, parent: str, *, kind: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Finished runs below ``parent``: name, status, params, metrics and tags of each, three requests."""
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        with reaching(self.uri):
            for row in rows:
                tags = {**self._context, **row["tags"], "kind": kind, "mlflow.parentRunId": parent}
                made = self.client.create_run(self.experiment_id, tags=tags, run_name=row["name"])
                self.client.log_batch(
                    made.info.run_id,
                    metrics=[Metric(name, value, now, 0) for name, value in row["metrics"].items()],
                    params=[Param(name, value) for name, value in row["params"].items()],
                )
                self.client.set_terminated(made.info.run_id, row["status"])

    def done(self, keys: Iterable[str] | None = None) -> dict[str, str]:
        """Run id of every finished cell, by key (of ``keys`` alone when given)."""
        wanted = None if keys is None else set(keys)
        clause = _FINISHED
        if wanted is not None and len(wanted) == 1:
            clause += f" and tags.`cell.key` = '{next(iter(wanted))}'"
        found: dict[str, str] = {}
        for run in self._search(f"tags.kind = 'cell' and {clause}"):
            key = run.data.tags.get("cell.key", "")
            if wanted is None or key in wanted:
                found.setdefault(key, run.info.run_id)
        return found

    def observations(self, *, keys: Iterable[str] | None = None, where: str = "") -> Iterator[Observation]:
        """Finished cells read back page by page; losses are read when asked for.

        ``where`` is MLflow's own filter language, added to ours.
        """
        wanted = None if keys is None else set(keys)
        clause = f" and {where}" if where else ""
        for run in self._search(f"tags.kind = 'cell' and {_FINISHED}{clause}"):
            if wanted is None or run.data.tags.get("cell.key") in wanted:
                yield self._observation(run)

    def finished(self, *, kind: str, tags: Mapping[str, str]) -> str | None:
        """The newest finished run of a kind that carries these tags."""
        clauses = "".join(f" and tags.`{name}` = '{value}'" for name, value in tags.items())
        runs = self._search(f"tags.kind = '{kind}' and {_FINISHED}{clauses}")
        return next((run.info.run_id for run in runs), None)

    def artifact(self, run_id: str, name: str) -> Path:
        """A local path of an artifact, downloaded when the store is not on this machine."""
        return self._fetch(run_id, self.artifact_uri(run_id), name)

    def artifact_uri(self, run_id: str) -> str:
        """Where a run's artifacts lie."""
        with reaching(self.uri):
            return str(self.client.get_run(run_id).info.artifact_uri)

    def records(self) -> Iterator[dict[str, Any]]:
        """One plain record for every cell run of the experiment, whatever became of it."""
        for run in self._search("tags.kind = 'cell'"):
            tags = run.data.tags
            complete = run.info.status == "FINISHED" and tags.get(COMPLETE) == "true"
            yield {
                "cell": tags.get("cell.key", ""),
                "label": run.info.run_name,
                "coordinates": json.loads(tags.get("cell.json", "{}")),
                "status": "done" if complete else run.info.status.lower(),
                "run_id": run.info.run_id,
                "digest": tags.get(LOSSES_DIGEST, ""),
                "metrics": dict(run.data.metrics),
                "started": run.info.start_time,
            }

    def reconcile(self) -> list[str]:
        """Close runs whose owner died (RUNNING, but nobody holds their lock) as KILLED."""
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

    def _start(self, name: str, tags: dict[str, str], adopt: bool) -> Run:
        if not self._context:
            self._context.update(context_tags())
        tags = {**self._context, **tags, "attempt": uuid.uuid4().hex}
        if adopt and self.launcher_run:
            run = Run(run_id=self.launcher_run, client=self.client)
            self.launcher_run = None
            self.client.update_run(run.run_id, name=name)
            run.log(tags={k: v for k, v in tags.items() if not k.startswith("mlflow.")})
            return run
        created = self.client.create_run(self.experiment_id, tags=tags, run_name=name)
        return Run(run_id=created.info.run_id, client=self.client)

    def _end(self, run: Run, status: str, tags: dict[str, str], trace: str = "") -> None:
        # The first error is the one to report: a store that fails as well must not hide it.
        with contextlib.suppress(Exception):
            if trace:
                self.client.log_text(run.run_id, trace, "error.txt")
            run.log(tags=tags)
            self.client.set_terminated(run.run_id, status)

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

    def _observation(self, run: Any) -> Observation:
        tags = run.data.tags
        digest = tags.get(LOSSES_DIGEST, "")
        return Observation(
            cell=Cell.from_dict(json.loads(tags["cell.json"])),
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
        local = Path(artifact_uri.removeprefix("file://")) / name
        if local.exists():
            return local
        with reaching(self.uri):
            return Path(self.client.download_artifacts(run_id, name))

    def _table(self, info: Any, name: str) -> dict[str, list[str]]:
        try:
            return read_columns(self._fetch(info.run_id, info.artifact_uri, f"{name}.csv"))
        except (OSError, StoreUnreachable):
            return {}

    def _losses(self, info: Any, digest: str) -> PerImageLosses:
        run_id = info.run_id
        path = self._fetch(run_id, info.artifact_uri, LOSSES_FILE)
        try:
            losses = read_losses(path)
        except (OSError, ValueError) as error:
            raise DigestMismatch(f"losses of run {run_id} cannot be read: {error}") from error
        if losses.digest != digest:
            raise DigestMismatch(f"losses of run {run_id} ({path}) are not what was logged; delete that run")
        return losses
