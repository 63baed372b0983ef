"""The gallery of a study's images: their values for the page's script, and the two figures linked with it."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
from bokeh.models import BoxSelectTool, ColumnDataSource, HoverTool, PrintfTickFormatter, TapTool
from numpy.typing import NDArray
from PIL import Image

from mlproject.analysis import Curve, Explorer, ImageMistakes, ImageSeries
from mlproject.report.document import Gallery, Interactive
from mlproject.report.figures import Look, looks
from mlproject.report.formats import kind_label
from mlproject.report.interactive import MARKERS, blank, name_ticks
from mlproject.report.renderers import finite

MOST_IMAGES = 500
"""Images that a page holds: more would make the file larger than a browser opens at once."""
SIDE = 48


def thumbnail(image: NDArray[np.uint8]) -> bytes:
    """A picture [height, width, 3] as WebP of at most ``SIDE`` pixels a side; small ones without loss."""
    picture = Image.fromarray(image)
    small = max(picture.size) <= SIDE
    picture.thumbnail((SIDE, SIDE))
    file = BytesIO()
    picture.save(file, "WEBP", lossless=small, quality=80)
    return file.getvalue()


def shown_images(explorer: Explorer) -> list[str]:
    """The images that a page holds."""
    return [explorer.image_ids[i] for i in explorer.chosen(MOST_IMAGES)]


def image_gallery(
    explorer: Explorer, curves: Sequence[Curve], pictures: Mapping[str, bytes], *, name: str, caption: str
) -> Gallery:
    """The images of one family; ``curves`` are those of its series, in their order."""
    chosen = explorer.chosen(MOST_IMAGES)
    kind, styles = kind_label(explorer.kind), looks(curves)
    sizes = sorted({float(size) for series in explorer.series for size in series.sizes})
    return Gallery(
        name=name,
        caption=caption,
        content=finite(_content(explorer, chosen, styles) | {"kind": kind}),
        pictures=pictures,
        scatter=partial(scatter_view, kind),
        trend=partial(trend_view, kind, sizes),
    )


def _content(explorer: Explorer, chosen: Any, styles: Sequence[Look]) -> dict[str, Any]:
    classes = _classes(explorer)
    number = {label: i for i, label in enumerate(classes)}
    labels = explorer.labels
    known, outcomes = explorer.disagreement, _outcomes(explorer)
    return {
        "outcomes": outcomes,
        "ids": [explorer.image_ids[i] for i in chosen],
        "classes": classes,
        "labels": None if labels is None else [number.get(labels[i], -1) for i in chosen],
        "disagreement": None if known is None else rounded(known[chosen]),
        "series": [
            _series(series, look, chosen, number) | _mistakes(series.mistakes, chosen, outcomes)
            for series, look in zip(explorer.series, styles, strict=True)
        ],
    }


def _classes(explorer: Explorer) -> list[str]:
    """All names of classes that are a label or a prediction."""
    names = set() if explorer.labels is None else set(explorer.labels.tolist())
    for series in explorer.series:
        names |= set() if series.predicted is None else set(series.predicted.ravel().tolist())
    return sorted(names - {""})


def _series(series: ImageSeries, look: Look, chosen: Any, number: Mapping[str, int]) -> dict[str, Any]:
    return {
        "name": series.name,
        "color": look.color,
        "hollow": look.hollow,
        "marker": MARKERS[look.marker],
        "sizes": series.sizes.tolist(),
        "seeds": list(series.seeds),
        "losses": packed(series.losses[chosen].T.astype("<f4")),
        "predicted": None if series.predicted is None else _numbers(series.predicted[chosen], number),
        "last": rounded(series.last[chosen]),
        "exponent": rounded(series.exponent[chosen]) if series.has_exponents else None,
        "half": rounded(series.half_width[chosen]) if series.has_exponents else None,
        "q": rounded(series.q_value[chosen]) if series.has_exponents else None,
        "rises": series.rises[chosen].nonzero()[0].tolist(),
    }


def _outcomes(explorer: Explorer) -> list[str]:
    """When images can be learned, over all series: from the smallest scale on, then lost and never right."""
    known = [series.mistakes for series in explorer.series if series.mistakes is not None]
    pairs = dict.fromkeys(pair for mistakes in known for pair in mistakes.outcomes)
    ordered = sorted(pairs, key=lambda pair: math.inf if pair[0] is None else pair[0])
    return [words for _, words in ordered]


def _mistakes(mistakes: ImageMistakes | None, chosen: Any, outcomes: Sequence[str]) -> dict[str, Any]:
    """Places among the outcomes (-1 where unknown), images that get worse, chances at the next scale."""
    if mistakes is None:
        return {"outcome": None, "worse": None, "chance": None}
    place = {words: i for i, words in enumerate(outcomes)}
    worse, chance = mistakes.worse, mistakes.chance
    return {
        "outcome": [place.get(words, -1) for words in mistakes.outcome[chosen].tolist()],
        "worse": None if worse is None else worse[chosen].nonzero()[0].tolist(),
        "chance": None if chance is None else rounded(chance[chosen]),
    }


def _numbers(predicted: Any, number: Mapping[str, int]) -> str:
    """Predicted classes [images, runs] as 16-bit numbers by run; -1 where unknown."""
    rows = [[number.get(label, -1) for label in row] for row in predicted.T.tolist()]
    return packed(np.array(rows, dtype="<i2"))


def packed(values: Any) -> str:
    """An array as base64 of its bytes, little-endian."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def rounded(values: Any) -> list[float | None]:
    """Numbers with four significant digits, None where there is none."""
    return [float(f"{value:.4g}") if math.isfinite(value) else None for value in values.tolist()]


def scatter_view(kind: str) -> Interactive:
    """Losses of all images in two runs; the script of the page fills it. The line is that of equal losses."""
    plot = blank(400, x_axis_type="log", y_axis_type="log")
    plot.toolbar.autohide = False
    equal = ColumnDataSource({"x": [], "y": []}, name="equal")
    plot.line("x", "y", source=equal, color="#8c959f", line_dash="dashed")
    source = ColumnDataSource(
        {"x": [], "y": [], "id": [], "label": [], "fill": [], "marker": []}, name="scatter"
    )
    marks = plot.scatter(
        "x", "y", source=source, size=8, marker="marker", fill_color="fill", fill_alpha=0.65,
        line_color="#ffffff", line_width=0.7, nonselection_fill_alpha=0.12, selection_line_color=INK_SELECTED,
        selection_fill_alpha=1.0,
    )  # fmt: skip
    tap = TapTool(renderers=[marks])
    plot.add_tools(tap, BoxSelectTool(renderers=[marks]))
    plot.toolbar.active_tap = tap
    plot.add_tools(
        HoverTool(
            renderers=[marks],
            tooltips=[("", "@id"), ("class", "@label"), ("across", "@x{0.000}"), ("up", "@y{0.000}")],
            visible=False,
        )
    )
    _plain_numbers(plot)
    plot.xaxis[0].axis_label = plot.yaxis[0].axis_label = kind
    return Interactive(model=plot)


def trend_view(kind: str, sizes: Sequence[float]) -> Interactive:
    """The losses of one image against dataset size: a marker for each seed, a line through their means."""
    plot = blank(400, x_axis_type="log", y_axis_type="log")
    lines = ColumnDataSource({"xs": [], "ys": [], "color": []}, name="lines")
    plot.multi_line("xs", "ys", source=lines, line_color="color", line_width=1.8, line_alpha=0.8)
    source = ColumnDataSource(
        {name: [] for name in ("x", "y", "color", "fill", "marker", "series", "seed", "predicted")},
        name="points",
    )
    marks = plot.scatter(
        "x", "y", source=source, size=8, line_color="color", fill_color="fill", marker="marker"
    )
    rows = [("", "@series"), ("images", "@x{0,0}"), ("seed", "@seed"), ("loss", "@y{0.0000}")]
    rows.append(("predicted", "@predicted"))
    plot.add_tools(HoverTool(renderers=[marks], tooltips=rows, visible=False))
    _plain_numbers(plot)
    name_ticks(plot.xaxis[0], sizes)
    plot.xaxis[0].axis_label = "training images, D [images]"
    plot.yaxis[0].axis_label = kind
    return Interactive(model=plot)


INK_SELECTED = "#1f2328"


def _plain_numbers(plot: Any) -> None:
    for axis in plot.axis:
        axis.formatter = PrintfTickFormatter(format="%.3g")
