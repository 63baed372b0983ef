"""Joint laws of a grid of cells: when to fit them, what they predict, and how they would split a budget.

Three model sizes and three data sizes, each over a factor of two, are the least that is fitted; with fewer,
one exponent of the two is a guess.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mlproject.analysis.bootstrap import influence
from mlproject.analysis.fits import own_noise
from mlproject.analysis.joint import Allocation, HeldOut, Joint, JointLaws, Spending
from mlproject.analysis.point import Floats
from mlproject.errors import MLProjectError
from mlproject.scaling import (
    Average,
    Cost,
    Envelope,
    Fit,
    Frontier,
    average,
    envelope,
    fit,
    fit_cost,
    frontier,
    overall,
)
from mlproject.scaling.allocation.empirical_frontier import METHODS
from mlproject.scaling.allocation.frontier import SUMS

LEAST_SIZES = 3
LEAST_CELLS = 7
"""One more than the parameters of the sum of two powers, and one to check it by."""
NARROW = 2.0
DEAREST = 0.25
"""The share of cells, dearest first, that is held out once."""
BUDGETS = 25
BEYOND = 10.0
"""Budgets go so many times beyond the dearest cell."""


def join(grid: Joint, losses: Floats) -> tuple[JointLaws | None, str]:
    """The laws of a grid with per-image losses [images, cells], or the reason why there are none."""
    why = refusal(grid)
    if why:
        return None, why
    draws = np.stack([point.draws["mean"] for point in grid.points], axis=1)
    try:
        return _laws(grid, draws, influence(losses)), ""
    except MLProjectError as error:
        return None, f"not fitted: {error}"


def refusal(grid: Joint) -> str:
    """What a grid lacks for a law of both axes, in words; empty where it lacks nothing."""
    return shortage(grid.x) or ("" if (grid.values > 0).all() else "a loss is not above zero")


def shortage(x: Floats) -> str:
    """What cells x [m, 2] (N, D) lack, whatever their losses."""
    n_models, n_sizes = (len(np.unique(axis)) for axis in x.T)
    if min(n_models, n_sizes) < LEAST_SIZES:
        return f"{_count(n_models, 'model size')} × {_count(n_sizes, 'data size')}, at least 3 of each needed"
    for name, span in zip(("model sizes", "data sizes"), x.max(axis=0) / x.min(axis=0), strict=True):
        if span < NARROW:
            return f"the {name} span a factor of {span:.2g}, at least {NARROW:g} needed"
    n_cells = len(np.unique(x, axis=0))
    return f"{n_cells} cells, at least {LEAST_CELLS} needed" if n_cells < LEAST_CELLS else ""


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")


def _laws(grid: Joint, draws: Floats, moved: Floats) -> JointLaws:
    values = grid.values
    sd = own_noise(values, draws)
    found = average(grid.x, values, sd=sd, draws=draws)
    fits = _fits(grid.x, values, sd, draws, moved, found.weights)
    by_weight = sorted(fits, key=lambda name: -found.weights[name])
    verdict, reason = overall([(found.weights[name], fits[name]) for name in by_weight])
    spending = spend(grid.x, grid.compute)
    return JointLaws(
        average=found,
        fits=fits,
        verdict=verdict,
        reason=reason,
        held_out=_held_out(grid.x, values, sd, draws, spending.cost),
        allocation=_allocate(grid, spending, fits, found, sd, draws),
    )


def _fits(
    x: Floats, values: Floats, sd: Floats | None, draws: Floats, moved: Floats, laws: Mapping[str, float]
) -> dict[str, Fit]:
    """Every averaged law by itself, and the sums, whose optimum is known, where they can be fitted."""
    fits = {}
    for law in dict.fromkeys([*laws, *SUMS]):
        try:
            fits[law] = fit(x, values, law=law, sd=sd, draws=draws, influence=moved)
        except MLProjectError:
            continue
    return fits


def spend(x: Floats, compute: Floats) -> Spending:
    """The cost of cells x [m, 2] from their logged compute [m], or parameters times images without it."""
    if np.isfinite(compute).all() and (compute > 0).all():
        try:
            cost = fit_cost(x[:, 0], x[:, 1], compute)
        except MLProjectError:
            cost = Cost(coefficient=0.0)
        if min(cost.coefficient, cost.n_power, cost.d_power) > 0:
            error = float(np.max(np.abs(np.log(cost.of(x[:, 0], x[:, 1]) / compute))))
            return Spending(cost=cost, unit="FLOP", measured=True, error=error)
    return Spending(cost=Cost(coefficient=1.0), unit="parameters × images", measured=False, error=0.0)


def _held_out(x: Floats, values: Floats, sd: Floats | None, draws: Floats, cost: Cost) -> HeldOut | None:
    """The dearest quarter of the cells predicted from the others; None where these are too few."""
    price = cost.of(x[:, 0], x[:, 1])
    rows = price > np.quantile(price, 1.0 - DEAREST)
    rest = ~rows
    kept = x[rest]
    if shortage(kept):
        return None
    found = average(kept, values[rest], sd=None if sd is None else sd[rest], draws=draws[:, rest])
    return HeldOut(rows=rows, told=found.predict(x[rows]))


def _allocate(
    grid: Joint,
    spending: Spending,
    fits: Mapping[str, Fit],
    found: Average,
    sd: Floats | None,
    draws: Floats,
) -> Allocation:
    price = spending.cost.of(grid.x[:, 0], grid.x[:, 1])
    budgets = np.geomspace(price.min(), BEYOND * price.max(), BUDGETS)
    law = max(
        (name for name in SUMS if name in fits), key=lambda name: found.weights.get(name, 0.0), default=""
    )
    best, refusals = _frontier(fits.get(law), budgets, spending.cost)
    heaviest = max(found.weights, key=lambda name: found.weights[name])
    if best is not None and heaviest not in SUMS:
        refusals.append(
            f"the heaviest law, {heaviest}, has no optimum inside; the closed form is that of {law}"
        )
    envelopes: list[Envelope] = []
    for method in METHODS:
        try:
            envelopes.append(
                envelope(grid.x, grid.values, cost=spending.cost, method=method, sd=sd, draws=draws)
            )
        except MLProjectError as error:
            refusals.append(f"{method}: {error}")
    return Allocation(
        spending=spending, law=law, frontier=best, envelopes=tuple(envelopes), refusals=tuple(refusals)
    )


def _frontier(fitted: Fit | None, budgets: Floats, cost: Cost) -> tuple[Frontier | None, list[str]]:
    if fitted is None:
        return None, ["closed form: no sum of powers could be fitted"]
    if fitted.verdict == "not identifiable":
        return None, [f"closed form: {fitted.law} is not identifiable, {fitted.reason}"]
    try:
        return frontier(fitted, budgets, cost=cost), []
    except MLProjectError as error:
        return None, [f"closed form: {error}"]


def grids_note(grids: Sequence[Joint]) -> str:
    """One sentence on the grids that carry no joint law; empty where there are none."""
    refused = [grid for grid in grids if grid.laws is None and min(grid.shape) > 1]
    if not refused:
        return ""
    reasons = "; ".join(dict.fromkeys(grid.refusal for grid in refused))
    return f"No joint law of model size and images for {len(refused)} of {len(grids)} grids: {reasons}."


def logged(values: Sequence[float]) -> float:
    """The mean of a metric over seeds, not a number where a run lacks it."""
    return math.nan if not values or any(math.isnan(v) or v <= 0 for v in values) else float(np.mean(values))
