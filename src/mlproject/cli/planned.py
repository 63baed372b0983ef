"""What a plan would run: its cells and searches, which of them are done, what the others cost, the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from mlproject.cell import Cell
from mlproject.cli.console import note, out, print_rows
from mlproject.cli.listing import MIB, pairs
from mlproject.cli.progress import duration
from mlproject.errors import StoreUnreachable

if TYPE_CHECKING:
    from mlproject.plans import Plan
    from mlproject.tuning import StoredSearch, Tune


def n_trials(plan: Plan) -> int:
    """Number of trials of all searches of a plan."""
    from mlproject.tuning import coordinates

    return plan.tune.trials * len(coordinates(plan.cells, plan.tune, plan.naming)) if plan.tune else 0


def print_tuned(plan: Plan, tune: Tune, experiment: str) -> None:
    """The coordinates of a tuned plan: their trials and cells, what of them is done, estimated durations."""
    from mlproject.tracking import done_runs
    from mlproject.tuning import GFLOPS, search_seconds

    table = Table("study", "trials", "cells", "a trial trains on", "validates on", "about", box=None)
    searches = _searches(plan, tune)
    _, done = done_runs(experiment, {cell.key for search in searches for cell in search.cells})
    seconds = 0.0
    to_do: list[Cell] = []
    for search in searches:
        trial, n_left = search.coordinate.trial, max(0, tune.trials - search.n_finished)
        cells = [cell for cell in search.cells or search.coordinate.cells if cell.key not in done]
        first, n_cells = search.coordinate.cells[0], len(search.coordinate.cells)
        cost = search_seconds(search.coordinate, plan.images_of(first)) * n_left / tune.trials
        seconds += cost
        to_do += cells
        counts = (_of(tune.trials - n_left, tune.trials), _of(n_cells - len(cells), n_cells))
        sizes = (f"{trial.dataset_size:,}", f"{trial.validation_size:,}")
        table.add_row(Text(search.coordinate.name), *counts, *sizes, f"{cost:.0f} s")
    out.print(table)
    out.print("searched: " + "; ".join(map(str, tune.space.values())), markup=False)
    n_finished, n_done = sum(bool(search.cells) for search in searches), len(plan.cells) - len(to_do)
    out.print(
        f"{len(searches)} coordinates × {tune.trials} trials ({tune.sampler}), then {len(plan.cells)} cells:"
        f" about {seconds / 60:.1f} min on one core at {GFLOPS} GFLOP/s, features not counted"
    )
    out.print(
        f"{len(searches)} searches: {n_finished} finished, {len(searches) - n_finished} to do;"
        f" {len(plan.cells)} cells: {n_done} done, {len(to_do)} to do"
    )
    print_cost(to_do, plan)
    _print_engine(plan, len(searches) if to_do else 0)


def _of(n_done: int, n_all: int) -> Text:
    """So many of all, or that all are done."""
    return Text("done", "green") if n_done == n_all else Text(f"{n_done} of {n_all}")


def _searches(plan: Plan, tune: Tune) -> list[StoredSearch]:
    """How far the searches of a plan are; where their storage cannot be read, a note says why."""
    from mlproject.runs import STUDIES
    from mlproject.tracking import beside_store, tracking_uri
    from mlproject.tuning import StoredSearch, coordinates, stored_searches

    searched = coordinates(plan.cells, tune, plan.naming)
    try:
        return stored_searches(tune.storage, beside_store(tracking_uri(), STUDIES), searched)
    except StoreUnreachable as problem:
        note(f"which searches are finished is not known: {problem}")
        return [StoredSearch(coordinate=coordinate) for coordinate in searched]


def print_plan(plan: Plan, experiment: str) -> None:
    """The cells of a plan and which of them are done."""
    if plan.tune:
        return print_tuned(plan, plan.tune, experiment)
    from mlproject.tracking import done_runs

    _, done = done_runs(experiment, {cell.key for cell in plan.cells})
    first = {name: _knob(plan.cells[0], name) for name in _knobs(plan.cells[0])}
    varied = {n for n in first if any(_knob(cell, n) != first[n] for cell in plan.cells)}
    lines = []
    for cell in plan.cells:
        knobs = {n: _knob(cell, n) for n in _knobs(cell) if n in varied or n not in first}
        mark = "done" if cell.key in done else "to do"
        lines.append((mark, cell.key, plan.naming.name(cell), pairs(knobs)))
    print_rows(("", "cell", "name", "knobs that differ"), lines, green="done")
    out.print("all cells: " + pairs({k: v for k, v in first.items() if k not in varied}))
    n_done = sum(cell.key in done for cell in plan.cells)
    out.print(f"{len(plan.cells)} cells: {n_done} done, {len(plan.cells) - n_done} to do")
    print_cost([cell for cell in plan.cells if cell.key not in done], plan)
    _print_engine(plan, len(plan.cells) - n_done)


def _print_engine(plan: Plan, n_tasks: int) -> None:
    """The engine that would run so many cells or searches, and why it would."""
    from mlproject.engines import engine_and_reason

    if n_tasks:
        engine, reason = engine_and_reason(plan.engine, n_tasks)
        place = "this process: " if engine == "serial" else ""
        out.print(f"engine: {engine} ({place}{reason})", soft_wrap=True)


def _knobs(cell: Cell) -> tuple[str, ...]:
    """What lists show of a cell beside its name: its knobs, recipe, and the images it is evaluated on."""
    return (*cell.knobs, "recipe", "eval_size")


def _knob(cell: Cell, name: str) -> Any:
    return getattr(cell, name) if name in ("recipe", "eval_size") else cell.knobs.get(name)


def print_cost(cells: Sequence[Cell], plan: Plan) -> None:
    """What the features of these cells cost: forwards, disk, and time as far as it was measured here."""
    from mlproject.recipes import FROZEN, needed_features
    from mlproject.training import training_seconds

    costs = [(features.backbone.model, features.cost) for features in needed_features(cells, plan.images_of)]
    costs = [(model, cost) for model, cost in costs if cost.n_forwards]
    if costs:
        n_forwards = sum(cost.n_forwards for _, cost in costs)
        seconds = [(model, cost.seconds) for model, cost in costs]
        n_mib = sum(cost.n_bytes for _, cost in costs) / MIB
        out.print(
            f"features: {n_forwards:,} forwards, {n_mib:.1f} MiB of disk, {_time_of(seconds)}", soft_wrap=True
        )
    if whole := [(cell.model, training_seconds(cell)) for cell in cells if cell.recipe not in FROZEN]:
        out.print(f"training of whole networks: {len(whole)} cells, {_time_of(whole)}", soft_wrap=True)


def _time_of(seconds: Sequence[tuple[str, float | None]]) -> str:
    unknown = dict.fromkeys(model for model, each in seconds if each is None)
    left_out = f"{', '.join(unknown)}: not measured yet" if unknown else ""
    known = [each for _, each in seconds if each is not None]
    measured = f"{duration(sum(known))} at the speed measured here" if known else ""
    return "; ".join(filter(None, [measured, left_out]))
