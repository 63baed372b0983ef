"""The best split of a compute budget read off the measured losses, without any law: two ways to check one.

Sources: Hoffmann et al. 2022 (arXiv 2203.15556), approaches 1 (minimum over curves) and 2 (IsoFLOP profiles);
Czech et al. 2026 on the bias of a parabola through a profile, hence the cubic.

Between the cells of one model the loss is read along a straight line of ln L over ln D; nothing is read
beyond them. A budget whose minimum lies at the smallest or largest model has no optimum inside and is left
out. Each exponent is the slope of ln N* (or ln D*) over ln C among the budgets that are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlproject.errors import BadInput

from .frontier import Cost
from .intervals import TAIL, Estimate
from .law import Array
from .points import read_points

Method = Literal["minimum over curves", "IsoFLOP cubic"]
METHODS: tuple[Method, ...] = ("minimum over curves", "IsoFLOP cubic")
N_BUDGETS = 24
N_DRAWS = 400
LEAST_MODELS: dict[str, int] = {"minimum over curves": 3, "IsoFLOP cubic": 5}
GRID = 201


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """Best N, D and loss of every budget [k] that has an optimum inside, with 95 % limits [2, k].

    Limits are not a number where neither the noise nor draws of the losses are known. The minimum over
    curves only ever finds models that were run: its limits of N reach half-way to their neighbours, and
    those of its exponents allow for half a step between models over the range of budgets.
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
        raise BadInput(f"an envelope needs two scales, N and D, and got {points.x.shape[1]}")
    spending = cost or Cost()
    owner, sizes = _models(points.x[:, 0], LEAST_MODELS[method])
    budgets = _budgets(points.x, owner, spending)
    read = _lowest if method == "minimum over curves" else _cubic
    log_y = np.log(points.y[None] if points.draws is None else np.concatenate([points.y[None], points.draws]))
    if points.draws is None and points.sd is not None:
        log_y = np.concatenate([log_y, log_y + _noise(points.sd / points.y)])
    losses = _along(points.x, owner, log_y, sizes, budgets, spending)
    best_n, best_l = read(np.log(sizes), losses)
    keep = np.isfinite(best_n[0])
    if keep.sum() < 2:
        raise BadInput("fewer than two budgets have their lowest loss between models: add models or sizes")
    return _report(method, spending, budgets[keep], best_n[:, keep], best_l[0, keep], np.log(sizes))


def _models(n: Array, least: int) -> tuple[NDArray[np.intp], Array]:
    """Which model every cell belongs to, and the models' sizes ascending."""
    sizes, owner = np.unique(n, return_inverse=True)
    if len(sizes) < least:
        raise BadInput(f"{least} model sizes are needed and there are {len(sizes)}")
    return np.asarray(owner), sizes


def _budgets(x: Array, owner: NDArray[np.intp], cost: Cost) -> Array:
    """Budgets, equally spaced in ln C, that at least three models reach without leaving their cells."""
    log_c = np.log(cost.of(x[:, 0], x[:, 1]))
    low = np.sort([log_c[owner == i].min() for i in range(owner.max() + 1)])
    high = np.sort([log_c[owner == i].max() for i in range(owner.max() + 1)])
    if high[-3] <= low[2]:
        raise BadInput("no budget is reached by three models: add sizes so that their costs overlap")
    return np.exp(np.linspace(low[2], high[-3], N_BUDGETS))


def _along(
    x: Array, owner: NDArray[np.intp], log_y: Array, sizes: Array, budgets: Array, cost: Cost
) -> Array:
    """ln L [b, models, budgets] of every model at the D that a budget buys; not a number beyond its cells."""
    out = np.full((len(log_y), len(sizes), len(budgets)), np.nan)
    for i, n in enumerate(sizes):
        mine = np.flatnonzero(owner == i)
        d, place = np.unique(x[mine, 1], return_inverse=True)
        mean = log_y[:, mine] @ (np.eye(len(d))[place] / np.bincount(place))
        at = np.log(budgets / (cost.coefficient * n**cost.n_power)) / cost.d_power
        inside = (at >= np.log(d[0]) - 1e-9) & (at <= np.log(d[-1]) + 1e-9)
        if len(d) > 1 and inside.any():
            hat = np.stack([np.interp(at[inside], np.log(d), unit) for unit in np.eye(len(d))])
            out[:, i, inside] = mean @ hat
    return out


def _lowest(log_n: Array, losses: Array) -> tuple[Array, Array]:
    """ln N and ln L [b, budgets] of the best model; not a number where no model is worse on either side."""
    at, lowest = _argmin(losses)
    seen = np.isfinite(losses)
    place = np.arange(len(log_n))[None, :, None]
    first = np.where(seen, place, len(log_n)).min(axis=1)
    last = np.where(seen, place, -1).max(axis=1)
    inside = (at > first) & (at < last)
    return np.where(inside, log_n[at], np.nan), np.where(inside, lowest, np.nan)


def _argmin(losses: Array) -> tuple[NDArray[np.intp], Array]:
    filled = np.where(np.isfinite(losses), losses, np.inf)
    return np.asarray(np.argmin(filled, axis=1)), np.asarray(np.min(filled, axis=1))


def _cubic(log_n: Array, losses: Array) -> tuple[Array, Array]:
    """The same at the minimum of a cubic through ln L over ln N, from five models on."""
    best_n, best_l = np.full((2, len(losses), losses.shape[2]), np.nan)
    for k in range(losses.shape[2]):
        rows = np.isfinite(losses[0, :, k])
        if rows.sum() < LEAST_MODELS["IsoFLOP cubic"]:
            continue
        u = log_n[rows] - log_n[rows].mean()
        at = np.linspace(u[0], u[-1], GRID)
        values = losses[:, rows, k] @ np.linalg.pinv(np.vander(u, 4)).T @ np.vander(at, 4).T
        best = np.argmin(values, axis=1)
        inside = (best > 0) & (best < GRID - 1)
        best_n[:, k] = np.where(inside, at[best] + log_n[rows].mean(), np.nan)
        best_l[:, k] = np.where(inside, values[np.arange(len(best)), best], np.nan)
    return best_n, best_l


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
    spare = log_c - np.log(cost.coefficient)
    n_exponent = _slope_estimate(_slopes(log_c, log_n), step)
    return Envelope(
        method=method,
        compute=budgets,
        n=np.exp(log_n[0]),
        d=np.exp((spare - p * log_n[0]) / q),
        loss=np.exp(log_l),
        n_limits=np.exp(np.stack([low, high])),
        d_limits=np.exp(np.stack([(spare - p * high) / q, (spare - p * low) / q])),
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
    return np.where(np.isnan(low), low, ends[0]), np.where(np.isnan(high), high, ends[1])


def _limits(log_n: Array) -> tuple[Array, Array]:
    """95 % limits [k] of ln N* over the replicates that have an optimum inside."""
    if len(log_n) < 2:
        return np.full(log_n.shape[1], np.nan), np.full(log_n.shape[1], np.nan)
    low, high = np.nanquantile(log_n, [1.0 - TAIL, TAIL], axis=0)
    return np.minimum(low, log_n[0]), np.maximum(high, log_n[0])


def _slopes(log_c: Array, log_n: Array) -> Array:
    """Least-squares slope of ln N* over ln C [b], each over its own budgets with an optimum; at least two."""
    seen = np.isfinite(log_n)
    n = np.where(seen.sum(axis=1) >= 2, seen.sum(axis=1), np.nan)
    u, v = np.where(seen, log_c, 0.0), np.where(seen, log_n, 0.0)
    du = np.where(seen, u - (u.sum(axis=1) / n)[:, None], 0.0)
    return np.asarray(np.sum(du * v, axis=1) / np.sum(du**2, axis=1))


def _slope_estimate(slopes: Array, step: float) -> Estimate:
    value = float(slopes[0])
    rest = slopes[1:][np.isfinite(slopes[1:])]
    if not len(rest):
        return Estimate(value=value, low=-np.inf, high=np.inf)
    low, high = np.quantile(rest, [1.0 - TAIL, TAIL])
    return Estimate(value=value, low=min(float(low), value) - step, high=max(float(high), value) + step)
