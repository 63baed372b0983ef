"""What makes a figure unreadable: each check returns its faults in words, none for a good figure.

Figures are laid out and measured as they are drawn, without writing a file. Widths are inches as printed: a
figure that is wider than a page is taken to be reduced to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from mlproject.report.figures import PAGE, RC

LEAST_POINTS = 5.99
COLOUR_BAR = "<colorbar>"
TOUCH = 1.0
"""Pixels by which boxes of text may overlap: they hold the line's whole height."""


def faults(draw) -> list[str]:
    """All faults of the figure that ``draw`` makes in the style of reports."""
    with matplotlib.rc_context(RC):
        figure = draw()
        laid_out(figure)
        checks = (overlapping_text, text_outside, covered_text, empty_panels, small_fonts, colour_only)
        return [fault for check in checks for fault in check(figure)]


def laid_out(figure: Figure) -> Figure:
    """The figure with its layout done, so that everything has its place."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    return figure


def shown_texts(figure: Figure) -> list[Text]:
    """Every text that is drawn; ticks beyond the ends of an axis are not."""
    ticks, drawn = set(), set()
    for ax in figure.axes:
        for ruler in (ax.xaxis, ax.yaxis):
            low, high = sorted(ruler.get_view_interval())
            slack = 1e-9 * (high - low)
            for tick in [*ruler.get_major_ticks(), *ruler.get_minor_ticks()]:
                labels = {tick.label1, tick.label2}
                ticks |= labels
                if low - slack <= tick.get_loc() <= high + slack and ax.get_visible() and ax.axison:
                    drawn |= labels
    texts = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    hidden = {text for ax in figure.axes if not ax.get_visible() for text in ax.findobj(Text)}
    kept = [text for text in texts if text not in hidden and (text not in ticks or text in drawn)]
    return [text for text in dict.fromkeys(kept) if text.get_text().strip() and text.figure is not None]


def box(text: Text) -> Bbox:
    """Where a text lies, in pixels."""
    return text.get_window_extent()


def corners(text: Text) -> np.ndarray:
    """The corners [4, 2] of a text in pixels, also of one that is turned, smaller by ``TOUCH``."""
    around = box(text)
    angle = np.deg2rad(text.get_rotation())
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # The box around a turned rectangle has its centre, and its sides by the sine and cosine.
    size = np.linalg.solve(np.abs(turn), [around.width, around.height]) - TOUCH
    half = np.maximum(size, 0) / 2 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    return half @ turn.T + [(around.x0 + around.x1) / 2, (around.y0 + around.y1) / 2]


def overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two rectangles [4, 2] have a point in common: no side of either lies between them."""
    for sides in (np.diff(a[:3], axis=0), np.diff(b[:3], axis=0)):
        for side in sides:
            along_a, along_b = a @ side, b @ side
            if along_a.max() <= along_b.min() or along_b.max() <= along_a.min():
                return False
    return True


def overlapping_text(figure: Figure) -> Iterator[str]:
    """Two texts that lie on one another."""
    placed = [(text.get_text(), box(text), corners(text)) for text in shown_texts(figure)]
    for (first, a, its), (second, b, others) in itertools.combinations(placed, 2):
        if a.overlaps(b) and overlap(its, others):
            yield f"text {first!r} overlaps {second!r}"


def text_outside(figure: Figure) -> Iterator[str]:
    """Text that the edge of the canvas cuts."""
    edge = figure.bbox
    for text in shown_texts(figure):
        a = box(text)
        if (
            a.x0 < edge.x0 - TOUCH
            or a.y0 < edge.y0 - TOUCH
            or a.x1 > edge.x1 + TOUCH
            or a.y1 > edge.y1 + TOUCH
        ):
            yield f"text {text.get_text()!r} lies outside the canvas"


def covered_text(figure: Figure) -> Iterator[str]:
    """Text on data: on a line, a marker or a bar; the numbers of a heat map are meant to be there."""
    texts = [(text.get_text(), box(text).padded(-TOUCH)) for text in shown_texts(figure)]
    for bar in (ax for ax in figure.axes if ax.get_label() == COLOUR_BAR):
        yield from (f"text {name!r} lies on a colour bar" for name, a in texts if a.overlaps(bar.bbox))
    for ax in visible_axes(figure):
        if any(isinstance(artist, QuadMesh) for artist in ax.collections):
            continue
        inside = [(name, a) for name, a in texts if ax.bbox.overlaps(a)]
        x, y = _marks(ax).T
        bars = [patch.get_window_extent() for patch in ax.patches]
        for name, a in inside:
            on_line = ((a.x0 < x) & (x < a.x1) & (a.y0 < y) & (y < a.y1)).any()
            if on_line or any(a.overlaps(bar) for bar in bars):
                yield f"text {name!r} lies on data"


def _marks(ax: Axes) -> np.ndarray:
    """The vertices of all data lines, and points between them [n, 2], in pixels."""
    marks = [np.empty((0, 2))]
    for line in ax.lines:
        xy = line.get_transform().transform(np.asarray(line.get_xydata(), dtype=float))
        xy = xy[np.isfinite(xy).all(axis=1)]
        if len(xy) > 1 and line.get_linestyle() != "None":
            steps = np.linspace(0, 1, 50)[:, None, None]
            xy = (xy[:-1] * (1 - steps) + xy[1:] * steps).reshape(-1, 2)
        marks.append(xy)
    return np.concatenate(marks)


def empty_panels(figure: Figure) -> Iterator[str]:
    """Visible axes without anything drawn in them."""
    for i, ax in enumerate(visible_axes(figure)):
        drawn = [line for line in ax.lines if np.isfinite(np.asarray(line.get_xydata(), dtype=float)).any()]
        # A line across the whole panel, such as that at 0, is no data.
        drawn = [line for line in drawn if all(line.get_transform().contains_branch_seperately(ax.transData))]
        if not (drawn or ax.collections or ax.patches or ax.images):
            yield f"panel {i} is empty"


def small_fonts(figure: Figure) -> Iterator[str]:
    """Text below 6 points at the printed width."""
    reduced = min(1.0, PAGE / figure.get_figwidth())
    for text in shown_texts(figure):
        if text.get_fontsize() * reduced < LEAST_POINTS:
            yield f"text {text.get_text()!r} has {text.get_fontsize() * reduced:.1f} points"


def colour_only(figure: Figure) -> Iterator[str]:
    """Colours of one panel that no marker, line or fill tells apart; greys and a single colour need none."""
    for i, ax in enumerate(visible_axes(figure)):
        signs: dict[str, set[str]] = {}
        for colour, sign in [*_line_signs(ax), *_patch_signs(ax)]:
            if len({round(channel, 2) for channel in to_rgb(colour)}) > 1:
                signs.setdefault(colour, set()).add(sign)
        for (first, a), (second, b) in itertools.combinations(signs.items(), 2):
            if a == b:
                yield f"panel {i}: {first} and {second} differ in colour alone"


def _line_signs(ax: Axes) -> Iterator[tuple[str, str]]:
    for line in ax.lines:
        yield to_hex(line.get_color()), f"{line.get_marker()} {_dashes(line)}"


def _dashes(line: Line2D) -> str:
    return str(line.get_linestyle() if line.get_linestyle() in ("None", "-") else line.is_dashed())


def _patch_signs(ax: Axes) -> Iterator[tuple[str, str]]:
    for patch in ax.patches:
        if patch.get_linewidth() > 0 and isinstance(patch, Patch):
            yield to_hex(patch.get_edgecolor()), f"{patch.get_linestyle()} {patch.get_hatch()}"


def visible_axes(figure: Figure) -> list[Axes]:
    """Panels that are drawn, without colour bars."""
    return [ax for ax in figure.axes if ax.get_visible() and ax.get_label() != COLOUR_BAR]
