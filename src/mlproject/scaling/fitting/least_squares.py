"""Least squares for many data sets at once: residuals, derivatives, and refinement inside bounds.

Sources: Levenberg 1944 and Marquardt 1963 (damping); Squire and Trapp 1998 (complex-step derivatives, exact
to rounding).

Residuals are w (ln y - ln L) in *log* space or w (y - L) in *linear* space; their squares are summed, never
averaged. The result is deterministic and, since the data are scaled, independent of units. Where rows of a
run share an offset, residuals are whitened: V^-1/2 with V = 1 + ratio w w' within each run (generalised least
squares; Aitken 1935, Proc. Roy. Soc. Edinburgh 55, 42).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, wraps
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from mlproject.scaling.laws.derivatives import mean_slopes
from mlproject.scaling.laws.law import Array, ScalingLaw

P = ParamSpec("P")
R = TypeVar("R")
TINY = 1e-300
FEW = 64  # data sets up to which steps are solved by QR
ROUNDS = 300  # of refinement at most
_identity = cache(np.eye)


def one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function with one BLAS thread: matrices of a few dozen rows lose more than they gain."""

    @wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        with _libraries().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


@dataclass(frozen=True, kw_only=True)
class LeastSquares:
    """Fits of one law to data sets that share their scales.

    Shapes: ``log_x`` [m, axes] and ``y`` [b, m] are scaled, ``weights`` are [b, m] or [1, m].
    ``without_floor`` fixes E at zero. ``runs`` [m, g] marks the rows of each run, whose offset has ``ratio``
    times the variance of a weighted residual.
    """

    law: ScalingLaw
    log_x: Array
    y: Array
    weights: Array
    linear: bool = False
    ceiling: float | None = None
    without_floor: bool = False
    runs: Array | None = None
    ratio: float = 0.0

    def residuals(self, theta: NDArray[np.inexact]) -> NDArray[np.inexact]:
        """Weighted residuals [b, m] at parameters [b, p]."""
        mean = self.law.mean(theta, self.log_x)
        if self.linear:
            return self.white(self.y - mean)
        floor = np.where(mean.real > TINY, mean, TINY)
        return self.white(np.log(self.y) - np.log(floor))

    def white(self, values: NDArray[np.inexact]) -> NDArray[np.inexact]:
        """Weighted values [b, m] without the correlation of the rows of a run."""
        weighted = np.asarray(self.weights * values)
        if self.runs is None:
            return weighted
        size = self.weights**2 @ self.runs
        share = (1.0 - 1.0 / np.sqrt(1.0 + self.ratio * size)) / np.maximum(size, TINY)
        offsets = share * ((self.weights * weighted) @ self.runs)
        return np.asarray(weighted - self.weights * (offsets @ self.runs.T))

    def cost(self, theta: Array) -> Array:
        """Sum of squared weighted residuals [b]."""
        return _sum_of_squares(self.residuals(theta).real)

    def jacobian(self, theta: Array) -> Array:
        """Derivatives of the residuals [b, m, p]."""
        return np.moveaxis(self.slopes(theta), 0, 2)

    def slopes(self, theta: Array) -> Array:
        """Derivatives of the residuals [p, b, m]."""
        level, change = mean_slopes(self.law, theta, self.log_x)
        if not self.linear:
            change /= np.where(level > TINY, level, np.inf)
        if self.runs is None:
            change *= -self.weights
            return change
        return np.stack([-self.white(column) for column in change])

    def bounds(self) -> tuple[Array, Array]:
        """Bounds of the parameters; equal ones for a known ceiling and for a floor that is left out.

        The mean loss, which is 1, lies between the floor and the ceiling of a bounded law: else the two could
        change places, as under a loss that rises.
        """
        low, high = self.law.bounds()
        if self.law.ceiling is not None:
            index = self.law.names.index(self.law.ceiling)
            low[index] = 1.0
            if self.ceiling is not None:
                low[index] = high[index] = self.ceiling
            if "E" in self.law.names:
                high[self.law.names.index("E")] = min(1.0, low[index])
        if self.without_floor:
            high[self.law.names.index("E")] = 0.0
        return low, high

    def repeat(self, n: int) -> LeastSquares:
        """One data set, repeated ``n`` times."""
        return self.of(np.repeat(self.y, n, axis=0), np.repeat(self.weights, n, axis=0))

    def of(self, y: Array, weights: Array) -> LeastSquares:
        """The same scales and law with other losses and weights."""
        return replace(self, y=y, weights=weights)

    def take(self, rows: NDArray[np.bool_]) -> LeastSquares:
        """The data sets of a mask [b]; weights of all sets stay."""
        y, weights = (values if len(values) == 1 else values[rows] for values in (self.y, self.weights))
        return self.of(y, weights)


def refine(
    problem: LeastSquares,
    theta: Array,
    *,
    frozen: NDArray[np.bool_] | None = None,
    rounds: int = ROUNDS,
) -> Array:
    """Bounded Levenberg-Marquardt on every data set at once; ``frozen`` [b, p] parameters stay fixed."""
    bounds = low, high = problem.bounds()
    theta = np.clip(theta, low, high)
    held = np.broadcast_to(low == high, theta.shape) if frozen is None else frozen | (low == high)
    open_, at, damping = np.arange(len(theta)), theta, np.full(len(theta), 1e-3)
    residual = problem.residuals(theta).real
    cost = _sum_of_squares(residual)
    for _ in range(rounds):
        trial = _step(problem, at, residual, held, damping, bounds)
        moved_residual = problem.residuals(trial).real
        new = _sum_of_squares(moved_residual)
        better = new <= cost
        moved = np.max(np.abs(trial - at) / (np.abs(at) + 1e-6), axis=1)
        done = (better & (cost - new <= 1e-14 * cost) & (moved < 1e-9)) | (moved < 1e-14)
        at = np.where(better[:, None], trial, at)
        residual = np.where(better[:, None], moved_residual, residual)
        cost = np.where(better, new, cost)
        damping = np.clip(np.where(better, damping / 5.0, damping * 6.0), 1e-12, 1e12)
        if done.any():
            theta[open_[done]] = at[done]
            rest = ~done
            open_, at, held = open_[rest], at[rest], held[rest]
            residual, cost, damping = residual[rest], cost[rest], damping[rest]
            if not len(open_):
                break
            problem = problem.take(rest)
    theta[open_] = at
    return theta


def _sum_of_squares(residual: Array) -> Array:
    return np.asarray(np.sum(residual**2, axis=1))


def _step(
    problem: LeastSquares,
    theta: Array,
    residual: Array,
    held: NDArray[np.bool_],
    damping: Array,
    bounds: tuple[Array, Array],
) -> Array:
    """One damped Gauss-Newton step inside the bounds; parameters at a bound do not step outwards."""
    slopes = problem.slopes(theta)
    gradient = np.vecdot(slopes, residual).T
    low, high = bounds
    stuck = held | ((theta <= low) & (gradient > 0)) | ((theta >= high) & (gradient < 0))
    size = np.maximum(np.sqrt(np.vecdot(slopes, slopes)), 1e-15).T
    damped = np.where(stuck, 1.0, damping[:, None] + 1e-15)
    solved = _by_qr if len(theta) <= FEW else _by_normal_equations
    step = -solved(slopes, residual, np.where(stuck, 0.0, 1.0 / size), damped)
    return np.asarray(np.clip(theta + step, low, high))


def _by_qr(slopes: Array, residual: Array, scale: Array, damping: Array) -> Array:
    """Minimise |slopes step - residual|^2 + damping (step / scale)^2 for slopes [p, b, m], as steps [b, p].

    A scale of 0 holds a parameter.
    """
    m, unit = slopes.shape[2], np.moveaxis(slopes, 0, 2) * scale[:, None, :]
    roots = np.sqrt(damping)[:, :, None] * _identity(len(slopes))
    q, r = np.linalg.qr(np.concatenate([unit, roots], axis=1))
    right = np.einsum("bmp,bm->bp", q[:, :m], residual)
    return np.asarray(np.linalg.solve(r, right[..., None])[..., 0] * scale)


def _by_normal_equations(slopes: Array, residual: Array, scale: Array, damping: Array) -> Array:
    """As ``_by_qr``, faster and less accurate: the last data sets, which are slow to end, go by QR."""
    by_set, right = slopes.transpose(1, 0, 2), np.vecdot(slopes, residual).T * scale
    curve = by_set @ by_set.swapaxes(1, 2) * scale[:, :, None] * scale[:, None, :]
    curve += damping[:, :, None] * _identity(len(slopes))
    return np.asarray(np.linalg.solve(curve, right[..., None])[..., 0] * scale)
