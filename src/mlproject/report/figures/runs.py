"""Figures of single runs: a histogram of a cell's losses, the trials of a search. They need no SciPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlproject.losses import PerImageLosses
from mlproject.report.figures import PALETTE, RC, encode, faint_grid, figure_text, log_axis
from mlproject.report.formats import kind_label

N_BINS = 40
PANEL = 2.3
"""Side of a panel in inches."""
WIDE = 5.0
"""Losses that span more than this factor are drawn on a log axis."""
N_NAMES = 8


def draw_histogram(losses: PerImageLosses, heading: str, path: Path) -> None:
    """Write a PNG of one cell's per-image losses by split, with the mean of the evaluated split.

    Without seaborn, whose import would cost a cell more than the picture.
    """
    figure = _canvas()
    figure.clear()
    axes = figure.add_axes((0.11, 0.15, 0.86, 0.75))  # fixed margins: fitting them doubles the cost
    evaluated = losses.select(losses.evaluated_split).loss
    for split in sorted(set(losses.splits)):
        values = losses.select(split).loss
        axes.hist(values, bins=N_BINS, histtype="stepfilled", alpha=0.5, label=f"{split} ({len(values)})")
    mean = evaluated.mean()
    axes.axvline(mean, color="black", lw=1, ls="--", label=f"mean {mean:.3g}")
    axes.set(xlabel=f"{kind_label(losses.kind)} of an image", ylabel="number of images")
    axes.set_title(heading, y=1.0)  # a fixed place: else every draw measures all labels to find one
    axes.legend(frameon=False)
    figure.savefig(path)


@cache
def _canvas() -> Any:
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
        n = len(trials.knobs) + (2 if trials.importances else 1)
        figure = Figure(figsize=(PANEL * n, PANEL))
        title = f"{figure_text(trials.title, 40 * n)} (later trials darker)"
        figure.suptitle(title, fontsize=8, x=0.01, y=0.99, ha="left")
        panels = figure.subplots(1, n, squeeze=False)[0]
        # Fixed margins: fitting them doubles the cost.
        figure.subplots_adjust(left=0.28 / n, right=1 - 0.06 / n, bottom=0.19, top=0.8, wspace=0.42)
        _history(panels[0], trials)
        if trials.importances:
            _importances(panels[1], trials)
        for ax, name in zip(panels[n - len(trials.knobs) :], trials.knobs, strict=True):
            _slice(ax, trials, name)
        for ax in panels:
            faint_grid(ax)
        path.write_bytes(encode(figure, "png"))


def _history(ax: Axes, trials: TrialColumns) -> None:
    best = list(accumulate(trials.losses, min))
    ax.plot(trials.indices, trials.losses, "o", ms=3, color=PALETTE[5])
    ax.step(trials.indices, best, where="post", color=PALETTE[0])
    ax.set(xlabel="trial", ylabel="validation loss", title="history (line: best so far)")
    _scale(ax, trials)


def _importances(ax: Axes, trials: TrialColumns) -> None:
    ordered = sorted(trials.importances.items(), key=lambda pair: pair[1])[-N_NAMES:]
    ax.barh(range(len(ordered)), [share for _, share in ordered], color=PALETTE[5])
    for i, (name, _) in enumerate(ordered):
        ax.text(0.0, i, f" {name}", va="center", fontsize=7)
    ax.set(xlabel="share of the variation", title="importance", yticks=())


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
