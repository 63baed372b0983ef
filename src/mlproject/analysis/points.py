"""Points: one scale of a curve or one cell of a grid, with its losses, replicates and distribution.

Kinds of loss: recipes log every loss that is defined for their outputs, whichever they train (a probe:
squared, absolute and Huber's error, or cross-entropy and Brier's score): comparing them needs no run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from scipy.stats import rankdata

from mlproject.analysis.bootstrap import STATISTICS, Floats, Replicates, Statistic, over_seeds
from mlproject.analysis.runs import EvaluatedRun
from mlproject.errors import BadInput
from mlproject.losses import LOSS_KINDS
from mlproject.scaling import Estimate, Fit, acceleration_of, bca, fit, unshared_noise

HORIZONS = (2.0, 10.0)
"""How many times beyond the largest scale losses are predicted."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
FEWEST_SHARED = 3
"""Images that two points must share before a correlation is given."""
LEAST_SCALES = 3
"""Distinct scales that leave a power law a degree of freedom."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One scale of a curve. Losses are averaged over seeds; ``draws`` are bootstrap replicates.

    ``seeds`` holds, by statistic, the value of every run. ``distribution`` describes the per-image
    losses (averaged over seeds first): sd, minimum, quantiles, maximum. ``acceleration`` is that of the
    mean's interval (the median, which images move in jumps, has none).
    """

    name: str
    x: float
    run_ids: tuple[str, ...]
    n_images: int
    seeds: Mapping[Statistic, tuple[float, ...]]
    draws: Replicates
    distribution: Mapping[str, float]
    acceleration: float = 0.0

    @property
    def n_seeds(self) -> int:
        """How many runs the point averages."""
        return len(self.run_ids)

    @cached_property
    def losses(self) -> Mapping[Statistic, Estimate]:
        """The mean over seeds of each run's mean or median loss, with 95 % intervals over images and seeds.

        Intervals are bias-corrected, and accelerated for the mean.
        """
        return {statistic: self._estimate(statistic) for statistic in STATISTICS}

    def _estimate(self, statistic: Statistic) -> Estimate:
        value, acceleration = self.value(statistic), self.acceleration if statistic == "mean" else 0.0
        low, high = bca(np.array([value]), self.draws[statistic][:, None], acceleration)
        return Estimate(value=value, low=float(low[0]), high=float(high[0]))

    def value(self, statistic: Statistic) -> float:
        """The mean over seeds of each run's mean or median loss."""
        return float(np.mean(self.seeds[statistic]))

    def interval(self, statistic: Statistic) -> tuple[float, float]:
        """The 95 % interval of ``losses``."""
        return self.losses[statistic].low, self.losses[statistic].high


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """Two points of a curve, compared over the images that both evaluated."""

    first: str
    second: str
    n_images: int
    pearson: float
    spearman: float


def average_losses(runs: Sequence[EvaluatedRun], n_images: int) -> Floats:
    """Per-image losses [images of the pool] averaged over runs; NaN where no run evaluated the image."""
    total, count = np.zeros(n_images), np.zeros(n_images)
    for run in runs:
        total[run.rows] += run.losses
        count[run.rows] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def make_points(
    scales: Iterable[tuple[str, float, Sequence[EvaluatedRun]]],
    n_images: int,
    drawn: Mapping[str, Replicates],
    seed: int,
) -> tuple[tuple[Point, ...], Floats]:
    """The points of runs by scale (name, x, runs), and the losses of their images [images, points]."""
    points, columns, rng = [], [], np.random.default_rng([seed, 1])
    for name, x, runs in scales:
        draws = over_seeds([drawn[run.run_id] for run in runs], rng)
        columns.append(average_losses(runs, n_images))
        points.append(make_point(name, x, runs, columns[-1], draws))
    return tuple(points), np.stack(columns, axis=1)


def make_point(name: str, x: float, runs: Sequence[EvaluatedRun], losses: Floats, draws: Replicates) -> Point:
    """A point from the runs of one scale, their losses [images] averaged over seeds and their replicates."""
    evaluated = losses[~np.isnan(losses)]
    skew = acceleration_of(influence(evaluated[:, None]), float(np.var(draws["mean"])))
    return Point(
        name=name,
        x=x,
        run_ids=tuple(run.run_id for run in runs),
        n_images=len(evaluated),
        seeds={
            "mean": tuple(float(run.losses.mean()) for run in runs),
            "median": tuple(float(np.median(run.losses)) for run in runs),
        },
        draws=draws,
        distribution=distribution(evaluated),
        acceleration=float(skew[0]),
    )


def noise_dof(points: Sequence[Point], statistic: Statistic) -> float:
    """Degrees of freedom behind the noise of points: 0 where a point has one seed, whose noise is unknown."""
    draws = np.stack([point.draws[statistic] for point in points], axis=1)
    return seed_dof([np.array(point.seeds[statistic]) for point in points], draws)


def seed_dof(seeds: Sequence[Floats], draws: Floats) -> float:
    """Degrees of freedom behind the noise of the means of values [seeds] by scale; ``draws`` [draws, scales].

    0 where a scale has one seed, else Satterthwaite's (1946, Biometrics Bulletin 2, 110) for the summed
    variances, of which those of the images are known and those of the seeds have n - 1 each.
    """
    n_seeds = np.array([len(of_scale) for of_scale in seeds])
    values = np.array([float(np.mean(of_scale)) for of_scale in seeds])
    noise = unshared_noise(values, draws)
    if n_seeds.min() < 2 or noise is None:
        return 0.0
    spread = np.array([np.var(of_scale, ddof=1) for of_scale in seeds])
    of_seeds = spread / n_seeds / values**2
    total = np.maximum((noise / values) ** 2, of_seeds)
    estimated = float(np.sum(of_seeds**2 / (n_seeds - 1)))
    return float(total.sum() ** 2) / estimated if estimated > 0 else float("inf")


def influence(losses: Floats) -> Floats:
    """Influence [images, points] of every image on the mean loss of every point; 0 where not evaluated.

    A mean moves by (loss - mean) / n when an image's weight grows (Efron 1982, the infinitesimal jackknife).
    """
    evaluated = ~np.isnan(losses)
    n = np.maximum(evaluated.sum(axis=0), 1)
    mean = np.where(evaluated, losses, 0.0).sum(axis=0) / n
    return np.asarray(np.where(evaluated, losses - mean, 0.0) / n)


def distribution(losses: Floats) -> dict[str, float]:
    """Mean, sd, extremes and quantiles of the per-image losses of one point."""
    quantiles = np.quantile(losses, QUANTILES)
    spread = float(losses.std(ddof=1)) if len(losses) > 1 else 0.0
    low, high = float(losses.min()), float(losses.max())
    named = {f"q{round(100 * q):02d}": float(v) for q, v in zip(QUANTILES, quantiles, strict=True)}
    return {"mean": float(losses.mean()), "sd": spread, "min": low, **named, "max": high}


def correlations(names: tuple[str, ...], losses: Floats) -> tuple[Correlation, ...]:
    """Pearson and Spearman for every pair of columns of losses [images, points]; NaN marks no loss."""
    pairs = combinations(range(len(names)), 2)
    compared = (_correlation(names[i], names[j], losses[:, i], losses[:, j]) for i, j in pairs)
    return tuple(pair for pair in compared if pair is not None)


def _correlation(first: str, second: str, a: Floats, b: Floats) -> Correlation | None:
    both = ~np.isnan(a) & ~np.isnan(b)
    n = int(both.sum())
    if n < FEWEST_SHARED:
        return None
    pearson, spearman = _pearson(a[both], b[both]), _pearson(rankdata(a[both]), rankdata(b[both]))
    return Correlation(first=first, second=second, n_images=n, pearson=pearson, spearman=spearman)


def _pearson(a: Floats, b: Floats) -> float:
    """The correlation, NaN where one side does not vary."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip((a @ b) / size, -1.0, 1.0)) if size > 0 else float("nan")


@dataclass(frozen=True, kw_only=True)
class LossKind:
    """One kind of loss along a curve. Shapes: ``mean`` and ``spread`` are [points], as the curve's points.

    ``spread`` is the standard deviation over images, relative to the mean. ``agreement`` [kinds] are Spearman
    correlations with every kind over images at the largest scale. ``law`` is k x^-alpha fitted to the mean,
    with a t interval; None below three scales, or where a mean is not above zero.
    """

    kind: str
    trained: bool
    mean: Floats
    spread: Floats
    agreement: Mapping[str, float]
    law: Fit | None


def loss_kinds(
    scales: Sequence[Sequence[EvaluatedRun]], x: Sequence[float], n_images: int
) -> tuple[LossKind, ...]:
    """Kinds that every run [by scale] logged, the trained one first; none where only that was logged."""
    runs = [run for of_scale in scales for run in of_scale]
    trained = runs[0].kind
    kinds = [kind for kind in LOSS_KINDS if kind != trained and all(kind in run.columns for run in runs)]
    if not kinds:
        return ()
    columns = {kind: _columns(scales, kind, n_images) for kind in (trained, *kinds)}
    return tuple(
        LossKind(
            kind=kind,
            trained=kind == trained,
            mean=np.nanmean(losses, axis=0),
            spread=np.nanstd(losses, axis=0) / np.nanmean(losses, axis=0),
            agreement={other: _spearman(losses[:, -1], values[:, -1]) for other, values in columns.items()},
            law=_power_law(x, np.nanmean(losses, axis=0)),
        )
        for kind, losses in columns.items()
    )


def _columns(scales: Sequence[Sequence[EvaluatedRun]], kind: str, n_images: int) -> Floats:
    """Losses of a kind [images, scales], averaged over seeds; NaN where no seed evaluated an image."""
    columns = []
    for runs in scales:
        placed = [column for run in runs if (column := run.placed(kind, n_images)) is not None]
        total, count = np.nansum(placed, axis=0), np.sum(~np.isnan(placed), axis=0)
        columns.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return np.stack(columns, axis=1)


def _spearman(a: Floats, b: Floats) -> float:
    """Correlation of ranks over the images that have both; NaN where these are few or do not vary."""
    both = ~np.isnan(a) & ~np.isnan(b)
    if both.sum() < FEWEST_SHARED or not (np.ptp(a[both]) > 0 and np.ptp(b[both]) > 0):
        return float("nan")
    return float(np.corrcoef(rankdata(a[both]), rankdata(b[both]))[0, 1])


def _power_law(x: Sequence[float], mean: Floats) -> Fit | None:
    if len(np.unique(x)) < LEAST_SCALES:
        return None
    try:
        return fit(x, mean, law="power")
    except BadInput:
        return None
