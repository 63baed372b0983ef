"""Import finished cells that another machine tracked: from a copied folder, or from any address of MLflow.

Cells come by their key: what is done here stays as it is, so that an import can be given again and again. An
imported run keeps parameters, metrics with their history, tags, data sets and times; its tags say where it
came from. It is complete once everything is copied: an import that is killed leaves a run that the next start
closes, and the cell is copied again.

MLflow records absolute addresses of artifacts. In a copied folder they lie beside the database, where they
are looked for by the last parts of their address. The database is read from a copy, so that nothing is
written to the folder. Searches, sweeps and fits are not imported: cells are all that an analysis reads.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from mlproject.errors import (
    BadInput,
    DigestMismatch,
    MLProjectError,
    StoreUnreachable,
    WrongUse,
    is_disk_full,
    masked,
    one_line,
    unknown,
)
from mlproject.files import temporary_folder, try_locked
from mlproject.losses import Report
from mlproject.tracking.addresses import database_file
from mlproject.tracking.artifacts import LOSSES_DIGEST, SUMS_DIGEST, SUSPECT, Artifacts, artifacts_of
from mlproject.tracking.copies import Copy, artifact_names, copy_artifacts, place_of
from mlproject.tracking.done import COMPLETE
from mlproject.tracking.experiment_page import RUN_COLOUR, colour_runs
from mlproject.tracking.other_hosts import look_up_cell
from mlproject.tracking.ownership import ATTEMPT, BOOT, HOST, LOCK, MACHINE, PROCESS
from mlproject.tracking.place import check_sqlite, folder_of, local_folder, readable
from mlproject.tracking.reach import PatientClient, reaching
from mlproject.tracking.store import PAGE, Store
from mlproject.tracking.tracked_run import PREDICTION_HEAD, TrackedRun, read_cell

DATABASE = "mlflow.db"
ROOTS = ("", "mlruns", "mlartifacts")
"""Folders beside a database in which MLflow, or its server, keeps artifacts."""
FROM, RUN_THERE, HOST_THERE = "imported.from", "imported.run_id", "imported.host"
"""Tags of an imported run: the address it came from, its id there, and the host that computed it."""
LEFT_THERE = {
    *(LOCK, ATTEMPT, HOST, MACHINE, BOOT, PROCESS),
    *(COMPLETE, SUMS_DIGEST, SUSPECT, RUN_COLOUR, PREDICTION_HEAD, "mlflow.parentRunId", "mlflow.runName"),
}
"""Tags that belong to a run's owner, its store or its display, and are written anew or not at all."""
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/")
"""Begins an artifact address that is no path: of a server or a bucket."""
BATCH = {"metrics": 800, "params": 100, "tags": 100}
"""Entries of each kind in a request of MLflow, 1000 in all."""


@dataclass(kw_only=True)
class Imported:
    """How many cells were copied and were here before; ``left_out`` says, by run there, why one was not."""

    n_copied: int = 0
    n_present: int = 0
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A store to import from; ``folder`` is that of a copied database."""

    text: str
    client: Any
    folder: Path | None

    def cells(self, experiment: str) -> dict[str, list[Any]]:
        """All runs of cells of an experiment by key, newest first. Raises: WrongUse where there is none."""
        known = {each.name: each.experiment_id for each in self.client.search_experiments()}
        if experiment not in known:
            text = unknown(f"experiment of {masked(self.text)}", experiment, known)
            raise WrongUse(f"{text}; name one of them: --from-experiment NAME")
        cells: dict[str, list[Any]] = {}
        token = None
        while True:
            page = self.client.search_runs(
                [known[experiment]], "tags.kind = 'cell'", max_results=PAGE, page_token=token
            )
            for run in page:
                cells.setdefault(run.data.tags.get("cell.key", ""), []).append(run)
            token = page.token
            if not token:
                return cells

    def artifacts(self, run: Any) -> Artifacts:
        """The artifacts of a run, beside the database where they are there. Raises: BadInput.

        A folder of this machine must have the run's id in its path: a foreign database may name any folder.
        """
        recorded = artifacts_of(run, self.client)
        if self.folder is None:
            return recorded
        address = readable(recorded.uri)
        address = urlsplit(address).path if ADDRESS.match(address) else address
        parts = [part for part in PurePosixPath(address).parts if part not in ("/", "..")]
        is_named = run.info.run_id in parts
        for start in range(parts.index(run.info.run_id) + 1 if is_named else 0):
            for root in ROOTS:
                folder = self.folder.joinpath(root, *parts[start:])
                if folder.is_dir():
                    return replace(recorded, uri=str(folder))
        there = local_folder(recorded.uri)
        if there is None or (is_named and there.is_dir()):
            return recorded
        raise BadInput(f"its artifacts are neither at {recorded.uri} nor below {self.folder}")


def import_cells(store: Store, source: str, *, report: Report, experiment: str = "") -> Imported:
    """Copy the finished cells of another store that are not done here.

    ``source`` is a folder with ``mlflow.db``, a database file, a folder of runs, or an address. Its
    ``experiment`` has the name of this one unless it is given. What is wrong with one cell is named in the
    result, and the others are imported. Raises: BadInput, WrongUse, StoreUnreachable, NoRoom.
    """
    result = Imported()
    store.reconcile()
    with open_source(source) as there:
        with reaching(store.uri):
            name = experiment or store.client.get_experiment(store.experiment_id).name
        with reaching(source):
            cells = there.cells(name)
        done = store.done_artifacts()
        report.stage("import", len(cells))
        for key, runs in cells.items():
            finished = [
                r for r in runs if r.info.status == "FINISHED" and r.data.tags.get(COMPLETE) == "true"
            ]
            if key in done:
                result.n_present += 1
                result.left_out.update(_contradiction(finished, done[key]))
            elif not finished:
                result.left_out[runs[0].info.run_id] = f"is not finished ({runs[0].info.status})"
            else:
                _import_cell(store, there, finished, result)
            report.advance(1)
    if result.n_copied:
        colour_runs(store)
    return result


def _contradiction(runs: Sequence[Any], done: Artifacts) -> dict[str, str]:
    """A run there whose losses differ from those of the same cell here, and why it is not imported."""
    for run in runs[:1]:
        if run.data.tags.get(LOSSES_DIGEST) != done.tags.get(LOSSES_DIGEST):
            return {run.info.run_id: f"has other losses than run {done.run_id} of the same cell here"}
    return {}


def _import_cell(store: Store, source: Source, runs: Sequence[Any], result: Imported) -> None:
    """Copy the first run of a cell that is intact; where none is, say why the first one is not."""
    faults: dict[str, str] = {}
    for run in runs:
        with temporary_folder() as folder:
            try:
                key = read_cell(run.data.tags).key
                _fetch(source, run, folder)
            except (BadInput, DigestMismatch, WrongUse, OSError) as error:
                if is_disk_full(error):
                    raise
                faults[run.info.run_id] = str(error) if isinstance(error, MLProjectError) else one_line(error)
                continue
            with try_locked(store.lock_path(key)) as ours:
                if not ours or (state := look_up_cell(store, key)).elsewhere:
                    result.left_out[run.info.run_id] = "is being run here; import it again afterwards"
                elif state.done:
                    result.n_present += 1
                else:
                    _copy(store, source, run, folder)
                    result.n_copied += 1
            return
    result.left_out.update(list(faults.items())[:1])


def _fetch(source: Source, run: Any, folder: Path) -> None:
    """Copy a run's artifacts into a folder, verified. Raises: BadInput, DigestMismatch, WrongUse, OSError."""
    with reaching(source.text):
        artifacts = source.artifacts(run)
        # Of a suspect run every artifact is verified, not the losses alone.
        whole = (
            artifacts
            if artifacts.folder is None
            else replace(artifacts, tags={**artifacts.tags, SUSPECT: ""})
        )
        if fault := whole.fault():
            raise DigestMismatch(fault)
        names = artifact_names(artifacts) if SUMS_DIGEST in artifacts.tags else _names(artifacts)
        copy_artifacts(
            [Copy(artifacts=artifacts, name=name, target=place_of(folder, name)) for name in names], folder
        )
    for path in folder.rglob("*"):  # losses that are newer than the end of their run are read by every plan
        os.utime(path, (artifacts.ended / 1000, artifacts.ended / 1000))


def _names(artifacts: Artifacts) -> list[str]:
    """The artifacts of a run of version 0.2, which recorded no digests."""
    below = artifacts.folder
    if below is None:
        return artifact_names(artifacts)
    return sorted(path.relative_to(below).as_posix() for path in below.rglob("*") if path.is_file())


def _copy(store: Store, source: Source, run: Any, artifacts: Path) -> None:
    """Track a run of the source here, with its times."""
    with reaching(source.text):
        data = source.client.get_run(run.info.run_id)
        metrics = [
            point
            for name in data.data.metrics
            for point in source.client.get_metric_history(run.info.run_id, name)
        ]
    kept = {name: value for name, value in data.data.tags.items() if name not in LEFT_THERE}
    origin = {FROM: masked(source.text), RUN_THERE: run.info.run_id, HOST_THERE: data.data.tags.get(HOST, "")}
    tags = {name: value for name, value in {**origin, **kept}.items() if value}
    first = {name: tags.pop(name) for name in ("cell.key", "cell.json") if name in tags}
    times = (run.info.start_time, run.info.end_time)
    with store.run(kind="cell", name=run.info.run_name, tags=first, times=times) as here:
        _log(here, metrics, data.data.params, tags)
        if data.inputs and data.inputs.dataset_inputs:
            here.client.log_inputs(here.run_id, data.inputs.dataset_inputs)
        here.log_files(artifacts)


def _log(here: TrackedRun, points: Sequence[Any], params: Mapping[str, str], tags: Mapping[str, str]) -> None:
    """Log everything in as few requests as MLflow takes."""
    from mlflow.entities import Metric, Param, RunTag

    rows: dict[str, list[Any]] = {
        "metrics": [Metric(point.key, point.value, point.timestamp, point.step) for point in points],
        "params": [Param(name, value) for name, value in params.items()],
        "tags": [RunTag(name, value) for name, value in tags.items()],
    }
    for i in range(max(-(-len(entries) // BATCH[kind]) for kind, entries in rows.items())):
        batch = {kind: entries[i * BATCH[kind] : (i + 1) * BATCH[kind]] for kind, entries in rows.items()}
        here.client.log_batch(here.run_id, **batch)


@contextlib.contextmanager
def open_source(text: str) -> Iterator[Source]:
    """Open a store to import from, read only. Raises: BadInput, StoreUnreachable, WrongUse."""
    from mlflow import MlflowClient

    database = _database(text)
    with temporary_folder() as folder, reaching(text):
        if database is None:
            if folder_of(text) is not None:
                os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow reads old stores on request
            client = MlflowClient(tracking_uri=text)
            yield Source(text=text, client=PatientClient(client, text), folder=folder_of(text))
            return
        copy = folder / DATABASE
        _copy_database(database, copy)
        client = MlflowClient(tracking_uri=f"sqlite+pysqlite:///{copy}")  # the driver: no folders are made
        yield Source(text=text, client=client, folder=database.parent)


def _database(text: str) -> Path | None:
    """The SQLite file of a folder or an address; None for other addresses and for folders of runs."""
    place = folder_of(text) or database_file(text)
    if place is None:
        return None
    if not place.exists():
        raise BadInput(f"nothing to import: there is no {place}")
    if not place.is_dir():
        return place
    if (place / DATABASE).exists():
        return place / DATABASE
    if not any(place.glob("*/meta.yaml")):
        raise BadInput(f"nothing to import: {place} holds neither {DATABASE} nor runs of MLflow")
    return None


def _copy_database(path: Path, copy: Path) -> None:
    try:
        check_sqlite(path)
        with (
            contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as there,
            contextlib.closing(sqlite3.connect(copy)) as here,
        ):
            there.backup(here)
    except StoreUnreachable as error:
        raise StoreUnreachable(f"nothing to import: {str(error).partition(';')[0]}") from error
    except sqlite3.Error as error:
        raise StoreUnreachable(f"nothing to import: {path} cannot be read: {error}") from error
