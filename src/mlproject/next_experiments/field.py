"""Field: finished runs of one model over sizes, or of several comparable models over model and data size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlproject.cell import Cell
from mlproject.errors import BadInput
from mlproject.losses import Observation
from mlproject.next_experiments.aim import FLOPS_IN_A_GMAC, UNITS, Aim
from mlproject.scaling import fit_cost

Floats = NDArray[np.float64]
STEPS = 3
"""Candidate sizes for each doubling."""
Candidate = tuple[int, int]
"""A model's place in its field, and a data size."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A finished run: its model's place in the field, size and seed, loss, and what it logged of cost."""

    model: int
    size: int
    seed: int
    loss: float
    params: float
    flops: float
    seconds: float


def seen(observation: Observation, model: int) -> Seen:
    """What a choice needs to know of a run."""
    metrics, cell = observation.metrics, observation.cell
    return Seen(
        model=model,
        size=cell.dataset_size,
        seed=cell.seed,
        loss=metrics["train.loss_final" if cell.in_sample else "eval.loss"],
        params=metrics.get("params", math.nan),
        flops=metrics.get("flops", 0.0),
        seconds=sum(value for name, value in metrics.items() if name.startswith("seconds.")),
    )


@dataclass(frozen=True, kw_only=True)
class Field:
    """A cell that stands for each model, smallest first, how many images there are to draw, and all runs."""

    cells: tuple[Cell, ...]
    n_pool: int
    runs: tuple[Seen, ...]

    @property
    def joint(self) -> bool:
        """Whether model size is an axis beside the images."""
        return len(self.cells) > 1

    @property
    def name(self) -> str:
        """The field in messages."""
        return f"{len(self.cells)} models" if self.joint else self.cells[0].model

    @property
    def params(self) -> Floats:
        """Parameters of each model [models]."""
        own = {run.model: run.params for run in self.runs}
        return np.array([own[model] for model in range(len(self.cells))])

    @property
    def losses(self) -> Floats:
        """Loss of each run [runs]."""
        return np.array([run.loss for run in self.runs])

    @property
    def x(self) -> Floats:
        """Scales of each run: images [runs], or parameters and images [runs, 2]."""
        return self.scales([(run.model, run.size) for run in self.runs])

    def scales(self, cells: Sequence[Candidate]) -> Floats:
        """Scales of cells, as laws take them."""
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
        sizes = sorted({run.size for run in self.runs})
        low, high = sizes[0], max(sizes[-1], min(target, self.n_pool))
        n = max(2, math.ceil(STEPS * math.log2(high / low)) + 1) if high > low else 1
        new = {int(float(f"{size:.2g}")) for size in np.geomspace(low, high, n)}
        usable = [size for size in {*new, *sizes, high} if low <= size <= min(high, self.n_pool)]
        return [(model, size) for model in range(len(self.cells)) for size in sorted(usable)]

    def costs(self, cells: Sequence[Candidate], unit: str) -> Floats:
        """What each cell costs: its images, or compute or time as those of the finished runs grow."""
        metric = UNITS[unit]
        if not metric:
            return np.array([size for _, size in cells], dtype=np.float64)
        paid = np.array([getattr(run, metric) for run in self.runs]) / (
            FLOPS_IN_A_GMAC if unit == "gmac" else 1
        )
        if not (paid > 0).all():
            raise BadInput(f"{self.name}: its runs do not know their {metric}; give the budget in images")
        at = self.scales(cells)
        if self.joint:
            return fit_cost(self.x[:, 0], self.x[:, 1], paid).of(at[:, 0], at[:, 1])
        slope, level = np.polyfit(np.log(self.x), np.log(paid), 1)
        return np.asarray(np.exp(level + slope * np.log(at)))

    def fresh_seeds(self, cell: Candidate, n: int) -> tuple[int, ...]:
        """The lowest seeds that a cell has not been run with."""
        used = {run.seed for run in self.runs if (run.model, run.size) == cell}
        return tuple([seed for seed in range(len(used) + n) if seed not in used][:n])
