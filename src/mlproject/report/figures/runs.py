"""Figures of single runs, quick to import: a histogram of a cell's losses, the trials of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from mlproject.losses import PerImageLosses
from mlproject.report.figures import PALETTE, RC, encode, faint_grid, figure_text, log_axis
from mlproject.report.formats import kind_label

N_BINS = 40
PANEL = 2.3
"""Side of a panel in inches."""
WIDE = 5.0
"""Losses that span more than this factor are drawn on a log axis."""
PANELS = 3
"""Panels side by side: three are as wide as a page."""
N_NAMES = 8
TINY = 1e-12
OUTLINES = ("-", "--", "-.")
"""Outlines of splits, which colours alone would tell apart otherwise."""


def draw_histogram(losses: PerImageLosses, heading: str, path: Path) -> None:
    """Write a PNG of one cell's per-image losses by split, with the mean of the evaluated split.

    All splits share the bins, which are logarithmic where the losses are skewed, and are drawn as shares of
    their images, as splits differ in size. Without seaborn, whose import would cost a cell more than the
    picture.
    """
    histogram_figure(losses, heading).savefig(path)


def histogram_figure(losses: PerImageLosses, heading: str) -> Figure:
    """The histogram on the one canvas of this process."""
    figure = _canvas()
    figure.clear()
    axes = figure.add_axes((0.11, 0.15, 0.86, 0.67))  # fixed margins: fitting them doubles the cost
    evaluated = losses.select(losses.evaluated_split).loss
    bins, least = _bins(losses.loss)
    for i, split in enumerate(sorted(set(losses.splits))):
        values = losses.select(split).loss
        axes.hist(
            np.maximum(values, least), bins=bins, weights=np.full(len(values), 100 / len(values)),
            histtype="stepfilled", facecolor=(*to_rgb(PALETTE[i]), 0.2), edgecolor=PALETTE[i],
            linestyle=OUTLINES[i % len(OUTLINES)], linewidth=1.4, label=f"{split} ({len(values):,} images)",
        )  # fmt: skip
    mean = evaluated.mean()
    label = f"mean of {losses.evaluated_split}, {mean:.3g}"
    axes.axvline(max(mean, least), color="black", lw=1, ls=(0, (1, 1)), label=label)
    skewed = least > -np.inf
    below = f" (smaller ones at {least:.2g})" if skewed and losses.loss.min() < least else ""
    axes.set(xlabel=f"{kind_label(losses.kind)} of an image{below}", ylabel="share of the split's images [%]")
    if skewed:
        axes.set_xscale("log")
        log_axis(axes.xaxis, bins[0], bins[-1])
    # Fixed places: else every draw measures all labels to find one, and the legend may lie on the bars.
    axes.set_title(heading, y=1.08)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(-0.01, 0.99), borderaxespad=0.2, ncols=3)
    return figure


def _bins(values: Any) -> tuple[Any, float]:
    """Edges of the bins, and the least loss that they show: logarithmic for skewed losses above 0."""
    positive = values[values > 0]
    if not len(positive) or values.min() < 0 or np.max(values) < WIDE * max(np.median(values), TINY):
        low, high = float(values.min()), float(values.max())
        return np.linspace(low, high if high > low else low + 1.0, N_BINS + 1), -np.inf
    high = float(positive.max())
    low = max(float(np.quantile(positive, 0.005)), high * 1e-6)
    return np.geomspace(low, high if high > low else 2 * low, N_BINS + 1), low


@cache
def _canvas() -> Figure:
    # One figure for all cells of a process: making one costs more than drawing it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = Figure(figsize=(6, 3.5), dpi=80)
    FigureCanvasAgg(figure)
    return figure


@dataclass(frozen=True, kw_only=True)
class TrialColumns:
    """Finished trials, column by column; ``log`` names the knobs that were searched by their logarithm."""

    title: str
    indices: tuple[int, ...]
    losses: tuple[float, ...]
    knobs: Mapping[str, tuple[Any, ...]]
    log: frozenset[str]
    importances: Mapping[str, float]


def draw_trials(trials: TrialColumns, path: Path) -> None:
    """Write a PNG with a panel for the history, one for the importances, and one for each knob."""
    with matplotlib.rc_context({**RC, "savefig.dpi": 110}):
        path.write_bytes(encode(trials_figure(trials), "png"))


def trials_figure(trials: TrialColumns) -> Figure:
    """Panels in rows of three, no wider than a page."""
    n = len(trials.knobs) + (2 if trials.importances else 1)
    columns = min(n, PANELS)
    rows = -(-n // columns)
    figure = Figure(figsize=(PANEL * columns, PANEL * rows))
    title = f"{figure_text(trials.title, 34 * columns)} (later trials darker)"
    figure.suptitle(title, fontsize=8, x=0.01, y=1 - 0.02 / rows, ha="left")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    # Fixed margins: fitting them doubles the cost.
    figure.subplots_adjust(
        left=0.3 / columns, right=1 - 0.06 / columns, bottom=0.19 / rows, top=1 - 0.2 / rows, wspace=0.45,
        hspace=0.6,
    )  # fmt: skip
    _history(panels[0], trials)
    if trials.importances:
        _importances(panels[1], trials)
    for ax, name in zip(panels[n - len(trials.knobs) : n], trials.knobs, strict=True):
        _slice(ax, trials, name)
    for ax in panels[:n]:
        faint_grid(ax)
    for ax in panels[n:]:
        ax.set_visible(False)
    return figure


def _history(ax: Axes, trials: TrialColumns) -> None:
    best = list(accumulate(trials.losses, min))
    ax.plot(trials.indices, trials.losses, "o", ms=3, color=PALETTE[5])
    ax.step(trials.indices, best, where="post", color=PALETTE[0])
    ax.set(xlabel="trial", ylabel="validation loss", title="history, line: best so far")
    _scale(ax, trials)


def _importances(ax: Axes, trials: TrialColumns) -> None:
    """Bars below their names; a length that is read off each training was not sampled and has no share."""
    ordered = sorted(trials.importances.items(), key=lambda pair: pair[1])[-N_NAMES:]
    read_off = [name for name in trials.knobs if name not in trials.importances]
    names = [*(f"{name}: best of each training" for name in read_off), *(name for name, _ in ordered)]
    shares = [0.0] * len(read_off) + [share for _, share in ordered]
    ax.barh(range(len(names)), shares, height=0.4, color=PALETTE[5])
    for i, name in enumerate(names):
        ax.annotate(
            figure_text(name, 32),
            (0.0, i + 0.24),
            textcoords="offset points",
            xytext=(2, 0),
            va="bottom",
            fontsize=7,
        )
    ax.set(xlabel="share of the variation", title="importance", yticks=(), ylim=(-0.4, len(names) - 0.2))


def _slice(ax: Axes, trials: TrialColumns, name: str) -> None:
    values = trials.knobs[name]
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    ax.scatter(
        values if numbers else [str(value) for value in values],
        trials.losses,
        c=trials.indices,
        cmap="viridis_r",
        s=9,
    )
    ax.set(xlabel=name, title=f"along {name}")
    if numbers and name in trials.log:
        ax.set_xscale("log")
        log_axis(ax.xaxis, min(values), max(values))
    _scale(ax, trials)


def _scale(ax: Axes, trials: TrialColumns) -> None:
    if trials.losses and min(trials.losses) > 0 and max(trials.losses) > WIDE * min(trials.losses):
        ax.set_yscale("log")
        log_axis(ax.yaxis, min(trials.losses), max(trials.losses))
