"""What a law leaves out: a smooth departure along the logarithm of scale, added to every law.

Source: Kennedy and O'Hagan 2001 (J. R. Statist. Soc. B 63, 425), model discrepancy as a Gaussian process;
Rasmussen and Williams 2006, equations 2.42 (generalised least squares for the level) and 4.9, 4.17 (kernels).

    ln y = level + ln shape(x) + delta(ln x) + noise,   noise variance sigma^2 / n,   delta variance (rho sigma)^2

Without it, more data narrow the interval around a law that is slightly wrong. delta is rough (exponential
kernel: forgets its slope) or smooth (Matern 3/2: carries its slope on), or absent; the data weigh them.
Lengths are in e-folds of scale. sigma^2 and the level are integrated out in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .law import Array

LENGTHS = (0.7, 1.5, 3.0)
RATIOS = (2.0, 6.0)  # of the departure to the noise
ABSENT = 0.2  # prior probability of no departure, where residuals are all that tells the noise
ABSENT_KNOWN = 0.8  # the same where the noise is known apart from the law, so that misfit shows
ABSENT_JOINT = 0.4  # and of several axes, whose joint forms are known less well
NOISE_DOF = 4.0  # how many residuals the guess of the noise is worth


@dataclass(frozen=True, kw_only=True)
class Departure:
    """One hypothesis about the departure: its size as a multiple of the noise, its length, its smoothness."""

    ratio: float
    length: float
    smooth: bool
    log_prior: float

    def covariance(self, here: Array, there: Array) -> Array:
        """Covariance of the departure between scales [n, axes] and [m, axes], in units of sigma^2."""
        distance = np.sqrt(np.sum((here[:, None] - there[None]) ** 2, axis=-1)) / self.length
        if self.smooth:
            root = np.sqrt(3.0) * distance
            return np.asarray(self.ratio**2 * (1.0 + root) * np.exp(-root))
        return np.asarray(self.ratio**2 * np.exp(-distance))


def departures(*, noise_known: bool = False, axes: int = 1) -> tuple[Departure, ...]:
    """No departure, and all combinations of size, length and smoothness with equal prior probability."""
    known = ABSENT_KNOWN if axes == 1 else ABSENT_JOINT
    absent = known if noise_known else ABSENT
    some = [(ratio, length, smooth) for smooth in (False, True) for ratio in RATIOS for length in LENGTHS]
    each = np.log((1.0 - absent) / len(some))
    none = Departure(ratio=0.0, length=1.0, smooth=False, log_prior=float(np.log(absent)))
    return (none, *(Departure(ratio=r, length=n, smooth=s, log_prior=float(each)) for r, n, s in some))


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
    """ln p(cells | shape, departure) [s, h], up to a constant; sigma^2 and an unknown level integrated out."""
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
    unseen = one.departure.ratio**2 - np.sum(link**2, axis=1)
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
