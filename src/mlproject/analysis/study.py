"""Study: everything that an aggregation computed, as one frozen value that reports read.

A ``Curve`` is one group of comparable cells along one axis: its points, its per-image losses, its
fits. Nothing in it depends on where the runs were kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlproject.analysis.axes import Axis
from mlproject.analysis.compute import SweetSpot
from mlproject.analysis.joint import Joint
from mlproject.analysis.matrix import Ablation
from mlproject.analysis.point import HORIZONS, STATISTICS, Floats, Point, Statistic
from mlproject.scaling import Average, Fit, ImageExponents, Prediction

if TYPE_CHECKING:
    from mlproject.analysis.contrasts import Contrast
else:
    Contrast = Any

__all__ = [
    "HORIZONS",
    "QUANTILES",
    "STATISTICS",
    "Correlation",
    "Curve",
    "Floats",
    "Point",
    "Statistic",
    "Study",
    "Verdict",
]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is said of one law on one statistic; ``fit`` is None where fitting would be a pretence.

    ``identified`` names the parameters that may be told as numbers; the others have an interval at most.
    """

    statistic: Statistic
    law: str
    fit: Fit | None
    verdict: str
    reason: str
    identified: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """Two scales of a curve, compared over the images that both judged."""

    first: str
    second: str
    n_images: int
    pearson: float
    spearman: float


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Comparable cells along one axis.

    ``series`` tells curves of one figure apart (a model, a dataset size), ``family`` the figures.
    ``fixed`` is what all cells of the curve share; ``held_out`` predicts the largest scale from the others.
    Shapes: ``losses`` is [images, points], NaN where a point did not judge an image; the arrays of
    ``image_exponents`` are [images].
    """

    axis: Axis
    series: str
    family: str
    fixed: Mapping[str, Any]
    points: tuple[Point, ...]
    image_ids: tuple[str, ...]
    losses: Floats
    verdicts: tuple[Verdict, ...] = ()
    averages: Mapping[Statistic, Average] = field(default_factory=dict)
    held_out: Mapping[Statistic, Prediction] = field(default_factory=dict)
    correlations: tuple[Correlation, ...] = ()
    image_exponents: ImageExponents | None = None

    @property
    def label(self) -> str:
        """The name of the group in every table."""
        return f"{self.series} · {self.family}"

    @property
    def split(self) -> str:
        """``eval``, or ``in-sample`` where losses are those of the training images."""
        return "in-sample" if self.fixed["split"] == "train" else str(self.fixed["split"])

    @property
    def random(self) -> bool:
        """Whether the backbones carry random weights."""
        return bool(self.fixed["weights_kind"] == "random")

    @property
    def target(self) -> str:
        """The knob ``target``, or nothing where the recipe has none."""
        return str(self.fixed["knobs"].get("target", ""))

    @property
    def x(self) -> Floats:
        """The scales, ascending; two models of one size are two points."""
        return np.array([point.x for point in self.points])

    @property
    def n_scales(self) -> int:
        """How many distinct scales the curve has."""
        return len({point.x for point in self.points})

    @property
    def n_seeds(self) -> tuple[int, int]:
        """The fewest and the most seeds that a point has."""
        counts = [point.n_seeds for point in self.points]
        return min(counts), max(counts)

    def values(self, statistic: Statistic) -> Floats:
        """The losses of the points."""
        return np.array([point.value(statistic) for point in self.points])

    def verdict(self, statistic: Statistic, law: str) -> Verdict | None:
        """What is said of one law, where anything was."""
        found = (v for v in self.verdicts if (v.statistic, v.law) == (statistic, law))
        return next(found, None)

    def beyond(self, statistic: Statistic) -> Prediction | None:
        """Losses over all laws at ``HORIZONS`` times the largest scale, where the laws were averaged."""
        found = self.averages.get(statistic)
        return None if found is None else found.predict(self.x[-1] * np.array(HORIZONS))


@dataclass(frozen=True, kw_only=True)
class Study:
    """Curves, grids and what has to be said with them. ``notes`` are sentences, most important first;
    ``contrasts`` compare exponents and losses between regions."""

    curves: tuple[Curve, ...]
    notes: tuple[str, ...]
    run_ids: tuple[str, ...]
    n_left_out: int
    n_draws: int
    ablation: Ablation = field(default_factory=Ablation)
    sweet_spots: tuple[SweetSpot, ...] = ()
    joints: tuple[Joint, ...] = ()
    contrasts: tuple[Contrast, ...] = ()

    def along(self, axis: str) -> tuple[Curve, ...]:
        """The curves along one axis of ``AXES``."""
        from mlproject.analysis.axes import AXES

        return tuple(curve for curve in self.curves if curve.axis is AXES[axis])
