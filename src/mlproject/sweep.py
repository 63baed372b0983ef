"""A plan run to its end: every cell that is not done yet."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, get_args, runtime_checkable

from mlproject import table
from mlproject.cell import Cell
from mlproject.errors import NoRoom, Problem, StoreAway, is_disk_full, one_line
from mlproject.files import try_locked
from mlproject.plan import Plan
from mlproject.progress import Report
from mlproject.run import CellRun, Status, run_cell
from mlproject.tracking import Run, Store

FATAL = (StoreAway, NoRoom)
"""Failures that the next cell would only repeat."""


@runtime_checkable
class Watcher(Report, Protocol):
    """Progress of a plan: a report that is also told where one cell ends and the next begins."""

    def begin(self, cell: Cell) -> None:
        """Work on a cell begins."""

    def end(self, result: CellRun) -> None:
        """A cell is done, was done, is busy elsewhere, or failed."""


def run_plan(plan: Plan, store: Store, watcher: Watcher, *, summary: bool = True) -> list[CellRun]:
    """Run what is missing of a plan; a failed cell is recorded and the others go on.

    With ``summary`` a run of kind ``sweep`` (the launcher's own, under ``mlflow run``) lists what became
    of each cell; without it a single cell's run takes the launcher's place.
    Raises: StoreAway, NoRoom and signals, at once; nothing that is computed is lost.
    """
    store.reconcile()
    done = store.done([cell.key for cell in plan.cells])
    if not summary or (len(done) == len(plan.cells) and not store.launcher_run):
        return _run_cells(plan, store, watcher, done, adopt=not summary)
    lock = f"sweep-{hashlib.sha256(''.join(c.key for c in plan.cells).encode()).hexdigest()[:16]}"
    name, tags = f"sweep · {plan.name}", {"sweep": plan.name}
    with (
        try_locked(store.lock_path(lock)),
        store.run(kind="sweep", name=name, lock=lock, tags=tags, adopt=True) as run,
    ):
        results = _run_cells(plan, store, watcher, done, adopt=False)
        _log_summary(run, results)
    return results


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
    except Problem as problem:
        if adopt:
            raise
        return CellRun(cell=cell, status="failed", reason=str(problem))
    except Exception as error:  # a recipe may raise anything; the other cells must not pay for it
        if adopt:
            raise
        return CellRun(cell=cell, status="failed", reason=one_line(error))


def _log_summary(run: Run, results: Sequence[CellRun]) -> None:
    counts = {status: sum(r.status == status for r in results) for status in get_args(Status)}
    run.log(metrics={f"cells.{status.replace(' ', '_')}": n for status, n in counts.items()})
    with tempfile.TemporaryDirectory(prefix="mlproject-") as folder:
        rows = [[r.cell.label, r.cell.key, r.status, r.run_id, r.reason] for r in results]
        table.write_rows(Path(folder) / "cells.csv", ["name", "cell", "status", "run_id", "reason"], rows)
        run.log_files(Path(folder))
