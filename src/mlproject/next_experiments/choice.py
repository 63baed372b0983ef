"""Choice: the cells of one field that narrow the prediction the most within its share of the budget."""

from __future__ import annotations

from dataclasses import dataclass

from mlproject.cell import Cell
from mlproject.errors import BadInput
from mlproject.next_experiments.aim import Aim
from mlproject.next_experiments.field import Candidate, Field
from mlproject.scaling import NextPlan, average, plan_next


@dataclass(frozen=True, kw_only=True)
class New:
    """A model at a size, and the seeds to run it with."""

    cell: Cell
    size: int
    seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What to run of one field and what the choice expects of it; ``runs`` by model, sizes ascending."""

    field: Field
    found: NextPlan
    runs: tuple[New, ...]


def choose_of(field: Field, aim: Aim) -> Choice:
    """The choice among a field's candidates. Raises: BadInput where the budget buys none."""
    candidates = field.candidates(aim.target)
    costs = field.costs(candidates, aim.unit)
    if costs.min() > aim.budget:
        raise BadInput(
            f"{field.name}: its share of the budget, {aim.budget:g} {aim.unit}, is below its cheapest"
            f" cell, {costs.min():g}"
        )
    at = field.scales(candidates)
    found = plan_next(
        average(field.x, field.losses),
        target=field.target(aim),
        candidates=at,
        costs=costs,
        budget=aim.budget,
    )
    rows = at.reshape(len(candidates), -1)
    places = {
        tuple(map(float, row)): cell for row, cell in reversed(list(zip(rows, candidates, strict=True)))
    }
    return Choice(field=field, found=found, runs=_new(field, [places[cell.x] for cell in found.cells]))


def _new(field: Field, cells: list[Candidate]) -> tuple[New, ...]:
    return tuple(
        New(cell=field.cells[cell[0]], size=cell[1], seeds=field.fresh_seeds(cell, cells.count(cell)))
        for cell in sorted(set(cells))
    )
