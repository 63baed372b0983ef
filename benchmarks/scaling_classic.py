"""Classic ways to fit a learning curve, as a user of SciPy and NumPy would write them."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import curve_fit

Array = NDArray[np.float64]


def curve_fit_default(x: Array, y: Array, at: Array) -> Array:
    """E + k x^-a on raw x from SciPy's default start."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            best, _ = curve_fit(lambda u, e, k, a: e + k * u**-a, x, y)
        except RuntimeError:
            best = np.ones(3)
        return np.asarray(best[0] + best[1] * at ** -best[2])


def curve_fit_scaled(x: Array, y: Array, at: Array) -> tuple[Array, Array, Array]:
    """The same with x over its median, bounds and a start; intervals of a new run by the delta method."""
    unit, start = np.median(x), (y.min(), np.ptp(y), 0.5)
    bounds = ([0.0, 0.0, 0.0], [np.inf] * 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a covariance that cannot be estimated
        best, cov = curve_fit(
            lambda u, e, k, a: e + k * u**-a, x / unit, y, start, bounds=bounds, maxfev=20000
        )
    u, dof = at / unit, max(len(x) - 3, 1)
    mean = best[0] + best[1] * u ** -best[2]
    slopes = np.stack([np.ones_like(u), u ** -best[2], -best[1] * np.log(u) * u ** -best[2]], axis=1)
    noise = np.sum((y - best[0] - best[1] * (x / unit) ** -best[2]) ** 2) / dof
    half = stats.t.ppf(0.975, dof) * np.sqrt(np.einsum("np,pq,nq->n", slopes, cov, slopes) + noise)
    return np.asarray(mean), np.asarray(mean - half), np.asarray(mean + half)


def straight_line(x: Array, y: Array, at: Array) -> Array:
    """Log-log regression."""
    return np.exp(np.polyval(np.polyfit(np.log(x), np.log(y), 1), np.log(at)))


def line_intervals(x: Array, y: Array, at: Array) -> tuple[Array, Array, Array]:
    """Log-log regression with its t interval of a new run."""
    u, mean = np.log(x), np.log(straight_line(x, y, at))
    noise = np.sum((np.log(y) - np.log(straight_line(x, y, x))) ** 2) / (len(x) - 2)
    leverage = 1.0 / len(x) + (np.log(at) - u.mean()) ** 2 / np.sum((u - u.mean()) ** 2)
    half = stats.t.ppf(0.975, len(x) - 2) * np.sqrt(noise * (1.0 + leverage))
    return np.exp(mean), np.exp(mean - half), np.exp(mean + half)


def m4_objective(x: Array, y: Array, at: Array) -> Array:
    """ln(y - E) - a ln(L0 - y) = ln k - c ln x by least squares on a grid of E and L0, then solved for y."""
    floors = y.min() * (1.0 - np.geomspace(1e-3, 1.0, 40))
    ceilings = y.max() * (1.0 + np.geomspace(1e-3, 3.0, 40))
    best, found = np.inf, (0.0, 1.0, np.zeros(3))
    for floor in floors:
        target = np.log(y - floor)
        for ceiling in ceilings:
            design = np.stack([np.log(ceiling - y), np.ones_like(x), np.log(x)], axis=1)
            solution = np.linalg.lstsq(design, target, rcond=None)[0]
            cost = float(np.sum((design @ solution - target) ** 2))
            if cost < best and solution[0] >= 0:
                best, found = cost, (floor, ceiling, solution)
    floor, ceiling, (a, level, slope) = found
    low, high = np.full(len(at), floor), np.full(len(at), ceiling)
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = np.log(middle - floor) - a * np.log(ceiling - middle) > level + slope * np.log(at)
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return 0.5 * (low + high)
