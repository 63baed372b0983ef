"""Curves against compute: what two ways of scaling, by model and by image, give for the same GMAC an image.

Plain values; ``sweet_spot.py`` fills them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Way = Literal["model size", "image scale"]


@dataclass(frozen=True, kw_only=True)
class ComputePoint:
    """A model at its image scales: GMAC of one image, mean loss, and bootstrap replicates of that [draws]."""

    model: str
    image_scales: tuple[float, ...]
    gmac: float
    loss: float
    draws: Floats
    n_seeds: int
    n_images: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % percentile interval over images and seeds."""
        low, high = np.percentile(self.draws, (2.5, 97.5))
        return float(low), float(high)

    def gain(self, first: ComputePoint) -> tuple[float, float, float]:
        """Relative change of the loss since another point, with its 95 % interval (draws are paired)."""
        low, high = np.percentile(self.draws / first.draws - 1, (2.5, 97.5))
        return self.loss / first.loss - 1, float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class ComputeCurve:
    """One way of scaling: models at one scale, or one model at growing sets of scales; by rising GMAC."""

    way: Way
    name: str
    points: tuple[ComputePoint, ...]

    @property
    def gmac(self) -> Floats:
        """GMAC of the points, rising."""
        return np.array([point.gmac for point in self.points])


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """An image-scale curve against the model-size curve over the GMAC that both cover.

    ``gmac`` is the largest at which they cross, None for none in range; its interval goes from 0 or to
    infinity where it leaves the range. ``ahead`` has the lower loss at the upper end of the range, by ``gap``
    (relative difference of losses there, image scale over model size less 1, with its interval). ``share`` is
    how many of the bootstrap draws agree on whether there is a crossing.
    """

    name: str
    gmac: float | None
    low: float
    high: float
    share: float
    ahead: Way
    gap: float
    gap_low: float
    gap_high: float
    reach: tuple[float, float]

    @property
    def sentence(self) -> str:
        """The finding in words."""
        low, high = (f"{end:.3g}" for end in self.reach)
        where = f"between {low} and {high} GMAC an image"
        gap = f"{self.gap:+.1%} [{self.gap_low:+.1%}, {self.gap_high:+.1%}] loss at {high} GMAC"
        decided = self.gap_low > 0 or self.gap_high < 0
        end = f"{self.ahead} ahead" if decided else "neither ahead beyond its interval"
        if self.gmac is None:
            said = f"none in range ({where}; {self.share:.0%} of draws agree)"
        else:
            limits = f"[{_limit(self.low, '< ' + low)}, {_limit(self.high, '> ' + high)}]"
            said = f"{self.gmac:.3g} {limits} GMAC an image ({self.share:.0%} of draws cross {where})"
        return f"{self.name} against model size: crossover {said}; image scale over model size {gap}: {end}."


@dataclass(frozen=True, kw_only=True)
class SweetSpot:
    """Both ways of scaling on one axis; ``fixed`` is what all cells share."""

    label: str
    kind: str
    fixed: Mapping[str, Any]
    models: ComputeCurve
    scales: tuple[ComputeCurve, ...]
    crossings: tuple[Crossing, ...]


def _limit(value: float, beyond: str) -> str:
    return f"{value:.3g}" if 0 < value < np.inf else beyond
