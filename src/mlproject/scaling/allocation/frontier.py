"""The best split of a compute budget between parameters N and images D.

Sources: Hoffmann et al. 2022, equation 4 (closed form under C = 6 N D), here for any measured cost
c N^p D^q; Czech et al. 2026 on the bias of parabolas fitted to IsoFLOP profiles, hence the cubic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlproject.errors import BadInput
from mlproject.scaling.fitting.fit import LINEAR, Fit
from mlproject.scaling.fitting.intervals import Estimate, derived_errors, gradients_of, percentile
from mlproject.scaling.laws.law import Array
from mlproject.scaling.laws.table import find_law

SUMS = ("separable", "coupled")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Compute = coefficient N^n_power D^d_power, in FLOPs, seconds or whatever was measured."""

    coefficient: float = 6.0
    n_power: float = 1.0
    d_power: float = 1.0

    def of(self, n: Array, d: Array) -> Array:
        """Cost of cells."""
        return np.asarray(self.coefficient * n**self.n_power * d**self.d_power)


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """Best N, D and loss for every budget [k], with 95 % limits [2, k]; N* ~ C^n_exponent, D* ~ C^d_exponent.

    ``beyond`` [k] marks optima outside the range of the data.
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
    """The compute-optimal frontier of a fit of the laws in ``SUMS``; others have no interior optimum.

    Raises: BadInput for another law or exponents that are not positive.
    """
    if fitted.law not in SUMS:
        raise BadInput(f"law {fitted.law!r} has no optimum inside: use one of {', '.join(SUMS)}")
    spending, budgets = cost or Cost(), np.atleast_1d(np.asarray(compute, dtype=np.float64))

    def told(theta: Array) -> Array:
        """ln N*, ln D*, ln L* at every budget, then d ln N* / d ln C: [s, 3 k + 1]."""
        optimum = np.concatenate(_optimum(fitted, theta, spending, budgets), axis=1)
        return np.concatenate([optimum, _share(theta, spending)[:, None]], axis=1)

    found = told(fitted.theta[None])[0]
    if not np.all(np.isfinite(found)):
        raise BadInput("the frontier needs exponents and amplitudes above zero along both axes")
    ends = np.stack(_limits(fitted, found, told))
    best, limits = found[:-1].reshape(3, -1), np.exp(ends[:, :-1]).reshape(2, 3, -1)
    at, seen = best[:2], fitted.points.x
    inside = (np.log(seen.min(axis=0))[:, None] <= at) & (at <= np.log(seen.max(axis=0))[:, None])
    split = Estimate(value=float(found[-1]), low=float(ends[0, -1]), high=float(ends[1, -1]))
    p, q = spending.n_power, spending.d_power
    return Frontier(
        compute=budgets,
        n=np.exp(best[0]),
        d=np.exp(best[1]),
        loss=np.exp(best[2]),
        n_limits=limits[:, 0],
        d_limits=limits[:, 1],
        loss_limits=limits[:, 2],
        n_exponent=split,
        d_exponent=Estimate(
            value=(1.0 - p * split.value) / q, low=(1.0 - p * split.high) / q, high=(1.0 - p * split.low) / q
        ),
        beyond=~inside.all(axis=0),
    )


def isoflop_optimum(n: ArrayLike, loss: ArrayLike) -> tuple[float, float]:
    """N and loss at the minimum of a cubic through ln loss against ln N at one budget, law-free.

    Raises: BadInput for fewer than five cells or a minimum at the edge of the data.
    """
    log_n, log_l = np.log(np.asarray(n, dtype=np.float64)), np.log(np.asarray(loss, dtype=np.float64))
    if len(log_n) < 5 or not np.all(np.isfinite(log_n) & np.isfinite(log_l)):
        raise BadInput("an IsoFLOP profile needs five cells with positive N and loss")
    centre = log_n.mean()
    cubic = np.polynomial.Polynomial.fit(log_n - centre, log_l, 3)
    at = np.linspace(log_n.min(), log_n.max(), 2001)
    values = cubic(at - centre)
    best = int(np.argmin(values))
    if best in (0, len(at) - 1):
        raise BadInput("the lowest loss of this budget lies at the edge of its profile: add cells beyond it")
    return float(np.exp(at[best])), float(np.exp(values[best]))


def _share(theta: Array, cost: Cost) -> Array:
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


def _limits(fitted: Fit, value: Array, told: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Limits [k] of quantities of the parameters: over refits, or over profiles and to first order.

    The profiles of single parameters alone fall short of what depends on several.
    """
    if not np.isfinite(fitted.noise.factor):
        return np.full_like(value, -np.inf), np.full_like(value, np.inf)
    cloud = told(fitted.spread)
    cloud = cloud[np.all(np.isfinite(cloud), axis=1)]
    if fitted.from_draws:
        return percentile(value, cloud, fitted.stretch)
    gradients = gradients_of(told, fitted.theta)
    half = np.zeros_like(value)
    if np.all(np.isfinite(gradients)):  # at the edge of what has an optimum the profiles speak alone
        problem = fitted.points.problem(find_law(fitted.law), linear=fitted.space == LINEAR)
        error = derived_errors(problem, fitted.theta, gradients)
        half = fitted.noise.factor * np.sqrt(fitted.noise.variance) * error
    return np.minimum(cloud.min(axis=0), value - half), np.maximum(cloud.max(axis=0), value + half)
