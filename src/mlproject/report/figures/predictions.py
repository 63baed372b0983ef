"""Figure of sealed predictions: their intervals with the losses observed later, and the coverage so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlproject.analysis import CoverageStep, ScoredLoss
from mlproject.report.figures import GREY, PAGE, PALETTE, faint_grid, figure_text, log_axis

ROW, COVERAGE_HEIGHT = 0.19, 1.3
"""Heights of a prediction and of the coverage, in inches."""
MARKED = {"inside": PALETTE[0], "outside": PALETTE[1], "pending": GREY}
LONGEST = 44


def predictions_figure(losses: Sequence[ScoredLoss], coverage: Sequence[CoverageStep]) -> Figure:
    """A row for each predicted loss; below, where several are scored, the share that was inside so far."""
    rows, several = ROW * (len(losses) + 1), len(coverage) > 1
    heights = [rows, *([COVERAGE_HEIGHT] if several else [])]
    figure = Figure(figsize=(PAGE, sum(heights) + 0.6 * len(heights)), layout="constrained")
    axes = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _intervals(axes[0], losses)
    if several:
        _coverage(axes[1], coverage)
    return figure


def _intervals(ax: Axes, losses: Sequence[ScoredLoss]) -> None:
    ends = [1.0]
    for row, each in enumerate(losses):
        loss, color = each.predicted.loss, MARKED[each.verdict]
        low, high = loss.low / loss.value, loss.high / loss.value
        ax.plot([low, high], [row, row], color=color, linewidth=2.4, alpha=0.45, solid_capstyle="butt")
        ax.plot(1.0, row, "|", color=color, markersize=6)
        ends += [low, high]
        if each.observed is not None:
            face = "white" if each.verdict == "outside" else color
            ax.plot(each.observed / loss.value, row, "o", color=color, markerfacecolor=face, markersize=4.5)
            ends.append(each.observed / loss.value)
    ax.axvline(1.0, color="#333333", linewidth=0.6)
    names = [
        f"{figure_text(each.predicted.curve, LONGEST)}, {each.predicted.cell.dataset_size:,} images (no. "
        f"{each.prediction.number})"
        for each in losses
    ]
    ax.set_yticks(range(len(losses)), names)
    ax.set_ylim(len(losses) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.set_xscale("log")
    ax.set_xlim(min(ends) / 1.02, max(ends) * 1.02)
    log_axis(ax.xaxis, *ax.get_xlim())
    ax.set_xlabel("loss / predicted loss")
    faint_grid(ax)


def _coverage(ax: Axes, coverage: Sequence[CoverageStep]) -> None:
    n = np.array([step.n for step in coverage])
    share, low, high = np.array([(s.share.value, s.share.low, s.share.high) for s in coverage]).T
    ax.fill_between(n, low, high, color=PALETTE[0], alpha=0.18, linewidth=0)
    ax.plot(n, share, color=PALETTE[0], marker="o", markersize=3)
    ax.axhline(0.95, color="#333333", linewidth=0.6, linestyle="--")
    ax.set_ylim(0.0, 1.04)
    ax.set_xlim(n[0] - 0.2, n[-1] + 0.2)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("predicted losses scored")
    ax.set_ylabel("share inside")
    faint_grid(ax)
