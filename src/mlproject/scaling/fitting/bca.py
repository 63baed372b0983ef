"""Bias-corrected and accelerated intervals (BCa) from bootstrap draws and influence values.

Sources: Efron 1987 (J. Amer. Statist. Assoc. 82, 171), equations 2.3 and 6.6, for the interval and for the
acceleration a = sum u^3 / (6 (sum u^2)^1.5) from influence values u; DiCiccio and Efron 1996 (Statist. Sci.
11, 189). Draws of the Bayesian bootstrap (Rubin 1981, exponential weights) have the variance of ordinary
ones and twice their skewness: they carry the acceleration already, and their median shift counts it twice.
Matching the Cornish-Fisher expansion of both, z + 2 z0 - a is for them what z0 + (z0 + z) / (1 - a (z0 + z))
is for ordinary draws; without it an interval for a skewed loss lies too high.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from mlproject.scaling.fitting.intervals import NORMAL, gradients_of, inverse_slopes
from mlproject.scaling.fitting.least_squares import LeastSquares
from mlproject.scaling.laws.law import Array

LEAST_UNITS = 20  # images; the skewness of fewer is not worth a correction
MOST_SHIFT = 0.8  # of the median of the draws, in standard normal units


def levels(value: Array, draws: Array, acceleration: Array, *, bayesian: bool = True) -> tuple[Array, Array]:
    """Probabilities [k] at which draws [b, k] of values [k] give the ends of a 95 % interval."""
    below = np.mean(draws < value, axis=0) + 0.5 * np.mean(draws == value, axis=0)
    edge = 1.0 / len(draws)
    z0 = np.clip(special.ndtri(np.clip(below, edge, 1.0 - edge)), -MOST_SHIFT, MOST_SHIFT)
    ends = []
    for z in (-NORMAL, NORMAL):
        ordinary = z0 + (z0 + z) / (1.0 - acceleration * (z0 + z))
        ends.append(special.ndtr(z + 2.0 * z0 - acceleration if bayesian else ordinary))
    return ends[0], ends[1]


def bca(
    value: Array,
    draws: Array,
    acceleration: Array | float = 0.0,
    *,
    stretch: float = 1.0,
    bayesian: bool = True,
) -> tuple[Array, Array]:
    """Ends [k] of the 95 % interval of values [k] from draws [b, k], stretched about the values."""
    low, high = levels(value, draws, np.broadcast_to(acceleration, value.shape), bayesian=bayesian)
    ordered = np.sort(draws, axis=0)
    ends = [_quantile(ordered, level) - value for level in (low, high)]
    return value + stretch * np.minimum(ends[0], 0.0), value + stretch * np.maximum(ends[1], 0.0)


def _quantile(ordered: Array, level: Array) -> Array:
    """The quantile [k] at its own level of every column of ordered draws [b, k], linear between draws."""
    place = level * (len(ordered) - 1)
    first = place.astype(np.intp)
    columns = np.arange(ordered.shape[1])
    here, after = ordered[first, columns], ordered[np.minimum(first + 1, len(ordered) - 1), columns]
    return np.asarray(here + (place - first) * (after - here))


def acceleration_of(influence: Array, variance: Array | float = 0.0) -> Array:
    """Acceleration [k] from influence values [n, k]; ``variance`` [k] of the draws where seeds add to it.

    Zero for fewer than ``LEAST_UNITS`` images: the interval is then bias-corrected only.
    """
    if len(influence) < LEAST_UNITS:
        return np.zeros(influence.shape[1])
    size = np.sqrt(np.maximum(np.sum(influence**2, axis=0), variance))
    usable = np.isfinite(size) & (size > 0)
    unit = influence / np.where(usable, size, np.inf)
    return np.asarray(np.sum(unit**3, axis=0) / 6.0)


def pull(problem: LeastSquares, theta: Array, influence: Array) -> Array:
    """Influence [n, p] of every image on the parameters [p], from that on ln y [n, m].

    To first order: the fit's response to a relative change of its losses is the pseudo-inverse of its
    Jacobian. Parameters that are known or lie at a bound do not move.
    """
    low, high = problem.bounds()
    inverse = inverse_slopes(problem, theta, (low < theta) & (theta < high))
    weights = problem.weights[0] * (problem.y[0] if problem.linear else 1.0)
    return np.asarray(influence @ (-inverse * weights).T)


@dataclass(frozen=True, kw_only=True)
class Refits:
    """Parameters refitted to draws [b, p], and the influence of images on them [n, p] where it is known."""

    draws: Array
    pulled: Array | None = None

    def interval(
        self, theta: Array, quantity: Callable[[Array], Array], stretch: float
    ) -> tuple[Array, Array]:
        """Ends [k] of the interval of quantities [g, k] of parameters [g, p], at the optimum theta [p]."""
        cloud = quantity(self.draws)
        return bca(
            quantity(theta[None])[0], cloud, self._acceleration(theta, quantity, cloud), stretch=stretch
        )

    def _acceleration(self, theta: Array, quantity: Callable[[Array], Array], cloud: Array) -> Array:
        if self.pulled is None:
            return np.zeros(cloud.shape[1])
        gradients = gradients_of(quantity, theta).T
        usable = np.where(np.isfinite(gradients), gradients, 0.0)
        with np.errstate(all="ignore"):  # an amplitude of a law that does not fit may have no variance
            return acceleration_of(self.pulled @ usable, np.var(cloud, axis=0))
