"""Figures of joint laws: loss along D for each model, residuals, and the best split of a budget."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlproject.analysis.joint import Joint, JointLaws
from mlproject.report.escape import figure_text
from mlproject.report.style import COLUMN, MARKERS, faint_grid, log_axis, ramp, short, title
from mlproject.scaling import Envelope

AHEAD = 2.0
"""How many times beyond its largest data size each model's loss is drawn."""
DASHES = (0, (4.0, 1.8))
WAYS = {"minimum over curves": ("#D55E00", "s"), "IsoFLOP cubic": ("#009E73", "^")}
CLOSED = "#0072B2"


def joint_figure(joint: Joint) -> Figure:
    """Loss against D, a line with its 95 % band for each model size, and residuals under the heaviest law."""
    assert joint.laws is not None
    sizes = np.unique(joint.x[:, 0])
    figure = Figure(figsize=(COLUMN, 3.9 + 0.085 * len(sizes)), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1.0])
    for i, (n, color) in enumerate(zip(sizes, ramp(len(sizes)), strict=True)):
        _model(top, joint, joint.laws, float(n), color, MARKERS[i % len(MARKERS)])
        _residuals(bottom, joint, joint.laws, float(n), color, MARKERS[i % len(MARKERS)])
    _dress(top, bottom, joint)
    title(figure, joint.family)
    figure.legend(handles=_handles(joint, sizes), loc="outside lower left", ncols=2, columnspacing=1.2)
    return figure


def _model(ax: Axes, joint: Joint, laws: JointLaws, n: float, color: str, marker: str) -> None:
    rows = joint.x[:, 0] == n
    d, values = joint.x[rows, 1], joint.values[rows]
    limits = np.array(
        [point.interval("mean") for point, mine in zip(joint.points, rows, strict=True) if mine]
    )
    reach = np.maximum([values - limits[:, 0], limits[:, 1] - values], 0.0)
    ax.errorbar(
        d, values, yerr=reach, linestyle="none", marker=marker, markersize=3.2, color=color, elinewidth=0.7,
        capsize=1.2, capthick=0.5, zorder=4,
    )  # fmt: skip
    for low, high, dash in ((d.min(), d.max(), "-"), (d.max(), AHEAD * joint.x[:, 1].max(), DASHES)):
        at = np.geomspace(low, high, 24)
        told = laws.average.predict(np.stack([np.full(len(at), n), at], axis=1))
        ax.plot(at, told.mean, color=color, linewidth=1.0, linestyle=dash, zorder=3)
        ax.fill_between(at, told.low, told.high, color=color, alpha=0.15, linewidth=0, zorder=1)
    if laws.held_out is not None:
        mine = joint.x[laws.held_out.rows, 0] == n
        told, at = laws.held_out.told, joint.x[laws.held_out.rows, 1]
        reach = np.stack([told.mean - told.low, told.high - told.mean])[:, mine]
        ax.errorbar(
            1.09 * at[mine], told.mean[mine], yerr=reach, linestyle="none", marker="x", markersize=3.6,
            color="#222222", elinewidth=0.6, zorder=5,
        )  # fmt: skip


def _residuals(ax: Axes, joint: Joint, laws: JointLaws, n: float, color: str, marker: str) -> None:
    fit = laws.fits.get(laws.heaviest)
    if fit is None:
        return
    rows = joint.x[:, 0] == n
    off = 100 * np.log(joint.values[rows] / fit.predict(joint.x[rows]).mean)
    ax.plot(joint.x[rows, 1], off, linestyle="none", marker=marker, markersize=2.8, color=color, zorder=3)


def _dress(top: Axes, bottom: Axes, joint: Joint) -> None:
    top.set_xscale("log")
    top.set_yscale("log")
    assert joint.laws is not None
    low, high = top.get_ylim()
    log_axis(top.yaxis, low, high)
    top.set_ylim(low, high)
    top.set_ylabel(f"mean {str(joint.fixed['kind']).replace('_', ' ')}")
    low, high = float(joint.x[:, 1].min()), AHEAD * float(joint.x[:, 1].max())
    log_axis(bottom.xaxis, low, high)
    bottom.set_xlabel("training images, $D$")
    bottom.axhline(0.0, color="#8a8a8a", linewidth=0.6, zorder=1)
    bottom.margins(y=0.25)
    bottom.set_ylabel("residual [%]")
    for ax in (top, bottom):
        faint_grid(ax)


def _handles(joint: Joint, sizes: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[Line2D]:
    assert joint.laws is not None
    shown = []
    for i, (n, color) in enumerate(zip(sizes, ramp(len(sizes)), strict=True)):
        names = [m for m, own in zip(joint.models, joint.x[:, 0], strict=True) if own == n]
        label = f"{figure_text(names[0], 16)}, {short(float(n))}"
        shown.append(
            Line2D([], [], color=color, marker=MARKERS[i % len(MARKERS)], markersize=3.5, label=label)
        )
    law = joint.laws.heaviest
    grey = "#333333"
    shown.append(Line2D([], [], color=grey, label="all laws, 95 % band"))
    shown.append(Line2D([], [], color=grey, linestyle=DASHES, label=f"beyond, to {AHEAD:g} × D"))
    if joint.laws.held_out is not None:
        shown.append(
            Line2D([], [], color=grey, linestyle="none", marker="x", label="predicted from cheaper cells")
        )
    shown.append(Line2D([], [], linestyle="none", label=f"residuals: {law}"))
    return shown


def frontier_figure(joint: Joint) -> Figure:
    """N* and D* against the budget: the closed form with its band, and what the cells alone say."""
    assert joint.laws is not None
    split = joint.laws.allocation
    figure = Figure(figsize=(COLUMN, 4.3), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    for ax, name in ((top, "n"), (bottom, "d")):
        if split.frontier is not None:
            best, limits = getattr(split.frontier, name), getattr(split.frontier, f"{name}_limits")
            inside = np.where(split.frontier.beyond, np.nan, best)
            ax.plot(split.frontier.compute, best, color=CLOSED, linewidth=1.0, linestyle=DASHES, zorder=3)
            ax.plot(split.frontier.compute, inside, color=CLOSED, zorder=3)
            ax.fill_between(split.frontier.compute, *limits, color=CLOSED, alpha=0.15, linewidth=0, zorder=1)
        for one in split.envelopes:
            _optima(ax, one, name)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_ylim(*_room(joint, name))
        log_axis(ax.yaxis, *ax.get_ylim())
        faint_grid(ax)
    log_axis(bottom.xaxis, *bottom.get_xlim())
    top.set_ylabel("best model size, $N^*$")
    bottom.set_ylabel("best training images, $D^*$")
    bottom.set_xlabel(f"budget, $C$ [{split.spending.unit}]")
    title(figure, joint.family)
    figure.legend(handles=_ways(joint.laws), loc="outside lower left", ncols=1)
    return figure


def _room(joint: Joint, name: str) -> tuple[float, float]:
    """Limits of an axis: the data and the closed form, whatever the width of intervals."""
    assert joint.laws is not None
    split, column = joint.laws.allocation, joint.x[:, "nd".index(name)]
    best = [] if split.frontier is None else getattr(split.frontier, name).tolist()
    low, high = min([column.min(), *best]), max([column.max(), *best])
    return float(low) / 1.5, float(high) * 1.5


def _optima(ax: Axes, one: Envelope, name: str) -> None:
    color, marker = WAYS[one.method]
    best, limits = getattr(one, name), getattr(one, f"{name}_limits")
    known = np.isfinite(limits).all()
    reach = np.maximum([best - limits[0], limits[1] - best], 0.0) if known else None
    ax.errorbar(
        one.compute, best, yerr=reach, linestyle="none", marker=marker, markersize=2.8, color=color,
        elinewidth=0.6, zorder=4,
    )  # fmt: skip


def _ways(laws: JointLaws) -> list[Line2D]:
    split, found = laws.allocation, []
    if split.frontier is not None:
        found.append(
            Line2D(
                [], [], color=CLOSED, label=f"closed form of {split.law}, 95 % band; dashed beyond the data"
            )
        )
    for one in split.envelopes:
        color, marker = WAYS[one.method]
        found.append(
            Line2D(
                [],
                [],
                color=color,
                linestyle="none",
                marker=marker,
                markersize=3.5,
                label=f"{one.method}, 95 %",
            )
        )
    return found
