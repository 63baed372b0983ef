"""Figures of arms: a forest of differences for each setting, and differences against an axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlproject.analysis.axes import AXES
from mlproject.analysis.effects import Effect
from mlproject.analysis.matrix import Ablation, Interaction, Matrix, Row, Versus
from mlproject.report.arms import loss_difference
from mlproject.report.escape import figure_text, slug
from mlproject.report.style import COLUMN, GREY, MARKERS, PAGE, PALETTE, faint_grid, point_axis

FEWEST = 3
"""Arms, with the baseline, from which a setting is drawn: one difference alone is a line of a table."""
SHADES = {"better": PALETTE[2], "worse": PALETTE[1], "no difference seen": GREY}


def arm_figures(ablation: Ablation) -> Iterator[tuple[str, Figure]]:
    """File name (without its ending) and figure, one at a time."""
    for matrix in ablation.matrices:
        if len(matrix.rows) >= FEWEST:
            yield f"arms_{slug(matrix.label)}", forest_figure(matrix)
    for axis in AXES.values():
        along = [one for one in ablation.interactions if one.axis == axis.name]
        for arm in dict.fromkeys(one.arm for one in along):
            some = [one for one in along if one.arm == arm]
            yield f"arm_{slug(arm)}_by_{axis.slug}", change_figure(some, axis.label)


def forest_figure(matrix: Matrix) -> Figure:
    """Every arm's difference from the baseline in loss, and in accuracy where there is one."""
    rows = [row for row in matrix.rows if row.versus_loss is not None]
    scored = [row for row in rows if row.versus_error is not None]
    n = 2 if scored else 1
    figure = Figure(figsize=(PAGE, 0.9 + 0.2 * len(rows)), layout="constrained")
    axes = list(figure.subplots(1, n, sharey=True, squeeze=False).ravel())
    kind = str(matrix.setting["kind"]).replace("_", " ")
    for i, row in enumerate(rows):
        _bar(axes[0], i, row.versus_loss, 1.0)
        if n == 2:
            _bar(axes[1], i, row.versus_error, -100.0)
    axes[0].set_yticks(range(len(rows)), [figure_text(row.arm, 40) for row in rows])
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    axes[0].set_xlabel(f"difference of {kind} (left is better)")
    if n == 2:
        axes[1].set_xlabel("difference of accuracy [points] (right is better)")
    for ax in axes:
        _zero(ax)
    figure.suptitle(_title(matrix, rows), fontsize=7, x=0.02, ha="left")
    return figure


def _title(matrix: Matrix, rows: Sequence[Row]) -> str:
    seeds = sorted({row.n_seeds for row in rows})
    told = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    label = figure_text(matrix.label, 90)
    return (
        f"{label}, {told} seeds: arm less baseline, 95 % over images and seeds, filled where Holm's p < 0.05"
    )


def _bar(ax: Axes, at: int, versus: Versus | None, factor: float) -> None:
    if versus is None:
        return
    found, color = versus.effect, SHADES[versus.verdict]
    ax.plot([factor * found.low, factor * found.high], [at, at], color=color, linewidth=1.2)
    face = "white" if versus.verdict == "no difference seen" else color
    ax.plot(factor * found.value, at, "o", markersize=4, color=color, markerfacecolor=face)


def change_figure(found: Sequence[Interaction], label: str) -> Figure:
    """An arm's difference of loss at each scale, a line for each series, with the change by doubling."""
    figure = Figure(figsize=(COLUMN, 2.9), layout="constrained")
    ax = figure.subplots()
    for i, one in enumerate(found):
        color, marker = PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]
        text = f"{figure_text(one.series, 24)}: {loss_difference(one.loss)} by doubling"
        x = np.array(one.scales) * 1.015 ** (i - (len(found) - 1) / 2)
        ax.errorbar(
            x, [s.value for s in one.steps], yerr=_errors(one.steps), color=color, marker=marker,
            markersize=4, linewidth=1.0, elinewidth=0.8, label=text,
        )  # fmt: skip
    ax.set_xscale("log")
    point_axis(ax.xaxis, sorted({x for one in found for x in one.scales}))
    ax.set_xlabel(label)
    ax.set_ylabel("arm less baseline, loss")
    faint_grid(ax)
    ax.axhline(0.0, color="#333333", linewidth=0.6, zorder=1)
    figure.legend(loc="outside lower left", fontsize=6)
    figure.suptitle(f"{figure_text(found[0].arm, 60)} (below 0 is better)", fontsize=7, x=0.02, ha="left")
    return figure


def _errors(steps: Sequence[Effect]) -> list[list[float]]:
    return [[s.value - s.low for s in steps], [s.high - s.value for s in steps]]


def _zero(ax: Axes) -> None:
    faint_grid(ax)
    ax.axvline(0.0, color="#333333", linewidth=0.6, zorder=1)
