"""Choose the cells to run next that narrow the prediction at a target most per cost.

Source: linear Bayes design (Chaloner and Verdinelli 1995, Statist. Sci. 10, 273): the joint predictive
covariance of the target and the candidates, over laws, parameters and discrepancies, is updated as if each
candidate's outcome were Gaussian; cells are chosen greedily by variance removed per cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mlproject.errors import BadInput
from mlproject.scaling.averaging.average import Average
from mlproject.scaling.fitting.intervals import NORMAL
from mlproject.scaling.fitting.points import read_scales
from mlproject.scaling.laws.law import Array

COMPONENTS = 600
MOST_CELLS = 64
LEAST_GAIN = 0.005  # of the remaining variance, below which no further cell is chosen


@dataclass(frozen=True, kw_only=True)
class NextCell:
    """A cell to run: its scales, its cost, and the expected log width at the target after its run."""

    x: tuple[float, ...]
    cost: float
    width_after: float


@dataclass(frozen=True, kw_only=True)
class NextPlan:
    """Cells in the order to run them; widths are of the 95 % interval of ln loss at the target."""

    cells: tuple[NextCell, ...]
    width_before: float
    width_after: float
    spent: float


def plan_next(
    averaged: Average, *, target: ArrayLike, candidates: ArrayLike, costs: ArrayLike, budget: float
) -> NextPlan:
    """Choose among candidates [c] (or [c, axes]) with costs [c] under a budget; a cell may repeat (seeds).

    ``target`` is one scale, or several whose mean log variance is to shrink. Raises: BadInput for costs that
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
    return _greedy(covariance, run, len(aim), cells, prices, budget)


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
    covariance: Array, run: float, n_aim: int, cells: Array, prices: Array, budget: float
) -> NextPlan:
    chosen: list[NextCell] = []
    before, remaining = _width(covariance, n_aim), budget
    while len(chosen) < MOST_CELLS and np.any(prices <= remaining):
        variance = np.diag(covariance)[n_aim:] + run
        gain = np.sum(covariance[:n_aim, n_aim:] ** 2, axis=0) / variance / n_aim
        gain_per_cost = np.where(prices <= remaining, gain / prices, -1.0)
        best = int(np.argmax(gain_per_cost))
        if gain[best] <= LEAST_GAIN * np.trace(covariance[:n_aim, :n_aim]) / n_aim:
            break
        column = covariance[:, n_aim + best]
        covariance = covariance - np.outer(column, column) / variance[best]
        remaining -= float(prices[best])
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


def _width(covariance: Array, n_aim: int) -> float:
    return float(2.0 * NORMAL * np.sqrt(np.trace(covariance[:n_aim, :n_aim]) / n_aim))
