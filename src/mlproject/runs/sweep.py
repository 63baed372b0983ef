"""A plan run to its end: every cell that is not done yet, its knobs found first where the plan tunes."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_args, runtime_checkable

from mlproject.cell import Cell
from mlproject.errors import MLProjectError, NoRoom, StoreUnreachable, WrongUse, is_disk_full, one_line
from mlproject.files import try_locked
from mlproject.losses import write_rows
from mlproject.plans import Plan
from mlproject.progress import Report
from mlproject.runs.cell_run import CellRun, Status, run_cell
from mlproject.tracking import Store, TrackedRun

if TYPE_CHECKING:
    from mlproject.tuning.coordinate import Coordinate
    from mlproject.tuning.tuner import Chosen, Tuner
else:
    Coordinate = Chosen = Tuner = Any  # a plan that tunes nothing starts without Optuna

FATAL = (StoreUnreachable, NoRoom)
"""Failures that the next cell would only repeat."""
WAIT_SECONDS = 0.5
STUDIES = "optuna.log"
"""The journal of the studies, beside the tracking store where that is a file."""


@runtime_checkable
class Watcher(Report, Protocol):
    """Progress of a plan: a report that is also told where one cell ends and the next begins."""

    def begin(self, cell: Cell) -> None:
        """Work on a cell begins."""

    def end(self, result: CellRun) -> None:
        """A cell is done, was done, is busy elsewhere, or failed."""

    def tried(self, name: str, done: int, best: float) -> None:
        """So many trials of a study are done; ``best`` is the least loss so far."""

    def found(self, chosen: Chosen) -> None:
        """A coordinate's knobs are found."""


def run_plan(plan: Plan, store: Store, watcher: Watcher, *, summary: bool = True) -> list[CellRun]:
    """Run what is missing of a plan; a failed cell is recorded and the others go on.

    With ``summary`` a run of kind ``sweep`` (the launcher's own, under ``mlflow run``) lists what became
    of each cell; without it a single cell's run takes the launcher's place.
    Raises: StoreUnreachable, NoRoom and signals, at once; nothing that is computed is lost.
    """
    store.reconcile()
    if plan.tune:
        return _run_tuned(plan, store, watcher)
    done = store.done([cell.key for cell in plan.cells])
    to_do = len(plan.cells) - len(done)
    if (to_do and not summary) or not (to_do or store.launcher_run):
        return _run_cells(plan, store, watcher, done, adopt=not summary)
    with _sweep_run(plan, store) as run:
        results = _run_cells(plan, store, watcher, done, adopt=False)
        _log_summary(run, results)
    return results


@contextlib.contextmanager
def _sweep_run(plan: Plan, store: Store) -> Iterator[TrackedRun]:
    digest = hashlib.sha256("".join(c.key for c in plan.cells).encode()).hexdigest()[:16]
    name, tags, lock = f"sweep · {plan.name}", {"sweep": plan.name}, f"sweep-{digest}"
    with (
        try_locked(store.lock_path(lock)),
        store.run(kind="sweep", name=name, lock=lock, tags=tags, adopt=True) as run,
    ):
        yield run


def _run_tuned(plan: Plan, store: Store, watcher: Watcher) -> list[CellRun]:
    """Each coordinate's search, then its cells with the best knobs; what others are at waits for its turn."""
    from mlproject.tuning.coordinate import coordinates
    from mlproject.tuning.record import record
    from mlproject.tuning.search.storage import open_storage
    from mlproject.tuning.tuner import Tuner

    assert plan.tune is not None
    waiting = coordinates(plan.cells, plan.tune)
    results: list[CellRun] = []
    with open_storage(plan.tune.storage, store.beside(STUDIES)) as storage, _sweep_run(plan, store) as run:
        tuner = Tuner(storage=storage, watcher=watcher)
        while waiting:
            still = []
            for coordinate in waiting:
                found = _tune_one(coordinate, plan, tuner)
                if found is None:
                    still.append(coordinate)
                    continue
                if not isinstance(found, str):
                    record(found, store, sweep=plan.name, parent=run.run_id)
                    watcher.found(found)
                results += _run_found(found, coordinate, plan, store, watcher)
            if len(still) == len(waiting):
                time.sleep(WAIT_SECONDS)
            waiting = still
        _log_summary(run, results)
    return results


def _tune_one(coordinate: Coordinate, plan: Plan, tuner: Tuner) -> Chosen | str | None:
    """What was found, or why nothing was, or None while other processes are at its last trials."""
    try:
        return tuner.advance(coordinate, plan.images_of(coordinate.cells[0]))
    except (*FATAL, WrongUse):
        raise
    except Exception as error:  # the other coordinates must not pay for it
        if is_disk_full(error):
            raise
        return str(error) if isinstance(error, MLProjectError) else one_line(error)


def _run_found(
    found: Chosen | str, coordinate: Coordinate, plan: Plan, store: Store, watcher: Watcher
) -> list[CellRun]:
    if not isinstance(found, str):
        tuned = replace(plan, cells=found.cells, tune=None)
        done = store.done([cell.key for cell in tuned.cells])
        return _run_cells(tuned, store, watcher, done, adopt=False)
    failed = [CellRun(cell=cell, status="failed", reason=found) for cell in coordinate.cells]
    for result in failed:
        watcher.end(result)
    return failed


def _run_cells(
    plan: Plan, store: Store, watcher: Watcher, done: Mapping[str, str], *, adopt: bool
) -> list[CellRun]:
    """What became of each cell, in order; one that was busy is tried once more after all others."""
    results: dict[str, CellRun] = {}
    for patient in (False, True):
        for cell in plan.cells:
            if cell.key in results:
                continue
            if cell.key in done:
                result = CellRun(cell=cell, status="was done", run_id=done[cell.key])
            else:
                watcher.begin(cell)
                result = _run_one(cell, plan, store, watcher, adopt=adopt)
            if patient or result.status != "busy":
                results[cell.key] = result
                watcher.end(result)
    return [results[cell.key] for cell in plan.cells]


def _run_one(cell: Cell, plan: Plan, store: Store, watcher: Watcher, *, adopt: bool) -> CellRun:
    try:
        return run_cell(
            cell, plan.images_of(cell), store, report=watcher, sweep="" if adopt else plan.name, adopt=adopt
        )
    except FATAL:
        raise
    except OSError as error:
        if adopt or is_disk_full(error):
            raise
        return CellRun(cell=cell, status="failed", reason=one_line(error))
    except MLProjectError as problem:
        if adopt:
            raise
        return CellRun(cell=cell, status="failed", reason=str(problem))
    except Exception as error:  # a recipe may raise anything; the other cells must not pay for it
        if adopt:
            raise
        return CellRun(cell=cell, status="failed", reason=one_line(error))


def _log_summary(run: TrackedRun, results: Sequence[CellRun]) -> None:
    counts = {status: sum(r.status == status for r in results) for status in get_args(Status)}
    run.log(metrics={f"cells.{status.replace(' ', '_')}": n for status, n in counts.items()})
    with tempfile.TemporaryDirectory(prefix="mlproject-") as folder:
        rows = [[r.cell.label, r.cell.key, r.status, r.run_id, r.reason] for r in results]
        write_rows(Path(folder) / "cells.csv", ["name", "cell", "status", "run_id", "reason"], rows)
        run.log_files(Path(folder))
