"""The section of a report on model size against image scale, at equal compute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from mlproject.analysis import Crossing, ImageScaleComparison, data_name
from mlproject.report.document import Figure, Row, Section, Table
from mlproject.report.formats import slug

POINTS = (
    "group", "data", "recipe", "way", "model", "image_scales", "gmac", "loss", "low", "high", "gain",
    "gain_low", "gain_high", "n_seeds", "n_images",
)  # fmt: skip
CROSSINGS = (
    "group", "data", "recipe", "model", "crossover_gmac", "low", "high", "share_of_draws", "ahead", "gap",
    "gap_low", "gap_high", "from_gmac", "to_gmac",
)  # fmt: skip


def image_scale_section(comparisons: Sequence[ImageScaleComparison]) -> Section:
    """Crossings in sentences, both tables and a figure for each comparison."""
    from mlproject.report.figures.comparisons import image_scale_figure

    bullets, figures = [], []
    for i, comparison in enumerate(comparisons, 1):
        texts = [crossing_sentence(crossing) for crossing in comparison.crossings]
        bullets += [f"{comparison.label}: {text}" for text in texts or ["no GMAC that both ways cover."]]
        name = f"sweet_spot_{i}_{slug(comparison.label.partition(' · ')[2], 60)}"
        caption = f"{comparison.label}: loss against compute of one image, by larger models or larger images."
        draw, rows = partial(image_scale_figure, comparison), list(_compute_rows(comparison))
        figures.append(Figure(name=name, draw=draw, caption=caption, data=Table(name=name, rows=rows)))
    points = [row for comparison in comparisons for row in _compute_rows(comparison)]
    crossings = [_head(item) | _crossing_row(crossing) for item in comparisons for crossing in item.crossings]
    return Section(
        title="Model size against image scale, at equal compute",
        bullets=tuple(bullets),
        tables=(
            Table(name="compute_curves", rows=points, columns=POINTS),
            Table(name="sweet_spots", rows=crossings, columns=CROSSINGS),
        ),
        figures=tuple(figures),
    )


def crossing_sentence(crossing: Crossing) -> str:
    """Where the two ways of scaling cross, and which is ahead at the upper end of the range."""
    low, high = (f"{end:.3g}" for end in crossing.reach)
    where = f"between {low} and {high} GMAC an image"
    gap = f"{crossing.gap:+.1%} [{crossing.gap_low:+.1%}, {crossing.gap_high:+.1%}] loss at {high} GMAC"
    end = f"{crossing.ahead} ahead" if crossing.decided else "neither ahead beyond its interval"
    if crossing.n_seeds == 1:
        end = "not concluded, as one seed's interval is over images only"
    if crossing.gmac is None:
        text = f"none in range ({where}; {crossing.share:.0%} of draws agree)"
    else:
        limits = f"[{_end(crossing.low, '< ' + low)}, {_end(crossing.high, '> ' + high)}]"
        text = f"{crossing.gmac:.3g} {limits} GMAC an image ({crossing.share:.0%} of draws cross {where})"
    return f"{crossing.name} against model size: crossover {text}; image scale over model size {gap}: {end}."


def _end(value: float, beyond: str) -> str:
    return f"{value:.3g}" if 0 < value < float("inf") else beyond


def _compute_rows(comparison: ImageScaleComparison) -> Iterator[Row]:
    for curve in comparison.curves:
        for point in curve.points:
            row = _head(comparison) | {"way": curve.way, "model": point.model}
            row |= {"image_scales": ",".join(f"{scale:g}" for scale in point.image_scales)}
            row |= {"gmac": point.gmac, "loss": point.loss}
            row |= dict(zip(("low", "high"), point.interval, strict=True))
            row |= dict(zip(("gain", "gain_low", "gain_high"), point.gain(curve.points[0]), strict=True))
            yield row | {"n_seeds": point.n_seeds, "n_images": point.n_images}


def _head(comparison: ImageScaleComparison) -> dict[str, Any]:
    """What a row of a file says of its comparison."""
    fixed = comparison.fixed
    return {"group": comparison.label, "data": data_name(str(fixed["data"])), "recipe": fixed["recipe"]}


def _crossing_row(crossing: Crossing) -> dict[str, Any]:
    gmac = "none in range" if crossing.gmac is None else crossing.gmac
    row: dict[str, Any] = {"model": crossing.name, "crossover_gmac": gmac}
    row |= {"share_of_draws": crossing.share, "from_gmac": crossing.reach[0], "to_gmac": crossing.reach[1]}
    return row | {name: getattr(crossing, name) for name in CROSSINGS if hasattr(crossing, name)}
