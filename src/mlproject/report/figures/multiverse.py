"""Specification curve: exponents of all specifications in ascending order, and the choices of each below."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlproject.analysis import Multiverse
from mlproject.report.figures import GREY, PAGE, PALETTE, faint_grid, figure_text, title

ROW = 0.115
"""Height of a value of a choice, in inches."""


def specification_figure(multiverse: Multiverse) -> Figure:
    """Exponents with intervals above, and a dot for every choice of every specification below."""
    values = _values(multiverse)
    heights = [1.7, ROW * len(values)]
    figure = Figure(figsize=(PAGE, sum(heights) + 0.75), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    _exponents(above, multiverse)
    _choices(below, multiverse, values)
    title(figure, f"{multiverse.curve.label}: {len(multiverse.specifications)} specifications")
    return figure


def _values(multiverse: Multiverse) -> list[tuple[str, str]]:
    """Choices and their values, the reported one first, as rows of the lower part."""
    rows = []
    for choice, usual in multiverse.usual.choices.items():
        others = {each.choices[choice] for each in multiverse.specifications} - {usual}
        rows += [(choice, value) for value in (usual, *sorted(others))]
    return rows


def _exponents(ax: Axes, multiverse: Multiverse) -> None:
    estimates = [each.exponent for each in multiverse.specifications]
    x = np.arange(len(estimates))
    low, high = (np.array([getattr(e, name) for e in estimates]) for name in ("low", "high"))
    certain = low > 0
    ax.vlines(x, low, high, color=np.where(certain, PALETTE[5], "#c9c9c9"), linewidth=0.8)
    ax.plot(x, [e.value for e in estimates], ".", color="#222222", markersize=2.5)
    at = multiverse.specifications.index(multiverse.usual)
    usual = multiverse.usual.exponent
    ax.plot([at, at], [usual.low, usual.high], color=PALETTE[1], linewidth=1.6)
    ax.plot(at, usual.value, "D", color=PALETTE[1], markersize=4.5, label="as reported")
    ax.axhline(0.0, color="#333333", linewidth=0.6)
    span = np.quantile(np.concatenate([low, high]), (0.02, 0.98))
    room = 0.08 * float(np.ptp(span))
    ax.set_ylim(min(span[0], usual.low, 0.0) - room, max(span[1], usual.high) + room)
    ax.set_ylabel("exponent at the\nlargest scale")
    faint_grid(ax)
    ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 0.98), borderaxespad=0.0)


def _choices(ax: Axes, multiverse: Multiverse, values: list[tuple[str, str]]) -> None:
    at = multiverse.specifications.index(multiverse.usual)
    for row, (choice, value) in enumerate(values):
        held = [i for i, each in enumerate(multiverse.specifications) if each.choices[choice] == value]
        ax.plot(held, [row] * len(held), "|", color=GREY, markersize=4, markeredgewidth=0.7)
        if at in held:
            ax.plot(at, row, "D", color=PALETTE[1], markersize=3.2)
    names = [
        figure_text(f"{choice}: {value}" if i == 0 or values[i - 1][0] != choice else value, 44)
        for i, (choice, value) in enumerate(values)
    ]
    ax.set_yticks(range(len(values)), names, fontsize=6.5)
    for row, (choice, _) in enumerate(values[1:], 1):
        if values[row - 1][0] != choice:
            ax.axhline(row - 0.5, color="#d9d9d9", linewidth=0.5)
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.set_xlabel("specifications, by their exponent")
    ax.tick_params(axis="y", length=0)
