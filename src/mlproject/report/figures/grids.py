"""Figures of grids: loss over images for each model size with residuals, and the best split of a budget."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlproject.analysis import HORIZONS, Allocation, Grid, ModelLine
from mlproject.report.figures import (
    COLUMN,
    MARKERS,
    PALETTE,
    error_bars,
    faint_grid,
    figure_text,
    log_axis,
    ramp,
    short,
    title,
)
from mlproject.report.formats import kind_label
from mlproject.scaling import Envelope

DASHES = (0, (4.0, 1.8))
INK = "#333333"
CLOSED = PALETTE[0]
WAYS = {"minimum over curves": (PALETTE[1], "s"), "IsoFLOP cubic": (PALETTE[2], "^")}


def grid_figure(grid: Grid) -> Figure:
    """Loss against D, a line with its 95 % band for each model size, and residuals of the heaviest law."""
    lines = grid.model_lines
    figure = Figure(figsize=(COLUMN, 4.0 + 0.15 * len(lines)), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1.0])
    for i, (line, color) in enumerate(zip(lines, ramp(len(lines)), strict=True)):
        marker = MARKERS[i % len(MARKERS)]
        _model(top, grid, line, color, marker)
        if len(line.residuals):
            bottom.plot(
                grid.x[line.rows, 1], line.residuals, linestyle="none", marker=marker, markersize=2.8,
                color=color, zorder=3,
            )  # fmt: skip
    _dress(top, bottom, grid)
    title(figure, grid.family)
    figure.legend(handles=_handles(grid), loc="outside lower left", ncols=1)
    return figure


def _model(ax: Axes, grid: Grid, line: ModelLine, color: str, marker: str) -> None:
    d, values = grid.x[line.rows, 1], grid.values[line.rows]
    points = [point for point, is_row in zip(grid.points, line.rows, strict=True) if is_row]
    limits = np.array([point.interval("mean") for point in points]).T
    ax.errorbar(
        d, values, yerr=error_bars(values, *limits), linestyle="none", marker=marker, markersize=3.2,
        color=color, elinewidth=0.7, capsize=1.2, capthick=0.5, zorder=4,
    )  # fmt: skip
    for losses, dash in ((line.inside, "-"), (line.beyond, DASHES)):
        ax.plot(losses.x, losses.mean, color=color, linewidth=1.0, linestyle=dash, zorder=3)
        ax.fill_between(losses.x, losses.low, losses.high, color=color, alpha=0.15, linewidth=0, zorder=1)
    if grid.held_out is not None:
        held, in_line = grid.held_out, line.rows[grid.held_out.rows]
        predicted = held.prediction
        reach = error_bars(predicted.mean, predicted.low, predicted.high)[:, in_line]
        ax.errorbar(
            grid.x[held.rows, 1][in_line], predicted.mean[in_line], yerr=reach, linestyle="none",
            marker="x", markersize=3.6, color="#222222", elinewidth=0.6, zorder=5,
        )  # fmt: skip


def _dress(top: Axes, bottom: Axes, grid: Grid) -> None:
    top.set_xscale("log")
    top.set_yscale("log")
    low, high = top.get_ylim()
    log_axis(top.yaxis, low, high)
    top.set_ylim(low, high)
    top.set_ylabel(f"mean {kind_label(str(grid.fixed['kind']))}")
    log_axis(bottom.xaxis, float(grid.x[:, 1].min()), HORIZONS[0] * float(grid.x[:, 1].max()))
    bottom.set_xlabel("training images, $D$ [images]")
    bottom.axhline(0.0, color="#8a8a8a", linewidth=0.6, zorder=1)
    bottom.margins(y=0.25)
    bottom.set_ylabel("residual [%]")
    for ax in (top, bottom):
        faint_grid(ax)


def _handles(grid: Grid) -> list[Line2D]:
    lines = grid.model_lines
    handles = []
    for i, (line, color) in enumerate(zip(lines, ramp(len(lines)), strict=True)):
        label = f"{figure_text(line.model, 18)}, {short(line.n)} parameters"
        handles.append(
            Line2D([], [], color=color, marker=MARKERS[i % len(MARKERS)], markersize=3.5, label=label)
        )
    handles.append(Line2D([], [], color=INK, label="all laws, 95 % band"))
    handles.append(Line2D([], [], color=INK, linestyle=DASHES, label=f"beyond, to {HORIZONS[0]:g} × D"))
    if grid.held_out is not None:
        label = "predicted from cheaper cells"
        handles.append(Line2D([], [], color=INK, linestyle="none", marker="x", label=label))
    law = grid.assessment.laws[0].law
    return [*handles, Line2D([], [], linestyle="none", label=f"residuals: {law}")]


def frontier_figure(grid: Grid, allocation: Allocation) -> Figure:
    """N* and D* against the budget: the closed form with its band, and the optima read off the cells."""
    figure = Figure(figsize=(COLUMN, 4.3), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    closed = allocation.frontier
    for ax, name, column in ((top, "n", 0), (bottom, "d", 1)):
        best = np.array([])
        if closed is not None:
            best, limits = getattr(closed, name), getattr(closed, f"{name}_limits")
            inside = np.where(closed.beyond, np.nan, best)
            ax.plot(closed.compute, best, color=CLOSED, linewidth=1.0, linestyle=DASHES, zorder=3)
            ax.plot(closed.compute, inside, color=CLOSED, zorder=3)
            ax.fill_between(closed.compute, *limits, color=CLOSED, alpha=0.15, linewidth=0, zorder=1)
        for way in allocation.envelopes:
            _optima(ax, way, name)
        ax.set_xscale("log")
        ax.set_yscale("log")
        # The data and the closed form, whatever the width of the intervals.
        values = [*grid.x[:, column], *best]
        ax.set_ylim(min(values) / 1.5, max(values) * 1.5)
        log_axis(ax.yaxis, *ax.get_ylim())
        faint_grid(ax)
    log_axis(bottom.xaxis, *bottom.get_xlim())
    top.set_ylabel("best model size,\n$N^*$ [parameters]")
    bottom.set_ylabel("best training images,\n$D^*$ [images]")
    bottom.set_xlabel(f"budget, $C$ [{allocation.cell_cost.unit}]")
    title(figure, grid.family)
    figure.legend(handles=_ways(allocation), loc="outside lower left", ncols=1)
    return figure


def _optima(ax: Axes, way: Envelope, name: str) -> None:
    color, marker = WAYS[way.method]
    best, limits = getattr(way, name), getattr(way, f"{name}_limits")
    reach = error_bars(best, *limits) if np.isfinite(limits).all() else None
    ax.errorbar(
        way.compute, best, yerr=reach, linestyle="none", marker=marker, markersize=2.8, color=color,
        elinewidth=0.6, zorder=4,
    )  # fmt: skip


def _ways(allocation: Allocation) -> list[Line2D]:
    handles = []
    if allocation.frontier is not None:
        label = f"closed form of {allocation.law}, 95 %; dashed: beyond"
        handles.append(Line2D([], [], color=CLOSED, label=label))
    for way in allocation.envelopes:
        color, marker = WAYS[way.method]
        label = f"{way.method}, 95 %"
        handles.append(
            Line2D([], [], color=color, linestyle="none", marker=marker, markersize=3.5, label=label)
        )
    return handles
