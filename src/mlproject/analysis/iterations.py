"""Iterations: runs of networks that were trained whole, read back with their history by epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlproject.analysis.proportions import effective_total, wilson
from mlproject.cell import LABELS_ONLY, Cell
from mlproject.losses import Observation

Floats = NDArray[np.float64]
BUDGETS = ("epoch", "samples", "seconds")
"""What arms are compared at an equal amount of; columns of the history."""
TRAINED = "best_epoch"
"""The metric that only runs with a history by epoch have."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Iteration:
    """One run. ``history`` holds the columns of ``epochs.csv`` as numbers [judged epochs]."""

    observation: Observation
    history: Mapping[str, Floats]

    @property
    def cell(self) -> Cell:
        """The cell that was run."""
        return self.observation.cell

    @property
    def split(self) -> str:
        """The split that is judged."""
        return "train" if self.cell.in_sample else "eval"

    def metric(self, name: str) -> float:
        """A metric of the run, NaN where it has none."""
        return float(self.observation.metrics.get(name, math.nan))

    @property
    def gmac(self) -> float:
        """Billions of multiply-adds for one image."""
        return self.metric("flops_per_image") / 2e9

    @property
    def device(self) -> str:
        """What it was trained on."""
        return self.observation.provenance.get("device", "")

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy at the best epoch; of pixels, as many as they are worth."""
        total = self.metric("n_total")
        if not total > 0:
            return math.nan, math.nan
        losses = self.observation.load_losses()
        judged = losses.select(losses.judged_split).values
        if "error" in judged:
            total = effective_total(judged["error"], total)
        return wilson(self.metric("accuracy") * total, total)

    def at(self, budget: str, amount: float, what: str) -> float:
        """``accuracy`` or ``loss`` of the judged split after the last judged epoch within a budget."""
        within = np.flatnonzero(self.history[budget] <= amount * (1 + 1e-9))
        column = self.history.get(f"{self.split}_{what}")
        return float(column[within[-1]]) if len(within) and column is not None else math.nan


def iterations(observations: Iterable[Observation]) -> list[Iteration]:
    """The runs among observations that were trained whole, one for each cell."""
    found: dict[str, Iteration] = {}
    for one in observations:
        if TRAINED not in one.metrics or one.cell.key in found:
            continue
        columns = one.load_table("epochs")
        if columns:
            history = {name: np.array([float(v) for v in column]) for name, column in columns.items()}
            found[one.cell.key] = Iteration(observation=one, history=history)
    return list(found.values())


def described(cell: Cell) -> dict[str, Any]:
    """Everything that tells one arm from another: coordinates and knobs, without seed and mere names."""
    plain = {k: v for k, v in cell.to_dict().items() if k not in (*LABELS_ONLY, "seed", "knobs")}
    return plain | {f"knobs.{name}": value for name, value in cell.knobs.items()}


def arm_key(cell: Cell) -> str:
    """Runs of one arm differ in their seed alone."""
    return json.dumps(described(cell), sort_keys=True)
