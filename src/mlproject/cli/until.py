"""Run a plan until a prediction is narrow enough, and print what each round and the whole spent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlproject.cli import console, planned, progress
from mlproject.cli.session import give_up, show_fit, warn_before, warn_of_take_over
from mlproject.errors import BadInput, WrongUse

if TYPE_CHECKING:
    from mlproject.analysis import Round, Spending, Until
    from mlproject.plans import Plan


def run_until_narrow(
    plan: Plan, experiment: str, dry_run: bool, words: tuple[str, str, str], take_over: str
) -> int:
    """Run cells of a plan until the condition holds, and fit them; the exit status.

    ``words`` are condition, budget and unit; ``take_over`` is a host to give up before. The status is 0
    where the condition holds, 1 where a cell failed, 3 where the data do not carry the width. Raises:
    WrongUse for a condition or budget that cannot be read, or a plan that carries no law.
    """
    condition = _condition(*words)
    warn_before(plan)
    if dry_run:
        warn_of_take_over(take_over)
        _print_start(plan, experiment, condition)
        return int(bool(plan.left_out))
    from mlproject.runs import fit_study, run_until
    from mlproject.tracking import open_store

    store = open_store(experiment)
    if take_over:
        give_up(take_over, [store])
    with progress.watching(len(plan.cells)) as watcher:
        results, spending = run_until(plan, store, watcher, condition, _print_round)
    keys = [result.cell.key for result in results]
    if spending.spent.n_cells:
        show_fit(
            fit_study(store, name=plan.name, keys=keys, mix_weights=plan.mix_weights, spending=spending),
            store.uri,
        )
    _print_end(spending)
    failed = any(result.status == "failed" for result in results)
    return 1 if failed or plan.left_out else 0 if spending.narrow else BadInput.status


def _condition(until: str, budget: str, unit: str) -> Until:
    """The condition; each of the three options needs the one before it. Raises: WrongUse."""
    from mlproject.analysis import read_until

    if not until:
        option = "--budget" if budget else "--unit"
        raise WrongUse(f"{option} is of what --until may spend; give a condition too, or neither")
    if unit and not budget:
        raise WrongUse(f"--unit {unit} is that of --budget; give a budget too, or neither")
    return read_until(until, budget, unit or "images")


def _print_start(plan: Plan, experiment: str, until: Until) -> None:
    from mlproject.runs import start_cells

    first = start_cells(plan, until)
    planned.print_plan(plan, experiment)
    n_first, n_all = (sum(cell.dataset_size for cell in cells) for cells in (first, plan.cells))
    console.out.print(
        f"until {until.words}, {until.budget_words}: the first round is {len(first)} cells ({n_first:,}"
        f" training images) of {len(plan.cells)} ({n_all:,}); the rounds after it depend on what they show",
        soft_wrap=True,
    )


def _print_round(done: Round) -> None:
    widths = ", ".join(
        f"{name} {width:.2g}" if math.isfinite(width) else f"{name} not predicted"
        for name, width in done.widths.items()
    )
    console.out.print(
        f"{done.spent.n_cells} cells, {done.spent.images:,.0f} images; width: {widths}", soft_wrap=True
    )


def _print_end(spending: Spending) -> None:
    spent, whole = spending.spent, spending.whole
    console.out.print(spending.reason, soft_wrap=True, markup=False)
    console.out.print(
        f"Spent: {spent.n_cells} of {whole.n_cells} cells, {spent.images:,.0f} of {whole.images:,.0f}"
        f" training images ({spent.images / whole.images:.0%}).",
        soft_wrap=True,
    )
