"""Profile likelihood: of every parameter, and of every predicted loss.

Sources: Bates and Watts 1988, chapter 6 (profile t); Simpson and Maclaren 2023, PLoS Comput. Biol. 19
e1011515 (the range of a prediction over the profiles of the parameters); Bjornstad 1990 (Statist. Sci. 5,
242), predictive profile likelihood; Kreutz et al. 2012 (BMC Syst. Biol. 6, 120), the prediction as an added
observation.

The 95 % region holds the parameters whose cost exceeds that of the optimum by at most a limit. The range of a
prediction over the profiles of single parameters is too narrow: to first order by the largest correlation
between the prediction and any one parameter. So each prediction is also moved up and down by an added
observation. Wherever that fit settles, it has the least cost of all parameters with the same prediction, so
the weight of the added observation does not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling.fitting.grid_search import solve
from mlproject.scaling.fitting.least_squares import TINY, LeastSquares, refine
from mlproject.scaling.laws.derivatives import STEP
from mlproject.scaling.laws.law import Array, Values

DIFFERENCE = 1e-6  # of a parameter, for central differences
REACH = np.array(
    [0.15, 0.4, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0]
)  # distances along a profile, in half-widths of the linear interval
PULL = 30.0  # weight of the added observation, in standard errors of the prediction
SEARCHES = 5  # for the displacement that ends at the limit
ROUNDS = 12  # of refinement in each search, from the end of the last
NEAR = 0.02  # relative tolerance at the limit
AT_ONCE = 64  # predictions at once, to bound memory
GRID_SCALES = 40  # on which dense predictions along one axis are evaluated


def interpolate_dense(quantities: Callable[[Array], Array], at: Array) -> Array:
    """Evaluate quantities [q, n] at log scales at [n, axes]; dense ones of one axis are interpolated.

    Along one axis they are evaluated at ``GRID_SCALES`` at most, and interpolated linearly between these.
    """
    if at.shape[1] > 1 or len(at) <= GRID_SCALES:
        return quantities(at)
    grid = np.linspace(at.min(), at.max(), GRID_SCALES)
    return np.stack([np.interp(at[:, 0], grid, row) for row in quantities(grid[:, None])])


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Scaled parameters [s, p] along the profiles inside the 95 % region, and which ends are open.

    ``open_low`` and ``open_high`` [p] mark ends where the profile reached a bound, or went far beyond the
    linear interval, without leaving the region: the data do not bound the parameter there.
    """

    paths: Array
    open_low: NDArray[np.bool_]
    open_high: NDArray[np.bool_]


def profile(problem: LeastSquares, theta: Array, limit: float) -> Profile:
    """Profile every parameter of one data set around its optimum [p], refitting the others.

    Where the law without its floor fits within the limit too, its profiles belong to the region: at the edge
    E = 0 the refitted parameters would otherwise miss the lowest predictions. An infinite limit, where no
    degree of freedom is left, gives the optimum alone.
    """
    if not np.isfinite(limit):
        every = np.ones(len(theta), bool)
        return Profile(paths=theta[None], open_low=every, open_high=every)
    full = profiles(problem, theta, limit)
    if "E" not in problem.law.names or theta[problem.law.names.index("E")] < 0:
        return full
    floorless = replace(problem, without_floor=True)
    edge = solve(floorless)[0]
    excess = float(problem.cost(edge[None])[0] - problem.cost(theta[None])[0])
    if excess >= limit:
        return full
    paths = np.concatenate([full.paths, profiles(floorless, edge, limit - max(excess, 0.0)).paths])
    return replace(full, paths=paths)


def profiles(problem: LeastSquares, theta: Array, limit: float) -> Profile:
    """Profiles of all free parameters up to a cost that exceeds that of the optimum by ``limit``."""
    cost = float(problem.cost(theta[None])[0])
    errors = linear_errors(problem, theta) * np.sqrt(limit)
    low, high = problem.bounds()
    free = [int(j) for j in np.flatnonzero(low < high)]
    grids = [_profile_grid(theta, j, errors[j], low[j], high[j]) for j in free]
    starts = np.concatenate(grids)
    index = np.repeat(free, [len(grid) for grid in grids])
    solved, excess = _refit_others(problem, starts, index, cost)
    ends, end_index = _ends(theta, solved, excess, index, limit)
    end_solved, end_excess = _refit_others(problem, ends, end_index, cost)
    inside = np.concatenate([solved[excess <= limit], end_solved[end_excess <= 1.1 * limit], theta[None]])
    open_low, open_high = np.zeros(len(theta), bool), np.zeros(len(theta), bool)
    for j in free:
        outside = (index == j) & (excess > limit)
        open_low[j] = not np.any(outside & (solved[:, j] < theta[j]))
        open_high[j] = not np.any(outside & (solved[:, j] > theta[j]))
    return Profile(paths=inside, open_low=open_low, open_high=open_high)


def linear_errors(problem: LeastSquares, theta: Array) -> Array:
    """Standard errors [p] of the linearised problem for unit noise; known parameters have none."""
    return np.asarray(np.linalg.norm(_inverse_slopes(problem, theta), axis=1))


def derived_errors(problem: LeastSquares, theta: Array, gradients: Array) -> Array:
    """Standard errors [k] of quantities with gradients [k, p], for unit noise."""
    return np.asarray(np.linalg.norm(gradients @ _inverse_slopes(problem, theta), axis=1))


def gradients_of(quantity: Callable[[Array], Array], theta: Array) -> Array:
    """Central differences [k, p] of quantities [s, k] of parameters [s, p] at theta [p]."""
    steps = DIFFERENCE * np.eye(len(theta))
    return np.asarray((quantity(theta + steps) - quantity(theta - steps)).T / (2.0 * DIFFERENCE))


def _inverse_slopes(problem: LeastSquares, theta: Array) -> Array:
    """The pseudo-inverse for all parameters that are not known; its row norms are standard errors."""
    low, high = problem.bounds()
    return inverse_slopes(problem, theta, low < high)


def inverse_slopes(problem: LeastSquares, theta: Array, free: NDArray[np.bool_]) -> Array:
    """The pseudo-inverse of the Jacobian [p, m], zero for parameters that are not ``free`` [p]."""
    slopes = problem.jacobian(theta[None])[0]
    size = np.maximum(np.linalg.norm(slopes, axis=0), 1e-12)
    inverse = np.zeros(slopes.T.shape)
    inverse[free] = np.linalg.pinv((slopes / size)[:, free], rcond=1e-10) / size[free, None]
    return inverse


def condition_number(problem: LeastSquares, theta: Array) -> float:
    """Condition number of the information matrix with every free parameter scaled to unit information."""
    slopes = problem.jacobian(theta[None])[0]
    low, high = problem.bounds()
    free = slopes[:, low < high]
    size = np.linalg.norm(free, axis=0)
    if np.any(size <= 0):
        return float("inf")
    return float(np.linalg.cond(free / size) ** 2)


def _profile_grid(theta: Array, j: int, error: float, low: float, high: float) -> Array:
    """Values of parameter j on both sides of its optimum, inside its bounds, as parameters [s, p]."""
    span = min(max(error, 1e-9 * (1.0 + abs(theta[j]))), 1e6)
    values = np.concatenate([theta[j] - span * REACH, theta[j] + span * REACH])
    values = np.unique(np.clip(values, low, high))
    values = values[values != theta[j]]
    starts = np.repeat(theta[None], len(values), axis=0)
    starts[:, j] = values
    return starts


def _refit_others(
    problem: LeastSquares, starts: Array, index: NDArray[np.intp], cost: float
) -> tuple[Array, Array]:
    """Refit all parameters but the profiled one; returns parameters and their cost above the optimum."""
    if not len(starts):
        return starts, np.zeros(0)
    frozen = np.zeros(starts.shape, bool)
    frozen[np.arange(len(starts)), index] = True
    repeated = problem.repeat(len(starts))
    solved = refine(repeated, starts, frozen=frozen, rounds=25)
    return solved, repeated.cost(solved) - cost


def _ends(
    theta: Array, solved: Array, excess: Array, index: NDArray[np.intp], limit: float
) -> tuple[Array, NDArray[np.intp]]:
    """Where each profile crosses the limit, by interpolation in the root of the excess cost."""
    ends, parameters = [], []
    for j in np.unique(index):
        for side in (-1.0, 1.0):
            branch = (index == j) & (side * (solved[:, j] - theta[j]) > 0)
            order = np.argsort(np.abs(solved[branch, j] - theta[j]))
            at, root = solved[branch][order], np.sqrt(np.maximum(excess[branch][order], 0.0))
            outside = np.flatnonzero(root > np.sqrt(limit))
            if not len(outside):
                continue
            first = int(outside[0])
            inner, inner_root = (theta, 0.0) if first == 0 else (at[first - 1], float(root[first - 1]))
            share = (np.sqrt(limit) - inner_root) / max(float(root[first]) - inner_root, 1e-300)
            ends.append(inner + share * (at[first] - inner))
            parameters.append(j)
    return np.array(ends).reshape(-1, len(theta)), np.array(parameters, dtype=np.intp)


def prediction_limits(problem: LeastSquares, theta: Array, limit: float, at: Array) -> tuple[Array, Array]:
    """Lowest and highest ln L [n] at log scales at [n, axes] whose cost exceeds the optimum by ``limit``.

    ``theta`` [p] is the optimum of the one data set of ``problem``.
    """
    middle = _log_mean(problem, theta[None], at)[0].real
    low, high = interpolate_dense(lambda scales: _ranges(problem, theta, limit, scales), at)
    return middle + low, middle + high


def _ranges(problem: LeastSquares, theta: Array, limit: float, at: Array) -> Array:
    """How far each prediction can go down (at most zero) and up [2, n], ``AT_ONCE`` at a time."""
    parts = [
        _range(problem, theta, limit, at[first : first + AT_ONCE]) for first in range(0, len(at), AT_ONCE)
    ]
    return np.concatenate(parts, axis=1)


def _range(problem: LeastSquares, theta: Array, limit: float, at: Array) -> Array:
    """How far each of a few predictions can go down and up [2, n]."""
    n = len(at)
    middle = _log_mean(problem, theta[None], at)[0].real
    errors = derived_errors(problem, theta, _slopes(problem, theta, at))
    row, side = np.tile(np.arange(n), 2), np.repeat([-1.0, 1.0], n)
    strength = PULL / np.maximum(errors[row], 1e-12)
    distance = np.sqrt(limit) * np.maximum(errors[row], 1e-12)
    free, best = float(problem.cost(theta[None])[0]), np.zeros(2 * n)
    moved = np.repeat(theta[None], 2 * n, axis=0)
    for _ in range(SEARCHES):
        target = middle[row] + side * distance
        moved = refine(_with_observation(problem, at, row, target, strength), moved, rounds=ROUNDS)
        excess = problem.repeat(2 * n).cost(moved) - free
        reached = side * (_log_mean(problem, moved, at)[np.arange(2 * n), row].real - middle[row])
        inside = excess <= (1.0 + NEAR) * limit
        best = np.maximum(best, np.where(inside, reached, 0.0))
        if np.all(np.abs(excess - limit) <= NEAR * limit):
            break
        distance = distance * np.clip(np.sqrt(limit / np.maximum(excess, TINY)), 0.3, 3.0)
    return np.asarray((side * best).reshape(2, n))


def _log_mean(problem: LeastSquares, theta: Values, at: Array) -> Values:
    """ln L [b, n]."""
    mean = problem.law.mean(theta, at)
    return np.asarray(np.log(np.where(mean.real > TINY, mean, TINY)))


def _slopes(problem: LeastSquares, theta: Array, at: Array) -> Array:
    """Derivatives of every prediction [n, p] by complex steps."""
    moved = theta + 1j * STEP * np.eye(len(theta))
    return np.asarray(_log_mean(problem, moved, at).imag.T / STEP)


def _with_observation(
    problem: LeastSquares, at: Array, row: NDArray[np.intp], target: Array, strength: Array
) -> LeastSquares:
    """The data set once for each target [b], with that prediction as one more observation."""
    n_targets, n = len(row), len(at)
    added, weights = np.ones((n_targets, n)), np.zeros((n_targets, n))
    sets, losses = np.arange(n_targets), np.exp(np.clip(target, -300.0, 300.0))
    added[sets, row] = losses
    weights[sets, row] = strength / losses if problem.linear else strength
    repeated, runs = problem.repeat(n_targets), problem.runs
    return replace(
        repeated,
        runs=None if runs is None else np.concatenate([runs, np.zeros((n, runs.shape[1]))]),
        log_x=np.concatenate([problem.log_x, at]),
        y=np.concatenate([repeated.y, added], axis=1),
        weights=np.concatenate([repeated.weights, weights], axis=1),
    )
