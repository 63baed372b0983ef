"""What a law leaves out: a smooth departure along the logarithm of scale, added to every law.

Source: Kennedy and O'Hagan 2001 (J. R. Statist. Soc. B 63, 425), model discrepancy as a Gaussian process;
Uhlenbeck and Ornstein 1930 (Phys. Rev. 36, 823), whose process moves the local exponent here; Rasmussen and
Williams 2006, equations 2.42 (generalised least squares for the level) and 4.17 (Matern 3/2).

    ln y = level + ln shape(x) + delta(ln x) + noise,        var noise = sigma^2 / n

Without delta, more data narrow the interval around a law that is slightly wrong. delta has two parts:
the local exponent *drifts* away from the law's and forgets its drift over LENGTH e-folds; and neighbouring
losses *wander* together, as points of one run do. Where several axes share scales, each scale of the first
(each model) departs on its *own* besides: models differ in more than their size (random effects: Laird and
Ware 1982, Biometrics 38, 963), so beyond the data a model continues from its own level, and a model that
was never run may lie off the trend. The data weigh the sizes; those offered were set on hold-outs inside
the fit parts of public learning curves (see EXPERIMENTS.md). sigma^2 and the level are integrated out in
closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlproject.scaling.laws.law import Array

DRIFTS = (0.03, 0.06, 0.12)  # standard deviations of the drift of the local exponent
LENGTH = 2.0  # e-folds over which a drift is forgotten
WANDERS = (0.005, 0.015)  # standard deviations of what neighbouring losses share, relative
NEIGHBOURS = 0.6  # e-folds over which losses wander together
OWN = (0.0, 0.02, 0.06, 0.2)  # standard deviations of what is a model's own, relative
OWN_LENGTH = 3.0  # e-folds of the other axes over which half of its variance is forgotten; half stays
DIGITS = 9  # of the logarithm of a scale, in which runs of one model agree
CHI2_MEDIAN = 0.455  # of a squared normal number
ABSENT = 0.2  # prior probability of no departure, where residuals are all that tells the noise
ABSENT_KNOWN = 0.9  # the same where the noise is known apart from the law, so that misfit shows
ABSENT_JOINT = 0.1  # and of several axes, whose joint forms are known less well
ABSENT_JOINT_KNOWN = 0.4
NOISE_DOF = 4.0  # how many residuals the guess of the noise is worth


@dataclass(frozen=True, kw_only=True)
class Departure:
    """One hypothesis about the departure: drift per e-fold, wander, and what is each model's own.

    All three are multiples of the noise. ``anchor`` [axes] is where the drift starts from; a free level makes
    it immaterial.
    """

    drift: float
    wander: float
    log_prior: float
    anchor: Array
    own: float = 0.0

    def covariance(self, here: Array, there: Array) -> Array:
        """Covariance of the departure between scales [n, axes] and [m, axes], in units of sigma^2.

        The variogram of an integrated Ornstein-Uhlenbeck process is a Bernstein function of the squared
        distance, so it is valid along any number of axes (Schoenberg 1938).
        """
        apart = np.sqrt(np.sum((here[:, None] - there[None]) ** 2, axis=-1))
        start = _variogram(self._from_anchor(here))[:, None] + _variogram(self._from_anchor(there))
        drifted = 0.5 * self.drift**2 * (start - _variogram(apart))
        return np.asarray(drifted + self.wander**2 * np.exp(-apart / NEIGHBOURS) + self._own(here, there))

    def variance(self, at: Array) -> Array:
        """Variance of the departure at scales [n, axes], in units of sigma^2."""
        return np.asarray(self.drift**2 * _variogram(self._from_anchor(at)) + self.wander**2 + self.own**2)

    def _own(self, here: Array, there: Array) -> Array | float:
        """A level for each model, and a smooth curve along the other axes (Matern 3/2)."""
        if self.own == 0.0:
            return 0.0
        same = np.round(here[:, None, 0], DIGITS) == np.round(there[None, :, 0], DIGITS)
        apart = np.sqrt(3.0 * np.sum((here[:, None, 1:] - there[None, :, 1:]) ** 2, axis=-1)) / OWN_LENGTH
        return np.asarray(same * self.own**2 * 0.5 * (1.0 + (1.0 + apart) * np.exp(-apart)))

    def _from_anchor(self, at: Array) -> Array:
        return np.asarray(np.sqrt(np.sum((at - self.anchor) ** 2, axis=-1)))


def _variogram(distance: Array) -> Array:
    """Variance of the difference of two departures per squared drift."""
    steps = distance / LENGTH
    return np.asarray(2.0 * LENGTH**2 * (steps - 1.0 + np.exp(-steps)))


def departures(cells: Cells) -> tuple[Departure, ...]:
    """No drift and wander or any of their combinations, each with every size of what is a model's own."""
    alone = cells.log_x.shape[1] == 1
    guessed, known = (ABSENT, ABSENT_KNOWN) if alone else (ABSENT_JOINT, ABSENT_JOINT_KNOWN)
    absent = known if cells.noise_known else guessed
    anchor, noise = cells.log_x.min(axis=0), typical_noise(cells)
    some = [(drift, wander) for drift in DRIFTS for wander in WANDERS]
    shares = [(0.0, 0.0, absent), *((*both, (1.0 - absent) / len(some)) for both in some)]
    owns = OWN if models_repeat(cells) else OWN[:1]
    return tuple(
        Departure(
            drift=drift / noise,
            wander=wander / noise,
            log_prior=float(np.log(share / len(owns))),
            anchor=anchor,
            own=own / noise,
        )
        for drift, wander, share in shares
        for own in owns
    )


def models_repeat(cells: Cells) -> bool:
    """Whether each scale of the first of several axes has two cells or more, on average."""
    models = len(np.unique(np.round(cells.log_x[:, 0], DIGITS)))
    return cells.log_x.shape[1] > 1 and 2 * models <= len(cells.log_x)


def typical_noise(cells: Cells) -> float:
    """The noise of one run before any law is fitted, to which departures are scaled.

    It is what is known beforehand; where that is a guess, curves tell it by how far each cell lies from the
    line through its neighbours (median, so that bends do not count), shrunk towards the guess.
    """
    before = cells.spare / cells.dof
    if cells.noise_known or cells.log_x.shape[1] > 1 or len(cells.log_y) < 4:
        return float(np.sqrt(before))
    u, v, variance = cells.log_x[:, 0], cells.log_y, np.diag(cells.noise)
    share = (u[1:-1] - u[:-2]) / (u[2:] - u[:-2])
    away = v[1:-1] - (1.0 - share) * v[:-2] - share * v[2:]
    unit = variance[1:-1] + (1.0 - share) ** 2 * variance[:-2] + share**2 * variance[2:]
    seen = float(np.median(away**2 / unit)) / CHI2_MEDIAN
    return float(np.sqrt((len(away) * seen + cells.dof * before) / (len(away) + cells.dof)))


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Mean log losses [m] at distinct scales log_x [m, axes], their noise covariance shape [m, m], and
    what is known of sigma^2 beforehand: ``spare`` sum of squares worth ``dof`` residuals.

    ``noise_known`` says that the noise is known apart from any law, from repeats or from the caller.
    """

    log_x: Array
    log_y: Array
    noise: Array
    spare: float
    dof: float
    noise_known: bool = False


@dataclass(frozen=True, kw_only=True)
class Conditioned:
    """Cells under one departure: whitening matrix, whitened ones, log determinant."""

    departure: Departure
    whiten: Array
    ones: Array
    log_det: float

    @property
    def weight(self) -> float:
        """1' C^-1 1, the precision of the level."""
        return float(self.ones @ self.ones)


def condition(cells: Cells, departure: Departure) -> Conditioned:
    """Factor the covariance of the cells under a departure."""
    covariance = cells.noise + departure.covariance(cells.log_x, cells.log_x)
    lower = np.linalg.cholesky(covariance)
    whiten = np.tril(np.linalg.inv(lower))
    log_det = float(np.log(np.diag(lower)).sum())
    return Conditioned(departure=departure, whiten=whiten, ones=whiten.sum(axis=1), log_det=log_det)


def log_likelihood(cells: Cells, given: list[Conditioned], log_shape: Array, level: float | None) -> Array:
    """ln p(cells | shape, departure) [s, h] up to a constant, sigma^2 and an unknown level integrated out."""
    residual = cells.log_y - log_shape
    m = len(cells.log_y)
    stack = np.concatenate([one.whiten for one in given])
    white = (residual @ stack.T).reshape(len(residual), len(given), m)
    total = np.einsum("shm,shm->sh", white, white)
    ones = np.stack([one.ones for one in given])
    weight = np.einsum("hm,hm->h", ones, ones)
    inner = np.einsum("shm,hm->sh", white, ones)
    if level is None:
        squares, spent = total - inner**2 / weight, 1.0
    else:
        squares, spent = total - 2.0 * level * inner + level**2 * weight, 0.0
    dof = cells.dof + m - spent
    constant = np.array([one.departure.log_prior - one.log_det for one in given]) - 0.5 * spent * np.log(
        weight
    )
    return np.asarray(constant - 0.5 * dof * np.log(np.maximum(squares, 0.0) + cells.spare))


def predict_cells(
    cells: Cells, one: Conditioned, log_shape: Array, at: Array, log_shape_at: Array, level: float | None
) -> tuple[Array, Array, Array]:
    """Predictive mean [s, n], variance factor [n] and sigma^2 [s] at new scales, for shapes [s]."""
    residual = cells.log_y - log_shape
    white = residual @ one.whiten.T
    weight = one.weight
    levels = white @ one.ones / weight if level is None else np.full(len(residual), level)
    rest = white - levels[:, None] * one.ones
    spent = 1.0 if level is None else 0.0
    variance = (np.sum(rest**2, axis=1) + cells.spare) / (cells.dof + len(cells.log_y) - spent)
    link = one.departure.covariance(at, cells.log_x) @ one.whiten.T
    mean = log_shape_at + levels[:, None] + rest @ link.T
    unseen = one.departure.variance(at) - np.sum(link**2, axis=1)
    unseen += spent * (1.0 - link @ one.ones) ** 2 / weight
    return mean, np.maximum(unseen, 0.0), variance


def unseen_covariance(cells: Cells, one: Conditioned, at: Array, level: float | None) -> Array:
    """Covariance [n, n] of ln mean loss between new scales given the shape, in units of sigma^2."""
    link = one.departure.covariance(at, cells.log_x) @ one.whiten.T
    covariance = one.departure.covariance(at, at) - link @ link.T
    if level is None:
        free = 1.0 - link @ one.ones
        covariance = covariance + np.outer(free, free) / one.weight
    return np.asarray(covariance)
