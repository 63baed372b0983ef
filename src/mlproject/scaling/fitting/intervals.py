"""Intervals: Student t, profile likelihood along every parameter, and percentiles of refits.

Sources: Bates and Watts 1988, chapter 6 (profile t); Simpson and Maclaren 2023, PLoS Comput. Biol. 19
e1011515 (a prediction's range over the profiles of the parameters, which ``furthest`` completes); Efron 1987
(the bias-corrected percentile).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from mlproject.scaling.fitting.least_squares import LeastSquares, polish, solve
from mlproject.scaling.laws.law import Array

DIFFERENCE = 1e-6  # of a parameter, for central differences
LEVEL = 0.95
TAIL = 0.5 + LEVEL / 2.0
NORMAL = float(stats.norm.ppf(TAIL))
REACH = np.array(
    [0.15, 0.4, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0]
)  # of the linear interval


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its 95 % interval, in the units of the data.

    Where ``identified`` is False the data do not pin the value down, and only its limits are to be shown.
    """

    value: float
    low: float
    high: float
    identified: bool = True

    @property
    def width(self) -> float:
        """high - low."""
        return self.high - self.low

    def holds(self, value: float) -> bool:
        """Whether the interval contains a value."""
        return self.low <= value <= self.high


def t_quantile(dof: float) -> float:
    """The factor of a two-sided 95 % interval: 12.7 at one degree of freedom, 1.96 at infinity."""
    return float(stats.t.ppf(TAIL, dof)) if dof > 0 else float("inf")


def t_interval(value: float, standard_error: float, dof: float) -> Estimate:
    """value -/+ t standard_error."""
    half = t_quantile(dof) * standard_error if standard_error > 0 else 0.0
    return Estimate(value=value, low=value - half, high=value + half)


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The variance of weighted residuals and the t factor that belongs to how it is known.

    Noise that the caller knows has variance 1 and the normal factor, unless the residuals reject it at
    5 % (chi-square): then the law or the noise is wrong and the variance is read from the residuals.
    """

    variance: float
    factor: float
    dof: float
    rejected: bool = False


def read_noise(cost: float, dof: int, *, known: bool) -> Noise:
    """Noise from the sum of squared weighted residuals and its degrees of freedom."""
    if dof <= 0:
        return Noise(
            variance=1.0, factor=NORMAL if known else float("inf"), dof=float("inf") if known else 0.0
        )
    rejected = known and bool(stats.chi2.sf(cost, dof) < 0.05)
    if known and not rejected:
        return Noise(variance=1.0, factor=NORMAL, dof=float("inf"))
    return Noise(variance=cost / dof, factor=t_quantile(dof), dof=dof, rejected=rejected)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Scaled parameters [s, p] along the profiles inside the 95 % region, and which ends stay open.

    ``open_low`` and ``open_high`` [p] say that the profile reached a bound, or far beyond the linear
    interval, without leaving the region: the data do not close that end.
    """

    paths: Array
    open_low: NDArray[np.bool_]
    open_high: NDArray[np.bool_]


def profile(problem: LeastSquares, theta: Array, noise: Noise) -> Profile:
    """Walk each parameter of one data set away from its optimum [p], refitting the others.

    Where a law without its floor fits within the limit too, its profiles belong to the region: at the edge
    E = 0 the refitted others would otherwise hide the lowest predictions.
    """
    limit = noise.variance * noise.factor**2
    full = walk(problem, theta, limit)
    if "E" not in problem.law.names or theta[problem.law.names.index("E")] < 0:
        return full
    bare = replace(problem, without_floor=True)
    edge = solve(bare)[0]
    excess = float(problem.cost(edge[None])[0] - problem.cost(theta[None])[0])
    if excess >= limit:
        return full
    paths = np.concatenate([full.paths, walk(bare, edge, limit - max(excess, 0.0)).paths])
    return replace(full, paths=paths)


def walk(problem: LeastSquares, theta: Array, limit: float) -> Profile:
    """The profiles of all free parameters up to a cost that exceeds the optimum's by ``limit``."""
    cost = float(problem.cost(theta[None])[0])
    errors = linear_errors(problem, theta) * np.sqrt(limit)
    low, high = problem.bounds()
    free = [int(j) for j in np.flatnonzero(low < high)]
    walks = [_walk(theta, j, errors[j], low[j], high[j]) for j in free]
    starts = np.concatenate(walks)
    index = np.repeat(free, [len(walk) for walk in walks])
    solved, excess = _refit(problem, starts, index, cost)
    ends, end_index = _ends(theta, solved, excess, index, limit)
    end_solved, end_excess = _refit(problem, ends, end_index, cost)
    inside = np.concatenate([solved[excess <= limit], end_solved[end_excess <= 1.1 * limit], theta[None]])
    open_low, open_high = np.zeros(len(theta), bool), np.zeros(len(theta), bool)
    for j in free:
        mine = (index == j) & (excess > limit)
        open_low[j] = not np.any(mine & (solved[:, j] < theta[j]))
        open_high[j] = not np.any(mine & (solved[:, j] > theta[j]))
    return Profile(paths=inside, open_low=open_low, open_high=open_high)


def linear_errors(problem: LeastSquares, theta: Array) -> Array:
    """Standard errors [p] of the linearised problem for unit noise; pinned parameters have none."""
    return np.asarray(np.linalg.norm(_inverse_slopes(problem, theta), axis=1))


def derived_errors(problem: LeastSquares, theta: Array, gradients: Array) -> Array:
    """Standard errors [k] of quantities with gradients [k, p], for unit noise."""
    return np.asarray(np.linalg.norm(gradients @ _inverse_slopes(problem, theta), axis=1))


def gradients_of(quantity: Callable[[Array], Array], theta: Array) -> Array:
    """Central differences [k, p] of quantities [s, k] of parameters [s, p] at theta [p]."""
    steps = DIFFERENCE * np.eye(len(theta))
    return np.asarray((quantity(theta + steps) - quantity(theta - steps)).T / (2.0 * DIFFERENCE))


def _inverse_slopes(problem: LeastSquares, theta: Array) -> Array:
    """That of all parameters that are not known; the norms of its rows are standard errors."""
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


def _walk(theta: Array, j: int, error: float, low: float, high: float) -> Array:
    """Starts [s, p] along parameter j on both sides of its optimum, kept inside its bounds."""
    span = min(max(error, 1e-9 * (1.0 + abs(theta[j]))), 1e6)
    values = np.concatenate([theta[j] - span * REACH, theta[j] + span * REACH])
    values = np.unique(np.clip(values, low, high))
    values = values[values != theta[j]]
    starts = np.repeat(theta[None], len(values), axis=0)
    starts[:, j] = values
    return starts


def _refit(problem: LeastSquares, starts: Array, index: NDArray[np.intp], cost: float) -> tuple[Array, Array]:
    """Refit all parameters but the walked one; returns the parameters and the cost above the optimum's."""
    if not len(starts):
        return starts, np.zeros(0)
    frozen = np.zeros(starts.shape, bool)
    frozen[np.arange(len(starts)), index] = True
    many = problem.repeat(len(starts))
    solved = polish(many, starts, frozen=frozen, rounds=25)
    return solved, many.cost(solved) - cost


def _ends(
    theta: Array, solved: Array, excess: Array, index: NDArray[np.intp], limit: float
) -> tuple[Array, NDArray[np.intp]]:
    """Where each profile crosses the limit, by interpolating the root of the excess cost."""
    ends, owners = [], []
    for j in np.unique(index):
        for side in (-1.0, 1.0):
            mine = (index == j) & (side * (solved[:, j] - theta[j]) > 0)
            order = np.argsort(np.abs(solved[mine, j] - theta[j]))
            at, root = solved[mine][order], np.sqrt(np.maximum(excess[mine][order], 0.0))
            over = np.flatnonzero(root > np.sqrt(limit))
            if not len(over):
                continue
            first = int(over[0])
            inner, inner_root = (theta, 0.0) if first == 0 else (at[first - 1], float(root[first - 1]))
            share = (np.sqrt(limit) - inner_root) / max(float(root[first]) - inner_root, 1e-300)
            ends.append(inner + share * (at[first] - inner))
            owners.append(j)
    return np.array(ends).reshape(-1, len(theta)), np.array(owners, dtype=np.intp)


def percentile(value: Array, refits: Array, stretch: float = 1.0) -> tuple[Array, Array]:
    """Bias-corrected percentile interval of refits [b, n] around value [n], stretched about the value."""
    below = np.mean(refits < value, axis=0) + 0.5 * np.mean(refits == value, axis=0)
    shift = stats.norm.ppf(np.clip(below, 1.0 / len(refits), 1.0 - 1.0 / len(refits)))
    shift = np.clip(shift, -0.8, 0.8)
    low = _quantiles(refits, stats.norm.cdf(2.0 * shift - NORMAL))
    high = _quantiles(refits, stats.norm.cdf(2.0 * shift + NORMAL))
    return value + stretch * np.minimum(low - value, 0.0), value + stretch * np.maximum(high - value, 0.0)


def _quantiles(refits: Array, levels: ArrayLike) -> Array:
    levels = np.broadcast_to(np.asarray(levels), refits.shape[1:])
    return np.array([np.quantile(refits[:, j], levels[j]) for j in range(refits.shape[1])])
