"""Figure of scaling curves: points, laws with 95 % bands, extrapolation, residuals and local exponents."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlproject.analysis import HORIZONS, Curve, LawLine, Statistic
from mlproject.report.figures import (
    COLUMN,
    Look,
    error_bars,
    faint_grid,
    figure_text,
    log_axis,
    looks,
    point_axis,
    title,
)
from mlproject.report.formats import interval, kind_label
from mlproject.scaling import Prediction

THIN = (0, (1, 1.6))
"""The dots of the law that is not preferred."""
BEYOND = (0, (4.0, 1.8))
"""The dashes of an extrapolation over all laws."""
INK = "#333333"
FORMULAS = {"power": r"$k\,x^{-\alpha}$", "power_floor": r"$E + k\,x^{-\alpha}$"}


def scaling_figure(curves: Sequence[Curve], statistic: Statistic) -> Figure:
    """The curves of one family on one statistic of their losses."""
    fitted = any(curve.preferred(statistic) is not None for curve in curves)
    handles = _handles(curves, statistic)
    figure = Figure(figsize=(COLUMN, 2.4 + 0.15 * len(handles) + 1.7 * fitted), layout="constrained")
    ratios = [3.4, 1.0, 1.25] if fitted else [1.0]
    axes = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0].tolist()
    for curve, look in zip(curves, looks(curves), strict=True):
        _points(axes[0], curve, statistic, look)
        for line in curve.law_lines[statistic]:
            _law(axes[0], line, look)
        _extrapolation(axes[0], curve, statistic, look)
        if fitted:
            _residuals(axes[1], curve, statistic, look)
            _local_exponents(axes[2], curve, statistic, look)
    _dress(axes, curves, statistic)
    title(figure, curves[0].family)
    figure.legend(handles=handles, loc="outside lower left", ncols=1)
    return figure


def _points(ax: Axes, curve: Curve, statistic: Statistic, look: Look) -> None:
    values = curve.values(statistic)
    limits = np.array([point.interval(statistic) for point in curve.points]).T
    ax.errorbar(
        curve.x, values, yerr=error_bars(values, *limits), linestyle="none", marker=look.marker, markersize=4,
        color=look.color, markerfacecolor=look.face, markeredgewidth=0.9, elinewidth=0.9, capsize=1.8,
        capthick=0.7, zorder=4,
    )  # fmt: skip
    if curve.preferred(statistic) is None:
        ax.plot(curve.x, values, color=look.color, linewidth=0.6, linestyle=":", zorder=2)


def _law(ax: Axes, line: LawLine, look: Look) -> None:
    """The preferred law with its band; the other as dots."""
    band = line.band
    if band is None:
        ax.plot(line.x, line.losses, color=look.color, linewidth=0.8, linestyle=THIN, zorder=2)
        return
    ax.plot(line.x, line.losses, color=look.color, linestyle=look.dash, zorder=3)
    ax.fill_between(band.x, band.low, band.high, color=look.color, alpha=0.18, linewidth=0, zorder=1)


def _extrapolation(ax: Axes, curve: Curve, statistic: Statistic, look: Look) -> None:
    """All laws beyond the data, and the largest scale as predicted from the others, beside its point."""
    losses = curve.extrapolations.get(statistic)
    if losses is not None:
        ax.plot(losses.x, losses.mean, color=look.color, linewidth=1.0, linestyle=BEYOND, zorder=3)
        for edge in (losses.low, losses.high):
            ax.plot(losses.x, edge, color=look.color, linewidth=0.5, linestyle=BEYOND, zorder=2)
        ax.fill_between(
            losses.x, losses.low, losses.high, color=look.color, alpha=0.07, linewidth=0, zorder=1
        )
    held_out = _held_out(curve, statistic)
    if held_out is not None:
        beside = float(curve.x[-1] * (curve.x[-1] / curve.x[0]) ** 0.025)
        reach = error_bars(held_out.mean[:1], held_out.low[:1], held_out.high[:1])
        ax.errorbar(
            [beside], held_out.mean[:1], yerr=reach, linestyle="none", marker="x", markersize=3.6,
            color=look.color, elinewidth=0.6, zorder=5,
        )  # fmt: skip


def _held_out(curve: Curve, statistic: Statistic) -> Prediction | None:
    """The largest scale as predicted from the others, where these are enough."""
    assessment = curve.assessments.get(statistic)
    held_out = None if assessment is None else assessment.held_out
    return None if held_out is None else held_out.prediction


def _residuals(ax: Axes, curve: Curve, statistic: Statistic, look: Look) -> None:
    """Deviations of the points from both laws, in percent; the law that is not preferred is the thin line."""
    for line in curve.law_lines[statistic]:
        if line.preferred:
            ax.plot(
                curve.x, line.residuals, linestyle="none", marker=look.marker, markersize=3, color=look.color,
                markerfacecolor=look.face, markeredgewidth=0.8, zorder=3,
            )  # fmt: skip
        else:
            ax.plot(curve.x, line.residuals, linewidth=0.8, linestyle=THIN, color=look.color, zorder=2)


def _local_exponents(ax: Axes, curve: Curve, statistic: Statistic, look: Look) -> None:
    """The slope between neighbouring points with its 95 % interval, and that of the preferred law."""
    slopes = curve.local_exponents.get(statistic)
    line = next((line for line in curve.law_lines[statistic] if line.preferred), None)
    if slopes is None or line is None:
        return
    ax.errorbar(
        slopes.x, slopes.value, yerr=error_bars(slopes.value, slopes.low, slopes.high), linestyle="none",
        marker=look.marker, markersize=3, color=look.color, markerfacecolor=look.face, markeredgewidth=0.8,
        elinewidth=0.6, zorder=3,
    )  # fmt: skip
    ax.plot(line.slope_x, line.slopes, color=look.color, linewidth=1.0, linestyle=look.dash, zorder=2)


def _dress(axes: list[Axes], curves: Sequence[Curve], statistic: Statistic) -> None:
    top = axes[0]
    top.set_xscale("log")
    top.set_yscale("log")
    limits = [np.array([point.interval(statistic) for point in curve.points]) for curve in curves]
    low, high = min(v.min() for v in limits), max(v.max() for v in limits)
    lowest = [float(p.low[0]) for curve in curves if (p := curve.predictions.get(statistic)) is not None]
    low = min([low, *(max(value, low * (low / high) ** 0.5) for value in lowest)])
    margin = (high / low) ** 0.08
    top.set_ylim(low / margin, high * margin)
    log_axis(top.yaxis, low / margin, high * margin)
    top.set_ylabel(f"{statistic} {kind_label(str(curves[0].fixed['kind']))}")
    ends = {HORIZONS[0] * float(curve.x[-1]) for curve in curves if statistic in curve.extrapolations}
    point_axis(axes[-1].xaxis, sorted({float(x) for curve in curves for x in curve.x} | ends))
    axes[-1].set_xlabel(curves[0].axis.label)
    for ax in axes:
        faint_grid(ax)
    for ax, label in zip(axes[1:], ("residual\n[%]", "local\nexponent"), strict=False):
        ax.margins(y=0.25)
        ax.axhline(0.0, color="#8a8a8a", linewidth=0.6, zorder=1)
        ax.set_ylabel(label)


def _handles(curves: Sequence[Curve], statistic: Statistic) -> list[Line2D]:
    """The legend: every curve with its exponent, then the meaning of each line, or why there is no law."""
    handles = [
        _curve_handle(curve, look, statistic) for curve, look in zip(curves, looks(curves), strict=True)
    ]
    preferred = [law for curve in curves if (law := curve.preferred(statistic)) is not None]
    if not preferred:
        why = f"No law: {figure_text(curves[0].reported_laws(statistic)[0].reason, 200)}."
        return [*handles, *(_text(line) for line in textwrap.wrap(why, width=54))]
    handles.append(Line2D([], [], color=INK, label="law and its 95 % band"))
    others = {line.law.law for curve in curves for line in curve.law_lines[statistic] if not line.preferred}
    if others:
        names = " or ".join(FORMULAS[law] for law in FORMULAS if law in others)
        handles.append(
            Line2D([], [], color=INK, linewidth=0.8, linestyle=THIN, label=f"the other law, {names}")
        )
    if any(statistic in curve.extrapolations for curve in curves):
        label = f"extrapolation over all laws, to {HORIZONS[0]:g} × the largest, 95 %"
        handles.append(Line2D([], [], color=INK, linewidth=1.0, linestyle=BEYOND, label=label))
    if any(_held_out(curve, statistic) is not None for curve in curves):
        label = "the largest, predicted from the others, 95 %"
        handles.append(
            Line2D([], [], color="#222222", linestyle="none", marker="x", markersize=3.6, label=label)
        )
    unsure = any(law.verdict == "not identifiable" for law in preferred)
    return [*handles, *([_text("* not identifiable: see the summary")] if unsure else [])]


def _text(line: str) -> Line2D:
    return Line2D([], [], linestyle="none", label=line)


def _curve_handle(curve: Curve, look: Look, statistic: Statistic) -> Line2D:
    law = curve.preferred(statistic)
    label = figure_text(curve.series, 28)
    if law is not None:
        alpha = law.parameters["alpha"]
        label += f": {FORMULAS[law.law]}, α = {interval(alpha, identified=alpha.identified)}"
        label += {"scaling": "", "not identifiable": " *"}.get(law.verdict, f", {law.verdict}")
    return Line2D(
        [], [], color=look.color, linestyle=look.dash if law else ":", marker=look.marker, markersize=4,
        markerfacecolor=look.face, linewidth=1.0, label=label,
    )  # fmt: skip
