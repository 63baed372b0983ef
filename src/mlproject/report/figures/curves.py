"""Figure of scaling curves: points, one law with its bands, extrapolation, residuals and local exponents."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlproject.analysis import AXES, HORIZONS, Curve, LawLine, Statistic, shared_law
from mlproject.report.figures import (
    COLUMN,
    Floats,
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
from mlproject.scaling import UNIDENTIFIABLE, Prediction

BEYOND = (0, (4.0, 1.8))
"""The dashes of an extrapolation over all laws."""
JOINED = (0, (1, 1.6))
"""The dots that join points without a law."""
INK = "#333333"
FORMULAS = {"power": r"$k\,{x}^{{-\alpha}}$", "power_floor": r"$E + k\,{x}^{{-\alpha}}$"}
APART = 0.012
"""How far curves over the same models are set apart sideways, as a share of the axis."""
LEGEND_WIDTH = 54
ROUNDING = 1e-9
"""Residuals in percent that are those of floating point."""


def scaling_figure(curves: Sequence[Curve], statistic: Statistic, law: str = "") -> Figure:
    """The curves of one family on one statistic of their losses, all under the same law (``shared_law``)."""
    law = law or shared_law(curves, statistic)
    lines = [drawn_line(curve, statistic, law) for curve in curves]
    fitted = any(line is not None for line in lines)
    handles = _handles(curves, statistic, law)
    n_lines = sum(1 + str(handle.get_label()).count("\n") for handle in handles)
    figure = Figure(figsize=(COLUMN, 2.4 + 0.15 * n_lines + 1.7 * fitted), layout="constrained")
    ratios = [3.4, 1.0, 1.25] if fitted else [1.0]
    axes = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0].tolist()
    for i, (curve, look, line) in enumerate(zip(curves, looks(curves), lines, strict=True)):
        _points(axes[0], curve, statistic, look, _places(curves, i))
        if line is None:
            axes[0].plot(
                _places(curves, i), curve.values(statistic), color=look.color, linewidth=0.9,
                linestyle=JOINED, zorder=2,
            )  # fmt: skip
        else:
            _law(axes[0], line, look)
            _residuals(axes[1], curve, line, look)
            _local_exponents(axes[2], curve, statistic, line, look)
        _extrapolation(axes[0], curve, statistic, look)
    _dress(axes, curves, statistic)
    title(figure, curves[0].family)
    figure.legend(handles=handles, loc="outside lower left", ncols=1)
    return figure


def drawn_line(curve: Curve, statistic: Statistic, law: str) -> LawLine | None:
    """The law of a figure on one of its curves; None where it is not identified."""
    line = curve.law_lines[statistic].get(law)
    return None if line is None or line.law.verdict == UNIDENTIFIABLE else line


def extrapolates(curve: Curve, statistic: Statistic) -> bool:
    """Whether the losses beyond the largest scale are drawn: only where a law is identified at all."""
    assessment = curve.assessments.get(statistic)
    identified = assessment is not None and assessment.verdict != UNIDENTIFIABLE
    return identified and statistic in curve.extrapolations


def held_out(curve: Curve, statistic: Statistic) -> Prediction | None:
    """The largest scale as predicted from the others, where these are enough."""
    assessment = curve.assessments.get(statistic)
    predicted = None if assessment is None else assessment.held_out
    return None if predicted is None or not extrapolates(curve, statistic) else predicted.prediction


def _places(curves: Sequence[Curve], i: int) -> Floats:
    """The scales of a curve; curves over the same models are set apart, else their bars are one line."""
    curve = curves[i]
    if curve.axis is not AXES["params"] or len(curves) == 1:
        return curve.x
    largest, smallest = (f(f(c.x) for c in curves) for f in (max, min))
    return np.asarray(curve.x * (largest / smallest) ** (APART * (i - (len(curves) - 1) / 2)))


def _points(ax: Axes, curve: Curve, statistic: Statistic, look: Look, places: Floats) -> None:
    values = curve.values(statistic)
    limits = np.array([point.interval(statistic) for point in curve.points]).T
    ax.errorbar(
        places, values, yerr=error_bars(values, *limits), linestyle="none", marker=look.marker, markersize=4,
        color=look.color, markerfacecolor=look.face, markeredgewidth=0.9, elinewidth=0.9, capsize=1.8,
        capthick=0.7, zorder=4,
    )  # fmt: skip


def _law(ax: Axes, line: LawLine, look: Look) -> None:
    """A law with its band, whose edges are drawn as bands of several curves lie on one another."""
    band = line.band
    ax.plot(line.x, line.losses, color=look.color, zorder=3)
    ax.fill_between(band.x, band.low, band.high, color=look.color, alpha=0.12, linewidth=0, zorder=1)
    for edge in (band.low, band.high):
        ax.plot(band.x, edge, color=look.color, linewidth=0.5, alpha=0.6, zorder=2)


def _extrapolation(ax: Axes, curve: Curve, statistic: Statistic, look: Look) -> None:
    """All laws beyond the data, and the largest scale as predicted from the others, between wide caps."""
    if extrapolates(curve, statistic):
        losses = curve.extrapolations[statistic]
        ax.plot(losses.x, losses.mean, color=look.color, linewidth=1.0, linestyle=BEYOND, zorder=3)
        for edge in (losses.low, losses.high):
            ax.plot(losses.x, edge, color=look.color, linewidth=0.5, linestyle=BEYOND, zorder=2)
        ax.fill_between(
            losses.x, losses.low, losses.high, color=look.color, alpha=0.07, linewidth=0, zorder=1
        )
    predicted = held_out(curve, statistic)
    if predicted is not None:
        x = [float(curve.x[-1])]
        ax.plot(x, predicted.mean[:1], marker="x", markersize=5, color=INK, markeredgewidth=0.9, zorder=6)
        for limit in (predicted.low[:1], predicted.high[:1]):
            ax.plot(x, limit, marker="_", markersize=8, color=look.color, markeredgewidth=1.1, zorder=5)


def _residuals(ax: Axes, curve: Curve, line: LawLine, look: Look) -> None:
    """Deviations of the points from the law, in percent."""
    residuals = np.where(np.abs(line.residuals) < ROUNDING, 0.0, line.residuals)
    ax.plot(
        curve.x, residuals, linestyle="none", marker=look.marker, markersize=3, color=look.color,
        markerfacecolor=look.face, markeredgewidth=0.8, zorder=3,
    )  # fmt: skip


def _local_exponents(ax: Axes, curve: Curve, statistic: Statistic, line: LawLine, look: Look) -> None:
    """The slope between neighbouring points with its 95 % interval, and that of the law."""
    slopes = curve.local_exponents.get(statistic)
    if slopes is None:
        return
    ax.errorbar(
        slopes.x, slopes.value, yerr=error_bars(slopes.value, slopes.low, slopes.high), linestyle="none",
        marker=look.marker, markersize=3, color=look.color, markerfacecolor=look.face, markeredgewidth=0.8,
        elinewidth=0.6, zorder=3,
    )  # fmt: skip
    ax.plot(line.slope_x, line.slopes, color=look.color, linewidth=1.0, zorder=2)


def _dress(axes: list[Axes], curves: Sequence[Curve], statistic: Statistic) -> None:
    top = axes[0]
    top.set_xscale("log")
    top.set_yscale("log")
    limits = [np.array([point.interval(statistic) for point in curve.points]) for curve in curves]
    low, high = min(v.min() for v in limits), max(v.max() for v in limits)
    beyond = [curve for curve in curves if extrapolates(curve, statistic)]
    lowest = [float(curve.predictions[statistic].low[0]) for curve in beyond]
    low = min([low, *(max(value, low * (low / high) ** 0.5) for value in lowest)])
    margin = max((high / low) ** 0.08, 1.05)
    top.set_ylim(low / margin, high * margin)
    log_axis(top.yaxis, low / margin, high * margin)
    top.set_ylabel(f"{statistic} {kind_label(str(curves[0].fixed['kind']))}")
    ends = sorted({HORIZONS[0] * float(curve.x[-1]) for curve in beyond}, reverse=True)
    first, *others = (curve.x.tolist() for curve in curves)
    point_axis(axes[-1].xaxis, sorted(set(first)), [*ends, *(x for scales in others for x in scales)])
    axes[-1].set_xlabel(curves[0].axis.label)
    for ax in axes:
        faint_grid(ax)
    for ax, label in zip(axes[1:], ("residual\n[%]", "local\nexponent"), strict=False):
        ax.margins(y=0.25)
        ax.axhline(0.0, color="#8a8a8a", linewidth=0.6, zorder=1)
        ax.set_ylabel(label)


def _handles(curves: Sequence[Curve], statistic: Statistic, law: str) -> list[Line2D]:
    """The legend: every curve with its exponent, then the meaning of each line, or why there is no law."""
    drawn = [drawn_line(curve, statistic, law) for curve in curves]
    handles = [
        _curve_handle(curve, look, statistic, law) for curve, look in zip(curves, looks(curves), strict=True)
    ]
    if not law:
        reason = curves[0].reported_laws(statistic)[0].reason.split("; ")[0]
        why = f"points joined, no law: {figure_text(reason, 160)}"
        first, *rest = textwrap.wrap(why, width=LEGEND_WIDTH)
        return [*handles, Line2D([], [], color=INK, linestyle=JOINED, label=first), *map(_text, rest)]
    formula = FORMULAS[law].format(x=curves[0].axis.symbol)
    if any(line is not None for line in drawn):
        handles.append(Line2D([], [], color=INK, label=f"law {formula} and its 95 % band"))
    if any(line is None for line in drawn):
        label = f"points joined: {formula} is not identifiable"
        handles.append(Line2D([], [], color=INK, linestyle=JOINED, label=label))
    if any(extrapolates(curve, statistic) for curve in curves):
        label = f"all laws averaged, to {HORIZONS[0]:g} × the largest, 95 %"
        handles.append(Line2D([], [], color=INK, linewidth=1.0, linestyle=BEYOND, label=label))
    if any(held_out(curve, statistic) is not None for curve in curves):
        label = "the largest, predicted from the others (caps: 95 %)"
        handles.append(Line2D([], [], color=INK, linestyle="none", marker="x", markersize=5, label=label))
    return handles


def _text(line: str) -> Line2D:
    return Line2D([], [], linestyle="none", label=line)


def _curve_handle(curve: Curve, look: Look, statistic: Statistic, law: str) -> Line2D:
    label, fitted = figure_text(curve.series, 28), curve.law(statistic, law) if law else None
    if fitted is not None and fitted.fit is not None:
        alpha = fitted.parameters["alpha"]
        label += f": α = {interval(alpha, identified=alpha.identified)}"
        verdict = "" if fitted.verdict == "scaling" else f", {fitted.verdict}"
        fits = len(label) + len(verdict) <= LEGEND_WIDTH
        label += verdict if fits else f",\n{fitted.verdict}"
    joined = law == "" or drawn_line(curve, statistic, law) is None
    return Line2D(
        [], [], color=look.color, linestyle=JOINED if joined else "-", marker=look.marker, markersize=4,
        markerfacecolor=look.face, linewidth=1.0, label=label,
    )  # fmt: skip
