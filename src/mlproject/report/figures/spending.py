"""Figure of a plan that was run until its prediction was narrow: the width against what was spent."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from mlproject.analysis import Spending
from mlproject.report.figures import (
    GREY,
    MARKERS,
    PAGE,
    PALETTE,
    faint_grid,
    figure_text,
    log_axis,
    point_axis,
    short,
)

ROOM = 1.25
"""Factor by which the axes reach beyond what is drawn."""


def spending_figure(spending: Spending) -> Figure:
    """The relative width of every curve's interval after each round, and the width that was asked for."""
    figure = Figure(figsize=(PAGE, 2.9), layout="constrained")
    ax = figure.subplots()
    wanted, known = spending.until.width, spending.known_widths
    ax.set(xscale="log", yscale="log")
    for i, (name, points) in enumerate(known.items()):
        color, marker = PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]
        x, y = zip(*points, strict=True)
        ax.plot(x, y, color=color, marker=marker, markersize=4, linewidth=1.2, label=figure_text(name))
    ax.axhline(wanted, color=GREY, linestyle="--", linewidth=0.9, label=f"asked for: {short(wanted)}")
    widths = [wanted, *(width for points in known.values() for _, width in points)]
    low, high = min(widths) / ROOM, max(widths) * ROOM
    ax.set_ylim(low, high)
    log_axis(ax.yaxis, low, high)
    images = sorted({done.spent.images for done in spending.rounds})
    if spending.until.unit == "images" and math.isfinite(spending.until.budget):
        images.append(spending.until.budget)
        ax.axvline(images[-1], color=GREY, linestyle=":", linewidth=0.9, label="budget")
    ax.set_xlim(min(images) / ROOM, max(images) * ROOM)
    point_axis(ax.xaxis, images)
    ax.set_xlabel("training images spent")
    ax.set_ylabel("relative width of\nthe 95 % interval")
    faint_grid(ax)
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
