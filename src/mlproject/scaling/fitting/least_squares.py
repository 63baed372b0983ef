"""Least squares for many data sets at once: amplitudes in closed form on a grid, then a bounded polish.

Source: Golub and Pereyra 2003 (variable projection); Levenberg 1944 and Marquardt 1963 for the damping;
Squire and Trapp 1998 (complex step) for derivatives that are exact to rounding.

Residuals are w (ln y - ln L) in *log* space or w (y - L) in *linear* space, summed, never averaged.
Nothing here is random and nothing depends on units, since the data come scaled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling.laws.law import Array, ScalingLaw

TINY = 1e-300
STARTS = 12
FEW = 64
STEP = 1e-20  # of the complex derivative: far below rounding, which is its point


@dataclass(frozen=True, kw_only=True)
class LeastSquares:
    """Data sets that share their scales: log_x [m, axes], y [b, m] scaled, weights [b, m] or [1, m]."""

    law: ScalingLaw
    log_x: Array
    y: Array
    weights: Array
    linear: bool = False
    ceiling: float | None = None
    without_floor: bool = False

    def residuals(self, theta: NDArray[np.inexact]) -> NDArray[np.inexact]:
        """Weighted residuals [b, m] at parameters [b, p], real or complex."""
        mean = self.law.mean(theta, self.log_x)
        if self.linear:
            return np.asarray(self.weights * (self.y - mean))
        floor = np.where(mean.real > TINY, mean, TINY)
        return np.asarray(self.weights * (np.log(self.y) - np.log(floor)))

    def cost(self, theta: Array) -> Array:
        """Sum of squared weighted residuals [b]."""
        return np.asarray(np.sum(self.residuals(theta).real ** 2, axis=1))

    def jacobian(self, theta: Array) -> Array:
        """Derivatives of the residuals [b, m, p] by complex steps."""
        columns = []
        for j in range(theta.shape[1]):
            moved = theta.astype(np.complex128)
            moved[:, j] += 1j * STEP
            columns.append(self.residuals(moved).imag / STEP)
        return np.stack(columns, axis=2)

    def bounds(self) -> tuple[Array, Array]:
        """Bounds of the parameters, closed around a ceiling that is known and a floor that is left out."""
        low, high = self.law.bounds()
        if self.law.ceiling is not None and self.ceiling is not None:
            index = self.law.names.index(self.law.ceiling)
            low[index] = high[index] = self.ceiling
        if self.without_floor:
            high[self.law.names.index("E")] = 0.0
        return low, high

    def repeat(self, n: int) -> LeastSquares:
        """The same data set ``n`` times (for one data set only)."""
        return self.of(np.repeat(self.y, n, axis=0), np.repeat(self.weights, n, axis=0))

    def of(self, y: Array, weights: Array) -> LeastSquares:
        """The same scales and law with other losses and weights."""
        return replace(self, y=y, weights=weights)


def solve(problem: LeastSquares) -> Array:
    """The best parameters [b, p] of every data set: the best cell of the grid, polished.

    One data set under a law with many shapes is polished from its best cells, since their basins differ.
    """
    if len(problem.y) > 1 or problem.law.n_shapes < 3:
        return polish(problem, search(problem))
    shapes = problem.law.grid()
    amplitudes, cost = project(problem, shapes)
    best = np.argsort(cost[0])[:STARTS]
    many = problem.repeat(len(best))
    found = polish(many, np.concatenate([shapes[best], amplitudes[0, best]], axis=1), rounds=40)
    return polish(problem, found[[int(np.argmin(many.cost(found)))]])


def refit(problem: LeastSquares, theta: Array) -> Array:
    """The best parameters [b, p] of replicates of one data set whose optimum is ``theta`` [p].

    Laws with few shapes are searched afresh; with many, each replicate starts from there, since a search
    of thousands of cells a thousand times over would cost more than it finds.
    """
    if problem.law.n_shapes < 3:
        return solve(problem)
    return polish(problem, np.repeat(theta[None], len(problem.y), axis=0), rounds=40)


def search(problem: LeastSquares) -> Array:
    """The best grid cell [b, p] of every data set, amplitudes by non-negative least squares.

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
    """Non-negative least squares by trying every set of free amplitudes; there are at most four."""
    a = cross.shape[-1]
    free = [j for j in range(a) if j not in set(fixed.tolist())]
    rest = cross - gram @ known
    base = total - 2.0 * cross @ known + np.einsum("a,bgac,c->bg", known, gram, known)
    best = np.broadcast_to(known, cross.shape).copy()
    cost = np.array(base)
    for size in range(1, len(free) + 1):
        for chosen in combinations(free, size):
            pick = list(chosen)
            part = _solve_small(gram[..., pick, :][..., pick], rest[..., pick])
            gain = np.sum(part * rest[..., pick], axis=-1)
            better = np.all(part >= 0, axis=-1) & (base - gain < cost)
            cost = np.where(better, base - gain, cost)
            trial = np.broadcast_to(known, cross.shape).copy()
            trial[..., pick] = part
            best = np.where(better[..., None], trial, best)
    return best, cost


def _solve_small(matrix: Array, right: Array) -> Array:
    """Solve small symmetric systems, with a ridge at rounding level so that none is singular."""
    n = matrix.shape[-1]
    scale = np.sqrt(np.maximum(np.diagonal(matrix, axis1=-2, axis2=-1), TINY))
    unit = matrix / scale[..., :, None] / scale[..., None, :] + 1e-12 * np.eye(n)
    out: Array = np.linalg.solve(unit, (right / scale)[..., None])[..., 0] / scale
    return out


def polish(
    problem: LeastSquares, theta: Array, *, frozen: NDArray[np.bool_] | None = None, rounds: int = 300
) -> Array:
    """Bounded Levenberg-Marquardt on every data set at once; ``frozen`` [b, p] parameters do not move."""
    low, high = problem.bounds()
    theta = np.clip(theta, low, high)
    held = np.zeros(theta.shape, dtype=bool) if frozen is None else frozen
    held = held | (low == high)
    damping = np.full(len(theta), 1e-3)
    cost = problem.cost(theta)
    open_ = np.arange(len(theta))
    for _ in range(rounds):
        part = problem.of(_rows(problem.y, open_), _rows(problem.weights, open_))
        trial = _step(part, theta[open_], held[open_], damping[open_], (low, high))
        new = part.cost(trial)
        better = new <= cost[open_]
        gain = cost[open_] - new
        moved = np.max(np.abs(trial - theta[open_]) / (np.abs(theta[open_]) + 1e-6), axis=1)
        theta[open_[better]] = trial[better]
        done = (better & (gain <= 1e-14 * cost[open_]) & (moved < 1e-9)) | (moved < 1e-14)
        cost[open_[better]] = new[better]
        damping[open_] = np.where(better, damping[open_] / 5.0, damping[open_] * 6.0)
        damping = np.clip(damping, 1e-12, 1e12)
        open_ = open_[~done]
        if not len(open_):
            break
    return theta


def _rows(values: Array, rows: NDArray[np.intp]) -> Array:
    return values if len(values) == 1 else values[rows]


def _step(
    problem: LeastSquares, theta: Array, held: NDArray[np.bool_], damping: Array, bounds: tuple[Array, Array]
) -> Array:
    """One damped Gauss-Newton step inside the bounds; a parameter that pushes outwards stays put."""
    residual, slopes = problem.residuals(theta).real, problem.jacobian(theta)
    gradient = np.einsum("bmp,bm->bp", slopes, residual)
    low, high = bounds
    stuck = held | ((theta <= low) & (gradient > 0)) | ((theta >= high) & (gradient < 0))
    size = np.maximum(np.sqrt(np.einsum("bmp,bmp->bp", slopes, slopes)), 1e-15)
    unit = slopes / size[:, None, :] * ~stuck[:, None, :]
    step = -_damped(unit, residual, np.where(stuck, 1.0, damping[:, None] + 1e-15)) / size * ~stuck
    return np.asarray(np.clip(theta + step, low, high))


def _damped(slopes: Array, residual: Array, damping: Array) -> Array:
    """Minimise |slopes step - residual|^2 + damping step^2; by QR for few data sets, to keep digits."""
    b, _, p = slopes.shape
    if b > FEW:
        curve = np.einsum("bmp,bmq->bpq", slopes, slopes) + damping[:, :, None] * np.eye(p)
        return np.asarray(
            np.linalg.solve(curve, np.einsum("bmp,bm->bp", slopes, residual)[..., None])[..., 0]
        )
    tall = np.concatenate([slopes, np.sqrt(damping)[:, :, None] * np.eye(p)], axis=1)
    q, r = np.linalg.qr(tall)
    right = np.einsum("bmp,bm->bp", q[:, : slopes.shape[1]], residual)
    return np.asarray(np.linalg.solve(r, right[..., None])[..., 0])
