"""Figures of comparisons: arms against a baseline, model size against image scale, training histories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mlproject.analysis import (
    ArmRow,
    ArmTable,
    ComputeCurve,
    ImageScaleComparison,
    Interaction,
    IterationArm,
    PairedDifference,
    data_name,
)
from mlproject.report.figures import (
    COLUMN,
    GREY,
    MARKERS,
    PAGE,
    PALETTE,
    error_bars,
    faint_grid,
    figure_text,
    log_axis,
    point_axis,
    title,
)
from mlproject.report.formats import kind_label, range_text, signed_interval

SHADES = {"better": PALETTE[2], "worse": PALETTE[1]}
"""Colours of verdicts; all others are grey."""
SIGNS = {"better": "^", "worse": "v"}
"""Markers of verdicts, which colours alone would not tell apart in print."""
INK = "#222222"


def arms_figure(table: ArmTable) -> Figure:
    """Every arm's difference from the baseline in loss, and in accuracy where there is one (forest plot)."""
    rows = [row for row in table.rows if row.loss_difference is not None]
    scored = any(row.error_difference is not None for row in rows)
    figure = Figure(figsize=(PAGE, 1.15 + 0.2 * len(rows)), layout="constrained")
    axes = list(figure.subplots(1, 2 if scored else 1, sharey=True, squeeze=False).ravel())
    for i, row in enumerate(rows):
        _difference(axes[0], i, row.loss_difference, 1.0)
        if scored:
            _difference(axes[1], i, row.error_difference, -100.0)
    axes[0].set_yticks(range(len(rows)), [figure_text(row.arm, 40) for row in rows])
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    axes[0].set_xlabel(f"difference of {kind_label(str(table.setting['kind']))}\n← better   worse →")
    if scored:
        axes[1].set_xlabel("difference of accuracy [percentage points]\n← worse   better →")
    for ax in axes:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4 if scored else 8))
        faint_grid(ax)
        ax.axvline(0.0, color="#333333", linewidth=0.6, zorder=1)
    seeds = [row.n_seeds for row in rows]
    counted = range_text(min(seeds), max(seeds))
    recipe = table.baseline.get("recipe", "")
    heading = f"{recipe} · {table.label}, {counted} seed{'s' * (counted != '1')}".removeprefix(" · ")
    title(figure, f"{heading}: arm minus baseline, 95 % over {table.over}")
    figure.legend(handles=_verdict_handles(rows), loc="outside lower left", ncols=3)
    return figure


def _verdict_handles(rows: Sequence[ArmRow]) -> list[Line2D]:
    """The marker and colour of each verdict that occurs."""
    verdicts = dict.fromkeys(
        d.verdict for row in rows for d in (row.loss_difference, row.error_difference) if d is not None
    )
    return [
        Line2D(
            [], [], linestyle="none", marker=SIGNS.get(verdict, "o"), markersize=4,
            color=SHADES.get(verdict, GREY), label=verdict,
            markerfacecolor=SHADES.get(verdict, "white"),
        )
        for verdict in verdicts
    ]  # fmt: skip


def _difference(ax: Axes, at: int, difference: PairedDifference | None, factor: float) -> None:
    if difference is None:
        return
    effect, color = difference.effect, SHADES.get(difference.verdict, GREY)
    ax.plot([factor * effect.low, factor * effect.high], [at, at], color=color, linewidth=1.2)
    face = color if difference.verdict in SHADES else "white"
    marker = SIGNS.get(difference.verdict, "o")
    ax.plot(factor * effect.value, at, marker=marker, markersize=4, color=color, markerfacecolor=face)


def interaction_figure(interactions: Sequence[Interaction], label: str) -> Figure:
    """An arm's difference of loss at each scale, a line for each series, with the change by doubling."""
    figure = Figure(figsize=(COLUMN, 2.9), layout="constrained")
    ax = figure.subplots()
    for i, interaction in enumerate(interactions):
        change = signed_interval(interaction.loss.effect)
        x = np.array(interaction.scales) * 1.015 ** (i - (len(interactions) - 1) / 2)
        values, low, high = (
            np.array([getattr(step, name) for step in interaction.steps]) for name in ("value", "low", "high")
        )
        ax.errorbar(
            x, values, yerr=error_bars(values, low, high), color=PALETTE[i % len(PALETTE)],
            marker=MARKERS[i % len(MARKERS)], markersize=4, linewidth=1.0, elinewidth=0.8,
            label=f"{figure_text(interaction.series, 22)}: {change} by doubling",
        )  # fmt: skip
    ax.set_xscale("log")
    point_axis(ax.xaxis, sorted({x for interaction in interactions for x in interaction.scales}))
    ax.set_xlabel(label)
    first = interactions[0]
    unit = kind_label(str(first.setting["kind"]))
    ax.set_ylabel(f"arm minus baseline,\n{unit}")
    faint_grid(ax)
    ax.axhline(0.0, color="#333333", linewidth=0.6, zorder=1)
    figure.legend(loc="outside lower left", fontsize=6)
    data = data_name(str(first.setting["data"]))
    title(figure, f"{first.recipe} on {data}: {first.arm} against {first.against} (below 0 is better)")
    return figure


def image_scale_figure(comparison: ImageScaleComparison) -> Figure:
    """Loss against GMAC of one image: models at one scale in black, each model's image scales in colour.

    Thin bars are the 95 % intervals; thick bars leave out what all points share (images that are hard for
    all), and are those to compare points by.
    """
    height = 3.2 + 0.15 * len(comparison.scales)
    figure = Figure(figsize=(COLUMN * 1.35, height), layout="constrained")
    ax = figure.subplots()
    unshared = comparison.unshared_intervals()
    for i, (curve, limits) in enumerate(zip(comparison.curves, unshared, strict=True)):
        _compute_curve(ax, curve, np.array(limits), i)
    for i, crossing in enumerate(comparison.crossings):
        if crossing.gmac is not None:
            low, high = max(crossing.low, crossing.reach[0]), min(crossing.high, crossing.reach[1])
            ax.axvspan(low, high, color=PALETTE[i % 6], alpha=0.10, linewidth=0)
            ax.axvline(crossing.gmac, color=PALETTE[i % 6], linewidth=0.8, linestyle=":")
    ax.set_xscale("log")
    gmac = [point.gmac for curve in comparison.curves for point in curve.points]
    low, high = min(gmac) / 1.1, max(gmac) * 1.25
    ax.set_xlim(low, high)
    log_axis(ax.xaxis, low, high)
    ax.set_xlabel("compute of one image [GMAC]; thick bars: without what all points share")
    ax.set_ylabel(f"mean {kind_label(comparison.kind)}")
    faint_grid(ax)
    title(figure, comparison.label)
    figure.legend(loc="outside lower left", ncols=1)
    return figure


def _compute_curve(ax: Axes, curve: ComputeCurve, unshared: Any, i: int) -> None:
    """The model-size curve (``i`` 0) or one over image scales, shifted a little: all start at one point."""
    models = i == 0
    x = curve.gmac * (1.0 if models else 1 + 0.012 * i)
    y = np.array([point.loss for point in curve.points])
    limits = np.array([point.interval for point in curve.points]).T
    color = INK if models else PALETTE[(i - 1) % 6]
    steps = ["+".join(f"{scale:g}" for scale in point.image_scales) for point in curve.points]
    label = f"larger model, {curve.name}" if models else f"{curve.name}, image scales {', '.join(steps)}"
    ax.errorbar(
        x, y, yerr=error_bars(y, *limits), color=color, marker="o" if models else MARKERS[1 + (i - 1) % 5],
        markersize=4, linewidth=1.3 if models else 1.0, linestyle="-" if models else "--", elinewidth=0.8,
        capsize=1.8, capthick=0.7, zorder=4 if models else 3, label=figure_text(label, 60),
    )  # fmt: skip
    ax.vlines(x, *unshared.T, color=color, linewidth=2.6, alpha=0.55)


def history_figure(heading: str, arms: Sequence[IterationArm]) -> Figure:
    """Loss and accuracy (rows) by epoch and time (columns), a line for each seed.

    Solid: evaluated images, dashed and hollow: training images, dotted: guessing the most common class.
    """
    figure = Figure(figsize=(PAGE, 4.6), layout="constrained")
    grid = figure.subplots(2, 2, sharey="row", sharex="col")
    for row, quantity in enumerate(("loss", "accuracy")):
        for column, budget in enumerate(("epoch", "seconds")):
            ax = grid[row, column]
            for i, arm in enumerate(arms):
                _history(ax, arm, quantity, budget, i)
            faint_grid(ax)
            if row:
                _baselines(ax, arms)
                ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
                ax.set_xlabel("epoch" if budget == "epoch" else "training time [s]")
            if budget == "seconds":
                ax.set_xscale("log")
                log_axis(ax.xaxis, *ax.get_xlim())
            if quantity == "loss":
                ax.set_yscale("log")
                log_axis(ax.yaxis, *ax.get_ylim())
            if not column:
                ax.set_ylabel("mean loss" if quantity == "loss" else "accuracy")
    title(figure, f"{heading}: a line for each seed")
    figure.legend(handles=_history_handles(arms), loc="outside lower left", ncols=2)
    return figure


def _history_handles(arms: Sequence[IterationArm]) -> list[Line2D]:
    """Arms by colour and marker, then what the lines mean."""
    handles = [
        Line2D(
            [], [], color=PALETTE[i % len(PALETTE)], marker=MARKERS[i % len(MARKERS)], markersize=4,
            linewidth=1.0, label=figure_text(arm.label, 44),
        )
        for i, arm in enumerate(arms)
    ]  # fmt: skip
    handles.append(Line2D([], [], color=INK, label="evaluated images"))
    handles.append(Line2D([], [], color=INK, linewidth=0.8, linestyle="--", label="training images"))
    if any(not math.isnan(arm.baseline) for arm in arms):
        label = "guessing the most common class"
        handles.append(Line2D([], [], color=INK, linewidth=0.8, linestyle=":", label=label))
    return handles


def _baselines(ax: Axes, arms: Sequence[IterationArm]) -> None:
    """A dotted line at each accuracy that guessing the most common class reaches."""
    for accuracy in sorted({round(arm.baseline, 6) for arm in arms if not math.isnan(arm.baseline)}):
        ax.axhline(accuracy, color="#333333", linewidth=0.8, linestyle=":", zorder=1)


def _history(ax: Axes, arm: IterationArm, quantity: str, budget: str, i: int) -> None:
    color, marker = PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]
    for j, run in enumerate(arm.runs):
        style: dict[str, Any] = {"color": color, "alpha": 0.5 if j else 0.9, "marker": marker}
        style |= {"markersize": 3.0, "markevery": max(1, len(run.history[budget]) // 6)}
        evaluated = run.history.get(f"{run.split}_{quantity}")
        if evaluated is not None:
            ax.plot(run.history[budget], evaluated, linewidth=0.6 if j else 1.1, **style)
        trained = run.history[f"train_{quantity}"]
        style |= {"markerfacecolor": "white", "markersize": 2.5}
        ax.plot(run.history[budget], trained, linestyle="--", linewidth=0.6, **style)
