"""Run a plan round by round, each with the cells that narrow a prediction most, until it is narrow enough.

    three sizes of each curve → predict → choose, run, predict, … → narrow, spent, or it never will be

Nothing is remembered but the store: a command that was stopped and is started again counts the finished
cells of the plan as spent and goes on from there. Cells of a curve are bought by one command of a machine
at a time: two budgets would add up, and neither account would be that of the store.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from mlproject.analysis import Round, Spending, Until, key_of_curve
from mlproject.cell import Cell
from mlproject.errors import WrongUse
from mlproject.files import sha256, try_locked
from mlproject.plans import Plan
from mlproject.runs.cell_run import CellRun
from mlproject.runs.experiment_view import announce_cells
from mlproject.runs.plan_work import PlanWork, Watcher, open_work
from mlproject.runs.rounds import RoundPlanner, start_cells
from mlproject.runs.sweep import engine_of, log_summary, sweep_run
from mlproject.tracking import Store


def run_until(
    plan: Plan, store: Store, watcher: Watcher, until: Until, on_round: Callable[[Round], None]
) -> tuple[list[CellRun], Spending]:
    """Run cells of a plan until the condition holds, the budget is spent, or it never will hold.

    The result has all cells that were run or done before. Raises: WrongUse for a plan that carries no law, or
    of whose curves another command buys cells; BadInput where the budget does not buy three sizes of each
    curve, MLProjectError where failed cells leave fewer; what ``run_plan`` raises.
    """
    start_cells(plan, until)
    with _alone(plan, store):
        return _run_rounds(plan, store, watcher, until, on_round)


@contextlib.contextmanager
def _alone(plan: Plan, store: Store) -> Iterator[None]:
    """Hold a lock for each curve of a plan in its experiment. Raises: WrongUse where another command does."""
    names = {key_of_curve(cell): plan.naming.name(cell) for cell in reversed(plan.cells)}
    with contextlib.ExitStack() as held:
        for key in sorted(names):
            digest = sha256(f"{store.experiment_id} {key}".encode())[:16]
            if not held.enter_context(try_locked(store.lock_path(f"until-{digest}"))):
                raise WrongUse(
                    f"another command runs the curve of {names[key]} with --until, and both budgets would add"
                    " up: wait for its end (this one then counts its cells as spent), or leave out --until"
                )
        yield


def _run_rounds(
    plan: Plan, store: Store, watcher: Watcher, until: Until, on_round: Callable[[Round], None]
) -> tuple[list[CellRun], Spending]:
    store.reconcile()
    done = store.done([cell.key for cell in plan.cells])
    announce_cells(store, plan.cells, plan.name)
    planner = RoundPlanner(plan=plan, store=store, until=until, done=set(done), on_round=on_round)
    with (
        engine_of(plan, len(plan.cells) - len(done)) as engine,
        open_work(plan, store, watcher, engine) as work,
        contextlib.ExitStack() as stack,
    ):
        work.add_cells([cell for cell in plan.cells if cell.key in done], done)
        batch = planner.next(engine.n_workers)
        run = stack.enter_context(sweep_run(work)) if batch or store.launcher_run else None
        while batch:
            _run(work, batch)
            planner.take(work.results[cell.key] for cell in batch)
            batch = planner.next(engine.n_workers)
        results = list(work.results.values())
        if run is not None:
            log_summary(run, results)
        if not engine.in_process:
            store.reconcile()
    return results, planner.spending


def _run(work: PlanWork, cells: Sequence[Cell]) -> None:
    with work.features_of(cells):
        work.add_cells(cells, {})
        work.run()
