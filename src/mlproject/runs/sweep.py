"""Run a plan: every cell that is not done yet, its knobs tuned first where the plan says so."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Protocol, get_args, runtime_checkable

from mlproject.cell import Cell
from mlproject.errors import MLProjectError, NoRoom, StoreUnreachable, WrongUse, is_disk_full, one_line
from mlproject.files import write_rows
from mlproject.plans import Plan
from mlproject.progress import Report
from mlproject.recipes import extract_together, needed_features
from mlproject.runs.cell_run import CellRun, Status, run_cell
from mlproject.runs.experiment_view import announce_cells
from mlproject.tracking import Store, TrackedRun
from mlproject.tuning import Coordinate, SearchResult, Tune, Tuner, coordinates, log_search, open_tuner

FATAL = (StoreUnreachable, NoRoom)
"""Errors that every further cell would meet as well."""
WAIT_SECONDS = 0.5
STUDIES = "optuna.log"
"""Default journal file of the studies."""


@runtime_checkable
class Watcher(Report, Protocol):
    """Progress callback of a plan, which also receives cells and searches."""

    def expect(self, n_images: int) -> None:
        """So many images are to be embedded for the whole plan (once per backbone and scale)."""

    def begin(self, name: str) -> None:
        """A cell of this name is started."""

    def end(self, result: CellRun) -> None:
        """A cell is done, was done, is run by another process, or failed."""

    def count_trials(self, name: str, done: int, best: float) -> None:
        """``done`` trials of the study ``name`` are finished; ``best`` is the smallest loss so far."""

    def end_search(self, result: SearchResult) -> None:
        """The knobs of a coordinate are tuned."""


def run_plan(plan: Plan, store: Store, watcher: Watcher, *, summary: bool = True) -> list[CellRun]:
    """Run the missing cells of a plan; a failed cell is recorded and the others go on.

    With ``summary`` a run of kind ``sweep`` (under ``mlflow run``, the launcher's run) lists the status of
    each cell; without it the run of a single cell replaces the launcher's.
    Raises: StoreUnreachable, NoRoom and Stopped at once; finished cells are kept.
    """
    store.reconcile()
    # Asked first: the views of another plan change the store, whose record of what is done is then void.
    done = {} if plan.tune else store.done([cell.key for cell in plan.cells])
    announce_cells(store, plan.cells, plan.name)
    if plan.tune:
        _extract(plan.cells, plan, watcher)
        return _run_tuned(plan, plan.tune, store, watcher)
    waiting = [cell for cell in plan.cells if cell.key not in done]
    _extract(waiting, plan, watcher)
    to_do = len(waiting)
    if (to_do and not summary) or not (to_do or store.launcher_run):
        return _run_cells(plan, store, watcher, done, adopt=not summary)
    with _sweep_run(plan, store) as run:
        results = _run_cells(plan, store, watcher, done, adopt=False)
        _log_summary(run, results)
    return results


def _extract(cells: Sequence[Cell], plan: Plan, watcher: Watcher) -> None:
    """Announce the images that cells need embedded, and embed those first that several backbones share."""
    needed = needed_features(cells, plan.images_of)
    watcher.expect(sum(features.n_forwards for features in needed))
    extract_together(needed, watcher)


def _sweep_run(plan: Plan, store: Store) -> AbstractContextManager[TrackedRun]:
    """The run that lists a plan's cells. The same plan may be run by several processes, each with a run."""
    return store.run(kind="sweep", name=f"sweep · {plan.name}", tags={"sweep": plan.name}, adopt=True)


def _run_tuned(plan: Plan, tune: Tune, store: Store, watcher: Watcher) -> list[CellRun]:
    """Run each coordinate's search, then its cells with the best knobs; busy searches are tried again."""
    waiting = coordinates(plan.cells, tune, plan.naming)
    results: list[CellRun] = []
    with open_tuner(tune.storage, store.beside(STUDIES), watcher) as tuner, _sweep_run(plan, store) as run:
        while waiting:
            busy = []
            for coordinate in waiting:
                result = _tune(coordinate, plan, tuner)
                if result is None:
                    busy.append(coordinate)
                elif isinstance(result, str):
                    results += _fail(coordinate, result, plan, watcher)
                else:
                    log_search(result, store, sweep=plan.name, parent=run.run_id)
                    watcher.end_search(result)
                    tuned = replace(plan, cells=result.cells, tune=None)
                    done = store.done([cell.key for cell in tuned.cells])
                    results += _run_cells(tuned, store, watcher, done, adopt=False)
            if len(busy) == len(waiting):
                time.sleep(WAIT_SECONDS)
            waiting = busy
        _log_summary(run, results)
    return results


def _tune(coordinate: Coordinate, plan: Plan, tuner: Tuner) -> SearchResult | str | None:
    """The result of a search, the reason why it failed, or None while other processes run its last trials."""
    try:
        return tuner.advance(coordinate, plan.images_of(coordinate.cells[0]))
    except (*FATAL, WrongUse):
        raise
    except Exception as error:  # the other coordinates go on
        if is_disk_full(error):
            raise
        return str(error) if isinstance(error, MLProjectError) else one_line(error)


def _fail(coordinate: Coordinate, reason: str, plan: Plan, watcher: Watcher) -> list[CellRun]:
    failed = [
        CellRun(cell=cell, name=plan.naming.name(cell), status="failed", reason=reason)
        for cell in coordinate.cells
    ]
    for cell_run in failed:
        watcher.end(cell_run)
    return failed


def _run_cells(
    plan: Plan, store: Store, watcher: Watcher, done: Mapping[str, str], *, adopt: bool
) -> list[CellRun]:
    """The result of each cell, in order; a busy one is tried once more after all others."""
    results: dict[str, CellRun] = {}
    for last in (False, True):
        for cell in plan.cells:
            if cell.key in results:
                continue
            name = plan.naming.name(cell)
            if cell.key in done:
                result = CellRun(cell=cell, name=name, status="was done", run_id=done[cell.key])
            else:
                watcher.begin(name)
                result = _run_one(cell, plan, store, watcher, adopt=adopt)
            if last or result.status != "busy":
                results[cell.key] = result
                watcher.end(result)
    return [results[cell.key] for cell in plan.cells]


def _run_one(cell: Cell, plan: Plan, store: Store, watcher: Watcher, *, adopt: bool) -> CellRun:
    images, name, sweep = plan.images_of(cell), plan.naming.name(cell), "" if adopt else plan.name
    try:
        return run_cell(cell, images, store, report=watcher, name=name, sweep=sweep, adopt=adopt)
    except FATAL:
        raise
    except Exception as error:  # a recipe may raise anything; the other cells go on
        if adopt or (isinstance(error, OSError) and is_disk_full(error)):
            raise
        reason = str(error) if isinstance(error, MLProjectError) else one_line(error)
        return CellRun(cell=cell, name=name, status="failed", reason=reason)


def _log_summary(run: TrackedRun, results: Sequence[CellRun]) -> None:
    counts = {status: sum(r.status == status for r in results) for status in get_args(Status)}
    run.log(metrics={f"cells.{status.replace(' ', '_')}": n for status, n in counts.items()})
    with tempfile.TemporaryDirectory(prefix="mlproject-") as folder:
        rows = [[r.name, r.cell.key, r.status, r.run_id, r.reason] for r in results]
        write_rows(Path(folder) / "cells.csv", ["name", "cell", "status", "run_id", "reason"], rows)
        run.log_files(Path(folder))
