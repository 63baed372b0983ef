"""Figures of mistakes by scale: when images are learned, who shares mistakes, calibration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mlproject.analysis import LOST, NEVER, Calibration, ErrorConsistency, Trajectory
from mlproject.report.figures import (
    GREY,
    PAGE,
    error_bars,
    faint_grid,
    figure_text,
    looks,
    point_axis,
    short,
    title,
)

MOST_BARS = 24
BAR = 0.34
"""Height of a bar, in inches."""
MOST_SHADES = 7
"""Scales whose shade a legend names."""
LOST_COLOR = "#D55E00"
MOST_ANNOTATED = 14
"""Cells of a heat map whose numbers can be read."""


def learned_figure(known: Sequence[Trajectory], names: Sequence[str]) -> Figure:
    """A bar for each curve: images by the scale at which they are learned, lost images, never right ones."""
    drawn = known[:MOST_BARS]
    figure = Figure(figsize=(PAGE, 1.45 + BAR * len(drawn)), layout="constrained")
    ax = figure.subplots()
    points = {point.x: point.name for t in drawn for point in t.curve.points}
    logs = np.log(list(points))
    colors = matplotlib.colormaps["viridis"]
    shade = {
        x: colors(0.12 + 0.8 * (np.log(x) - logs.min()) / max(float(np.ptp(logs)), 1e-9)) for x in points
    }
    for row, trajectory in enumerate(drawn):
        left = 0.0
        for outcome, _ in trajectory.outcomes:
            share = trajectory.share(outcome).value
            style = _style(outcome, shade[trajectory.curve.points[max(outcome, 0)].x])
            ax.barh(row, share, left=left, height=0.78, edgecolor="white", linewidth=0.5, **style)
            left += share
    ax.set_yticks(range(len(drawn)), [figure_text(name, 34) for name in names[: len(drawn)]])
    ax.set(xlim=(0, 1), ylim=(len(drawn) - 0.45, -0.55), xlabel="share of the images")
    ax.tick_params(axis="y", length=0)
    handles = [
        *(
            Patch(facecolor=shade[x], label=f"right from {_scale_name(points[x], 18)} on")
            for x in _few(points)
        ),
        Patch(label="lost: right before", **_style(LOST, None)),
        Patch(label="never right", **_style(NEVER, None)),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=3)
    title(figure, drawn[0].curve.family)
    return figure


def _few(scales: Iterable[float]) -> list[float]:
    """At most ``MOST_SHADES`` of the scales, ascending, with the smallest and the largest."""
    ordered = sorted(scales)
    places = np.linspace(0, len(ordered) - 1, min(MOST_SHADES, len(ordered))).round().astype(int)
    return [ordered[place] for place in places]


def _scale_name(name: str, longest: int) -> str:
    return short(float(name)) if name.isdecimal() else figure_text(name, longest)


def _style(outcome: int, color: object) -> dict[str, Any]:
    if outcome == NEVER:
        return {"facecolor": GREY}
    return {"facecolor": LOST_COLOR, "hatch": "////"} if outcome == LOST else {"facecolor": color}


def consistency_figure(table: ErrorConsistency) -> Figure:
    """Heat map of κ between all cells, in blocks of one curve; on the diagonal between seeds."""
    import seaborn as sns

    n = len(table.cells)
    side = min(PAGE, 2.6 + 0.17 * n)
    figure = Figure(figsize=(side, side * 0.86), layout="constrained")
    ax = figure.subplots()
    colors = matplotlib.colormaps["cividis"].with_extremes(bad="#eeeeee")
    low = min(0.0, float(np.nanmin(table.kappa)))
    names = [_scale_name(scale, 14) for _, scale in table.cells]
    sns.heatmap(
        table.kappa, ax=ax, vmin=low, vmax=1.0, cmap=colors, annot=n <= MOST_ANNOTATED, fmt=".2f",
        annot_kws={"fontsize": 6}, square=True, xticklabels=names, yticklabels=names,
        cbar_kws={"shrink": 0.8, "label": "error consistency κ"},
    )  # fmt: skip
    ax.set_facecolor("#eeeeee")
    ax.tick_params(axis="x", rotation=90, length=0, labelsize=6)
    ax.tick_params(axis="y", rotation=0, length=0, labelsize=6)
    _blocks(ax, table)
    title(figure, table.family)
    return figure


def _blocks(ax: Axes, table: ErrorConsistency) -> None:
    """White lines between curves, and their names above the map."""
    start = 0
    for series, group in groupby(series for series, _ in table.cells):
        length = len(list(group))
        for line in (ax.axhline, ax.axvline):
            line(start, color="white", linewidth=1.6)
        ax.text(
            start + length / 2, -0.3, figure_text(series, max(8, int(4.2 * length))), ha="center",
            va="bottom", fontsize=6,
        )  # fmt: skip
        start += length


def calibration_figure(known: Sequence[Calibration]) -> Figure:
    """Confidence minus accuracy, and the calibration error, against scale for each curve."""
    by_curve = {id(calibration.curve): calibration.curve for calibration in known}
    curves = list(by_curve.values())
    figure = Figure(figsize=(PAGE, 2.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    scales: list[float] = []
    for curve, look in zip(curves, looks(curves), strict=True):
        scaled = [calibration for calibration in known if calibration.curve is curve]
        x = [curve.points[calibration.scale].x for calibration in scaled]
        scales += x
        for ax, estimates in (
            (left, [calibration.overconfidence for calibration in scaled]),
            (right, [calibration.error for calibration in scaled]),
        ):
            values, low, high = (
                np.array([getattr(e, n) for e in estimates]) for n in ("value", "low", "high")
            )
            ax.errorbar(
                x, values, yerr=error_bars(values, low, high), color=look.color, marker=look.marker,
                markersize=4, markerfacecolor=look.face, linewidth=1.0, elinewidth=0.7, capsize=1.5,
                label=figure_text(curve.series, 28),
            )  # fmt: skip
    for ax in (left, right):
        ax.set_xscale("log")
        first = {point.x for point in curves[0].points}
        point_axis(ax.xaxis, sorted(first), sorted(set(scales)))
        ax.set_xlabel(curves[0].axis.label)
        faint_grid(ax)
    left.axhline(0.0, color="#8a8a8a", linewidth=0.6, zorder=1)
    left.set_ylabel("confidence − accuracy")
    right.set_ylabel("calibration error")
    right.set_ylim(bottom=0.0)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=4)
    title(figure, curves[0].family)
    return figure
