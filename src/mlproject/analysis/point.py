"""Point: one scale of a curve or one cell of a grid, its losses over seeds and their replicates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling.fitting.bca import bca

Floats = NDArray[np.float64]
Statistic = Literal["mean", "median"]
STATISTICS: tuple[Statistic, ...] = ("mean", "median")
HORIZONS = (2.0, 10.0)
"""How many times beyond the largest scale losses are predicted."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One scale of a curve. Losses are averaged over seeds; ``draws`` are bootstrap replicates.

    ``seeds`` holds, per statistic, the value of every run. ``distribution`` describes the per-image
    losses (averaged over seeds first): sd, minimum, quantiles, maximum. ``acceleration`` is that of the
    mean's interval (the median, which images move in jumps, has none).
    """

    name: str
    x: float
    run_ids: tuple[str, ...]
    n_images: int
    seeds: Mapping[Statistic, tuple[float, ...]]
    draws: Mapping[Statistic, Floats]
    distribution: Mapping[str, float]
    acceleration: float = 0.0

    @property
    def n_seeds(self) -> int:
        """How many runs stand behind the point."""
        return len(self.run_ids)

    def value(self, statistic: Statistic) -> float:
        """The mean over seeds of each run's mean or median loss."""
        return float(np.mean(self.seeds[statistic]))

    def interval(self, statistic: Statistic) -> tuple[float, float]:
        """The 95 % interval over images and seeds: bias-corrected, and accelerated for the mean."""
        draws = self.draws[statistic][:, None]
        low, high = bca(
            np.array([self.value(statistic)]), draws, self.acceleration if statistic == "mean" else 0.0
        )
        return float(low[0]), float(high[0])
