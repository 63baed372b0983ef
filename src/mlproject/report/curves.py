"""Scaling curves: points, laws with 95 % bands, the held-out largest, what lies beyond, residuals, slopes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlproject.analysis.local import law_exponents, local_exponents
from mlproject.analysis.study import HORIZONS, Curve, Floats, Statistic, Verdict
from mlproject.report.escape import figure_text
from mlproject.report.style import COLUMN, Look, faint_grid, family_title, log_axis, looks, point_axis
from mlproject.report.words import estimate, loss_label, preferred
from mlproject.scaling import Prediction

THIN = (0, (1, 1.6))
"""The dots of the law that is not preferred."""
BEYOND = (0, (4.0, 1.8))
"""The dashes of an extrapolation over all laws."""
FORMULAS = {"power_floor": r"$E + k\,x^{-\alpha}$", "power": r"$k\,x^{-\alpha}$"}


def scaling_figure(curves: Sequence[Curve], statistic: Statistic) -> Figure:
    """The curves of one family on one statistic of their losses."""
    fitted = any(preferred(curve, statistic) is not None for curve in curves)
    handles = _handles(curves, statistic)
    figure = Figure(figsize=(COLUMN, 2.4 + 0.15 * len(handles) + 1.7 * fitted), layout="constrained")
    ratios = [3.4, 1.0, 1.25] if fitted else [1.0]
    axes = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0].tolist()
    for curve, look in zip(curves, looks(curves), strict=True):
        _draw(axes[0], curve, statistic, look)
        if fitted:
            _residuals(axes[1], curve, statistic, look)
            _local(axes[2], curve, statistic, look)
    _dress(axes, curves, statistic)
    family_title(figure, curves[0])
    figure.legend(handles=handles, loc="outside lower left", ncols=1)
    return figure


def _draw(ax: Axes, curve: Curve, statistic: Statistic, look: Look) -> None:
    values = curve.values(statistic)
    bars = np.array([point.interval(statistic) for point in curve.points]).T
    reach = np.maximum([values - bars[0], bars[1] - values], 0.0)
    ax.errorbar(
        curve.x, values, yerr=reach, linestyle="none", marker=look.marker, markersize=4, color=look.color,
        markerfacecolor=look.face, markeredgewidth=0.9, elinewidth=0.9, capsize=1.8, capthick=0.7, zorder=4,
    )  # fmt: skip
    chosen = preferred(curve, statistic)
    if chosen is None:
        ax.plot(curve.x, values, color=look.color, linewidth=0.6, linestyle=":", zorder=2)
        return
    x = _along(curve, beyond=statistic not in curve.averages)
    for verdict in curve.verdicts:
        if verdict.statistic == statistic and verdict.fit is not None:
            _law(ax, x, verdict, look, main=verdict is chosen)
    _beyond(ax, curve, statistic, look)
    _held_out(ax, curve, statistic, look)


def _held_out(ax: Axes, curve: Curve, statistic: Statistic, look: Look) -> None:
    """The largest scale as predicted over all laws from the smaller ones, a little beside its point."""
    told = curve.held_out.get(statistic)
    if told is None:
        return
    reach = [told.mean - told.low, told.high - told.mean]
    at = [float(curve.x[-1] * (curve.x[-1] / curve.x[0]) ** 0.025)]
    ax.errorbar(
        at, told.mean, yerr=reach, linestyle="none", marker="x", markersize=3.6, color=look.color,
        elinewidth=0.6, zorder=5,
    )  # fmt: skip


def _along(curve: Curve, *, beyond: bool) -> Floats:
    """Where one law is drawn: a little beyond the data, unless all laws go on from there."""
    margin = (curve.x[-1] / curve.x[0]) ** 0.08
    return np.geomspace(curve.x[0] / margin, curve.x[-1] * (margin if beyond else 1.0), 80)


def _law(ax: Axes, x: Floats, verdict: Verdict, look: Look, *, main: bool) -> None:
    assert verdict.fit is not None
    told = verdict.fit.predict(x)
    if not main:
        ax.plot(x, told.mean, color=look.color, linewidth=0.8, linestyle=THIN, zorder=2)
        return
    ax.plot(x, told.mean, color=look.color, linestyle=look.dash, zorder=3)
    ax.fill_between(x, told.low, told.high, color=look.color, alpha=0.18, linewidth=0, zorder=1)


def _beyond(ax: Axes, curve: Curve, statistic: Statistic, look: Look) -> None:
    """The average over all laws from the largest scale to the first horizon, in dashes with dashed limits."""
    found = curve.averages.get(statistic)
    if found is None:
        return
    x = np.geomspace(curve.x[-1], HORIZONS[0] * curve.x[-1], 16)
    told = found.predict(x)
    ax.plot(x, told.mean, color=look.color, linewidth=1.0, linestyle=BEYOND, zorder=3)
    for edge in (told.low, told.high):
        ax.plot(x, edge, color=look.color, linewidth=0.5, linestyle=BEYOND, zorder=2)
    ax.fill_between(x, told.low, told.high, color=look.color, alpha=0.07, linewidth=0, zorder=1)


def _residuals(ax: Axes, curve: Curve, statistic: Statistic, look: Look) -> None:
    """How far the points lie from both laws, in percent; the law without a floor is the thin line."""
    chosen = preferred(curve, statistic)
    for verdict in curve.verdicts:
        if verdict.statistic != statistic or verdict.fit is None:
            continue
        off = 100 * np.log(curve.values(statistic) / verdict.fit.predict(curve.x).mean)
        if verdict is chosen:
            ax.plot(
                curve.x, off, linestyle="none", marker=look.marker, markersize=3, color=look.color,
                markerfacecolor=look.face, markeredgewidth=0.8, zorder=3,
            )  # fmt: skip
        else:
            ax.plot(curve.x, off, linewidth=0.8, linestyle=THIN, color=look.color, zorder=2)


def _local(ax: Axes, curve: Curve, statistic: Statistic, look: Look) -> None:
    """The slope between neighbouring points with its 95 % interval, and that of the preferred law."""
    found, chosen = local_exponents(curve, statistic), preferred(curve, statistic)
    if found is None or chosen is None:
        return
    reach = np.maximum([found.value - found.low, found.high - found.value], 0.0)
    ax.errorbar(
        found.x, found.value, yerr=reach, linestyle="none", marker=look.marker, markersize=3,
        color=look.color, markerfacecolor=look.face, markeredgewidth=0.8, elinewidth=0.6, zorder=3,
    )  # fmt: skip
    x = np.geomspace(curve.x[0], curve.x[-1], 40)
    slope = law_exponents(curve, statistic, chosen.law, x)
    if slope is not None:
        ax.plot(x, slope, color=look.color, linewidth=1.0, linestyle=look.dash, zorder=2)


def _dress(axes: list[Axes], curves: Sequence[Curve], statistic: Statistic) -> None:
    top = axes[0]
    top.set_xscale("log")
    top.set_yscale("log")
    seen = [np.array([point.interval(statistic) for point in curve.points]) for curve in curves]
    low, high = min(v.min() for v in seen), max(v.max() for v in seen)
    low = min(
        [low, *(max(float(told.low[0]), low * (low / high) ** 0.5) for told in _told(curves, statistic))]
    )
    margin = (high / low) ** 0.08
    top.set_ylim(low / margin, high * margin)
    log_axis(top.yaxis, low / margin, high * margin)
    top.set_ylabel(loss_label(curves[0], statistic))
    ends = {HORIZONS[0] * float(curve.x[-1]) for curve in curves if statistic in curve.averages}
    point_axis(axes[-1].xaxis, sorted({float(x) for curve in curves for x in curve.x} | ends))
    axes[-1].set_xlabel(curves[0].axis.label)
    for ax in axes:
        faint_grid(ax)
    for ax, label in zip(axes[1:], ("residual\n[%]", "local\nexponent"), strict=False):
        ax.margins(y=0.25)
        ax.axhline(0.0, color="#8a8a8a", linewidth=0.6, zorder=1)
        ax.set_ylabel(label)


def _told(curves: Sequence[Curve], statistic: Statistic) -> list[Prediction]:
    """What is predicted beyond the curves, where it is."""
    return [told for curve in curves if (told := curve.beyond(statistic)) is not None]


def _handles(curves: Sequence[Curve], statistic: Statistic) -> list[Line2D]:
    """The legend: every curve with its exponent, then which line is which law, or why there is none."""
    shown = [_handle(curve, look, statistic) for curve, look in zip(curves, looks(curves), strict=True)]
    chosen = [v for curve in curves if (v := preferred(curve, statistic)) is not None]
    if not chosen:
        return [*shown, *(_text(line) for line in _why_none(curves[0]))]
    laws = _law_handles(curves, chosen)
    beside = [*_beyond_handle(curves, statistic), *_held_out_handle(curves, statistic)]
    return [*shown, *laws, *beside, *_footnote(chosen)]


def _law_handles(curves: Sequence[Curve], chosen: Sequence[Verdict]) -> list[Line2D]:
    """The preferred law of each curve as the line with the band, the other as dots, where it is drawn."""
    drawn = [verdict for curve in curves for verdict in curve.verdicts if verdict.fit is not None]
    other = {v.law for v in drawn if v.statistic == chosen[0].statistic and all(v is not c for c in chosen)}
    thin = " or ".join(FORMULAS[law] for law in FORMULAS if law in other)
    dots = Line2D([], [], color="#333333", linewidth=0.8, linestyle=THIN, label=f"the other law, {thin}")
    return [Line2D([], [], color="#333333", label="law and its 95 % band"), *([dots] if thin else [])]


def _beyond_handle(curves: Sequence[Curve], statistic: Statistic) -> list[Line2D]:
    label = f"extrapolation over all laws, to {HORIZONS[0]:g} × the largest, 95 %"
    dashes = Line2D([], [], color="#333333", linewidth=1.0, linestyle=BEYOND, label=label)
    return [dashes] if _told(curves, statistic) else []


def _held_out_handle(curves: Sequence[Curve], statistic: Statistic) -> list[Line2D]:
    cross = Line2D(
        [], [], color="#222222", linestyle="none", marker="x", markersize=3.6,
        label="the largest, predicted from the others, 95 %",
    )  # fmt: skip
    return [cross] if any(statistic in curve.held_out for curve in curves) else []


def _footnote(chosen: Sequence[Verdict]) -> list[Line2D]:
    unsure = any(verdict.verdict == "not identifiable" for verdict in chosen)
    return [_text("* not identifiable: see the summary")] if unsure else []


def _why_none(curve: Curve) -> list[str]:
    return textwrap.wrap(f"No law: {figure_text(curve.verdicts[0].reason, 200)}.", width=54)


def _text(line: str) -> Line2D:
    return Line2D([], [], linestyle="none", label=line)


def _handle(curve: Curve, look: Look, statistic: Statistic) -> Line2D:
    chosen = preferred(curve, statistic)
    said = ""
    if chosen is not None:
        said = f": {FORMULAS[chosen.law]}, α = {estimate(chosen, 'alpha')}"
        said += {"scaling": "", "not identifiable": " *"}.get(chosen.verdict, f", {chosen.verdict}")
    return Line2D(
        [], [], color=look.color, linestyle=look.dash if chosen else ":", marker=look.marker, markersize=4,
        markerfacecolor=look.face, linewidth=1.0, label=figure_text(curve.series, 28) + said,
    )  # fmt: skip
