"""Interactive figures of curves: losses against scale with laws and predictions, and distributions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.models.annotations import Label

from mlproject.analysis import HORIZONS, STATISTICS, Curve, Statistic
from mlproject.report.document import Interactive
from mlproject.report.figures import Look, looks
from mlproject.report.figures.curves import drawn_line
from mlproject.report.formats import FORMULAS, interval, kind_label, limits, number
from mlproject.report.interactive import (
    FONT,
    WIDE,
    blank,
    glyph,
    legend_below,
    log_axes,
    log_range,
    log_ticks,
    name_ticks,
    readable,
)
from mlproject.scaling import scale_text

ALL_LAWS = "all laws, beyond the data"
LOSS, LAW = "loss", "law"
MUTED = {"muted_alpha": 0.08}
N_BAND = 24
"""Scales at which the band of a law is evaluated."""


def scaling_view(curves: Sequence[Curve]) -> Interactive:
    """Losses against scale, with switches for the statistic and for the law that is drawn."""
    axis = curves[0].axis
    plot = blank(440, x_axis_type="log", y_axis_type="log")
    parts: list[tuple[str, list[Any]]] = []
    for curve, look in zip(curves, looks(curves), strict=True):
        drawn: list[Any] = []
        for statistic in STATISTICS:
            drawn += [*_laws(plot, curve, statistic, look), *_beyond(plot, curve, statistic, look)]
            drawn += _points(plot, curve, statistic, look)
        parts.append((curve.series, drawn))
    x = [float(value) for curve in curves for value in curve.x]
    horizons = {HORIZONS[0] * float(curve.x[-1]) for curve in curves if curve.extrapolations}
    log_axes(plot, [*x, *horizons], _reach(curves, STATISTICS[0]))
    _ranges_of_statistics(plot, curves)
    plot.xaxis[0].axis_label = axis.label.replace("$", "")
    plot.yaxis[0].axis_label = kind_label(str(curves[0].fixed["kind"]))
    legend_below(plot, parts)
    drawn_laws = ((curve, s, law) for curve in curves for s in STATISTICS for law in curve.law_lines[s])
    laws = {law for curve, s, law in drawn_laws if drawn_line(curve, s, law) is not None}
    names = [FORMULAS[law].replace("x", axis.symbol) for law in FORMULAS if law in laws]
    _direct_labels(plot, curves, {LAW: [*names, "none"]} if horizons else {})
    names += [ALL_LAWS] if horizons else []
    switches = {LOSS: tuple(STATISTICS)} | ({LAW: (*names, "none")} if names else {})
    caption = f"{axis.name.capitalize()}: points with 95 % intervals"
    caption += ", the chosen law with its 95 % band" if names else "; no law is identified"
    caption += ". A click on a name fades its parts; point at a marker for its numbers."
    return Interactive(model=plot, caption=f"{caption} {curves[0].family}.", switches=switches)


def _ranges_of_statistics(plot: Any, curves: Sequence[Curve]) -> None:
    """The range of losses of each statistic, which the switch sets, and ticks for all of them."""
    ranges = {statistic: log_range(_reach(curves, statistic), 0.06) for statistic in STATISTICS}
    plot.y_range.tags = [{LOSS: s, "start": low, "end": high} for s, (low, high) in ranges.items()]
    ticks = [tick for low, high in ranges.values() for tick in log_ticks(low, high)]
    name_ticks(plot.yaxis[0], ticks)


def _reach(curves: Sequence[Curve], statistic: Statistic) -> list[float]:
    """Losses that have to be in sight: the limits of points, and predictions not far below them."""
    ends = [end for curve in curves for point in curve.points for end in point.interval(statistic)]
    positive = [end for end in ends if end > 0] or [1.0]
    low, high = min(positive), max(positive)
    lines = [line for curve in curves if (line := curve.extrapolations.get(statistic)) is not None]
    lowest = [float(line.low[-1]) for line in lines]
    return [low, high, *(max(value, low * (low / high) ** 0.35) for value in lowest if value > 0)]


def _points(plot: Any, curve: Curve, statistic: Statistic, look: Look) -> list[Any]:
    estimates = [point.losses[statistic] for point in curve.points]
    source = ColumnDataSource(
        {
            "x": curve.x,
            "loss": [e.value for e in estimates],
            "low": [e.low for e in estimates],
            "high": [e.high for e in estimates],
            "text": [interval(e) for e in estimates],
            "scale": [_scale(curve, i) for i in range(len(curve.points))],
            "series": [curve.series] * len(estimates),
            "seeds": [", ".join(map(number, p.seeds[statistic])) for p in curve.points],
        }
    )
    tags = [{LOSS: statistic}]
    bars = plot.segment("x", "low", "x", "high", source=source, color=look.color, line_width=1.4, **MUTED)
    marks = plot.scatter("x", "loss", source=source, name="points", **glyph(look), **MUTED)
    for part in (bars, marks):
        part.tags = tags
    rows = [
        ("", "@series"),
        (curve.axis.name, "@scale"),
        (f"{statistic} loss", "@text"),
        ("by seed", "@seeds"),
    ]
    plot.add_tools(HoverTool(renderers=[marks], tooltips=rows, visible=False))
    return [bars, marks]


def _scale(curve: Curve, i: int) -> str:
    """``lite0, 4.65M parameters``: the name of a scale beside its value, where they differ."""
    point = curve.points[i]
    value = f"{scale_text(point.x)} {curve.axis.unit}"
    return value if point.name == f"{point.x:.12g}" else f"{point.name}, {value}"


def _laws(plot: Any, curve: Curve, statistic: Statistic, look: Look) -> list[Any]:
    """Each identified law with its 95 % band, shown while it is chosen."""
    parts = []
    for name in curve.law_lines[statistic]:
        line = drawn_line(curve, statistic, name)
        if line is None or line.law.fit is None:
            continue
        x = np.geomspace(line.x[0], line.x[-1], N_BAND)
        band = line.law.fit.predict(x)
        tags = [{LOSS: statistic, LAW: FORMULAS[line.law.law].replace("x", curve.axis.symbol)}]
        area = plot.varea(x, band.low, band.high, fill_color=look.color, fill_alpha=0.12, **MUTED)
        law = plot.line(line.x, line.losses, color=look.color, line_width=2, **MUTED)
        for part in (area, law):
            part.tags = tags
        parts += [area, law]
    return parts


def _beyond(plot: Any, curve: Curve, statistic: Statistic, look: Look) -> list[Any]:
    """The average of all laws, from the largest scale to the first horizon."""
    line = curve.extrapolations.get(statistic)
    if line is None:
        return []
    texts = [
        f"{number(m)} {limits(lo, hi)}" for m, lo, hi in zip(line.mean, line.low, line.high, strict=True)
    ]
    source = ColumnDataSource(
        {
            "x": line.x, "mean": line.mean, "low": line.low, "high": line.high, "text": texts,
            "scale": [f"{scale_text(x)} {curve.axis.unit}" for x in line.x],
            "series": [curve.series] * len(line.x),
        }
    )  # fmt: skip
    area = plot.varea("x", "low", "high", source=source, fill_color=look.color, fill_alpha=0.10, **MUTED)
    mean = plot.line("x", "mean", source=source, color=look.color, line_width=2, line_dash="dotted", **MUTED)
    for part in (area, mean):
        part.tags = [{LOSS: statistic, LAW: ALL_LAWS}]
    rows = [("", "@series, predicted"), (curve.axis.name, "@scale"), (f"{statistic} loss", "@text")]
    plot.add_tools(HoverTool(renderers=[mean], tooltips=rows, mode="vline", visible=False))
    return [area, mean]


def _direct_labels(plot: Any, curves: Sequence[Curve], free: dict[str, list[str]]) -> None:
    """Names right of the last points, moved apart where they would touch; on wide screens only.

    ``free`` are the options with which nothing is drawn there.
    """
    start, end, last = plot.x_range.start, plot.x_range.end, max(float(curve.x[-1]) for curve in curves)
    share = min(0.45, 0.02 + 0.0085 * max(len(curve.series) for curve in curves))
    wide = max(end, start * (last / start) ** (1 / (1 - share)))
    plot.x_range.tags = [{"narrow": end, WIDE: wide}]
    for statistic in STATISTICS:
        bottom, top = log_range(_reach(curves, statistic), 0.06)
        room = float(np.log(top / bottom))
        ends = sorted(zip(curves, looks(curves), strict=True), key=lambda end: end[0].values(statistic)[-1])
        heights = np.log([max(c.values(statistic)[-1], bottom) for c, _ in ends])
        for (curve, look), height in zip(ends, apart(heights, 0.055 * room), strict=True):
            label = Label(
                x=float(curve.x[-1]), y=float(np.exp(height)), x_offset=12, y_offset=0, text=curve.series,
                text_font=FONT, text_font_size="12px", text_color=readable(look.color),
                text_baseline="middle", background_fill_color="#ffffff", background_fill_alpha=0.75,
            )  # fmt: skip
            label.tags = [{LOSS: statistic, **free}, WIDE]
            plot.add_layout(label)


def apart(heights: Any, least: float) -> list[float]:
    """Ascending heights [n] moved so that neighbours are at least so far apart, their mean where it was."""
    groups: list[tuple[list[float], float]] = []  # members, and the height of the lowest
    for height in map(float, heights):
        members, low = [height], height
        while groups and low < groups[-1][1] + least * len(groups[-1][0]):
            members = groups.pop()[0] + members
            low = float(np.mean(members)) - least * (len(members) - 1) / 2
        groups.append((members, low))
    return [low + least * i for members, low in groups for i in range(len(members))]


def distribution_view(curves: Sequence[Curve]) -> Interactive:
    """Quantiles, mean and median of the per-image losses at every scale, curves side by side."""
    axis, plot = curves[0].axis, blank(380, x_axis_type="log", y_axis_type="log")
    x = sorted({float(value) for curve in curves for value in curve.x})
    gap = min((b / a for a, b in pairwise(x)), default=2.0)
    parts = []
    for i, (curve, look) in enumerate(zip(curves, looks(curves), strict=True)):
        shift = gap ** (0.5 * ((i + 0.5) / len(curves) - 0.5))
        parts.append((curve.series, _boxes(plot, curve, look, shift)))
    ends = [point.distribution[q] for curve in curves for point in curve.points for q in ("q05", "q95")]
    log_axes(plot, x, ends)
    plot.x_range.start /= gap**0.3
    plot.x_range.end *= gap**0.3
    plot.xaxis[0].axis_label = axis.label.replace("$", "")
    plot.yaxis[0].axis_label = f"{kind_label(str(curves[0].fixed['kind']))} of an image"
    legend_below(plot, parts)
    caption = (
        f"Losses of single images by {axis.name}: thin bar 5 to 95 %, thick bar the quartiles, dash the "
        f"median, marker the mean. {curves[0].family}."
    )
    return Interactive(model=plot, caption=caption)


def _boxes(plot: Any, curve: Curve, look: Look, shift: float) -> list[Any]:
    """5 to 95 % as a thin bar, quartiles as a thick one, the median as a gap, the mean as a marker."""
    names = ("mean", "q05", "q25", "q50", "q75", "q95")
    rows = {name: [point.distribution[name] for point in curve.points] for name in names}
    texts = {f"{name}_text": [number(value) for value in values] for name, values in rows.items()}
    source = ColumnDataSource(
        rows
        | texts
        | {
            "x": curve.x * shift,
            "scale": [_scale(curve, i) for i in range(len(curve.points))],
            "series": [curve.series] * len(curve.points),
            "images": [f"{point.n_images:,}" for point in curve.points],
        }
    )
    color = {"color": look.color, **MUTED}
    thin = plot.segment("x", "q05", "x", "q95", source=source, line_width=1.2, **color)
    thick = plot.segment("x", "q25", "x", "q75", source=source, line_width=7, line_alpha=0.55, **color)
    middle = plot.scatter("x", "q50", source=source, marker="dash", size=11, line_width=2.5, **color)
    mean = plot.scatter("x", "mean", source=source, **glyph(look, 7), **MUTED)
    tooltips = [
        ("", "@series"), (curve.axis.name, "@scale"), ("mean", "@mean_text"), ("median", "@q50_text"),
        ("quartiles", "@q25_text to @q75_text"), ("5 to 95 %", "@q05_text to @q95_text"),
        ("images", "@images"),
    ]  # fmt: skip
    plot.add_tools(HoverTool(renderers=[thick, mean], tooltips=tooltips, visible=False))
    return [thin, thick, middle, mean]
