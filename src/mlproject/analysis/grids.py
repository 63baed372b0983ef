"""Grids: comparable cells over model size N and images D, their joint laws, and how to split a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlproject.analysis.axes import AXES, GRID_AXES
from mlproject.analysis.bootstrap import Floats, Replicates, over_seeds
from mlproject.analysis.comparable import ComparableRuns, comparable_runs, labels_of
from mlproject.analysis.lines import ModelLine, model_lines
from mlproject.analysis.points import HORIZONS, Point, average_losses, influence, make_point, noise_dof
from mlproject.analysis.runs import EvaluatedRun, ImagePool
from mlproject.errors import MLProjectError
from mlproject.scaling import (
    METHODS,
    SUMS,
    Assessment,
    Cost,
    Envelope,
    Fit,
    Frontier,
    Prediction,
    assess,
    envelope,
    fit_cost,
    frontier,
    t_quantile,
    unshared_noise,
)

SEED = 2
"""Of the stream that resamples seeds here, apart from that of the curves."""
N_BUDGETS = 25
BEYOND = 10.0
"""Budgets go so many times beyond the most expensive cell."""


@dataclass(frozen=True, kw_only=True)
class CellCost:
    """What a cell costs: ``cost`` is coefficient N^p D^q in ``unit``; ``error`` is its worst log error.

    ``measured`` is False where the runs log no compute, and parameters times images stand in for it.
    """

    cost: Cost
    unit: str
    measured: bool
    error: float


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """How to split a budget: by the closed form of ``law``, and read off the cells without a law.

    ``refusals`` are the reasons why a way is missing.
    """

    cell_cost: CellCost
    law: str
    frontier: Frontier | None
    envelopes: tuple[Envelope, ...]
    refusals: tuple[str, ...]

    @property
    def ways(self) -> tuple[tuple[str, Frontier | Envelope], ...]:
        """All ways by name, the closed form first."""
        closed = [] if self.frontier is None else [(f"closed form of {self.law}", self.frontier)]
        return (*closed, *((way.method, way) for way in self.envelopes))


@dataclass(frozen=True, kw_only=True)
class HeldOutCells:
    """How the most expensive cells were predicted from the others: rows [cells], and the root mean square of
    the log error; ``n_inside`` of them lie inside the 95 % interval of a new run."""

    rows: NDArray[np.bool_]
    prediction: Prediction
    error: float
    n_inside: int


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Comparable cells over N and D. Without joint laws, ``assessment.reason`` is why.

    Shapes: ``x`` [cells, 2] holds N and D, ``compute`` [cells] the logged FLOPs, not a number where none are.
    """

    series: str
    family: str
    fixed: Mapping[str, Any]
    points: tuple[Point, ...]
    models: tuple[str, ...]
    x: Floats
    compute: Floats
    assessment: Assessment
    allocation: Allocation | None

    @property
    def label(self) -> str:
        """The name of the grid in every table."""
        return f"{self.series} · {self.family}"

    @property
    def has_laws(self) -> bool:
        """Whether joint laws were fitted."""
        return self.assessment.average is not None

    @property
    def values(self) -> Floats:
        """The mean loss of every cell [cells]."""
        return np.array([point.value("mean") for point in self.points])

    @property
    def shape(self) -> tuple[int, int]:
        """How many distinct model sizes and data sizes there are."""
        return len(np.unique(self.x[:, 0])), len(np.unique(self.x[:, 1]))

    @property
    def beyond(self) -> Floats:
        """Scales [k, 2] beyond the data: the largest model or data size, or both, times ``HORIZONS``."""
        directions = np.repeat([[1, 0], [0, 1], [1, 1]], len(HORIZONS), axis=0)
        times = np.tile(HORIZONS, 3)[:, None]
        return np.asarray(self.x.max(axis=0) * np.where(directions == 1, times, 1.0))

    @cached_property
    def predictions(self) -> Prediction | None:
        """Losses over all laws at ``beyond``, where laws were averaged."""
        return self.assessment.predict(self.beyond) if self.has_laws else None

    @cached_property
    def held_out(self) -> HeldOutCells | None:
        """The most expensive cells as predicted from the others, where these are enough."""
        held = self.assessment.held_out
        if held is None:
            return None
        observed, predicted = self.values[held.rows], held.prediction
        inside = (predicted.new_run_low <= observed) & (observed <= predicted.new_run_high)
        error = float(np.sqrt(np.mean(np.log(predicted.mean / observed) ** 2)))
        return HeldOutCells(rows=held.rows, prediction=predicted, error=error, n_inside=int(inside.sum()))

    @cached_property
    def model_lines(self) -> tuple[ModelLine, ...]:
        """One line for each model size, ascending, for drawing; none without laws."""
        if not self.has_laws:
            return ()
        return model_lines(self.assessment, self.x, self.values, self.models, HORIZONS[0])


def make_grids(
    pool: ImagePool, drawn: Mapping[str, Replicates], seed: int
) -> list[tuple[ComparableRuns, Grid]]:
    """The grids of one pool that hold several models and several sizes; labels come later."""
    groups = [group for group in comparable_runs(pool.runs, GRID_AXES) if _is_grid(group)]
    return [(group, _grid(group, pool, drawn, seed)) for group in groups]


def label_grids(pairs: Sequence[tuple[ComparableRuns, Grid]]) -> tuple[Grid, ...]:
    """Grids with labels that tell them apart, in order."""
    labels = labels_of([group for group, _ in pairs])
    labelled = [
        replace(grid, series=series, family=family)
        for (_, grid), (series, family) in zip(pairs, labels, strict=True)
    ]
    return tuple(sorted(labelled, key=lambda grid: (grid.family, grid.series)))


def _is_grid(group: ComparableRuns) -> bool:
    sizes = {run.cell.dataset_size for run in group.runs}
    return len(sizes) > 1 and len({GRID_AXES.value(run.observation) for run in group.runs}) > 1


def _grid(group: ComparableRuns, pool: ImagePool, drawn: Mapping[str, Replicates], seed: int) -> Grid:
    cells = _cells(group)
    rng = np.random.default_rng([seed, SEED])
    losses = np.stack([average_losses(runs, len(pool.image_ids)) for runs in cells], axis=1)
    points = []
    for runs, column in zip(cells, losses.T, strict=True):
        draws = over_seeds([drawn[run.run_id] for run in runs], rng)
        name = f"{runs[0].cell.model} · {runs[0].cell.dataset_size:,} images"
        points.append(make_point(name, _size(runs[0])[0], runs, column, draws))
    x = np.array([_size(runs[0]) for runs in cells])
    compute = np.array(
        [mean_metric([AXES["flops"].value(run.observation) for run in runs]) for runs in cells]
    )
    values = np.array([point.value("mean") for point in points])
    draws_of_cells = np.stack([point.draws["mean"] for point in points], axis=1)
    cell_cost, freedom = cost_of_cells(x, compute), noise_dof(points, "mean")
    assessment = assess(
        x,
        values,
        draws=draws_of_cells,
        influence=influence(losses),
        noise_dof=freedom,
        axes=("model size", "data size"),
        cost=cell_cost.cost,
    )
    return Grid(
        series="",
        family="",
        fixed=group.fixed,
        points=tuple(points),
        models=tuple(runs[0].cell.model for runs in cells),
        x=x,
        compute=compute,
        assessment=assessment,
        allocation=None
        if assessment.average is None
        else _allocate(x, values, draws_of_cells if freedom > 0 else None, cell_cost, assessment),
    )


def _cells(group: ComparableRuns) -> list[list[EvaluatedRun]]:
    """Runs by model, checkpoint and data size, ascending: runs that differ in the seed alone are one cell."""
    cells: dict[tuple[float, float, str, str], list[EvaluatedRun]] = {}
    for run in group.runs:
        key = (*_size(run), run.cell.model, run.cell.weights_digest)
        cells.setdefault(key, []).append(run)
    return [cells[key] for key in sorted(cells)]


def _size(run: EvaluatedRun) -> tuple[float, float]:
    """N and D of a run."""
    return GRID_AXES.value(run.observation), float(run.cell.dataset_size)


def mean_metric(values: Sequence[float]) -> float:
    """The mean of a metric over seeds, not a number where a run lacks it."""
    return math.nan if not values or any(math.isnan(v) or v <= 0 for v in values) else float(np.mean(values))


def cost_of_cells(x: Floats, compute: Floats) -> CellCost:
    """The cost of cells x [m, 2] from their logged compute [m], or parameters times images without it."""
    if np.isfinite(compute).all() and (compute > 0).all():
        try:
            cost = fit_cost(x[:, 0], x[:, 1], compute)
        except MLProjectError:
            cost = Cost(coefficient=0.0)
        if min(cost.coefficient, cost.n_power, cost.d_power) > 0:
            error = float(np.max(np.abs(np.log(cost.of(x[:, 0], x[:, 1]) / compute))))
            return CellCost(cost=cost, unit="FLOP", measured=True, error=error)
    return CellCost(cost=Cost(coefficient=1.0), unit="parameters × images", measured=False, error=0.0)


def _allocate(
    x: Floats, values: Floats, draws: Floats | None, cell_cost: CellCost, assessment: Assessment
) -> Allocation:
    price = cell_cost.cost.of(*x.T)
    budgets = np.geomspace(price.min(), BEYOND * price.max(), N_BUDGETS)
    sums = [law for law in assessment.laws if law.law in SUMS and law.fit is not None]
    law, fitted = (sums[0].law, sums[0].fit) if sums else ("", None)
    best, refusals = _frontier(fitted, budgets, cell_cost.cost)
    heaviest = assessment.laws[0].law
    if best is not None and heaviest not in SUMS:
        refusals.append(f"closed form: of {law}, as the heaviest law, {heaviest}, has no optimum inside")
    noise, envelopes = _noise(values, draws, fitted), list[Envelope]()
    for method in METHODS:
        try:
            envelopes.append(envelope(x, values, cost=cell_cost.cost, method=method, **noise))
        except MLProjectError as error:
            refusals.append(f"{method}: {error}")
    return Allocation(
        cell_cost=cell_cost, law=law, frontier=best, envelopes=tuple(envelopes), refusals=tuple(refusals)
    )


def _noise(values: Floats, draws: Floats | None, fitted: Fit | None) -> dict[str, Floats | None]:
    """The noise of cells: replicates, or without those of seeds the residuals of a law with their t."""
    if draws is not None:
        return {"sd": unshared_noise(values, draws), "draws": draws}
    if fitted is None or fitted.dof <= 0:
        return {}
    return {"sd": values * fitted.residual_sd * t_quantile(fitted.dof) / t_quantile(math.inf)}


def _frontier(fitted: Fit | None, budgets: Floats, cost: Cost) -> tuple[Frontier | None, list[str]]:
    if fitted is None:
        return None, ["closed form: no sum of powers could be fitted"]
    if fitted.verdict == "not identifiable":
        return None, [f"closed form: {fitted.law} is not identifiable, {fitted.reason}"]
    try:
        return frontier(fitted, budgets, cost=cost), []
    except MLProjectError as error:
        return None, [f"closed form: {error}"]
