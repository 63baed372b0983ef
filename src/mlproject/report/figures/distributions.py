"""Figures of per-image losses: their distribution at each scale, and correlations between scales."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke

from mlproject.analysis import AXES, Curve
from mlproject.report.figures import (
    COLUMN,
    MARKERS,
    PAGE,
    PALETTE,
    faint_grid,
    figure_text,
    log_axis,
    looks,
    title,
)
from mlproject.report.formats import family_words, kind_label, range_text

MOST_CHARACTERS = 36
"""Names of scales that stand upright below a panel together have no more."""
TITLE = 20
"""Characters of a line above a heat map, which is narrow beside the names of models."""
LOWEST_QUANTILE = 0.001
"""Where the axis of losses begins: a few losses near 0 would squeeze all others."""


def distribution_figure(curves: Sequence[Curve]) -> Figure:
    """Violins of the per-image losses (log scale) with boxes of their quartiles, and their means."""
    import pandas as pd
    import seaborn as sns

    figure, axes = _panels(curves, height=1.75, width=PAGE, sharey=True)
    columns = [[_positive(losses) for losses in curve.losses.T] for curve in curves]
    for ax, curve, look, scales in zip(axes, curves, looks(curves), columns, strict=False):
        lengths = [len(losses) for losses in scales]
        places = np.repeat(np.arange(len(scales)), lengths)
        frame = pd.DataFrame({"scale": places, "loss": np.concatenate(scales)})
        sns.violinplot(
            frame, x="scale", y="loss", ax=ax, color=look.color, alpha=0.4, linecolor=look.color,
            linewidth=0.6, inner="box", inner_kws={"box_width": 3, "whis_width": 0.7}, density_norm="width",
            cut=0, log_scale=(False, True), native_scale=True,
        )  # fmt: skip
        means = [losses.mean() for losses in scales]
        ax.plot(range(len(means)), means, "D", color="#222222", markersize=2.2, zorder=5)
        _name_scales(ax, np.arange(len(scales)), curve)
        ax.set(ylabel="", xlim=(-0.75, len(scales) - 0.25))
        seeds = range_text(*curve.n_seeds)
        unit = "seed" if seeds == "1" else "seeds"
        ax.set_title(f"{figure_text(curve.series, 28)}, {seeds} {unit}", loc="left", fontsize=7.5)
    _log_losses(axes, [losses for scales in columns for losses in scales])
    for i, ax in enumerate(axes):
        if i % _n_columns(len(curves)) == 0:
            ax.set_ylabel(f"per-image\n{kind_label(str(curves[0].fixed['kind']))}")
    figure.legend(handles=_parts_of_violin(), loc="outside lower left", ncols=2 if len(curves) == 1 else 5)
    title(figure, curves[0].family)
    return figure


def _parts_of_violin() -> list[Artist]:
    ink = "#555555"
    return [
        Patch(facecolor=ink, alpha=0.4, edgecolor=ink, label="density over images"),
        Line2D([], [], color=ink, linewidth=3, label="quartiles"),
        Line2D([], [], color=ink, linewidth=0.7, label="within 1.5 × their range"),
        Line2D(
            [], [], linestyle="none", marker="_", markersize=5, color="white", markeredgewidth=1.2,
            path_effects=[Stroke(linewidth=2.4, foreground=ink), Normal()], label="median",
        ),
        Line2D([], [], linestyle="none", marker="D", markersize=2.5, color="#222222", label="mean"),
    ]  # fmt: skip


def _name_scales(ax: Axes, places: Any, curve: Curve) -> None:
    """Ticks at the scales, tilted where names of models would touch."""
    names = point_labels(curve)
    longest = max(map(len, names)) * (len(names) + 0.5)  # of a name beside others as long
    tilted = max(sum(map(len, names)), longest) > MOST_CHARACTERS
    ax.set_xticks(
        places, names, rotation=25 if tilted else 0, ha="right" if tilted else "center",
        rotation_mode="anchor",
    )  # fmt: skip
    ax.set_xlabel(scale_label(curve))


def correlation_figure(curves: Sequence[Curve]) -> Figure:
    """Heat maps of the correlation between scales: Pearson above the diagonal, Spearman below."""
    import seaborn as sns

    figure, axes = _panels(curves, height=2.2 if len(curves[0].points) > 3 else 1.6, width=6.6, sharey=False)
    grids = [_matrix(curve) for curve in curves]
    opposed = any((grid < 0).any() for grid in grids)
    colors = matplotlib.colormaps["cividis"].with_extremes(bad="#eeeeee")
    known = ""
    for i, (ax, curve, grid) in enumerate(zip(axes, curves, grids, strict=False)):
        names = point_labels(curve)
        repeated = i % _n_columns(len(curves)) > 0 and known == str(names)
        known = str(names)
        sns.heatmap(
            grid, ax=ax, vmin=-1.0 if opposed else 0.0, vmax=1.0, cmap=colors, annot=True, fmt=".2f",
            annot_kws={"fontsize": 6}, cbar=False, square=True, xticklabels=names,
            yticklabels=[] if repeated else names,
        )  # fmt: skip
        ax.set_facecolor("#eeeeee")
        tilted = max(map(len, names)) > 6
        ax.set_xticks(
            np.arange(len(names)) + 0.5,
            names,
            rotation=30 if tilted else 0,
            ha="right" if tilted else "center",
            rotation_mode="anchor",
        )
        ax.tick_params(axis="x", length=0)
        ax.tick_params(axis="y", rotation=0, length=0)
        name = "\n".join(textwrap.wrap(figure_text(curve.series, 40), TITLE if len(curves) > 1 else 40))
        ax.set_title(name, loc="left", fontsize=7)
    bar = figure.colorbar(axes[0].collections[0], ax=axes[: len(curves)], shrink=0.8, aspect=30, pad=0.02)
    bar.set_label("Pearson above the\ndiagonal, Spearman below", fontsize=7)
    bar.outline.set_visible(False)
    title(figure, f"correlation of per-image losses, {family_words(curves[0].family)}")
    return figure


def loss_kinds_figure(curves: Sequence[Curve]) -> Figure:
    """Kinds of loss, a row for each curve: means relative to the first, spread, and rank correlations."""
    figure = Figure(figsize=(PAGE, 0.9 + 1.75 * len(curves)), layout="constrained")
    grid = figure.subplots(len(curves), 3, squeeze=False, width_ratios=(1.2, 1.2, 1.0))
    for row, curve in zip(grid, curves, strict=True):
        places = np.arange(len(curve.points))
        for i, kind in enumerate(curve.loss_kinds):
            name = kind.kind.replace("_", " ") + (" (trained)" if kind.trained else "")
            style: dict[str, Any] = {"color": PALETTE[i % len(PALETTE)], "marker": MARKERS[i % len(MARKERS)]}
            style |= {"markersize": 3.5, "linewidth": 1.4 if kind.trained else 0.9}
            row[0].plot(places, kind.mean / kind.mean[0], label=name, **style)
            row[1].plot(places, kind.spread, **style)
        for ax in row[:2]:
            _name_scales(ax, places, curve)
            ax.set_yscale("log")
            log_axis(ax.yaxis, *ax.get_ylim())
            faint_grid(ax)
        row[0].set_title(figure_text(curve.series, 28), loc="left", fontsize=7.5)
        row[0].set_ylabel("mean / first mean")
        row[1].set_ylabel("sd over images / mean")
        _agreement(row[2], curve)
        for ax in row[:2]:
            ax.set_xlabel(scale_label(curve) if curve is curves[-1] else "")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower left", ncols=5, fontsize=7)
    title(figure, curves[0].family)
    return figure


def _agreement(ax: Axes, curve: Curve) -> None:
    """Rank correlations between kinds over images at the largest scale."""
    import seaborn as sns

    names = [kind.kind.replace("_", " ") for kind in curve.loss_kinds]
    values = np.array([list(kind.agreement.values()) for kind in curve.loss_kinds])
    colors = matplotlib.colormaps["cividis"].with_extremes(bad="#eeeeee")
    sns.heatmap(
        values, ax=ax, vmin=0.0, vmax=1.0, cmap=colors, annot=True, fmt=".2f", annot_kws={"fontsize": 6},
        cbar=False, square=True, xticklabels=names, yticklabels=names,
    )  # fmt: skip
    ax.tick_params(axis="x", rotation=30, length=0)
    ax.tick_params(axis="y", rotation=0, length=0)
    ax.set_title("rank correlation,\nlargest scale", loc="left", fontsize=7)


def point_labels(curve: Curve) -> list[str]:
    """Tick labels for the scales of a curve: names of models, numbers with thousands separated."""
    names = [point.name for point in curve.points]
    return [f"{int(name):,}" if name.isdecimal() else figure_text(name, 18) for name in names]


def scale_label(curve: Curve) -> str:
    """Axis label for the scales of a curve, with their unit."""
    return curve.axis.label if curve.axis is not AXES["params"] else "model, by parameters"


def _panels(
    curves: Sequence[Curve], *, height: float, width: float, sharey: bool
) -> tuple[Figure, list[Axes]]:
    n = len(curves)
    columns = _n_columns(n)
    rows = -(-n // columns)
    figure = Figure(
        figsize=(COLUMN if n == 1 else width, (1.3 if n == 1 else 0.7) + height * rows), layout="constrained"
    )
    axes = list(figure.subplots(rows, columns, sharey=sharey, squeeze=False).ravel())
    for ax in axes[n:]:
        ax.set_visible(False)
    return figure, axes


def _n_columns(n: int) -> int:
    return 1 if n == 1 else 3 if n == 3 or n > 4 else 2


def _positive(losses: Any) -> Any:
    """The losses that were evaluated; zeros are drawn at the smallest positive loss."""
    evaluated = losses[~np.isnan(losses)]
    positive = evaluated[evaluated > 0]
    return np.maximum(evaluated, positive.min() if len(positive) else 1e-12)


def _log_losses(axes: Sequence[Axes], columns: Sequence[Any]) -> None:
    """The same logarithmic axis of losses for all panels."""
    low = min(float(np.quantile(losses, LOWEST_QUANTILE)) for losses in columns)
    high = max(float(losses.max()) for losses in columns)
    margin = (high / low) ** 0.05 if high > low else 1.5
    for panel in axes:
        panel.set_yscale("log")
        panel.set_ylim(low / margin, high * margin)
        log_axis(panel.yaxis, low / margin, high * margin)
        faint_grid(panel)
        panel.grid(False, axis="x")


def _matrix(curve: Curve) -> Any:
    """Correlations as a matrix [points, points]; the diagonal is not a number."""
    names = [point.name for point in curve.points]
    grid = np.full((len(names), len(names)), np.nan)
    for pair in curve.correlations:
        i, j = names.index(pair.first), names.index(pair.second)
        grid[i, j], grid[j, i] = pair.pearson, pair.spearman
    return grid
