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

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from scipy.linalg import lapack

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
        """Covariance of the discrepancy between scales [n, axes] and [m, axes], in units of sigma^2."""
        return self.combined(Kernels(here=here, there=there, anchor=self.anchor))

    def combined(self, kernels: Kernels) -> Array:
        """Covariance [n, m] between the scales of the kernels, in units of sigma^2."""
        out = np.zeros((len(kernels.here), len(kernels.there)))
        if self.drift:
            out += self.drift**2 * kernels.drift
        if self.correlated:
            out += self.correlated**2 * kernels.correlated
        if self.effect:
            out += self.effect**2 * kernels.effect
        return out

    def variance(self, at: Array) -> Array:
        """Variance of the discrepancy at scales [n, axes], in units of sigma^2."""
        drifted = self.drift**2 * _variogram(_distance(at, self.anchor))
        return np.asarray(drifted + self.correlated**2 + self.effect**2)


@dataclass(frozen=True, kw_only=True)
class Kernels:
    """Covariances [n, m] of the components of a discrepancy with standard deviations of 1.

    All hypotheses share them, between scales ``here`` [n, axes] and ``there`` [m, axes], and the ``anchor``.
    """

    here: Array
    there: Array
    anchor: Array

    @cached_property
    def drift(self) -> Array:
        """That of the drift.

        The variogram of an integrated Ornstein-Uhlenbeck process is a Bernstein function of the squared
        distance, so it is valid along any number of axes (Schoenberg 1938).
        """
        start = _variogram(_distance(self.here, self.anchor))[:, None]
        start = start + _variogram(_distance(self.there, self.anchor))
        return np.asarray(0.5 * (start - _variogram(self._apart)))

    @cached_property
    def correlated(self) -> Array:
        """That of neighbouring losses."""
        return np.asarray(np.exp(-self._apart / CORRELATION_LENGTH))

    @cached_property
    def effect(self) -> Array:
        """That of a model: a level, and a smooth curve along the other axes (Matern 3/2)."""
        same = np.round(self.here[:, None, 0], DIGITS) == np.round(self.there[None, :, 0], DIGITS)
        apart = np.sqrt(3.0) * _distance(self.here[:, None, 1:], self.there[:, 1:]) / EFFECT_LENGTH
        return np.asarray(same * 0.5 * (1.0 + (1.0 + apart) * np.exp(-apart)))

    @cached_property
    def _apart(self) -> Array:
        return _distance(self.here[:, None], self.there)


@lru_cache(8)
def _kernels(here: bytes, there: bytes, anchor: bytes, axes: int) -> Kernels:
    """The kernels of scales that many laws and hypotheses are predicted at."""
    scales = (np.frombuffer(values).reshape(-1, axes) for values in (here, there))
    return Kernels(**dict(zip(("here", "there"), scales, strict=True)), anchor=np.frombuffer(anchor))


def _distance(here: Array, there: Array) -> Array:
    return np.asarray(np.sqrt(np.sum((here - there) ** 2, axis=-1)))


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
    _ahead: dict[bytes, tuple[Array, Array, Array]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def weight(self) -> float:
        """1' C^-1 1, the precision of the level."""
        return float(self.ones @ self.ones)

    def ahead(self, points: AveragedPoints, at: Array) -> tuple[Array, Array, Array]:
        """What predictions at new scales [n, axes] depend on, kept for laws that are next predicted there.

        The whitened covariance with the points [n, m], the variance that they leave [n], and how far the
        prediction of points that are all 1 falls short of 1 [n].
        """
        key = at.tobytes()
        if key not in self._ahead:
            self._ahead.clear()
            anchor = self.discrepancy.anchor
            kernels = _kernels(key, points.log_x.tobytes(), anchor.tobytes(), at.shape[1])
            link = self.discrepancy.combined(kernels) @ self.whiten.T
            unseen = self.discrepancy.variance(at) - np.sum(link**2, axis=1)
            self._ahead[key] = link, unseen, 1.0 - link @ self.ones
        return self._ahead[key]


def condition(points: AveragedPoints, hypotheses: Sequence[Discrepancy]) -> list[Conditioned]:
    """Factor the covariance of the points under each of the hypotheses, which share their anchor."""
    kernels = Kernels(here=points.log_x, there=points.log_x, anchor=hypotheses[0].anchor)
    given = []
    for discrepancy in hypotheses:
        lower = np.linalg.cholesky(points.noise + discrepancy.combined(kernels))
        whiten = np.tril(lapack.dtrtri(lower, lower=1)[0])
        log_det = float(np.log(np.diag(lower)).sum())
        given.append(
            Conditioned(discrepancy=discrepancy, whiten=whiten, ones=whiten.sum(axis=1), log_det=log_det)
        )
    return given


def predict_points(
    points: AveragedPoints,
    given: Conditioned,
    log_shape: Array,
    at: Array,
    log_shape_at: Array,
    level: float | None,
) -> tuple[Array, Array, Array]:
    """Predictive mean [s, n], variance factor [n] and sigma^2 [s] at new scales, for shapes [s]."""
    white, weight = (points.log_y - log_shape) @ given.whiten.T, given.weight
    levels = white @ given.ones / weight if level is None else np.full(len(white), level)
    white -= levels[:, None] * given.ones
    n_levels = 1.0 if level is None else 0.0
    dof = points.dof + len(points.log_y) - n_levels
    variance = (np.vecdot(white, white) + points.prior_squares) / dof
    link, unseen, free = given.ahead(points, at)
    mean = log_shape_at + levels[:, None] + white @ link.T
    return mean, np.maximum(unseen + n_levels * free**2 / weight, 0.0), variance


def predictive_covariance(
    points: AveragedPoints, given: Conditioned, at: Array, level: float | None
) -> Array:
    """Covariance [n, n] of ln mean loss between new scales given the shape, in units of sigma^2."""
    link, _, free = given.ahead(points, at)
    covariance = given.discrepancy.covariance(at, at) - link @ link.T
    if level is None:
        covariance = covariance + np.outer(free, free) / given.weight
    return np.asarray(covariance)
