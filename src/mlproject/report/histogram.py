"""The histogram of a cell's per-image losses."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from mlproject.losses import PerImageLosses

N_BINS = 40


def draw_histogram(losses: PerImageLosses, title: str, path: Path) -> None:
    """Write a PNG: how many images have which loss, by split, with the mean of the judged split."""
    figure = _figure()
    figure.clear()
    axes = figure.add_axes((0.11, 0.15, 0.86, 0.75))  # fixed margins: fitting them doubles the cost
    judged = losses.select(losses.judged_split).loss
    for split in sorted(set(losses.splits)):
        values = losses.select(split).loss
        axes.hist(values, bins=N_BINS, histtype="stepfilled", alpha=0.5, label=f"{split} ({len(values)})")
    axes.axvline(judged.mean(), color="black", lw=1, ls="--", label=f"mean {judged.mean():.3g}")
    axes.set(xlabel=f"{losses.kind.replace('_', ' ')} of an image", ylabel="images")
    axes.set_title(title, y=1.0)  # a place of its own: else every draw measures all labels to find one
    axes.legend(frameon=False)
    figure.savefig(path)


@cache
def _figure() -> Any:
    # One figure for all cells of a process: making one costs more than drawing it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), dpi=80)
    FigureCanvasAgg(figure)
    return figure
