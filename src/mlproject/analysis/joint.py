"""Joint: comparable cells over model size N and images D at once, and what a law of both says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlproject.analysis.point import HORIZONS, Floats, Point
from mlproject.scaling import Average, Cost, Envelope, Fit, Frontier, Prediction


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What a cell costs: ``cost`` is coefficient N^p D^q in ``unit``; ``error`` is its worst log error.

    ``measured`` is False where the runs log no compute, and parameters times images stand in for it.
    """

    cost: Cost
    unit: str
    measured: bool
    error: float


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The dearest cells (``rows`` [cells]) as predicted over all laws from the cheaper ones."""

    rows: NDArray[np.bool_]
    told: Prediction


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """How to split a budget: by the closed form of ``law``, and read off the cells without a law.

    ``refusals`` say why a way is missing.
    """

    spending: Spending
    law: str
    frontier: Frontier | None
    envelopes: tuple[Envelope, ...]
    refusals: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class JointLaws:
    """Laws of the mean loss: averaged by their weights, each by itself, and one verdict over them."""

    average: Average
    fits: Mapping[str, Fit]
    verdict: str
    reason: str
    held_out: HeldOut | None
    allocation: Allocation

    @property
    def heaviest(self) -> str:
        """The law with the largest weight."""
        return max(self.average.weights, key=lambda name: self.average.weights[name])


@dataclass(frozen=True, kw_only=True)
class Joint:
    """A grid of comparable cells. ``refusal`` says why no law is fitted where ``laws`` is None.

    Shapes: ``x`` [cells, 2] holds N and D, ``compute`` [cells] the logged FLOPs, not a number where none are.
    """

    series: str
    family: str
    fixed: Mapping[str, Any]
    points: tuple[Point, ...]
    models: tuple[str, ...]
    x: Floats
    compute: Floats
    laws: JointLaws | None = None
    refusal: str = ""

    @property
    def label(self) -> str:
        """The name of the grid in every table."""
        return f"{self.series} · {self.family}"

    @property
    def values(self) -> Floats:
        """The mean loss of every cell [cells]."""
        return np.array([point.value("mean") for point in self.points])

    @property
    def shape(self) -> tuple[int, int]:
        """How many distinct model sizes and data sizes there are."""
        return len(np.unique(self.x[:, 0])), len(np.unique(self.x[:, 1]))

    @property
    def beyond(self) -> Floats:
        """Scales [k, 2] beyond the data: the largest model or data size, or both, times ``HORIZONS``."""
        directions = np.repeat([[1, 0], [0, 1], [1, 1]], len(HORIZONS), axis=0)
        times = np.tile(HORIZONS, 3)[:, None]
        return np.asarray(self.x.max(axis=0) * np.where(directions == 1, times, 1.0))
