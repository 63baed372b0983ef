"""Average points at repeated scales, thin dense curves, and collect estimates of the noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling.fitting.least_squares import huber, huber_weights
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.laws.law import Array
from mlproject.scaling.laws.several_axes import PRODUCT, SEPARABLE

Index = NDArray[np.intp]
REFERENCE_LAWS = {2: (SEPARABLE, PRODUCT)}
REFERENCE_ROUNDS = 6  # of reweighting; weights need not be precise
LEAST_RUNS = 20  # from which on a run can be an outlier
MOST_POINTS = 20  # along one axis: denser curves are averaged within equal steps of ln x
NOISE_DOF = 2.0  # residuals that the guess of the noise is worth
NOISE_DOF_JOINT = 4.0  # the same for several axes
KNOWN_DOF = 10.0  # residuals that noise given by the caller is worth
PARTIAL_DOF = 1.0  # the same where only part of the noise is given, so that it is mostly estimated
ENOUGH_REPEATS = 5  # additional runs at repeated scales from which on the noise is known
LEAST_NOISE = 1e-4  # relative, however well repeated scales agree
GUESS = 0.005  # relative noise where nothing is known
GUESS_JOINT = 0.01  # the same for several axes, where every point is a separate training


@dataclass(frozen=True, kw_only=True)
class AveragedPoints:
    """Mean log losses [m] at distinct scales log_x [m, axes], and their noise.

    The noise covariance is sigma^2 times ``noise`` [m, m]. The prior of sigma^2 is a sum of squares
    ``prior_squares`` worth ``dof`` residuals. ``noise_known`` marks noise that is known independently of any
    law, from repeated scales or from the caller. ``shared`` is the relative variance of a factor that all
    losses share, which is no part of ``noise``.
    """

    log_x: Array
    log_y: Array
    noise: Array
    prior_squares: float
    dof: float
    noise_known: bool = False
    shared: float = 0.0


def average_repeats(points: Points) -> AveragedPoints:
    """Average the points at repeated scales, in scaled units."""
    if points.sd is None:
        points = without_duplicates(points)
    log_x, log_y = points.scaled(points.x), np.log(points.y / points.loss_unit)
    group = _groups(log_x)
    n = np.bincount(group).astype(float)
    mean = np.stack([np.bincount(group, axis) / n for axis in log_x.T], axis=1)
    level = np.bincount(group, log_y) / n
    if points.sd is not None:
        return _with_known_noise(points, group, mean, level)
    same = _same_scale(log_x)
    within = log_y - (np.bincount(same, log_y) / np.bincount(same))[same]
    repeats = float(len(log_y) - same.max() - 1)
    squares = float(np.sum(within**2)) if repeats else 0.0
    guess, guess_dof = (GUESS, NOISE_DOF) if log_x.shape[1] == 1 else (GUESS_JOINT, NOISE_DOF_JOINT)
    guess = guess if repeats < 3 else float(np.sqrt(squares / repeats))
    weights = robust_weights(points) if len(level) == len(log_y) else np.ones(len(log_y))
    return AveragedPoints(
        log_x=mean,
        log_y=level,
        noise=np.diag(1.0 / np.bincount(group, weights)),
        prior_squares=guess_dof * max(guess, LEAST_NOISE) ** 2 + squares,
        dof=guess_dof + repeats,
        noise_known=repeats >= ENOUGH_REPEATS,
    )


def without_duplicates(points: Points) -> Points:
    """The points without rows that repeat another in scale and loss, as these carry no noise."""
    _, first = np.unique(np.column_stack([points.x, points.y]), axis=0, return_index=True)
    return points.take(np.isin(np.arange(len(points.y)), first))


def robust_weights(points: Points) -> Array:
    """Huber's weights of single runs on several axes: below 1 for an outlier under every reference law.

    A run that is far from one law may be evidence against that law, so only outliers under all count less.
    """
    laws = REFERENCE_LAWS.get(points.x.shape[1], ())
    if len(points.y) < LEAST_RUNS or not laws:
        return np.ones(len(points.y))
    weights = []
    for law in laws:
        problem = points.problem(law)
        residual = problem.residuals(huber(problem, rounds=REFERENCE_ROUNDS)[None])[0]
        weights.append(huber_weights(residual))
    return np.asarray(np.max(weights, axis=0))


def _with_known_noise(points: Points, group: Index, mean: Array, level: Array) -> AveragedPoints:
    """Noise as given; replicates also give the correlation of points by shared images.

    Noise that is given in part is scaled by the residuals, which do not show the factor that all points
    share: that is kept apart (``shared``), so that it is not scaled with the rest.
    """
    partial = points.noise_dof == 0.0
    relative = np.asarray(points.sd) / points.y
    share = (group[:, None] == np.arange(len(level))).astype(float)
    share /= share.sum(axis=0)
    covariance = np.diag(relative**2)
    if points.draws is not None and not partial and len(points.draws) >= 5 * len(relative):
        observed = np.cov(np.log(points.draws), rowvar=False)
        covariance = 0.9 * np.atleast_2d(observed) + 0.1 * covariance
    noise = share.T @ covariance @ share
    typical = float(np.mean(np.diag(noise)))
    noise = noise / typical + 1e-6 * np.eye(len(level))
    dof = PARTIAL_DOF if partial else min(KNOWN_DOF, points.noise_dof)
    return AveragedPoints(
        log_x=mean,
        log_y=level,
        noise=noise,
        prior_squares=dof * typical,
        dof=dof,
        noise_known=not partial,
        shared=_shared_variance(points.draws) if partial else 0.0,
    )


def _shared_variance(draws: Array | None) -> float:
    """Variance of the mean over points of ln draws [b, m]: of the factor that all points share."""
    return 0.0 if draws is None else float(np.var(np.log(draws).mean(axis=1)))


def _same_scale(log_x: Array) -> Index:
    _, group = np.unique(np.round(log_x, 9), axis=0, return_inverse=True)
    return np.asarray(group).reshape(-1)


def _groups(log_x: Array) -> Index:
    """The averaged point that every row belongs to, ordered along the axis."""
    same = _same_scale(log_x)
    if log_x.shape[1] > 1 or same.max() < MOST_POINTS:
        return same
    edges = np.linspace(log_x.min(), log_x.max() + 1e-9, MOST_POINTS + 1)
    bins = np.clip(np.searchsorted(edges, log_x[:, 0], side="right") - 1, 0, MOST_POINTS - 1)
    return np.asarray(np.unique(bins, return_inverse=True)[1]).reshape(-1)
