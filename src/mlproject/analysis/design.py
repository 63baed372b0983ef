"""Design of the next experiments: candidate cells of one model's curve, or of a grid of comparable models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlproject.cell import Cell
from mlproject.errors import BadInput, WrongUse, unknown
from mlproject.losses import Observation
from mlproject.scaling import Average, NextPlan, average, fit_cost, plan_next, scale_text

Floats = NDArray[np.float64]
UNITS = {"cells": "", "images": "", "flops": "flops", "gmac": "flops", "seconds": "seconds"}
"""Units of a budget, and the metric of finished runs that each is measured by."""
FLOPS_IN_A_GMAC = 2e9
"""One multiply-accumulate counts as two operations."""
LEAST_SCATTERED = 3
"""Sizes with two seeds or more from which on the scatter may differ from size to size."""
LEAST_VARIANCE = 1e-12
"""Of ln loss over seeds, where they are all alike."""
STEPS = 3
"""Candidate sizes for each doubling."""
Candidate = tuple[int, int]
"""A model's place in its design, and a data size."""


@dataclass(frozen=True, kw_only=True)
class Aim:
    """Where the loss is to be predicted, and what the chosen cells may cost in all.

    ``target`` counts images; ``params`` is the model size for several models, 0 for the largest model.
    """

    target: int
    budget: float
    unit: str = "images"
    params: float = 0.0

    def __post_init__(self) -> None:
        if self.target < 1 or not (math.isfinite(self.budget) and self.budget > 0):
            raise WrongUse(f"target and budget must be above zero, not {self.target} and {self.budget:g}")
        if not (math.isfinite(self.params) and self.params >= 0):
            raise WrongUse(f"the target's parameters must be above zero, not {self.params:g}")
        if self.unit not in UNITS:
            raise unknown("unit", self.unit, UNITS)

    @property
    def words(self) -> str:
        """The target as people say it."""
        return f"{self.target:,} images" + (
            f" and {scale_text(self.params)} parameters" if self.params else ""
        )


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A finished run: its model's place in the design, size and seed, loss, and its logged cost."""

    model: int
    size: int
    seed: int
    loss: float
    params: float
    flops: float
    seconds: float

    def cost(self, unit: str) -> float:
        """What the run cost in a unit of ``UNITS``; 0 where it has not logged it."""
        if (known := known_cost(self.size, unit)) is not None:
            return float(known)
        return float(getattr(self, UNITS[unit])) / (FLOPS_IN_A_GMAC if unit == "gmac" else 1.0)


def known_cost(size: int, unit: str) -> int | None:
    """What a cell of so many training images costs in a unit, None where only finished runs tell."""
    return {"cells": 1, "images": size}.get(unit)


def finished_run(observation: Observation, model: int = 0) -> FinishedRun:
    """What a design needs of a run."""
    metrics, cell = observation.metrics, observation.cell
    return FinishedRun(
        model=model,
        size=cell.dataset_size,
        seed=cell.seed,
        loss=metrics["train.loss_final" if cell.in_sample else "eval.loss"],
        params=metrics.get("params", math.nan),
        flops=metrics.get("flops", 0.0),
        seconds=sum(value for name, value in metrics.items() if name.startswith("seconds.")),
    )


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """The standard deviation of ln loss over seeds, a power of the size; ``dof`` residuals are behind it."""

    level: float
    slope: float
    dof: float

    def of(self, sizes: Sequence[int]) -> Floats:
        """The standard deviation at each of the sizes [n]."""
        return np.asarray(np.exp(0.5 * (self.level + self.slope * np.log(sizes))))


def fit_scatter(groups: Sequence[tuple[int, Floats]]) -> Scatter:
    """Least squares of the log variance of each group (size, ln losses of its seeds) on ln size.

    The logarithm of a variance with f degrees of freedom has the bias digamma(f/2) - ln(f/2) and the variance
    trigamma(f/2) (Bartlett and Kendall 1946, Supplement to the JRSS 8, 128). Identical losses count as the
    smallest variance that is above zero.
    """
    variances = np.array([np.var(losses, ddof=1) for _, losses in groups])
    variances = np.maximum(
        variances, max(LEAST_VARIANCE, np.min(variances, where=variances > 0, initial=1.0))
    )
    dof = np.array([len(losses) - 1 for _, losses in groups], dtype=np.float64)
    log_variance = np.log(variances) - (special.digamma(dof / 2) - np.log(dof / 2))
    weights = 1.0 / np.sqrt(special.polygamma(1, dof / 2))
    slope, level = np.polyfit(np.log([size for size, _ in groups]), log_variance, 1, w=weights)
    return Scatter(level=float(level), slope=float(slope), dof=float(dof.sum()) - 1.0)


@dataclass(frozen=True, kw_only=True)
class Design:
    """A cell that represents each model, smallest first, how many images there are to draw, and all runs."""

    cells: tuple[Cell, ...]
    n_pool: int
    runs: tuple[FinishedRun, ...]

    @property
    def joint(self) -> bool:
        """Whether model size is an axis beside the images."""
        return len(self.cells) > 1

    @property
    def name(self) -> str:
        """The design in messages."""
        return f"{len(self.cells)} models" if self.joint else self.cells[0].model

    @property
    def params(self) -> Floats:
        """Parameters of each model [models]."""
        by_model = {run.model: run.params for run in self.runs}
        return np.array([by_model[model] for model in range(len(self.cells))])

    @property
    def sizes(self) -> list[int]:
        """The finished data sizes, ascending."""
        return sorted({run.size for run in self.runs})

    @property
    def losses(self) -> Floats:
        """Loss of each run [runs]."""
        return np.array([run.loss for run in self.runs])

    @property
    def x(self) -> Floats:
        """Scales of each run: images [runs], or parameters and images [runs, 2]."""
        return self.scales([(run.model, run.size) for run in self.runs])

    def scales(self, cells: Sequence[Candidate]) -> Floats:
        """Scales of cells, in the order that laws expect."""
        sizes = np.array([size for _, size in cells], dtype=np.float64)
        if not self.joint:
            return sizes
        return np.stack([self.params[[model for model, _ in cells]], sizes], axis=1)

    def target(self, aim: Aim) -> Floats:
        """The scale whose loss is to be predicted [1], or [1, 2]."""
        images = float(aim.target)
        return np.array([[aim.params or self.params.max(), images]]) if self.joint else np.array([images])

    def candidates(self, target: int) -> list[Candidate]:
        """Every model at the finished sizes (under new seeds) and at others up to target and pool."""
        low, high = self.sizes[0], max(self.sizes[-1], min(target, self.n_pool))
        n = max(2, math.ceil(STEPS * math.log2(high / low)) + 1) if high > low else 1
        new = {int(float(f"{size:.2g}")) for size in np.geomspace(low, high, n)}
        usable = [size for size in {*new, *self.sizes, high} if low <= size <= min(high, self.n_pool)]
        return [(model, size) for model in range(len(self.cells)) for size in sorted(usable)]

    def costs(self, cells: Sequence[Candidate], unit: str) -> Floats:
        """What each cell costs: 1, its images, or compute or time as those of the finished runs grow.

        Raises: BadInput where a run has not logged what the unit is measured by.
        """
        if not UNITS[unit]:
            return np.array([known_cost(size, unit) for _, size in cells], dtype=np.float64)
        logged = np.array([run.cost(unit) for run in self.runs])
        if not (logged > 0).all():
            raise BadInput(f"{self.name}: its runs have not logged {UNITS[unit]}; give the budget in images")
        at = self.scales(cells)
        if self.joint:
            return fit_cost(self.x[:, 0], self.x[:, 1], logged).of(at[:, 0], at[:, 1])
        slope, level = np.polyfit(np.log(self.x), np.log(logged), 1)
        return np.asarray(np.exp(level + slope * np.log(at)))

    def fresh_seeds(self, cell: Candidate, n: int) -> tuple[int, ...]:
        """The lowest seeds that a cell has not been run with."""
        used = {run.seed for run in self.runs if (run.model, run.size) == cell}
        return tuple([seed for seed in range(len(used) + n) if seed not in used][:n])

    @cached_property
    def scatter(self) -> Scatter | None:
        """How seeds scatter from size to size; None below three sizes with two seeds of a model each."""
        cells = sorted({(run.model, run.size) for run in self.runs})
        groups = [[r.loss for r in self.runs if (r.model, r.size) == cell] for cell in cells]
        repeated = [(cell[1], losses) for cell, losses in zip(cells, groups, strict=True) if len(losses) > 1]
        if len({size for size, _ in repeated}) < LEAST_SCATTERED or min(self.losses) <= 0:
            return None
        return fit_scatter([(size, np.log(losses)) for size, losses in repeated])

    def plan(self, aim: Aim) -> tuple[NextPlan, list[Candidate]]:
        """The candidates that narrow the prediction most within the budget, and the whole plan.

        Raises: BadInput where the budget is below the cheapest candidate.
        """
        return self.choose(aim, dict.fromkeys(self.candidates(aim.target), math.inf))

    def choose(self, aim: Aim, most: Mapping[Candidate, float]) -> tuple[NextPlan, list[Candidate]]:
        """The same among given candidates, by how often each may be run.

        Raises: BadInput where the budget is below the cheapest candidate.
        """
        candidates = list(most)
        costs = self.costs(candidates, aim.unit)
        if costs.min() > aim.budget:
            raise BadInput(
                f"{self.name}: its share of the budget, {aim.budget:g} {aim.unit}, is below its cheapest"
                f" cell, {costs.min():g}"
            )
        at, scatter = self.scales(candidates), self.scatter
        plan = plan_next(
            self.averaged,
            target=self.target(aim),
            candidates=at,
            costs=costs,
            budget=aim.budget,
            noise=None if scatter is None else scatter.of([size for _, size in candidates]),
            most=list(most.values()),
        )
        rows = at.reshape(len(candidates), -1)
        pairs = reversed(list(zip(rows, candidates, strict=True)))
        by_scale = {tuple(map(float, row)): candidate for row, candidate in pairs}
        return plan, [by_scale[cell.x] for cell in plan.cells]

    @cached_property
    def averaged(self) -> Average:
        """The average of laws over the losses of all runs, on the images that they evaluated."""
        if self.scatter is None:
            return average(self.x, self.losses)
        sd = self.losses * self.scatter.of([run.size for run in self.runs])
        return average(self.x, self.losses, sd=sd, noise_dof=self.scatter.dof)
