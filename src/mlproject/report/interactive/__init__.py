"""Interactive figures for browsers, drawn by Bokeh in the colours and markers of the printed ones.

No figure has a callback in JavaScript of its own, which a browser would have to evaluate: ``page.js`` of the
renderer shows and hides parts by their tags.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from bokeh.models import FixedTicker, NoOverlap, Range1d
from bokeh.models.annotations import Legend
from bokeh.plotting import figure

from mlproject.report.figures import DIGITS, Look, short

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK, FAINT = "#1f2328", "#e6e8eb"
MARKERS = {
    "o": "circle",
    "s": "square",
    "^": "triangle",
    "D": "diamond",
    "v": "inverted_triangle",
    "P": "star",
}
"""Markers of Bokeh by those of matplotlib."""
LIGHT = 0.5
"""Luminance of a colour, before its gamma, above which text in it is hard to read on white."""
WIDE = "wide"
"""The tag of what only a wide screen has room for."""


def blank(height: int = 420, **options: Any) -> Any:
    """An empty figure as wide as its place. Dragging scrolls the page; zooming is chosen from the toolbar."""
    plot = figure(
        height=height, sizing_mode="stretch_width", tools="box_zoom,pan,reset,save", active_drag=None,
        toolbar_location="above", output_backend="canvas", min_width=260, background_fill_color=None,
        border_fill_color=None, outline_line_color=None, **options,
    )  # fmt: skip
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.min_border_left = 4
    for grid in plot.grid:
        grid.grid_line_color = FAINT
    for axis in plot.axis:
        axis.axis_line_color = "#8c959f"
        axis.major_tick_line_color = "#8c959f"
        axis.minor_tick_line_color = None
        axis.major_tick_in = 0
        axis.major_label_text_color = axis.axis_label_text_color = INK
        axis.major_label_text_font = axis.axis_label_text_font = FONT
        axis.major_label_text_font_size = "12px"
        axis.axis_label_text_font_size = "13px"
        axis.axis_label_text_font_style = "normal"
        axis.major_label_policy = NoOverlap(min_distance=6)
    return plot


def name_ticks(axis: Any, values: Iterable[float], digits: int = 3) -> None:
    """Ticks at these values, written as plain numbers."""
    ticks = sorted(set(values))
    axis.ticker = FixedTicker(ticks=ticks)
    axis.major_label_overrides = {tick: short(tick, digits) for tick in ticks}


def log_range(values: Sequence[float], margin: float = 0.08) -> tuple[float, float]:
    """The least and largest positive value, with a margin as a power of their ratio."""
    known = [value for value in values if value > 0 and math.isfinite(value)] or [1.0]
    low, high = min(known), max(known)
    room = (high / low) ** margin if high > low else 1.5
    return low / room, high * room


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers for a log axis, also where it spans a part of a decade."""
    span = math.log10(high / low)
    digits = next(digits for widest, digits in DIGITS if span < widest)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [d * 10.0**e for e in decades for d in digits]


def log_axes(plot: Any, x: Sequence[float], y: Sequence[float]) -> None:
    """Ranges and ticks of both logarithmic axes; the ticks of x are its values."""
    left, right = log_range(x, 0.05)
    plot.x_range = Range1d(start=left, end=right)
    low, high = log_range(y, 0.06)
    plot.y_range = Range1d(start=low, end=high)
    name_ticks(plot.xaxis[0], x)
    name_ticks(plot.yaxis[0], log_ticks(low, high))


def glyph(look: Look, size: float = 8) -> dict[str, Any]:
    """The marker of a curve; hollow for random features."""
    fill = "#ffffff" if look.hollow else look.color
    return {
        "marker": MARKERS[look.marker], "size": size, "line_color": look.color, "fill_color": fill,
        "line_width": 1.4,
    }  # fmt: skip


def readable(color: str) -> str:
    """A colour for text on white: dark ink where the colour itself is too light to read."""
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > LIGHT else color


def legend_below(plot: Any, items: Sequence[tuple[str, list[Any]]]) -> None:
    """A legend below a figure; a click on a name fades its parts."""
    legend = Legend(
        items=list(items),
        click_policy="mute",
        orientation="vertical",
        tags=["legend"],
        location="bottom_left",
    )
    legend.label_text_font, legend.label_text_font_size = FONT, "13px"
    legend.label_text_color, legend.border_line_color = INK, None
    legend.update(background_fill_alpha=0.0, padding=4, spacing=12)
    plot.add_layout(legend, "below")
