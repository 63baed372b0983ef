"""The compute-optimal split estimated from measured losses without a law: two methods, as a check.

Sources: Hoffmann et al. 2022 (arXiv 2203.15556), approaches 1 (minimum over curves) and 2 (IsoFLOP profiles);
Czech et al. 2026 on the bias of a parabola through a profile, hence the cubic. A cubic through six e-folds
of N is biased too, so it is fitted only to the models within ``WINDOW`` of the lowest loss (local
polynomials: Fan and Gijbels 1996, section 3.1).

Between the cells of one model ln L is interpolated by the cubic in ln D through the four nearest cells (a
straight line lies above a curve that bends upwards); there is no extrapolation. A budget whose minimum lies
at the smallest or largest model has no optimum inside and is left out. A replicate of the losses whose
minimum lies there opens that limit, as its optimum may be anywhere beyond. Each exponent is the slope of
ln N* (or ln D*) over ln C among the remaining budgets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlproject.errors import BadInput
from mlproject.scaling.allocation.budget import Cost
from mlproject.scaling.fitting.intervals import TAIL, Estimate
from mlproject.scaling.fitting.points import read_points
from mlproject.scaling.laws.law import Array

Method = Literal["minimum over curves", "IsoFLOP cubic"]
METHODS: tuple[Method, ...] = ("minimum over curves", "IsoFLOP cubic")
N_BUDGETS = 24
N_DRAWS = 400
LEAST_MODELS: dict[str, int] = {"minimum over curves": 3, "IsoFLOP cubic": 5}
NEAREST = 4  # cells for interpolation between cells
WINDOW = 2.0  # e-folds of N on either side of the lowest loss to which the cubic is fitted
GRID = 401  # points at which the minimum of the cubic is sought


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """Optimal N, D and loss of every budget [k] that has an optimum inside, with 95 % limits [2, k].

    Limits are not a number where neither the noise nor replicates of the losses are known, and 0 or infinite
    where more than 1 replicate in 40 has no optimum on that side. The minimum over curves is always a model
    that was run: its limits of N reach half-way to the neighbouring models, and those of its exponents
    include half a step between models over the range of budgets.
    """

    method: Method
    compute: Array
    n: Array
    d: Array
    loss: Array
    n_limits: Array
    d_limits: Array
    n_exponent: Estimate
    d_exponent: Estimate


def envelope(
    x: ArrayLike,
    y: ArrayLike,
    *,
    cost: Cost | None = None,
    method: Method = "minimum over curves",
    sd: ArrayLike | None = None,
    draws: ArrayLike | None = None,
) -> Envelope:
    """Optima of a grid of cells x [m, 2] (N, D) with losses y [m] at budgets that three models reach.

    ``sd`` [m] is the noise of y, ``draws`` [b, m] its replicates, as for ``fit``. Raises: BadInput for too
    few models, or fewer than two budgets with an optimum inside.
    """
    points = read_points(x, y, sd=sd, draws=draws, ceiling=None)
    if points.x.shape[1] != 2:
        raise BadInput(f"an empirical frontier needs two scales, N and D, and got {points.x.shape[1]}")
    cost_model = cost or Cost()
    model, sizes = _models(points.x[:, 0], LEAST_MODELS[method])
    budgets = _budgets(points.x, model, cost_model)
    optimum = _lowest_model if method == "minimum over curves" else _cubic_minimum
    log_y = np.log(points.y[None] if points.draws is None else np.concatenate([points.y[None], points.draws]))
    if points.draws is None and points.sd is not None:
        log_y = np.concatenate([log_y, log_y + _noise(points.sd / points.y)])
    losses = _losses_at(points.x, model, log_y, sizes, budgets, cost_model)
    best_n, best_l = optimum(np.log(sizes), losses)
    keep = np.isfinite(best_n[0])
    if keep.sum() < 2:
        raise BadInput("fewer than two budgets have their lowest loss between models: add models or sizes")
    return _report(method, cost_model, budgets[keep], best_n[:, keep], best_l[0, keep], np.log(sizes))


def _models(n: Array, least: int) -> tuple[NDArray[np.intp], Array]:
    """The model of every cell, and the sizes of the models in ascending order."""
    sizes, model = np.unique(n, return_inverse=True)
    if len(sizes) < least:
        raise BadInput(f"{least} model sizes are needed and there are {len(sizes)}")
    return np.asarray(model), sizes


def _budgets(x: Array, model: NDArray[np.intp], cost: Cost) -> Array:
    """Budgets, equally spaced in ln C, that at least three models reach inside the range of their cells."""
    log_c = np.log(cost.of(x[:, 0], x[:, 1]))
    low = np.sort([log_c[model == i].min() for i in range(model.max() + 1)])
    high = np.sort([log_c[model == i].max() for i in range(model.max() + 1)])
    if high[-3] <= low[2]:
        raise BadInput("no budget is reached by three models: add sizes so that their costs overlap")
    return np.exp(np.linspace(low[2], high[-3], N_BUDGETS))


def _losses_at(
    x: Array, model: NDArray[np.intp], log_y: Array, sizes: Array, budgets: Array, cost: Cost
) -> Array:
    """ln L [b, models, budgets] of every model at the D of a budget; not a number beyond its cells."""
    out = np.full((len(log_y), len(sizes), len(budgets)), np.nan)
    for i, n in enumerate(sizes):
        rows = np.flatnonzero(model == i)
        d, place = np.unique(x[rows, 1], return_inverse=True)
        mean = log_y[:, rows] @ (np.eye(len(d))[place] / np.bincount(place))
        at = np.log(budgets / (cost.coefficient * n**cost.n_power)) / cost.d_power
        inside = (at >= np.log(d[0]) - 1e-9) & (at <= np.log(d[-1]) + 1e-9)
        if len(d) > 1 and inside.any():
            out[:, i, inside] = mean @ _interpolation_weights(np.log(d), at[inside])
    return out


def _interpolation_weights(places: Array, at: Array) -> Array:
    """Weights [cells, k] of cells in the polynomial through the nearest four (or all, where fewer)."""
    order = min(NEAREST, len(places))
    first = np.clip(np.searchsorted(places, at) - order // 2, 0, len(places) - order)
    nodes, weights = places[first[:, None] + np.arange(order)], np.zeros((len(places), len(at)))
    for q in range(order):
        others = np.delete(nodes, q, axis=1)
        share = np.prod((at[:, None] - others) / (nodes[:, q, None] - others), axis=1)
        weights[first + q, np.arange(len(at))] = share
    return weights


def _lowest_model(log_n: Array, losses: Array) -> tuple[Array, Array]:
    """ln N* and ln L* [b, budgets] of the best model; ln N* is infinite where that is the first or last."""
    at, lowest = _argmin(losses)
    known = np.isfinite(losses)
    place = np.arange(len(log_n))[None, :, None]
    first = np.where(known, place, len(log_n)).min(axis=1)
    last = np.where(known, place, -1).max(axis=1)
    outside = np.where(at <= first, -np.inf, np.inf)
    inside = (at > first) & (at < last)
    return np.where(inside, log_n[at], outside), np.where(inside, lowest, np.nan)


def _argmin(losses: Array) -> tuple[NDArray[np.intp], Array]:
    filled = np.where(np.isfinite(losses), losses, np.inf)
    return np.asarray(np.argmin(filled, axis=1)), np.asarray(np.min(filled, axis=1))


def _cubic_minimum(log_n: Array, losses: Array) -> tuple[Array, Array]:
    """ln N* and ln L* [b, budgets] at the minimum of a cubic in ln N; not a number below five models."""
    best_n, best_l = np.full((2, len(losses), losses.shape[2]), np.nan)
    for k in range(losses.shape[2]):
        rows = _near_lowest(log_n, losses[0, :, k])
        if len(rows) < LEAST_MODELS["IsoFLOP cubic"]:
            continue
        best_n[:, k], best_l[:, k] = minimum_of_cubic(log_n[rows], losses[:, rows, k])
    return best_n, best_l


def minimum_of_cubic(log_n: Array, log_l: Array) -> tuple[Array, Array]:
    """Place and value [b] of the minimum of the least-squares cubic of ln L [b, n] in ln N [n], ascending.

    Where the minimum over the range is at an end, the place is -inf or inf and the value not a number.
    """
    centre = log_n.mean()
    u = log_n - centre
    grid = np.linspace(u[0], u[-1], GRID)
    values = log_l @ np.linalg.pinv(np.vander(u, 4)).T @ np.vander(grid, 4).T
    best = np.argmin(values, axis=1)
    inside = (best > 0) & (best < GRID - 1)
    place = np.where(inside, grid[best] + centre, np.where(best == 0, -np.inf, np.inf))
    return place, np.where(inside, values[np.arange(len(best)), best], np.nan)


def _near_lowest(log_n: Array, losses: Array) -> NDArray[np.intp]:
    """Models [k] within the window around the lowest loss, at least the nearest five."""
    known = np.flatnonzero(np.isfinite(losses))
    if not len(known):
        return known
    distance = np.abs(log_n[known] - log_n[known[np.argmin(losses[known])]])
    n = max(LEAST_MODELS["IsoFLOP cubic"], int(np.sum(distance <= WINDOW)))
    return np.sort(known[np.argsort(distance, kind="stable")[:n]])


def _noise(relative: Array) -> Array:
    """Replicates [b, m] of normal noise, the same at every call."""
    return np.random.default_rng(0).standard_normal((N_DRAWS, len(relative))) * relative


def _report(
    method: Method, cost: Cost, budgets: Array, log_n: Array, log_l: Array, log_sizes: Array
) -> Envelope:
    log_c, step = np.log(budgets), 0.0
    low, high = _limits(log_n)
    if method == "minimum over curves":
        low, high = _half_way(log_sizes, low, high)
        step = 0.5 * float(np.diff(log_sizes).max() / np.ptp(log_c))
    p, q = cost.n_power, cost.d_power
    log_budget = log_c - np.log(cost.coefficient)
    n_exponent = _slope_estimate(_slopes(log_c, log_n), step)
    return Envelope(
        method=method,
        compute=budgets,
        n=np.exp(log_n[0]),
        d=np.exp((log_budget - p * log_n[0]) / q),
        loss=np.exp(log_l),
        n_limits=np.exp(np.stack([low, high])),
        d_limits=np.exp(np.stack([(log_budget - p * high) / q, (log_budget - p * low) / q])),
        n_exponent=n_exponent,
        d_exponent=Estimate(
            value=(1.0 - p * n_exponent.value) / q,
            low=(1.0 - p * n_exponent.high) / q,
            high=(1.0 - p * n_exponent.low) / q,
        ),
    )


def _half_way(log_sizes: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Limits [k] of ln N* moved half-way to the next smaller and to the next larger model."""
    middle = 0.5 * (log_sizes[1:] + log_sizes[:-1])
    below = np.searchsorted(log_sizes, low - 1e-9)
    above = np.searchsorted(log_sizes, high - 1e-9)
    ends = middle[np.clip(below - 1, 0, len(middle) - 1)], middle[np.clip(above, 0, len(middle) - 1)]
    return np.where(np.isfinite(low), ends[0], low), np.where(np.isfinite(high), ends[1], high)


def _limits(log_n: Array) -> tuple[Array, Array]:
    """95 % limits [k] of ln N* over the replicates; those without an optimum inside count as infinite."""
    if len(log_n) < 2:
        return np.full(log_n.shape[1], np.nan), np.full(log_n.shape[1], np.nan)
    low, high = np.quantile(log_n, [1.0 - TAIL, TAIL], axis=0, method="inverted_cdf")
    return np.minimum(low, log_n[0]), np.maximum(high, log_n[0])


def _slopes(log_c: Array, log_n: Array) -> Array:
    """Least-squares slopes of ln N* over ln C [b], each over the budgets with an optimum, at least two."""
    known = np.isfinite(log_n)
    n = np.where(known.sum(axis=1) >= 2, known.sum(axis=1), np.nan)
    u, v = np.where(known, log_c, 0.0), np.where(known, log_n, 0.0)
    du = np.where(known, u - (u.sum(axis=1) / n)[:, None], 0.0)
    spread = np.sum(du**2, axis=1)
    return np.asarray(np.sum(du * v, axis=1) / np.where(spread > 0, spread, np.nan))


def _slope_estimate(slopes: Array, step: float) -> Estimate:
    value = float(slopes[0])
    replicates = slopes[1:][np.isfinite(slopes[1:])]
    if not len(replicates):
        return Estimate(value=value, low=-np.inf, high=np.inf)
    low, high = np.quantile(replicates, [1.0 - TAIL, TAIL])
    return Estimate(value=value, low=min(float(low), value) - step, high=max(float(high), value) + step)
