"""Spending a compute budget: the optimal split between parameters N and images D, and the cells to run next.

The split follows in closed form from a fitted law. Source: Hoffmann et al. 2022 (arXiv 2203.15556), equation
4, under C = 6 N D; here for any cost c N^p D^q. Under L = E + (A N^-alpha + B D^-beta)^c the optimum has
alpha A N^-alpha / p = beta B D^-beta / q, and so d ln N* / d ln C = beta / (alpha q + beta p).

The next cells narrow the prediction at a target most per cost. Source: linear Bayes design (Chaloner and
Verdinelli 1995, Statist. Sci. 10, 273): the joint predictive covariance of the target and the candidates,
over laws, parameters and discrepancies, is updated as if each candidate's outcome were Gaussian; cells are
chosen greedily by variance removed per cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlproject.errors import BadInput
from mlproject.scaling.averaging.average import Average
from mlproject.scaling.fitting.fit import Fit
from mlproject.scaling.fitting.intervals import NORMAL, Estimate, bca
from mlproject.scaling.fitting.points import read_scales
from mlproject.scaling.fitting.profile_likelihood import derived_errors, gradients_of
from mlproject.scaling.laws import find_law
from mlproject.scaling.laws.law import Array

SUMS = ("separable", "coupled")
COMPONENTS = 600
MOST_CELLS = 64
LEAST_GAIN = 0.005  # of the remaining variance, below which no further cell is chosen


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost model: coefficient N^n_power D^d_power, in FLOPs, seconds or another measured unit."""

    coefficient: float = 6.0
    n_power: float = 1.0
    d_power: float = 1.0

    def of(self, n: Array, d: Array) -> Array:
        """Cost of cells of N parameters and D images."""
        return np.asarray(self.coefficient * n**self.n_power * d**self.d_power)


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """Optimal N, D and loss of every budget [k], with 95 % limits [2, k].

    N* ~ C^n_exponent and D* ~ C^d_exponent. ``beyond`` [k] marks optima outside the range of the data.
    """

    compute: Array
    n: Array
    d: Array
    loss: Array
    n_limits: Array
    d_limits: Array
    loss_limits: Array
    n_exponent: Estimate
    d_exponent: Estimate
    beyond: NDArray[np.bool_]


def fit_cost(n: ArrayLike, d: ArrayLike, cost: ArrayLike) -> Cost:
    """Least squares of ln cost on ln N and ln D."""
    log_n, log_d, log_c = (np.log(np.asarray(v, dtype=np.float64)) for v in (n, d, cost))
    design = np.stack([np.ones_like(log_n), log_n, log_d], axis=1)
    if not np.all(np.isfinite(design)) or np.linalg.matrix_rank(design - design.mean(axis=0)) < 2:
        raise BadInput("a cost model needs cells that vary in N and D separately, with positive costs")
    solution = np.linalg.lstsq(design, log_c, rcond=None)[0]
    return Cost(
        coefficient=float(np.exp(solution[0])), n_power=float(solution[1]), d_power=float(solution[2])
    )


def frontier(fitted: Fit, compute: ArrayLike, *, cost: Cost | None = None) -> Frontier:
    """The compute-optimal frontier of a fitted law of ``SUMS``; other laws have no interior optimum.

    Raises: BadInput for another law or exponents that are not positive.
    """
    if fitted.law not in SUMS:
        raise BadInput(f"law {fitted.law!r} has no optimum inside: use one of {', '.join(SUMS)}")
    cost_model, budgets = cost or Cost(), np.atleast_1d(np.asarray(compute, dtype=np.float64))

    def optimum(theta: Array) -> Array:
        """ln N*, ln D*, ln L* at every budget, then d ln N* / d ln C: [s, 3 k + 1]."""
        best = np.concatenate(_optimum(fitted, theta, cost_model, budgets), axis=1)
        return np.concatenate([best, _n_exponent(theta, cost_model)[:, None]], axis=1)

    value = optimum(fitted.theta[None])[0]
    if not np.all(np.isfinite(value)):
        raise BadInput("the frontier needs exponents and amplitudes above zero along both axes")
    ends = np.stack(_limits(fitted, value, optimum))
    with np.errstate(over="ignore"):  # no limit
        best, limits = value[:-1].reshape(3, -1), np.exp(ends[:, :-1]).reshape(2, 3, -1)
    scales, observed = best[:2], np.log(fitted.points.x)
    inside = (observed.min(axis=0)[:, None] <= scales) & (scales <= observed.max(axis=0)[:, None])
    n_exponent = Estimate(value=float(value[-1]), low=float(ends[0, -1]), high=float(ends[1, -1]))
    p, q = cost_model.n_power, cost_model.d_power
    return Frontier(
        compute=budgets,
        n=np.exp(best[0]),
        d=np.exp(best[1]),
        loss=np.exp(best[2]),
        n_limits=limits[:, 0],
        d_limits=limits[:, 1],
        loss_limits=limits[:, 2],
        n_exponent=n_exponent,
        d_exponent=Estimate(
            value=(1.0 - p * n_exponent.value) / q,
            low=(1.0 - p * n_exponent.high) / q,
            high=(1.0 - p * n_exponent.low) / q,
        ),
        beyond=~inside.all(axis=0),
    )


def _n_exponent(theta: Array, cost: Cost) -> Array:
    """d ln N* / d ln C of parameters [s, p]."""
    alpha, beta = theta[:, 0], theta[:, 1]
    return np.asarray(beta / (alpha * cost.d_power + beta * cost.n_power))


def _optimum(fitted: Fit, theta: Array, cost: Cost, budgets: Array) -> tuple[Array, Array, Array]:
    """ln N*, ln D*, ln L* [s, k]; not a number where an exponent or amplitude is not above zero."""
    law, points = find_law(fitted.law), fitted.points
    values: Mapping[str, Array] = law.physical(theta, points.log_unit, points.loss_unit)
    c = values.get("c", np.ones(len(theta)))
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha, beta = values["alpha"] / c, values["beta"] / c
        log_a, log_b = np.log(values["A"]), np.log(values["B"])
        p, q = cost.n_power, cost.d_power
        ratio = np.log(alpha) + log_a + np.log(q) - np.log(beta) - log_b - np.log(p)
        log_c = np.log(budgets / cost.coefficient)
        log_n = (ratio[:, None] + (beta / q)[:, None] * log_c) / (alpha + beta * p / q)[:, None]
        log_d = (log_c - p * log_n) / q
        inner = np.logaddexp(log_a[:, None] - alpha[:, None] * log_n, log_b[:, None] - beta[:, None] * log_d)
        log_l = np.log(values["E"][:, None] + np.exp(c[:, None] * inner))
    return log_n, log_d, log_l


def _limits(fitted: Fit, value: Array, quantities: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Limits [k] of quantities of the parameters: over refits, over profiles and by the delta method.

    The profiles of single parameters are too narrow for quantities that depend on several.
    """
    if not np.isfinite(fitted.noise.factor):
        return np.full_like(value, -np.inf), np.full_like(value, np.inf)
    samples = quantities(fitted.spread)
    samples = samples[np.all(np.isfinite(samples), axis=1)]
    if fitted.from_draws:
        return bca(value, samples, stretch=fitted.noise.stretch)
    low, high = samples.min(axis=0), samples.max(axis=0)
    if fitted.refits is not None:  # replicates with part of the noise: the interval holds both
        drawn = quantities(fitted.refits.draws)
        ends = bca(value, drawn[np.all(np.isfinite(drawn), axis=1)])
        low, high = np.minimum(low, ends[0]), np.maximum(high, ends[1])
    gradients = gradients_of(quantities, fitted.theta)
    half = np.zeros_like(value)
    if np.all(np.isfinite(gradients)):  # at the edge of parameters with an optimum there are profiles only
        error = derived_errors(fitted.problem, fitted.theta, gradients)
        half = fitted.noise.factor * np.sqrt(fitted.noise.variance) * error
    return np.minimum(low, value - half), np.maximum(high, value + half)


@dataclass(frozen=True, kw_only=True)
class NextCell:
    """A cell to run: its scales, its cost, and the expected log width at the target after its run."""

    x: tuple[float, ...]
    cost: float
    width_after: float


@dataclass(frozen=True, kw_only=True)
class NextPlan:
    """Cells in the order to run them; widths are of the 95 % interval of ln loss at the target.

    ``width_of_all`` is that after every candidate has been run as often as it may be, not a number where
    there is no limit.
    """

    cells: tuple[NextCell, ...]
    width_before: float
    width_after: float
    spent: float
    width_of_all: float = math.nan


def plan_next(
    averaged: Average,
    *,
    target: ArrayLike,
    candidates: ArrayLike,
    costs: ArrayLike,
    budget: float,
    noise: ArrayLike | None = None,
    most: ArrayLike | None = None,
) -> NextPlan:
    """Choose among candidates [c] (or [c, axes]) with costs [c] under a budget; a cell may repeat (seeds).

    ``target`` is one scale, or several whose mean log variance is to shrink. ``noise`` [c] is the standard
    deviation of ln loss of one run of each candidate, by default that of the average for all. ``most`` [c]
    is how often each may be run, by default any number of times. Raises: BadInput for costs or noise that
    are not positive or do not match, or a budget below the cheapest cell.
    """
    axes = averaged.points.x.shape[1]
    cells, aim = read_scales(candidates, axes), read_scales(np.atleast_1d(target), axes)
    prices = np.asarray(costs, dtype=np.float64)
    if prices.shape != (len(cells),) or not np.all(np.isfinite(prices) & (prices > 0)):
        raise BadInput(f"costs {prices.shape} must be positive, one for each of {len(cells)} candidates")
    if budget < prices.min():
        raise BadInput(f"the budget {budget:g} is below the cheapest candidate, {prices.min():g}")
    covariance, run = joint_covariance(averaged, np.concatenate([aim, cells]))
    variances = np.full(len(cells), run) if noise is None else np.square(np.asarray(noise, dtype=np.float64))
    if variances.shape != (len(cells),) or not np.all(np.isfinite(variances) & (variances > 0)):
        raise BadInput(f"noise {variances.shape} must be positive, one for each of {len(cells)} candidates")
    times = np.full(len(cells), np.inf) if most is None else np.asarray(most, dtype=np.float64)
    plan = _greedy(covariance, variances, len(aim), cells, prices, budget, times)
    return replace(plan, width_of_all=_width_of_all(covariance, variances, len(aim), times))


def joint_covariance(averaged: Average, at: Array) -> tuple[Array, float]:
    """Covariance [n, n] of ln mean loss over laws and discrepancies, and the variance of one run."""
    log_at = averaged.points.scaled(at)
    means, within, run, total = [], np.zeros((len(at), len(at))), 0.0, 0
    for name, post in averaged.posteriors.items():
        n = round(COMPONENTS * averaged.weights[name])
        if n == 0:
            continue
        mean, covariance, variance = post.joint(log_at, n)
        means.append(mean)
        within += n * covariance
        run += n * variance
        total += n
    return np.cov(np.concatenate(means), rowvar=False) + within / total, run / total


def _greedy(
    covariance: Array, run: Array, n_aim: int, cells: Array, prices: Array, budget: float, times: Array
) -> NextPlan:
    chosen: list[NextCell] = []
    before, remaining, left = _width(covariance, n_aim), budget, times.copy()
    while len(chosen) < MOST_CELLS and np.any(usable := (prices <= remaining) & (left > 0)):
        variance = np.diag(covariance)[n_aim:] + run
        gain = np.sum(covariance[:n_aim, n_aim:] ** 2, axis=0) / variance / n_aim
        gain_per_cost = np.where(usable, gain / prices, -1.0)
        best = int(np.argmax(gain_per_cost))
        if gain[best] <= LEAST_GAIN * np.trace(covariance[:n_aim, :n_aim]) / n_aim:
            break
        column = covariance[:, n_aim + best]
        covariance = covariance - np.outer(column, column) / variance[best]
        remaining -= float(prices[best])
        left[best] -= 1
        chosen.append(
            NextCell(
                x=tuple(float(v) for v in cells[best]),
                cost=float(prices[best]),
                width_after=_width(covariance, n_aim),
            )
        )
    return NextPlan(
        cells=tuple(chosen),
        width_before=before,
        width_after=_width(covariance, n_aim),
        spent=budget - remaining,
    )


def _width_of_all(covariance: Array, run: Array, n_aim: int, times: Array) -> float:
    """The width after every candidate was run ``times`` [c]: the covariance given all of these losses."""
    if not np.isfinite(times).all():
        return math.nan
    rows = n_aim + np.flatnonzero(times > 0)
    noise = np.diag(run[rows - n_aim] / times[rows - n_aim])
    column = covariance[rows, :n_aim]
    known = column.T @ np.linalg.solve(covariance[np.ix_(rows, rows)] + noise, column)
    return _width(np.maximum(covariance[:n_aim, :n_aim] - known, 0.0), n_aim)


def _width(covariance: Array, n_aim: int) -> float:
    return float(2.0 * NORMAL * np.sqrt(np.trace(covariance[:n_aim, :n_aim]) / n_aim))
