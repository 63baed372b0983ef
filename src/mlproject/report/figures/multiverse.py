"""Specification curves: a number of all specifications in ascending order, and the choices of each below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlproject.analysis import ComparisonMultiverse, Contrast, Multiverse, Specification
from mlproject.report.figures import GREY, PAGE, PALETTE, faint_grid, figure_text, title
from mlproject.scaling import Estimate

ROW = 0.115
"""Height of a value of a choice, in inches."""
Chosen = Sequence[Specification | Contrast]


def specification_figure(multiverse: Multiverse) -> Figure:
    """Exponents with intervals above, and a dot for every choice of every specification below."""
    every = multiverse.specifications
    return _figure(
        every,
        [each.exponent for each in every],
        every.index(multiverse.usual),
        (f"{multiverse.curve.label}: {len(every)} specifications", "exponent at the\nlargest scale"),
    )


def contrast_figure(multiverse: ComparisonMultiverse, names: tuple[str, str]) -> Figure:
    """Leads of the first curve over the second with intervals above, and the choices of each below."""
    every = multiverse.contrasts
    what = {"exponent": "difference of exponents", "loss": "ln ratio of losses"}[multiverse.quantity]
    return _figure(
        every,
        [each.lead for each in every],
        every.index(multiverse.usual),
        (f"{names[0]} against {names[1]}: {len(every)} specifications", what.replace(" of ", " of\n")),
    )


def _figure(every: Chosen, estimates: Sequence[Estimate], usual: int, texts: tuple[str, str]) -> Figure:
    values = _values(every, usual)
    heights = [1.7, ROW * len(values)]
    figure = Figure(figsize=(PAGE, sum(heights) + 0.75), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    _estimates(above, estimates, usual)
    above.set_ylabel(texts[1])
    _choices(below, every, usual, values)
    title(figure, texts[0])
    return figure


def _values(every: Chosen, usual: int) -> list[tuple[str, str]]:
    """Choices and their values, the reported one first, as rows of the lower part."""
    rows = []
    for choice, reported in every[usual].choices.items():
        others = {each.choices[choice] for each in every} - {reported}
        rows += [(choice, value) for value in (reported, *sorted(others))]
    return rows


def _estimates(ax: Axes, estimates: Sequence[Estimate], usual: int) -> None:
    x = np.arange(len(estimates))
    low, high = (np.array([getattr(e, name) for e in estimates]) for name in ("low", "high"))
    certain = (low > 0) | (high < 0)
    ax.vlines(x, low, high, color=np.where(certain, PALETTE[5], "#c9c9c9"), linewidth=0.8)
    ax.plot(x, [e.value for e in estimates], ".", color="#222222", markersize=2.5)
    at = estimates[usual]
    ax.plot([usual, usual], [at.low, at.high], color=PALETTE[1], linewidth=1.6)
    ax.plot(usual, at.value, "D", color=PALETTE[1], markersize=4.5, label="as reported")
    ax.axhline(0.0, color="#333333", linewidth=0.6)
    span = np.quantile(np.concatenate([low, high]), (0.02, 0.98))
    room = 0.08 * float(np.ptp(span))
    ax.set_ylim(min(span[0], at.low, 0.0) - room, max(span[1], at.high) + room)
    faint_grid(ax)
    ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 0.98), borderaxespad=0.0)


def _choices(ax: Axes, every: Chosen, at: int, values: list[tuple[str, str]]) -> None:
    for row, (choice, value) in enumerate(values):
        held = [i for i, each in enumerate(every) if each.choices[choice] == value]
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
    ax.set_xlabel("specifications, in ascending order")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.tick_params(axis="y", length=0)
