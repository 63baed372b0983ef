"""What to run next: the cells whose losses would narrow the prediction at a stated size the most.

Each group of a plan (one model with its knobs, over sizes and seeds) is a curve of single runs; the sizes
it may run next lie between its smallest and the target, as far as the images go. The budget is shared
equally between groups. The choice itself is ``scaling.plan_next``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlproject.cell import LABELS_ONLY, Cell
from mlproject.errors import BadInput, WrongUse, unknown
from mlproject.files import write_atomic
from mlproject.losses import Observation
from mlproject.plan import Plan
from mlproject.scaling import NextPlan, average, plan_next

UNITS = ("images", "flops")
Floats = NDArray[np.float64]
FEWEST_SIZES = 3
STEPS = 3
"""Candidate sizes for each doubling."""
VARIED = ("dataset_size", "seed")


@dataclass(frozen=True, kw_only=True)
class Aim:
    """The size whose loss is to be predicted, and what the cells that help may cost in all, in which unit."""

    target: int
    budget: float
    unit: str = "images"

    def __post_init__(self) -> None:
        if self.target < 1 or not (math.isfinite(self.budget) and self.budget > 0):
            raise WrongUse(f"target and budget must be above zero, not {self.target} and {self.budget:g}")
        if self.unit not in UNITS:
            raise unknown("unit", self.unit, UNITS)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A group's finished runs: a cell that stands for it, and size, seed, loss and compute of each run."""

    cell: Cell
    n_pool: int
    sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    losses: tuple[float, ...]
    flops: tuple[float, ...]

    def candidates(self, target: int) -> list[int]:
        """Sizes that could be run: the finished ones (under new seeds) and others up to target and pool."""
        low, high = min(self.sizes), max(*self.sizes, min(target, self.n_pool))
        n = max(2, math.ceil(STEPS * math.log2(high / low)) + 1) if high > low else 1
        new = {int(float(f"{size:.2g}")) for size in np.geomspace(low, high, n)}
        return sorted(size for size in {*new, *self.sizes, high} if low <= size <= min(high, self.n_pool))

    def cost(self, sizes: Floats, unit: str) -> Floats:
        """What a run of each size costs: its training images, or its FLOPs as the finished runs scale."""
        if unit == "images":
            return sizes
        if not all(value > 0 for value in self.flops):
            raise BadInput(f"{self.cell.model}: its runs do not know their FLOPs; give the budget in images")
        slope, level = np.polyfit(np.log(self.sizes), np.log(self.flops), 1)
        return np.asarray(np.exp(level + slope * np.log(sizes)))

    def fresh_seeds(self, size: int, n: int) -> tuple[int, ...]:
        """The lowest seeds that this size has not been run with."""
        used = {seed for own, seed in zip(self.sizes, self.seeds, strict=True) if own == size}
        return tuple([seed for seed in range(len(used) + n) if seed not in used][:n])


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What to run of one group, in order: sizes and what the choice expects of them."""

    curve: Curve
    found: NextPlan

    @property
    def seeds(self) -> dict[int, tuple[int, ...]]:
        """New seeds for each size to run, ascending."""
        sizes = [int(cell.x[0]) for cell in self.found.cells]
        return {size: self.curve.fresh_seeds(size, sizes.count(size)) for size in sorted(set(sizes))}


def choose(plan: Plan, observations: Iterable[Observation], aim: Aim) -> tuple[Choice, ...]:
    """The cells to run next of every group of a plan that has three finished sizes.

    Raises: BadInput where no group has three sizes, the budget buys no cell, or no cell that it buys
    narrows the prediction.
    """
    curves = [curve for curve in _curves(plan, observations) if len(set(curve.sizes)) >= FEWEST_SIZES]
    if not curves:
        raise BadInput(f"no group of {plan.name} has {FEWEST_SIZES} finished sizes; run the plan first")
    share = replace(aim, budget=aim.budget / len(curves))
    choices = tuple(Choice(curve=curve, found=_choose(curve, share)) for curve in curves)
    if not any(choice.found.cells for choice in choices):
        raise BadInput(f"no cell within {aim.budget:g} {aim.unit} narrows the loss at {aim.target:,} images")
    return choices


def _choose(curve: Curve, aim: Aim) -> NextPlan:
    sizes = np.array(curve.candidates(aim.target), dtype=np.float64)
    costs = curve.cost(sizes, aim.unit)
    if costs.min() > aim.budget:
        raise BadInput(
            f"{curve.cell.model}: its share of the budget, {aim.budget:g} {aim.unit}, is below its cheapest"
            f" cell, {costs.min():g}"
        )
    found = average(np.array(curve.sizes, dtype=np.float64), np.array(curve.losses))
    target = np.array([float(aim.target)])
    return plan_next(found, target=target, candidates=sizes, costs=costs, budget=aim.budget)


def _curves(plan: Plan, observations: Iterable[Observation]) -> list[Curve]:
    """The groups of a plan with their finished runs, one for each cell, in the plan's order."""
    groups: dict[str, tuple[Cell, dict[str, Observation]]] = {}
    for cell in plan.cells:
        groups.setdefault(_signature(cell), (cell, {}))
    for seen in observations:
        mine = groups.get(_signature(seen.cell))
        if mine is not None:
            mine[1].setdefault(seen.cell.key, seen)
    return [_curve(plan, cell, list(runs.values())) for cell, runs in groups.values() if runs]


def _signature(cell: Cell) -> str:
    own = {k: v for k, v in cell.to_dict().items() if k not in (*VARIED, *LABELS_ONLY)}
    return json.dumps(own, sort_keys=True)


def _curve(plan: Plan, cell: Cell, runs: Sequence[Observation]) -> Curve:
    loss = "train.loss_final" if cell.in_sample else "eval.loss"
    runs = sorted(runs, key=lambda run: (run.cell.dataset_size, run.cell.seed))
    return Curve(
        cell=cell,
        n_pool=plan.images_of(cell).n_pool(in_sample=cell.in_sample),
        sizes=tuple(run.cell.dataset_size for run in runs),
        seeds=tuple(run.cell.seed for run in runs),
        losses=tuple(run.metrics[loss] for run in runs),
        flops=tuple(run.metrics.get("flops", 0.0) for run in runs),
    )


def write_plan(path: Path, plan: Plan, aim: Aim, choices: Iterable[Choice]) -> None:
    """Write a plan that ``sweep`` reads: a grid for all sizes of a group that take the same seeds."""
    about = f"Chosen to narrow the loss at {aim.target:,} images within {aim.budget:g} {aim.unit}."
    lines = [f"name = {_toml(f'{plan.name}-next')}", f"description = {_toml(about)}"]
    for choice in choices:
        by_seeds: dict[tuple[int, ...], list[int]] = {}
        for size, seeds in choice.seeds.items():
            by_seeds.setdefault(seeds, []).append(size)
        for seeds, sizes in by_seeds.items():
            lines += ["", "[[grid]]", *_grid(choice.curve.cell, sizes, seeds)]
    try:
        write_atomic(path, ("\n".join(lines) + "\n").encode())
    except OSError as error:
        raise WrongUse(f"cannot write {path}: {error.strerror or error}") from error


def _grid(cell: Cell, sizes: Sequence[int], seeds: Sequence[int]) -> list[str]:
    values: Mapping[str, Any] = {
        "recipe": cell.recipe,
        "data": cell.data,
        "model": cell.model,
        "weights": cell.weights,
        "dataset_size": list(sizes),
        "seed": list(seeds),
        "eval_size": cell.eval_size or "in-sample",
        "draw": cell.draw,
        "region": cell.region,
        "image_scales": list(cell.image_scales),
        "large_images": cell.large_images,
    }
    knobs = [f"{key} = {_toml(value)}" for key, value in cell.knobs.items()]
    return [*(f"{key} = {_toml(value)}" for key, value in values.items()), "", "[grid.knobs]", *knobs]


def _toml(value: Any) -> str:
    """A string, number, truth value or list as TOML, whose text is JSON's for all of these."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
