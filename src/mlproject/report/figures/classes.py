"""Forest plot of the exponents of classes: differences from that of all images, shrunk, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlproject.analysis import ClassExponent, ClassScaling
from mlproject.report.figures import GREY, PAGE, error_bars, faint_grid, figure_text, looks, title

MOST_CURVES = 4
"""Panels beside each other."""
MOST_DRAWN = 40
"""Classes that a page holds: those that differ most."""
ROW = 0.17
"""Height of a class, in inches."""
DISCOVERED = 0.05


def drawn_scalings(scalings: Sequence[ClassScaling]) -> list[ClassScaling]:
    """The curves of one family that the figure shows: those with shrunk differences."""
    shrunk = [s for s in scalings if any(row.shrunk is not None for row in s.exponents)]
    return [s for s in shrunk if s.curve.family == shrunk[0].curve.family][:MOST_CURVES]


def classes_figure(scalings: Sequence[ClassScaling]) -> Figure:
    """A panel for each curve: every class's shrunk difference, filled where it is a discovery."""
    labels = _labels(scalings)
    figure = Figure(figsize=(PAGE, 1.3 + ROW * len(labels)), layout="constrained")
    panels = figure.subplots(1, len(scalings), sharex=True, sharey=True, squeeze=False)[0]
    styles = looks([scaling.curve for scaling in scalings])
    for ax, scaling, look in zip(panels, scalings, styles, strict=True):
        _panel(ax, scaling, labels, look.color)
    panels[0].set_yticks(range(len(labels)), [figure_text(label, 26) for label in labels], fontsize=7)
    panels[0].set_ylim(len(labels) - 0.4, -0.6)
    for ax in panels:
        ax.set_xlabel(
            "class minus all images" if len(panels) > 1 else "exponent of the class minus all images"
        )
    handles = [
        Line2D([], [], color=GREY, marker="o", linestyle="none", label="discovery: q ≤ 5 %"),
        Line2D([], [], color=GREY, marker="o", markerfacecolor="white", linestyle="none", label="q > 5 %"),
        Line2D([], [], color=GREY, marker="|", linestyle="none", label="before shrinking"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=3)
    title(figure, scalings[0].curve.family)
    return figure


def _labels(scalings: Sequence[ClassScaling]) -> list[str]:
    """The classes, the steepest first; of many those whose mean difference is largest."""
    values: dict[str, list[float]] = {}
    for scaling in scalings:
        for row in scaling.exponents:
            if row.shrunk is not None:
                values.setdefault(row.label, []).append(row.shrunk.value)
    means = {label: float(np.mean(of_label)) for label, of_label in values.items()}
    kept = sorted(means, key=lambda label: -abs(means[label]))[:MOST_DRAWN]
    return sorted(kept, key=lambda label: -means[label])


def _panel(ax: Axes, scaling: ClassScaling, labels: Sequence[str], color: str) -> None:
    by_label: dict[str, ClassExponent] = {row.label: row for row in scaling.exponents}
    for place, label in enumerate(labels):
        row = by_label.get(label)
        if row is None or row.shrunk is None:
            continue
        shrunk = row.shrunk
        ends = error_bars(np.array([shrunk.value]), np.array([shrunk.low]), np.array([shrunk.high]))
        ax.errorbar(
            shrunk.value, place, xerr=ends, fmt="o", color=color, markersize=3.6, elinewidth=1.0,
            markerfacecolor=color if row.q <= DISCOVERED else "white",
        )  # fmt: skip
        ax.plot(row.difference.value, place, "|", color=GREY, markersize=4.5, markeredgewidth=0.8)
    ax.axvline(0.0, color="#8a8a8a", linewidth=0.6, zorder=1)
    ax.set_title(figure_text(scaling.curve.series, 24), fontsize=8)
    ax.tick_params(axis="y", length=0)
    faint_grid(ax)
