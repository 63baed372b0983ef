"""Run a plan: every cell that is not done yet, its knobs tuned first where the plan says so."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import get_args

from mlproject.engines import Engine, engine_for, open_engine
from mlproject.errors import MLProjectError
from mlproject.files import temporary_folder, write_rows
from mlproject.plans import Plan
from mlproject.runs.cell_run import CellRun, Status
from mlproject.runs.experiment_view import announce_cells
from mlproject.runs.plan_work import PlanWork, Watcher, open_work
from mlproject.runs.searches import run_searches
from mlproject.runs.tasks import WORKER_IMPORTS
from mlproject.tracking import Store, TrackedRun, close_runs_of_driver
from mlproject.tuning import coordinates, open_tuner

STUDIES = "optuna.log"
"""Default journal file of the studies."""


def run_plan(
    plan: Plan, store: Store, watcher: Watcher, *, summary: bool = True, engine: Engine | None = None
) -> list[CellRun]:
    """Run the missing cells of a plan; a failed cell is recorded and the others go on.

    They run on ``engine``, or on the one that the plan or the environment names. With ``summary``, and on
    every engine but this process, a run of kind ``sweep`` (under ``mlflow run``, the launcher's run) lists
    the status of each cell; without it the run of a single cell replaces the launcher's.
    Raises: StoreUnreachable, NoRoom and Stopped at once; finished cells are kept.
    """
    store.reconcile()
    # Asked first: the views of another plan change the store, whose record of what is done is then void.
    done = {} if plan.tune else store.done([cell.key for cell in plan.cells])
    announce_cells(store, plan.cells, plan.name)
    n_spread = n_tasks(plan, done) if summary or plan.engine else 0  # a cell alone is run here
    with (
        contextlib.ExitStack() as ended,
        engine_of(plan, n_spread, engine) as opened,
        open_work(plan, store, watcher, opened) as work,
    ):
        if opened.ends_workers:
            ended.callback(_close_runs, store, work.site.driver)
        results = _tuned(work) if plan.tune else _untuned(work, done, summary=summary)
        if not opened.in_process:
            store.reconcile()  # runs of workers that died, and whose tasks were given up
    return results


def _close_runs(store: Store, driver: str) -> None:
    with contextlib.suppress(MLProjectError):  # what ended the plan is reported
        close_runs_of_driver(store, driver)


def n_tasks(plan: Plan, done: Iterable[str]) -> int:
    """How much there is to run at once: searches of a tuned plan, or cells that are not done."""
    if plan.tune:
        return len(coordinates(plan.cells, plan.tune))
    finished = set(done)
    return sum(cell.key not in finished for cell in plan.cells)


@contextlib.contextmanager
def engine_of(plan: Plan, n_tasks: int, engine: Engine | None = None) -> Iterator[Engine]:
    """The engine that is given, or that of the plan."""
    if engine is not None:
        yield engine
        return
    with open_engine(engine_for(plan.engine, n_tasks), WORKER_IMPORTS) as opened:
        yield opened


def _untuned(work: PlanWork, done: Mapping[str, str], *, summary: bool) -> list[CellRun]:
    plan, store = work.plan, work.store
    waiting = [cell for cell in plan.cells if cell.key not in done]
    here = work.dispatcher.engine.in_process
    adopt = here and not summary
    with work.features_of(waiting):
        work.add_cells(plan.cells, done, adopt=adopt)
        if (waiting and adopt) or not (waiting or store.launcher_run):
            work.run()
            return [work.results[cell.key] for cell in plan.cells]
        with sweep_run(work) as run:
            work.run()
            results = [work.results[cell.key] for cell in plan.cells]
            log_summary(run, results)
    return results


def _tuned(work: PlanWork) -> list[CellRun]:
    plan, tune = work.plan, work.plan.tune
    assert tune is not None
    searched = coordinates(plan.cells, tune, plan.naming)
    with (
        work.features_of(plan.cells),
        open_tuner(tune.storage, work.store.beside(STUDIES), work.watcher) as tuner,
        sweep_run(work) as run,
    ):
        results = run_searches(searched, work, tuner, run.run_id)
        log_summary(run, results)
    return results


def sweep_run(work: PlanWork) -> AbstractContextManager[TrackedRun]:
    """The run that lists a plan's cells. The same plan may be run by several processes, each with a run."""
    name = work.plan.name
    return work.store.run(kind="sweep", name=f"sweep · {name}", tags={"sweep": name}, adopt=True)


def log_summary(run: TrackedRun, results: Sequence[CellRun]) -> None:
    """Log how many cells have each status, and a table of all."""
    counts = {status: sum(r.status == status for r in results) for status in get_args(Status)}
    run.log(metrics={f"cells.{status.replace(' ', '_')}": n for status, n in counts.items()})
    with temporary_folder() as folder:
        rows = [[r.name, r.cell.key, r.status, r.run_id, r.reason] for r in results]
        write_rows(folder / "cells.csv", ["name", "cell", "status", "run_id", "reason"], rows)
        run.log_files(folder)
