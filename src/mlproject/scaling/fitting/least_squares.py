"""Least squares for many data sets at once: closed-form amplitudes on a grid of shapes, then refinement.

Sources: Golub and Pereyra 2003 (variable projection); Levenberg 1944 and Marquardt 1963 (damping); Squire and
Trapp 1998 (complex-step derivatives, exact to rounding).

Residuals are w (ln y - ln L) in *log* space or w (y - L) in *linear* space; their squares are summed, never
averaged. The result is deterministic and, since the data are scaled, independent of units. Where rows of a
run share an offset, residuals are whitened: V^-1/2 with V = 1 + ratio w w' within each run (generalised least
squares; Aitken 1935, Proc. Roy. Soc. Edinburgh 55, 42).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, wraps
from itertools import combinations
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from mlproject.scaling.laws.law import Array, ScalingLaw

P = ParamSpec("P")
R = TypeVar("R")
TINY = 1e-300
STARTS = 12  # best grid cells that are refined, for laws with many shapes
AT_ONCE = 2000  # losses of all data sets together up to which derivatives are taken in one call
FEW = 64  # data sets up to which steps are solved by QR
STEP = 1e-20  # of complex-step derivatives, far below rounding
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
        """Derivatives of the residuals [b, m, p]: by complex steps of the shapes; amplitudes are linear."""
        b, p = theta.shape
        q, m = self.law.n_shapes, len(self.log_x)
        change = np.empty((b, m, p))  # of the mean, by one step of each parameter
        at_once = q if b * m <= AT_ONCE else 1  # where a call costs most
        for first in range(0, q, at_once):
            moved = theta[:, :q] + 1j * STEP * _identity(q)[first : first + at_once, None, :]
            basis = self.law.basis(moved.reshape(-1, q), self.log_x).reshape(at_once, b, m, p - q)
            mean = np.matmul(basis, theta[:, q:, None])[..., 0]
            change[:, :, first : first + at_once] = mean.imag.transpose(1, 2, 0)
        change[:, :, q:] = STEP * basis[0].real
        if not self.linear:
            level = mean[0].real[..., None]
            change = change / np.where(level > TINY, level, np.inf)
        if self.runs is None:
            return np.asarray(-self.weights[..., None] * change / STEP)
        return np.stack([-self.white(column) / STEP for column in np.moveaxis(change, 2, 0)], axis=2)

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


def solve(problem: LeastSquares) -> Array:
    """The best parameters [b, p] of every data set: the best cell of the grid, refined.

    One data set under a law with many shapes is refined from its best cells, as there may be local minima.
    """
    if len(problem.y) > 1 or problem.law.n_shapes < 3:
        return refine(problem, search(problem))
    shapes = problem.law.grid()
    amplitudes, cost = project(problem, shapes)
    best = np.argsort(cost[0])[:STARTS]
    repeated = problem.repeat(len(best))
    refined = refine(repeated, np.concatenate([shapes[best], amplitudes[0, best]], axis=1), rounds=40)
    return refine(problem, refined[[int(np.argmin(repeated.cost(refined)))]])


def refit(problem: LeastSquares, theta: Array) -> Array:
    """The best parameters [b, p] of replicates of one data set whose optimum is ``theta`` [p].

    Laws with few shapes are searched again on the grid; with many shapes each replicate starts from the
    optimum, as thousands of cells for each of a thousand replicates would cost too much.
    """
    if problem.law.n_shapes < 3:
        return solve(problem)
    return refine(problem, np.repeat(theta[None], len(problem.y), axis=0), rounds=40)


def search(problem: LeastSquares) -> Array:
    """The best grid cell [b, p] of every data set, with amplitudes by non-negative least squares.

    Amplitudes minimise the relative error, which is the log error to first order and linear in them.
    """
    shapes = problem.law.grid()
    amplitudes, cost = project(problem, shapes)
    best = np.argmin(cost, axis=1)
    rows = np.arange(len(best))
    return np.concatenate([shapes[best], amplitudes[rows, best]], axis=1)


def project(problem: LeastSquares, shapes: Array) -> tuple[Array, Array]:
    """Closed-form amplitudes [b, g, a] and cost [b, g] of every data set at every shape [g, q]."""
    basis = problem.law.basis(shapes, problem.log_x).real
    weights = np.broadcast_to(problem.weights, problem.y.shape)
    w = weights**2 if problem.linear else (weights / problem.y) ** 2
    target = problem.y
    low, high = problem.bounds()
    pinned = np.flatnonzero(low == high) - problem.law.n_shapes
    g, m, a = basis.shape
    gram = (w @ np.einsum("gma,gmc->mgac", basis, basis).reshape(m, -1)).reshape(-1, g, a, a)
    cross = ((w * target) @ basis.transpose(1, 0, 2).reshape(m, -1)).reshape(-1, g, a)
    total = np.sum(w * target**2, axis=1)[:, None]
    fixed = pinned[pinned >= 0]
    known = np.zeros(a)
    known[fixed] = low[fixed + problem.law.n_shapes]
    return _nonnegative(gram, cross, total, fixed, known)


def _nonnegative(
    gram: Array, cross: Array, total: Array, fixed: NDArray[np.intp], known: Array
) -> tuple[Array, Array]:
    """Non-negative least squares by exhaustion over the sets of free amplitudes, at most four."""
    a = cross.shape[-1]
    free = [j for j in range(a) if j not in set(fixed.tolist())]
    remaining = cross - gram @ known
    base = total - 2.0 * cross @ known + np.einsum("a,bgac,c->bg", known, gram, known)
    best = np.broadcast_to(known, cross.shape).copy()
    cost = np.array(base)
    for size in range(1, len(free) + 1):
        for chosen in combinations(free, size):
            pick = list(chosen)
            solution = _solve_small(gram[..., pick, :][..., pick], remaining[..., pick])
            gain = np.sum(solution * remaining[..., pick], axis=-1)
            better = np.all(solution >= 0, axis=-1) & (base - gain < cost)
            cost = np.where(better, base - gain, cost)
            trial = np.broadcast_to(known, cross.shape).copy()
            trial[..., pick] = solution
            best = np.where(better[..., None], trial, best)
    return best, cost


def _solve_small(matrix: Array, right: Array) -> Array:
    """Solve small symmetric systems; a ridge at rounding level keeps them regular."""
    n = matrix.shape[-1]
    scale = np.sqrt(np.maximum(np.diagonal(matrix, axis1=-2, axis2=-1), TINY))
    unit = matrix / scale[..., :, None] / scale[..., None, :] + 1e-12 * np.eye(n)
    out: Array = np.linalg.solve(unit, (right / scale)[..., None])[..., 0] / scale
    return out


def refine(
    problem: LeastSquares, theta: Array, *, frozen: NDArray[np.bool_] | None = None, rounds: int = 300
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
            problem = problem.of(_rows(problem.y, rest), _rows(problem.weights, rest))
    theta[open_] = at
    return theta


def _sum_of_squares(residual: Array) -> Array:
    return np.asarray(np.sum(residual**2, axis=1))


def _rows(values: Array, rows: NDArray[np.bool_]) -> Array:
    return values if len(values) == 1 else values[rows]


def _step(
    problem: LeastSquares,
    theta: Array,
    residual: Array,
    held: NDArray[np.bool_],
    damping: Array,
    bounds: tuple[Array, Array],
) -> Array:
    """One damped Gauss-Newton step inside the bounds; parameters at a bound do not step outwards."""
    slopes = problem.jacobian(theta)
    gradient = np.einsum("bmp,bm->bp", slopes, residual)
    low, high = bounds
    stuck = held | ((theta <= low) & (gradient > 0)) | ((theta >= high) & (gradient < 0))
    size = np.maximum(np.sqrt(np.einsum("bmp,bmp->bp", slopes, slopes)), 1e-15)
    unit = slopes / size[:, None, :] * ~stuck[:, None, :]
    step = -_damped(unit, residual, np.where(stuck, 1.0, damping[:, None] + 1e-15)) / size * ~stuck
    return np.asarray(np.clip(theta + step, low, high))


def _damped(slopes: Array, residual: Array, damping: Array) -> Array:
    """Minimise |slopes step - residual|^2 + damping step^2; by QR for few data sets, for accuracy."""
    b, m, p = slopes.shape
    if b > FEW:
        curve = np.einsum("bmp,bmq->bpq", slopes, slopes) + damping[:, :, None] * _identity(p)
        return np.asarray(
            np.linalg.solve(curve, np.einsum("bmp,bm->bp", slopes, residual)[..., None])[..., 0]
        )
    q, r = np.linalg.qr(np.concatenate([slopes, np.sqrt(damping)[:, :, None] * _identity(p)], axis=1))
    right = np.einsum("bmp,bm->bp", q[:, :m], residual)
    return np.asarray(np.linalg.solve(r, right[..., None])[..., 0])
