"""Global searches: closed-form amplitudes on a grid of shapes, whose best cells are refined.

Source: Golub and Pereyra 2003 (variable projection).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling.fitting.least_squares import FEW, ROUNDS, TINY, LeastSquares, refine
from mlproject.scaling.laws.law import Array

STARTS = 12  # best grid cells that are refined, for laws with many shapes
NEAR = 48  # cells of the grid that replicates are searched on
CACHED = 12_000  # losses of replicates that are refined together, so that arrays stay in the cache


def solve(problem: LeastSquares) -> Array:
    """The best parameters [b, p] of every data set: the best cell of the grid, refined.

    One data set under a law with many shapes is refined from its best cells, as there may be local minima.
    """
    if len(problem.y) > 1 or problem.law.n_shapes < 3:
        return refine(problem, search(problem, problem.law.grid()))
    shapes = problem.law.grid()
    amplitudes, cost = project(problem, shapes)
    best = np.argsort(cost[0])[:STARTS]
    repeated = problem.repeat(len(best))
    refined = refine(repeated, np.concatenate([shapes[best], amplitudes[0, best]], axis=1), rounds=40)
    return refine(problem, refined[[int(np.argmin(repeated.cost(refined)))]])


def refit(problem: LeastSquares, theta: Array) -> Array:
    """The best parameters [b, p] of replicates of one data set whose optimum is ``theta`` [p].

    Laws with few shapes are searched again on the grid, on the ``NEAR`` cells that suit the mean of the
    replicates best; with many shapes each replicate starts from the optimum.
    """
    begin, rounds = np.repeat(theta[None], len(problem.y), axis=0), 40
    if problem.law.n_shapes < 3:
        mean = problem.of(problem.y.mean(axis=0, keepdims=True), problem.weights[:1])
        shapes = problem.law.grid()
        shapes = shapes[np.sort(np.argsort(project(mean, shapes)[1][0], kind="stable")[:NEAR])]
        begin, rounds = search(problem, shapes), ROUNDS
    step = max(FEW + 1, CACHED // len(problem.log_x))
    parts = [np.arange(len(begin)) // step == part for part in range(-(-len(begin) // step))]
    return np.concatenate([refine(problem.take(part), begin[part], rounds=rounds) for part in parts])


def search(problem: LeastSquares, shapes: Array) -> Array:
    """The best of the shapes [g, q] for every data set [b, p], with amplitudes by non-negative least squares.

    Amplitudes minimise the relative error, which is the log error to first order and linear in them.
    """
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
