"""Which finished runs of a plan are chosen for together: grids of comparable models, or one model's curve."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from mlproject.analysis.comparable import weights_kind
from mlproject.analysis.joining import shortage
from mlproject.cell import LABELS_ONLY, Cell
from mlproject.losses import Observation
from mlproject.next_experiments.field import Field, Seen, seen
from mlproject.plans import Plan
from mlproject.tuning.coordinate import coordinates

FEWEST_SIZES = 3
VARIED = ("dataset_size", "seed")
MODEL = ("model", "weights_digest", "weights")


def fields(plan: Plan, observations: Iterable[Observation]) -> list[Field]:
    """Grids that carry a joint law, and curves of three sizes of models that stand in none; in plan order."""
    runs = {one.cell.key: one for one in reversed(list(observations))}
    alone: dict[str, tuple[Cell, list[Observation]]] = {}
    for cell, run_as in _run_as(plan):
        alone.setdefault(_signature(run_as, VARIED), (cell, []))
    for one in runs.values():
        known = alone.get(_signature(one.cell, VARIED))
        if known is not None:
            known[1].append(one)
    together: dict[str, list[Field]] = {}
    for cell, mine in alone.values():
        if mine:
            own = _field(plan, cell, mine)
            together.setdefault(_signature(cell, (*VARIED, *MODEL)), []).append(own)
    return [field for curves in together.values() for field in _joined(curves)]


def _run_as(plan: Plan) -> list[tuple[Cell, Cell]]:
    """Every cell of a plan beside the one that is run, which a tuned plan gives the record of its search."""
    if plan.tune is None:
        return [(cell, cell) for cell in plan.cells]
    tuned = [(one.cells, one.tuned({})) for one in coordinates(plan.cells, plan.tune)]
    return [pair for cells, run_as in tuned for pair in zip(cells, run_as, strict=True)]


def _signature(cell: Cell, free: tuple[str, ...]) -> str:
    own = cell.common((*free, *LABELS_ONLY))
    return json.dumps(own | {"weights_kind": weights_kind(cell)}, sort_keys=True)


def _field(plan: Plan, cell: Cell, runs: Iterable[Observation]) -> Field:
    ordered = sorted(runs, key=lambda run: (run.cell.dataset_size, run.cell.seed))
    n_pool = plan.images_of(cell).n_pool(in_sample=cell.in_sample) - cell.validation_size
    return Field(cells=(cell,), n_pool=n_pool, runs=tuple(seen(run, 0) for run in ordered))


def _joined(curves: list[Field]) -> list[Field]:
    """One grid where the models carry a joint law, else those curves that have enough sizes."""
    ordered = sorted(curves, key=lambda curve: curve.runs[0].params)
    runs = [_moved(run, model) for model, curve in enumerate(ordered) for run in curve.runs]
    grid = Field(cells=tuple(curve.cells[0] for curve in ordered), n_pool=curves[0].n_pool, runs=tuple(runs))
    if grid.joint and np.isfinite(grid.params).all() and not shortage(grid.x):
        return [grid]
    return [curve for curve in curves if len({run.size for run in curve.runs}) >= FEWEST_SIZES]


def _moved(run: Seen, model: int) -> Seen:
    return replace(run, model=model)
