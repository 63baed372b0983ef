"""Scaling by class: the exponent of every class along a curve, and the confusion at its largest scale.

The mean loss of the images of a class falls as a power of the scale, L_c = k x^-α_c. ln L is linear in ln x,
so that this law is a weighted regression, α_c = Σ a_i ln L_c(x_i). The weights of the scales are those of
the curve's mean loss for every class: the difference between a class and the curve is then the same
regression of ln (L_c / L), in which the noise that the class shares with the other images cancels.

Intervals are the bootstrap of points (images and seeds, BCa), widened by Student's t where residuals reject
the noise, or where a scale has one seed. The p-value of a difference is that of the level at which its
interval ends at 0; q-values are those of Benjamini and Hochberg (1995, JRSS B 57, 289) over the classes of a
curve.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mlproject.analysis.bootstrap import Floats
from mlproject.analysis.curves import Curve
from mlproject.analysis.effects import CHUNK, Z95, seed_weights
from mlproject.analysis.points import LEAST_SCALES, influence, seed_dof
from mlproject.analysis.runs import EvaluatedRun, same_images
from mlproject.scaling import (
    LEAST_SHRUNK,
    Estimate,
    acceleration_of,
    bca,
    estimate_noise,
    shrink,
    t_interval,
    unshared_noise,
)


@dataclass(frozen=True, kw_only=True)
class ClassExponent:
    """The exponent of a class under k x^-α, and its difference from that of all images (class minus all).

    ``first`` and ``last`` are the mean losses of its ``n_images`` at the smallest and the largest scale.
    ``p`` and ``q`` (false-discovery rate over the classes of the curve) are those of a difference of 0.
    ``shrunk`` is the difference shrunk towards the mean over classes; None with fewer than three classes.
    """

    label: str
    n_images: int
    first: float
    last: float
    alpha: Estimate
    difference: Estimate
    p: float
    q: float
    shrunk: Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """How often images of a class got a predicted label, summed over seeds."""

    label: str
    predicted: str
    count: int


@dataclass(frozen=True, kw_only=True)
class ClassScaling:
    """The classes of a curve: their exponents, and the confusion at the largest scale.

    ``exponents`` are empty below three scales. ``left_out`` names classes without one: no image or a loss
    that is not above 0 at some scale. ``n_runs`` are the runs that the confusion sums.
    """

    curve: Curve
    exponents: tuple[ClassExponent, ...]
    left_out: tuple[str, ...]
    confusion: tuple[Confusion, ...]
    n_runs: int


def class_scaling(
    curves: Iterable[Curve], runs: Iterable[EvaluatedRun], *, n_draws: int, seed: int = 0
) -> tuple[ClassScaling, ...]:
    """Scaling by class of every curve whose runs logged labels and predictions; ``runs`` in their pools.

    Reads the predictions of the largest scale, and as many others as it takes to label every image.
    """
    by_id = {run.run_id: run for run in runs}
    scalings = []
    for curve in curves:
        scales = [[by_id[run_id] for run_id in point.run_ids] for point in curve.points]
        labels, confusion, n_runs = _labels(scales, len(curve.image_ids))
        if not n_runs:
            continue
        scaling = ClassScaling(curve=curve, exponents=(), left_out=(), confusion=confusion, n_runs=n_runs)
        if curve.n_scales >= LEAST_SCALES:
            exponents, left_out = _exponents(curve, scales, labels, n_draws=n_draws, seed=seed)
            scaling = replace(scaling, exponents=exponents, left_out=left_out)
        scalings.append(scaling)
    return tuple(scalings)


def _labels(
    scales: Sequence[Sequence[EvaluatedRun]], n_images: int
) -> tuple[NDArray[np.object_], tuple[Confusion, ...], int]:
    """The label of every image (None where no run has it); the confusion of the last scale, and its runs."""
    labels = np.full(n_images, None, dtype=object)
    counts: Counter[tuple[str, str]] = Counter()
    n_runs, last = 0, {run.run_id for run in scales[-1]}
    unlabelled = np.ones(n_images, np.bool_)
    for run in (run for of_scale in reversed(scales) for run in of_scale):
        largest = run.run_id in last
        if not largest and not unlabelled[run.rows].any():
            continue
        table = run.predictions
        if table is not None:
            labels[run.rows], unlabelled[run.rows] = table.labels, False
        if table is not None and largest:
            counts.update(zip(table.labels.tolist(), table.predicted.tolist(), strict=True))
            n_runs += 1
    pairs = sorted(counts.items())
    return labels, tuple(Confusion(label=a, predicted=b, count=n) for (a, b), n in pairs), n_runs


def _exponents(
    curve: Curve,
    scales: Sequence[Sequence[EvaluatedRun]],
    labels: NDArray[np.object_],
    *,
    n_draws: int,
    seed: int,
) -> tuple[tuple[ClassExponent, ...], tuple[str, ...]]:
    names = sorted({label for label in labels.tolist() if label is not None})
    members = np.stack([labels == name for name in names] + [labels != None], axis=1)  # noqa: E711
    by_seed, drawn = _class_means(scales, members.astype(np.float64), n_draws, seed)
    means = np.array([of_scale.mean(axis=0) for of_scale in by_seed])
    usable = np.all(means > 0, axis=0) & np.all(drawn > 0, axis=(0, 1))
    left_out = tuple(name for name, keep in zip(names, usable, strict=False) if not keep)
    if not usable[-1]:
        return (), tuple(names)
    slopes = _Slopes.of(curve, means[:, -1], drawn[:, :, -1])
    everything = influence(np.where(members[:, -1:], curve.losses, np.nan)) / means[:, -1]
    rows = []
    for i in np.flatnonzero(usable[:-1]):
        shares = influence(np.where(members[:, i : i + 1], curve.losses, np.nan)) / means[:, i]
        alpha, _ = slopes.estimate(means[:, i], drawn[:, :, i], shares, [s[:, i] for s in by_seed])
        ratios = [of_scale[:, i] / of_scale[:, -1] for of_scale in by_seed]
        drawn_ratios = drawn[:, :, i] / drawn[:, :, -1]
        ratio = means[:, i] / means[:, -1]
        difference, p = slopes.estimate(ratio, drawn_ratios, shares - everything, ratios)
        rows.append(
            ClassExponent(
                label=names[i],
                n_images=int(members[:, i].sum()),
                first=float(means[0, i]),
                last=float(means[-1, i]),
                alpha=alpha,
                difference=difference,
                p=p,
                q=1.0,
            )
        )
    return _together(rows), left_out


def _together(rows: Sequence[ClassExponent]) -> tuple[ClassExponent, ...]:
    """The classes of a curve with their false-discovery rates and shrunk differences."""
    q_values = stats.false_discovery_control([row.p for row in rows]) if rows else []
    shrunk = _shrunk([row.difference for row in rows])
    together = zip(rows, q_values, shrunk, strict=True)
    return tuple(replace(row, q=float(q), shrunk=value) for row, q, value in together)


def _shrunk(differences: Sequence[Estimate]) -> Sequence[Estimate | None]:
    """Differences shrunk towards their mean; their intervals give the errors."""
    errors = [difference.width / (2.0 * Z95) for difference in differences]
    if len(differences) < LEAST_SHRUNK or not all(0.0 < error < np.inf for error in errors):
        return [None] * len(differences)
    return shrink([difference.value for difference in differences], errors).values


def _class_means(
    scales: Sequence[Sequence[EvaluatedRun]], members: Floats, n_draws: int, seed: int
) -> tuple[list[Floats], Floats]:
    """Mean losses by scale [seeds, classes], and replicates over seeds and images [draws, scales, classes].

    ``members`` [images, classes] is 1 for the images of a class; a class without any at a scale has NaN. All
    classes share the weights of images and of seeds.
    """
    rng = np.random.default_rng([seed, 3])
    seeds = [seed_weights(len(runs), n_draws, rng) for runs in scales]
    means = [
        np.concatenate([_means(run.losses, members[run.rows], np.ones((1, len(run.rows)))) for run in runs])
        for runs in scales
    ]
    parts = []
    step = max(1, CHUNK // len(members))
    for start in range(0, n_draws, step):
        weights = rng.standard_exponential((min(step, n_draws - start), len(members)))
        drawn = [
            _drawn_means(runs, counts[start : start + step], weights, members)
            for runs, counts in zip(scales, seeds, strict=True)
        ]
        parts.append(np.stack(drawn, axis=1))
    return means, np.concatenate(parts)


def _drawn_means(runs: Sequence[EvaluatedRun], counts: Floats, weights: Floats, members: Floats) -> Floats:
    """Mean losses [draws, classes] under weights of seeds (``counts`` [draws, seeds]) and of images.

    The mean over seeds comes first where runs have the same images, and with them the same summed weights.
    """
    total = np.zeros((len(weights), members.shape[1]))
    for rows, places in same_images(runs):
        losses = counts[:, places] @ np.stack([runs[place].losses for place in places])
        total += _means(losses, members[rows], weights[:, rows])
    return total


def _means(losses: Floats, inside: Floats, weights: Floats) -> Floats:
    """Weighted means [draws, classes] of losses [(draws,) images]; NaN for a class without an image."""
    with np.errstate(invalid="ignore"):
        return np.asarray((weights * losses) @ inside / (weights @ inside))


@dataclass(frozen=True, kw_only=True)
class _Slopes:
    """The weighted regression of ln L on ln x, the same for all classes of a curve.

    Shapes: ``weights`` [points] are those of scales, ``log_x`` [points] is centred with them.
    """

    weights: Floats
    log_x: Floats

    @classmethod
    def of(cls, curve: Curve, means: Floats, drawn: Floats) -> _Slopes:
        """Weights of the scales from the noise of the curve's mean loss that scales do not share."""
        weights = _precision(means, drawn)
        log_x = np.log(curve.x)
        centred = log_x - np.average(log_x, weights=weights)
        return cls(weights=weights, log_x=centred)

    def estimate(
        self, means: Floats, drawn: Floats, shares: Floats, by_seed: Sequence[Floats]
    ) -> tuple[Estimate, float]:
        """The exponent of means [points] and the p-value of 0, from their replicates [draws, points].

        ``shares`` [images, points] is the influence of every image on ln L; ``by_seed`` has the values
        [seeds] of each point.
        """
        pull = -self.weights * self.log_x / (self.weights @ self.log_x**2)
        logs = np.log(means)
        value, replicates = float(logs @ pull), np.log(drawn) @ pull
        fitted = np.average(logs, weights=self.weights) - value * self.log_x
        precision = _precision(means, drawn)
        cost, dof = float(precision @ (logs - fitted) ** 2), len(means) - 2
        noise = estimate_noise(cost, dof, known=True, noise_dof=seed_dof(by_seed, drawn))
        skew = acceleration_of((shares @ pull)[:, None], float(np.var(replicates)))
        ends = bca(np.array([value]), replicates[:, None], skew, stretch=noise.stretch)
        interval = Estimate(value=value, low=float(ends[0][0]), high=float(ends[1][0]))
        if noise.partial:
            error = float(np.sqrt(noise.variance * np.sum(pull**2 / precision)))
            interval = interval.united(t_interval(value, error, dof))
        near = value - interval.low if value > 0 else interval.high - value
        score = abs(value) / near * noise.factor if near > 0 else (np.inf if value else 0.0)
        return interval, 2.0 * float(stats.t.sf(score, noise.dof))


def _precision(means: Floats, drawn: Floats) -> Floats:
    """1 / variance of ln L [points] that scales do not share."""
    noise = unshared_noise(means, drawn)
    assert noise is not None
    return np.asarray((means / noise) ** 2)
