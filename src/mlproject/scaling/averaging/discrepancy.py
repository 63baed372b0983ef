"""Model discrepancy: a smooth Gaussian process along the logarithm of scale, added to every law.

Source: Kennedy and O'Hagan 2001 (J. R. Statist. Soc. B 63, 425), model discrepancy as a Gaussian process;
Uhlenbeck and Ornstein 1930 (Phys. Rev. 36, 823), whose process moves the local exponent here; Rasmussen and
Williams 2006, equations 2.42 (generalised least squares for the level) and 4.17 (Matern 3/2).

    ln y = level + ln shape(x) + delta(ln x) + noise,        var noise = sigma^2 / n

Without delta, more data narrow the interval around a law that is slightly wrong. delta has two components:
a *drift* of the local exponent away from that of the law, with a correlation length of LENGTH e-folds; and a
*correlation* of neighbouring losses, as of points of one run. Where several axes share scales, each scale of
the first axis (each model) has a *random effect* besides, as models differ in more than their size (Laird and
Ware 1982, Biometrics 38, 963): beyond the data a model continues from its own level, and a model that was
never run may lie off the trend. Discrepancy scales are weighted by posterior probability; the grid of scales
was chosen on held-out points inside the fitted range of public learning curves (see EXPERIMENTS.md). sigma^2
and the level are integrated out in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlproject.scaling.averaging.averaged_points import AveragedPoints
from mlproject.scaling.laws.law import Array

DRIFTS = (0.03, 0.06, 0.12)  # standard deviations of the drift of the local exponent
DRIFTS_JOINT = (0.03, 0.06, 0.12, 0.25)  # the same for several axes
LENGTH = 2.0  # correlation length of the drift, in e-folds
CORRELATED = (0.005, 0.015)  # relative standard deviations of the correlated part of neighbouring losses
CORRELATION_LENGTH = 0.6  # of neighbouring losses, in e-folds
RANDOM_EFFECTS = (0.0, 0.02, 0.06, 0.2)  # relative standard deviations of the random effect of a model
EFFECT_LENGTH = 3.0  # e-folds of the other axes over which half of its variance decays; half is constant
DIGITS = 9  # of the logarithm of a scale, to which runs of one model agree
CHI2_MEDIAN = 0.455  # of a squared normal number
ABSENT = 0.2  # prior probability of no discrepancy, where the noise is estimated from residuals
ABSENT_KNOWN = 0.7  # the same where the noise is known, so that misfit is visible
ABSENT_JOINT = 0.1  # the same for several axes, whose laws are less well established
ABSENT_JOINT_KNOWN = 0.2


@dataclass(frozen=True, kw_only=True)
class Discrepancy:
    """One hypothesis about the discrepancy: the standard deviations of its components.

    All are multiples of the noise: ``drift`` per e-fold, ``correlated``, and ``effect`` of each model.
    ``anchor`` [axes] is where the drift starts; with a free level it is immaterial.
    """

    drift: float
    correlated: float
    log_prior: float
    anchor: Array
    effect: float = 0.0

    def covariance(self, here: Array, there: Array) -> Array:
        """Covariance of the discrepancy between scales [n, axes] and [m, axes], in units of sigma^2.

        The variogram of an integrated Ornstein-Uhlenbeck process is a Bernstein function of the squared
        distance, so it is valid along any number of axes (Schoenberg 1938).
        """
        apart = np.sqrt(np.sum((here[:, None] - there[None]) ** 2, axis=-1))
        start = _variogram(self._from_anchor(here))[:, None] + _variogram(self._from_anchor(there))
        drifted = 0.5 * self.drift**2 * (start - _variogram(apart))
        return np.asarray(
            drifted
            + self.correlated**2 * np.exp(-apart / CORRELATION_LENGTH)
            + self._random_effect(here, there)
        )

    def variance(self, at: Array) -> Array:
        """Variance of the discrepancy at scales [n, axes], in units of sigma^2."""
        return np.asarray(
            self.drift**2 * _variogram(self._from_anchor(at)) + self.correlated**2 + self.effect**2
        )

    def _random_effect(self, here: Array, there: Array) -> Array | float:
        """Random effect of each model: a level, and a smooth curve along the other axes (Matern 3/2)."""
        if self.effect == 0.0:
            return 0.0
        same = np.round(here[:, None, 0], DIGITS) == np.round(there[None, :, 0], DIGITS)
        apart = np.sqrt(3.0 * np.sum((here[:, None, 1:] - there[None, :, 1:]) ** 2, axis=-1)) / EFFECT_LENGTH
        return np.asarray(same * self.effect**2 * 0.5 * (1.0 + (1.0 + apart) * np.exp(-apart)))

    def _from_anchor(self, at: Array) -> Array:
        return np.asarray(np.sqrt(np.sum((at - self.anchor) ** 2, axis=-1)))


def _variogram(distance: Array) -> Array:
    """Variance of the difference of two discrepancies per squared drift."""
    steps = distance / LENGTH
    return np.asarray(2.0 * LENGTH**2 * (steps - 1.0 + np.exp(-steps)))


def discrepancies(points: AveragedPoints) -> tuple[Discrepancy, ...]:
    """The hypotheses: no drift and correlation or any combination, each with every random effect."""
    single = points.log_x.shape[1] == 1
    estimated, known = (ABSENT, ABSENT_KNOWN) if single else (ABSENT_JOINT, ABSENT_JOINT_KNOWN)
    absent = known if points.noise_known else estimated
    anchor, noise = points.log_x.min(axis=0), typical_noise(points)
    drifts = DRIFTS if single else DRIFTS_JOINT
    pairs = [(drift, correlated) for drift in drifts for correlated in CORRELATED]
    shares = [(0.0, 0.0, absent), *((*pair, (1.0 - absent) / len(pairs)) for pair in pairs)]
    effects = RANDOM_EFFECTS if models_repeat(points) else RANDOM_EFFECTS[:1]
    return tuple(
        Discrepancy(
            drift=drift / noise,
            correlated=correlated / noise,
            log_prior=float(np.log(share / len(effects))),
            anchor=anchor,
            effect=effect / noise,
        )
        for drift, correlated, share in shares
        for effect in effects
    )


def models_repeat(points: AveragedPoints) -> bool:
    """Whether each scale of the first of several axes has two points or more on average."""
    models = len(np.unique(np.round(points.log_x[:, 0], DIGITS)))
    return points.log_x.shape[1] > 1 and 2 * models <= len(points.log_x)


def typical_noise(points: AveragedPoints) -> float:
    """The noise of one run before any law is fitted, to which discrepancies are scaled.

    Where only a guess is known beforehand, it is estimated for curves from the distance of each point to the
    line through its neighbours (by the median, so that bends do not count), and shrunk towards the guess.
    """
    prior = points.prior_squares / points.dof
    if points.noise_known or points.log_x.shape[1] > 1 or len(points.log_y) < 4:
        return float(np.sqrt(prior))
    u, v, variance = points.log_x[:, 0], points.log_y, np.diag(points.noise)
    share = (u[1:-1] - u[:-2]) / (u[2:] - u[:-2])
    distance = v[1:-1] - (1.0 - share) * v[:-2] - share * v[2:]
    unit = variance[1:-1] + (1.0 - share) ** 2 * variance[:-2] + share**2 * variance[2:]
    estimated = float(np.median(distance**2 / unit)) / CHI2_MEDIAN
    return float(np.sqrt((len(distance) * estimated + points.dof * prior) / (len(distance) + points.dof)))


@dataclass(frozen=True, kw_only=True)
class Conditioned:
    """Averaged points under one discrepancy: whitening matrix, whitened ones, log determinant."""

    discrepancy: Discrepancy
    whiten: Array
    ones: Array
    log_det: float

    @property
    def weight(self) -> float:
        """1' C^-1 1, the precision of the level."""
        return float(self.ones @ self.ones)


def condition(points: AveragedPoints, discrepancy: Discrepancy) -> Conditioned:
    """Factor the covariance of the points under a discrepancy."""
    covariance = points.noise + discrepancy.covariance(points.log_x, points.log_x)
    lower = np.linalg.cholesky(covariance)
    whiten = np.tril(np.linalg.inv(lower))
    log_det = float(np.log(np.diag(lower)).sum())
    return Conditioned(discrepancy=discrepancy, whiten=whiten, ones=whiten.sum(axis=1), log_det=log_det)


def log_likelihood(
    points: AveragedPoints, given: list[Conditioned], log_shape: Array, level: float | None
) -> Array:
    """ln p(points | shape, discrepancy) [s, h] up to a constant, without sigma^2 and an unknown level."""
    residual = points.log_y - log_shape
    m = len(points.log_y)
    stack = np.concatenate([part.whiten for part in given])
    white = (residual @ stack.T).reshape(len(residual), len(given), m)
    total = np.einsum("shm,shm->sh", white, white)
    ones = np.stack([part.ones for part in given])
    weight = np.einsum("hm,hm->h", ones, ones)
    inner = np.einsum("shm,hm->sh", white, ones)
    if level is None:
        squares, n_levels = total - inner**2 / weight, 1.0
    else:
        squares, n_levels = total - 2.0 * level * inner + level**2 * weight, 0.0
    dof = points.dof + m - n_levels
    constant = np.array(
        [part.discrepancy.log_prior - part.log_det for part in given]
    ) - 0.5 * n_levels * np.log(weight)
    return np.asarray(constant - 0.5 * dof * np.log(np.maximum(squares, 0.0) + points.prior_squares))


def predict_points(
    points: AveragedPoints,
    given: Conditioned,
    log_shape: Array,
    at: Array,
    log_shape_at: Array,
    level: float | None,
) -> tuple[Array, Array, Array]:
    """Predictive mean [s, n], variance factor [n] and sigma^2 [s] at new scales, for shapes [s]."""
    residual = points.log_y - log_shape
    white = residual @ given.whiten.T
    weight = given.weight
    levels = white @ given.ones / weight if level is None else np.full(len(residual), level)
    residual_white = white - levels[:, None] * given.ones
    n_levels = 1.0 if level is None else 0.0
    variance = (np.sum(residual_white**2, axis=1) + points.prior_squares) / (
        points.dof + len(points.log_y) - n_levels
    )
    link = given.discrepancy.covariance(at, points.log_x) @ given.whiten.T
    mean = log_shape_at + levels[:, None] + residual_white @ link.T
    unseen = given.discrepancy.variance(at) - np.sum(link**2, axis=1)
    unseen += n_levels * (1.0 - link @ given.ones) ** 2 / weight
    return mean, np.maximum(unseen, 0.0), variance


def predictive_covariance(
    points: AveragedPoints, given: Conditioned, at: Array, level: float | None
) -> Array:
    """Covariance [n, n] of ln mean loss between new scales given the shape, in units of sigma^2."""
    link = given.discrepancy.covariance(at, points.log_x) @ given.whiten.T
    covariance = given.discrepancy.covariance(at, at) - link @ link.T
    if level is None:
        free = 1.0 - link @ given.ones
        covariance = covariance + np.outer(free, free) / given.weight
    return np.asarray(covariance)
