"""Power laws without and with a floor, fitted to many sets of losses at the same scales at once.

E + k x^-α is linear in E and k at a given exponent, so that each set of losses needs a search along α alone
(variable projection: Golub and Pereyra 1973, SIAM Journal on Numerical Analysis 10, 413). Residuals are
relative to the loss, as noise of the same share is expected at every scale. Neither intervals nor verdicts
come from here: sets are replicates, of which quantiles are taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling.laws.law import Array

EXPONENTS = np.geomspace(0.02, 4.0, 24)
"""Exponents that are tried before the search is refined around the best of each set."""
N_REFINED = 9
N_ROUNDS = 4


@dataclass(frozen=True, kw_only=True)
class PowerLaws:
    """E + k x^-α of each set of losses: arrays [sets]; ``unit`` is the scale at which x^-α is 1."""

    alpha: Array
    k: Array
    floor: Array
    unit: float

    def mean(self, x: float) -> Array:
        """The loss of each law at a scale, [sets]."""
        return np.asarray(self.floor + self.k * (x / self.unit) ** -self.alpha)

    def local_exponent(self, x: float) -> Array:
        """-d ln L / d ln x of each law at a scale, [sets]."""
        falling = self.k * (x / self.unit) ** -self.alpha
        return np.asarray(self.alpha * falling / (self.floor + falling))


def fit_power(x: Array, y: Array, weights: Array) -> PowerLaws:
    """k x^-α fitted to ln y, y [sets, points] at scales x [points], with ``weights`` [points] of ln y."""
    unit = float(np.exp(np.mean(np.log(x))))
    share = weights / weights.sum()
    t, z = np.log(x / unit), np.log(y)
    centre, level = share @ t, z @ share
    slope = (z - level[:, None]) @ (share * (t - centre)) / (share @ (t - centre) ** 2)
    return PowerLaws(alpha=-slope, k=np.exp(level - slope * centre), floor=np.zeros(len(y)), unit=unit)


def fit_power_floor(x: Array, y: Array, weights: Array) -> PowerLaws:
    """E + k x^-α with E >= 0, k >= 0, α > 0, fitted to y [sets, points] as ``fit_power``."""
    unit = float(np.exp(np.mean(np.log(x))))
    t = np.log(x / unit)
    tried = np.broadcast_to(EXPONENTS, (len(y), len(EXPONENTS)))
    for _ in range(N_ROUNDS):
        error, floor, k = _solved(t, y, weights, tried)
        best = np.argmin(error, axis=1)
        rows = np.arange(len(y))
        low = tried[rows, np.maximum(best - 1, 0)]
        high = tried[rows, np.minimum(best + 1, tried.shape[1] - 1)]
        alpha = tried[rows, best]
        tried = np.geomspace(low, high, N_REFINED, axis=1)
    return PowerLaws(alpha=alpha, k=k[rows, best], floor=floor[rows, best], unit=unit)


def _solved(t: Array, y: Array, weights: Array, alpha: Array) -> tuple[Array, Array, Array]:
    """Error, E and k [sets, exponents] of the best law at each exponent, neither of E and k below 0."""
    basis = np.exp(-alpha[:, :, None] * t)
    w = (weights / y**2)[:, None, :]
    s0, s1, s2 = w.sum(-1), (w * basis).sum(-1), (w * basis**2).sum(-1)
    r0, r1 = (w * y[:, None, :]).sum(-1), (w * basis * y[:, None, :]).sum(-1)
    determinant = s0 * s2 - s1**2
    with np.errstate(divide="ignore", invalid="ignore"):
        floor, k = (s2 * r0 - s1 * r1) / determinant, (s0 * r1 - s1 * r0) / determinant
    outside = ~(np.isfinite(floor) & np.isfinite(k) & (floor >= 0) & (k >= 0))
    flat = outside & _is_flat(r0, s0, r1, s2)
    floor = np.where(outside, np.where(flat, r0 / s0, 0.0), floor)
    k = np.where(outside, np.where(flat, 0.0, r1 / s2), k)
    error = (w * (y[:, None, :] - floor[:, :, None] - k[:, :, None] * basis) ** 2).sum(-1)
    return error, floor, k


def _is_flat(r0: Array, s0: Array, r1: Array, s2: Array) -> NDArray[np.bool_]:
    """Whether a constant fits better than a power law without a floor."""
    return np.asarray(r0**2 / s0 > r1**2 / s2)
