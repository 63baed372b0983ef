"""Calibration by scale: whether networks are right as often as their confidence says.

    overconfidence     mean over images of confidence - right
    calibration error  sqrt( Σ_b n_b / n (d̄_b² - s_b² / n_b) ),    d = confidence - right
    ECE                Σ_b n_b / n |d̄_b|

over bins b of equally many images by confidence (Nixon et al. 2019, arXiv 1904.01685), d̄_b and s_b² the mean
and variance of d in a bin. The ECE (Naeini et al. 2015; Guo et al. 2017, arXiv 1706.04599) of a perfectly
calibrated network is not 0 but grows as images get few; ``ece_calibrated`` is what it would be, Σ_b n_b / n
sqrt(2 / π) sd(d̄_b), with variances c (1 - c) of the confidences c. Subtracting s_b² / n_b makes the squared
calibration error unbiased (Bröcker 2012; Kumar et al. 2019, arXiv 1909.10155, section 4). Runs of a scale are
averaged. Overconfidence needs no bins; its interval is over images and seeds as everywhere. Intervals of the
others: the Bayesian bootstrap over images (Rubin 1981), seeds n - 1 of n; a replicate has the noise of its
weights on top of that of the images, so s_b² / n_b is subtracted twice there. Their distance from the value
is stretched by t / 1.96 with Satterthwaite's (1946) degrees of freedom, and is at least t standard errors, as
few seeds say little of how seeds differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mlproject.analysis.bootstrap import Floats
from mlproject.analysis.curves import Curve
from mlproject.analysis.effects import Z95, Effect, effect, seed_weights
from mlproject.analysis.runs import EvaluatedRun
from mlproject.analysis.trajectories import Trajectory
from mlproject.scaling import Estimate

N_BINS = 10
LEAST_IN_BIN = 10
"""Images of a bin; with fewer images there are fewer bins."""
N_DRAWS = 400


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Calibration of the runs at one scale of a curve, over its evaluated images."""

    curve: Curve
    scale: int
    confidence: float
    accuracy: float
    overconfidence: Effect
    error: Estimate
    ece: Estimate
    ece_calibrated: float


def calibrations(
    known: Sequence[Trajectory], runs: Mapping[str, EvaluatedRun]
) -> tuple[tuple[Calibration, ...], tuple[str, ...]]:
    """Calibration of every curve and scale whose runs logged confidences; and why others have none.

    Reads the predictions of every run.
    """
    made: list[Calibration] = []
    without: list[str] = []
    for trajectory in known:
        for scale in range(len(trajectory.wrong)):
            confidences = _confidences(trajectory, scale, runs)
            if confidences is None:
                without.append(trajectory.curve.series)
                break
            made.append(_calibration(trajectory, scale, confidences))
    reason = "no confidence is logged: outputs are no probabilities, or the runs are of an earlier version"
    return tuple(made), ((f"{reason} ({', '.join(dict.fromkeys(without))})",) if without else ())


def _confidences(trajectory: Trajectory, scale: int, runs: Mapping[str, EvaluatedRun]) -> Floats | None:
    """Confidences [seeds, images] in the order of the trajectory; None where a run has none."""
    ids = trajectory.curve.points[scale].run_ids
    rows = []
    for run in sorted((runs[run_id] for run_id in ids), key=lambda run: run.cell.seed):
        table = run.predictions
        if table is None or table.confidence is None:
            return None
        place = np.full(len(trajectory.curve.image_ids), np.nan)
        place[run.rows] = table.confidence
        rows.append(place[trajectory.rows])
    return np.stack(rows)


def _calibration(trajectory: Trajectory, scale: int, confidences: Floats) -> Calibration:
    right = 1.0 - trajectory.wrong[scale]
    gaps = confidences - right
    error, ece, calibrated = binned_errors(confidences, right)
    return Calibration(
        curve=trajectory.curve,
        scale=scale,
        confidence=float(confidences.mean()),
        accuracy=float(right.mean()),
        overconfidence=effect(gaps, n_draws=N_DRAWS, seed=0, within="difference of shares"),
        error=error,
        ece=ece,
        ece_calibrated=calibrated,
    )


def binned_errors(confidences: Floats, right: Floats, *, seed: int = 0) -> tuple[Estimate, Estimate, float]:
    """Calibration error and ECE of runs [seeds, images] with intervals, and the ECE of calibrated runs."""
    n_seeds, n_images = confidences.shape
    rng = np.random.default_rng([seed, 5])
    weights = rng.standard_exponential((N_DRAWS, n_images))
    squares, absolute = np.zeros((n_seeds, N_DRAWS + 1)), np.zeros((n_seeds, N_DRAWS + 1))
    calibrated = 0.0
    for s in range(n_seeds):
        member = _bins(confidences[s])
        gap = confidences[s] - right[s]
        n, mean = member.sum(axis=0), gap @ member / member.sum(axis=0)
        noise = (((gap[:, None] - mean) * member) ** 2).sum(axis=0) / (np.maximum(n - 1, 1) * n)
        inside = weights @ member
        drawn = (weights * gap) @ member / inside
        share = np.concatenate([[n / n_images], inside / inside.sum(axis=1, keepdims=True)])
        means = np.concatenate([[mean], drawn])
        subtracted = np.concatenate([[noise], np.broadcast_to(2.0 * noise, drawn.shape)])
        squares[s], absolute[s] = (share * (means**2 - subtracted)).sum(1), (share * np.abs(means)).sum(1)
        spread = np.sqrt((confidences[s] * (1.0 - confidences[s])) @ member) / n
        calibrated += float(n / n_images @ spread) * (2.0 / np.pi) ** 0.5 / n_seeds
    chosen = seed_weights(n_seeds, N_DRAWS, rng)
    error = _estimate(squares, chosen, n_images)
    roots = [max(value, 0.0) ** 0.5 for value in (error.value, error.low, error.high)]
    away = np.einsum("bs,sb->b", chosen, absolute[:, 1:]).mean() - absolute[:, 0].mean()
    absolute[:, 1:] -= away  # the bias of replicates, which have twice the noise
    ece = _estimate(absolute, chosen, n_images)
    ece = Estimate(value=ece.value, low=max(0.0, ece.low), high=ece.high)
    return Estimate(value=roots[0], low=roots[1], high=roots[2]), ece, calibrated


def _bins(confidence: Floats) -> NDArray[np.float64]:
    """Which bin each image is in [images, bins], as 0 and 1; equal confidences may be in two bins."""
    n_bins = max(1, min(N_BINS, len(confidence) // LEAST_IN_BIN))
    place = np.empty(len(confidence), np.intp)
    place[np.argsort(confidence, kind="stable")] = np.arange(len(confidence)) * n_bins // len(confidence)
    return np.eye(n_bins)[place]


def _estimate(values: Floats, chosen: Floats, n_images: int) -> Estimate:
    """The mean over seeds of values [seeds, 1 + draws], the first of which are those of the data."""
    value, drawn = float(values[:, 0].mean()), np.einsum("bs,sb->b", chosen, values[:, 1:])
    quantile, sd = _t_quantile(values[:, 0], drawn, n_images), float(drawn.std())
    low, high = value + quantile / Z95 * (np.percentile(drawn, (2.5, 97.5)) - value)
    if len(values) > 1:  # two seeds have two averages, whose percentiles are a standard error away, not 1.96
        low, high = min(low, value - quantile * sd), max(high, value + quantile * sd)
    return Estimate(value=value, low=min(value, float(low)), high=max(value, float(high)))


def _t_quantile(of_seeds: Floats, drawn: Floats, n_images: int) -> float:
    """97.5 % quantile of t for a variance of which that over seeds is a part; the normal for one seed."""
    n_seeds, total = len(of_seeds), float(drawn.var())
    if n_seeds == 1 or total == 0.0:
        return Z95
    between = min(float(of_seeds.var(ddof=1)) / n_seeds, total)
    dof = total**2 / (between**2 / (n_seeds - 1) + (total - between) ** 2 / (n_images - 1))
    return float(stats.t.ppf(0.975, dof))
