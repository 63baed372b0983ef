"""The trials of a search as one figure: history, importance of each knob, and a slice along each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproject.report.escape import figure_text

PANEL = 2.3
"""Side of a panel in inches."""
WIDE = 5.0
"""Losses that span more than this factor are drawn on a log axis."""
N_NAMES = 8


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Finished trials, column by column; ``log`` names the knobs that were searched by their logarithm."""

    title: str
    indices: tuple[int, ...]
    losses: tuple[float, ...]
    knobs: Mapping[str, tuple[Any, ...]]
    log: frozenset[str]
    importances: Mapping[str, float]


def draw_trials(shown: Shown, path: Path) -> None:
    """Write a PNG with a panel for the history, one for the importances, and one for each knob."""
    import matplotlib

    from mlproject.report.style import RC, encode, faint_grid

    with matplotlib.rc_context({**RC, "savefig.dpi": 110}):
        from matplotlib.figure import Figure

        n = len(shown.knobs) + (2 if shown.importances else 1)
        figure = Figure(figsize=(PANEL * n, PANEL))
        title = f"{figure_text(shown.title, 40 * n)} (later trials darker)"
        figure.suptitle(title, fontsize=8, x=0.01, y=0.99, ha="left")
        panels = figure.subplots(1, n, squeeze=False)[0]
        # Fixed margins: fitting them doubles the cost.
        figure.subplots_adjust(left=0.28 / n, right=1 - 0.06 / n, bottom=0.19, top=0.8, wspace=0.42)
        _history(panels[0], shown)
        if shown.importances:
            _importances(panels[1], shown)
        for ax, name in zip(panels[n - len(shown.knobs) :], shown.knobs, strict=True):
            _slice(ax, shown, name)
        for ax in panels:
            faint_grid(ax)
        path.write_bytes(encode(figure, "png"))


def _history(ax: Any, shown: Shown) -> None:
    from mlproject.report.style import PALETTE

    least, best = math.inf, []
    for loss in shown.losses:
        least = min(least, loss)
        best.append(least)
    ax.plot(shown.indices, shown.losses, "o", ms=3, color=PALETTE[5], label="trial")
    ax.step(shown.indices, best, where="post", color=PALETTE[0], label="best so far")
    ax.set(xlabel="trial", ylabel="validation loss", title="history")
    _scale(ax, shown)
    ax.legend()


def _importances(ax: Any, shown: Shown) -> None:
    from mlproject.report.style import PALETTE

    ordered = sorted(shown.importances.items(), key=lambda pair: pair[1])[-N_NAMES:]
    ax.barh(range(len(ordered)), [share for _, share in ordered], color=PALETTE[5])
    for i, (name, _) in enumerate(ordered):
        ax.text(0.0, i, f" {name}", va="center", fontsize=7)
    ax.set(xlabel="share of the variation", title="importance", yticks=())


def _slice(ax: Any, shown: Shown, name: str) -> None:
    from mlproject.report.style import log_axis

    values = shown.knobs[name]
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    ax.scatter(
        values if numbers else [str(value) for value in values],
        shown.losses,
        c=shown.indices,
        cmap="viridis_r",
        s=9,
    )
    ax.set(xlabel=name, title=f"along {name}")
    if numbers and name in shown.log:
        ax.set_xscale("log")
        log_axis(ax.xaxis, min(values), max(values))
    _scale(ax, shown)


def _scale(ax: Any, shown: Shown) -> None:
    from mlproject.report.style import log_axis

    if shown.losses and min(shown.losses) > 0 and max(shown.losses) > WIDE * min(shown.losses):
        ax.set_yscale("log")
        log_axis(ax.yaxis, min(shown.losses), max(shown.losses))
