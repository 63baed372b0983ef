"""Small multiples, a panel for each curve: distributions of per-image losses, and correlations of them."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlproject.analysis.study import Curve, Floats
from mlproject.report.escape import figure_text
from mlproject.report.style import (
    COLUMN,
    PAGE,
    Look,
    faint_grid,
    family_title,
    log_axis,
    looks,
    point_labels,
    scale_label,
)
from mlproject.report.words import loss_label


def distribution_figure(curves: Sequence[Curve]) -> Figure:
    """Densities of log loss by scale; bar: middle half, white dot: median, diamond: mean, line: 5 to 95 %."""
    figure, axes = _panels(curves, height=1.75, width=PAGE, sharey=True)
    for ax, curve, look in zip(axes, curves, looks(curves), strict=False):
        for j in range(len(curve.points)):
            _violin(ax, j, _positive(curve.losses[:, j]), look)
        ax.set_xticks(range(len(curve.points)), point_labels(curve))
        _title(ax, curve)
    _log_losses(axes[0], curves)
    figure.supylabel(loss_label(curves[0], "mean").replace("mean", "per-image"), fontsize=8)
    figure.supxlabel(scale_label(curves[0]), fontsize=8)
    family_title(figure, curves[0])
    return figure


def correlation_figure(curves: Sequence[Curve]) -> Figure:
    """Matrices of correlations: Pearson above the diagonal, Spearman below."""
    figure, axes = _panels(curves, height=2.2 if len(curves[0].points) > 3 else 1.6, width=6.6, sharey=False)
    grids = [_matrix(curve) for curve in curves]
    lowest = min(float(np.nanmin(grid, initial=0.95)) for grid in grids)
    low = max(-1.0, np.floor(lowest * 20) / 20)
    colors = matplotlib.colormaps["cividis"].with_extremes(bad="#eeeeee")
    for ax, curve, grid in zip(axes, curves, grids, strict=False):
        shown = ax.imshow(grid, vmin=low, vmax=1.0, cmap=colors)
        _annotate(ax, grid, low)
        _name_cells(ax, point_labels(curve))
        ax.set_title(figure_text(curve.series, 28), loc="left", fontsize=7)
    bar = figure.colorbar(shown, ax=axes[: len(curves)], shrink=0.8, aspect=30, pad=0.02)
    bar.set_label("above: Pearson\nbelow: Spearman", fontsize=7)
    bar.outline.set_visible(False)
    family_title(figure, curves[0])
    return figure


def _name_cells(ax: Axes, names: Sequence[str]) -> None:
    tilted = max(map(len, names)) > 6
    ax.set_xticks(range(len(names)), names, rotation=30 if tilted else 0, ha="right" if tilted else "center")
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _panels(
    curves: Sequence[Curve], *, height: float, width: float, sharey: bool
) -> tuple[Figure, list[Axes]]:
    n = len(curves)
    columns = 1 if n == 1 else 3 if n == 3 or n > 4 else 2
    rows = -(-n // columns)
    figure = Figure(figsize=(COLUMN if n == 1 else width, 0.7 + height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, sharey=sharey, squeeze=False).ravel())
    for ax in axes[n:]:
        ax.set_visible(False)
    return figure, axes


def _title(ax: Axes, curve: Curve) -> None:
    low, high = curve.n_seeds
    seeds = f"{low} seed{'s' if high > 1 else ''}" if low == high else f"{low} to {high} seeds"
    ax.set_title(f"{figure_text(curve.series, 28)}, {seeds}", loc="left", fontsize=7.5)


def _positive(losses: Floats) -> Floats:
    """The losses that were judged; zeros are drawn at the smallest positive one."""
    judged = losses[~np.isnan(losses)]
    positive = judged[judged > 0]
    return np.maximum(judged, positive.min() if len(positive) else 1e-12)


def _violin(ax: Axes, at: int, losses: Floats, look: Look) -> None:
    levels, widths = _density(np.log10(losses))
    ax.fill_betweenx(
        10**levels, at - 0.4 * widths, at + 0.4 * widths, color=look.color, alpha=0.3, linewidth=0
    )
    q05, q25, q50, q75, q95 = np.quantile(losses, (0.05, 0.25, 0.5, 0.75, 0.95))
    ax.vlines(at, q05, q95, color=look.color, linewidth=0.7)
    ax.vlines(at, q25, q75, color=look.color, linewidth=2.6)
    ax.plot(
        at, q50, "o", color="white", markersize=2.4, markeredgecolor=look.color, markeredgewidth=0.7, zorder=4
    )
    ax.plot(at, losses.mean(), "D", color="#222222", markersize=2.2, zorder=4)


def _density(values: Floats) -> tuple[Floats, Floats]:
    """A Gaussian kernel density (Silverman's width) at 80 levels, its largest value 1."""
    spread = min(values.std(), np.subtract(*np.quantile(values, (0.75, 0.25))) / 1.34) or values.std() or 0.02
    width = 0.9 * spread * len(values) ** -0.2
    levels = np.linspace(values.min() - width, values.max() + width, 80)
    counts, edges = np.histogram(values, bins=400, range=(levels[0], levels[-1]))
    centres = 0.5 * (edges[1:] + edges[:-1])
    density = np.exp(-0.5 * ((levels[:, None] - centres) / width) ** 2) @ counts
    return levels, density / density.max()


def _log_losses(ax: Axes, curves: Sequence[Curve]) -> None:
    """One log axis for all panels, from the 0.1 % quantile up: a few losses near 0 would squeeze the rest."""
    columns = [_positive(curve.losses[:, j]) for curve in curves for j in range(len(curve.points))]
    low = min(float(np.quantile(losses, 0.001)) for losses in columns)
    high = max(float(losses.max()) for losses in columns)
    margin = (high / low) ** 0.05 if high > low else 1.5
    ax.set_yscale("log")
    ax.set_ylim(low / margin, high * margin)
    for panel in ax.figure.axes:
        log_axis(panel.yaxis, low / margin, high * margin)
        faint_grid(panel)
        panel.grid(False, axis="x")


def _matrix(curve: Curve) -> Floats:
    names = [point.name for point in curve.points]
    grid = np.full((len(names), len(names)), np.nan)
    for pair in curve.correlations:
        i, j = names.index(pair.first), names.index(pair.second)
        grid[i, j], grid[j, i] = pair.pearson, pair.spearman
    return grid


def _annotate(ax: Axes, grid: Floats, low: float) -> None:
    for (i, j), value in np.ndenumerate(grid):
        if np.isfinite(value):
            light = (value - low) / (1.0 - low) < 0.5
            text = f"{value:.2f}".replace("0.", ".", 1)
            ax.text(j, i, text, ha="center", va="center", fontsize=6.5, color="white" if light else "black")
