"""The figures of curves, each with the table of the data behind it, which is written beside it as CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from mlproject.analysis import (
    AXES,
    REGION_FIELDS,
    STATISTICS,
    Curve,
    Statistic,
    Study,
    comparison_key,
    shared_law,
)
from mlproject.report.document import Figure, Interactive, Row, Table
from mlproject.report.formats import family_words, slugs
from mlproject.report.loss_tables import correlation_rows, distribution_rows
from mlproject.report.study_tables import head_of

MOST_CURVES = {"params": 9}
"""Curves that a figure holds before the next one begins, where it is not 6: shades of sizes are more than
hues of models."""
SCALING = (
    "group", "model", "data", "recipe", "axis", "statistic", "what", "law", "scale", "x", "value", "low",
    "high", "n_seeds", "n_images",
)  # fmt: skip
KINDS = ("group", "model", "data", "recipe", "axis", "loss", "trained", "scale", "x", "mean", "sd_over_mean")


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """One kind of figure of a family: how it is drawn, of which curves, its caption and its data.

    ``live`` is what a browser shows in its place, which switches between mean and median itself.
    """

    draw: Callable[[Sequence[Curve]], Any]
    curves: Sequence[Curve]
    caption: str
    rows: Callable[[Curve], Iterator[Row]]
    columns: tuple[str, ...] = ()
    live: Callable[[Sequence[Curve]], Interactive] | None = None


def curve_figures(study: Study) -> Iterator[Figure]:
    """Figures by family, so that none mixes protocols, and those of regions."""
    for key in AXES:
        for ending, family in _families(study.along(key)):
            for name, kind in _kinds(key, family).items():
                yield from _pages(f"{name}_{ending}".rstrip("_"), kind, MOST_CURVES.get(key, 6))
    yield from _region_figures(study)


def _region_figures(study: Study) -> Iterator[Figure]:
    """Object, background and whole images in one figure, for curves that share everything else."""
    regions: dict[tuple[str, str], dict[str, Curve]] = {}
    for contrast in study.region_contrasts:
        for curve in (contrast.first, contrast.second):
            key = (curve.axis.slug, comparison_key(curve.fixed, REGION_FIELDS))
            regions.setdefault(key, {})[str(curve.fixed["region"])] = curve
    names = slugs([f"{axis}_{next(iter(group.values())).series}" for (axis, _), group in regions.items()])
    for name, group in zip(names, regions.values(), strict=True):
        first = next(iter(group.values()))
        family = " · ".join(part for part in first.family.split(" · ") if not part.startswith("region="))
        curves = [replace(curve, series=region, family=family) for region, curve in group.items()]
        kind = _scaling(curves, "mean", f"{first.series}, regions of the images: ")
        yield from _pages(f"regions_{name}", kind, len(curves))


def _scaling(curves: Sequence[Curve], statistic: Statistic, heading: str = "") -> _Kind:
    from mlproject.report.figures.curves import scaling_figure
    from mlproject.report.interactive.curves import scaling_view

    axis, law = curves[0].axis if curves else AXES["images"], shared_law(curves, statistic)
    fitted = any(curve.fitted_laws(statistic) for curve in curves)
    parts = "a law with its 95 % band, residuals and local exponents" if fitted else "no law was fitted"
    return _Kind(
        draw=partial(scaling_figure, statistic=statistic, law=law),
        curves=curves,
        caption=f"{heading}{statistic} loss against {axis.name}: {parts}",
        rows=partial(_scaling_rows, law=law, statistic=statistic),
        columns=SCALING,
        live=scaling_view if statistic == "mean" else None,
    )


def _kinds(key: str, family: Sequence[Curve]) -> dict[str, _Kind]:
    """What is drawn of a family, of which of its curves; a single cell has its own histogram."""
    from mlproject.report.figures.distributions import (
        correlation_figure,
        distribution_figure,
        loss_kinds_figure,
    )
    from mlproject.report.interactive.curves import distribution_view

    axis, several = AXES[key], [curve for curve in family if len(curve.points) > 1]
    scaled = [curve for curve in several if curve.n_scales > 1]  # networks may have equally many parameters
    kinds = {f"scaling_{axis.slug}_{statistic}": _scaling(scaled, statistic) for statistic in STATISTICS}
    if key != "flops":
        kinds[f"distribution_{axis.slug}"] = _Kind(
            draw=distribution_figure,
            curves=several,
            caption=f"per-image losses by {axis.name}: densities, quartiles, medians and means "
            "(every image is in losses_by_size.csv or losses_by_model.csv)",
            rows=distribution_rows,
            live=distribution_view,
        )
        kinds[f"correlation_{axis.slug}"] = _Kind(
            draw=correlation_figure,
            curves=[curve for curve in several if curve.correlations],
            caption=f"correlation of per-image losses between scales of {axis.name}",
            rows=correlation_rows,
        )
        kinds[f"loss_kinds_{axis.slug}"] = _Kind(
            draw=loss_kinds_figure,
            curves=[curve for curve in several if curve.loss_kinds],
            caption=f"kinds of loss by {axis.name}: means, spread, agreement at the largest scale",
            rows=_kind_rows,
            columns=KINDS,
        )
    return kinds


def _families(curves: Sequence[Curve]) -> list[tuple[str, list[Curve]]]:
    """Curves by family, with an ending for file names: what distinguishes this family from the others."""
    families: dict[str, list[Curve]] = {}
    for curve in curves:
        families.setdefault(curve.family, []).append(curve)
    parts = {name: name.split(" · ") for name in families}
    common = set.intersection(*map(set, parts.values())) if parts else set()
    endings = slugs(["_".join(word for word in words if word not in common) for words in parts.values()])
    return list(zip(endings, families.values(), strict=True))


def _pages(name: str, kind: _Kind, most: int) -> Iterator[Figure]:
    """One figure, or pages of equal length where there are too many curves for one."""
    curves, n_pages = kind.curves, -(-len(kind.curves) // most)
    for page in range(n_pages):
        part = curves[page * len(curves) // n_pages : (page + 1) * len(curves) // n_pages]
        full = name + (f"_page{page + 1}" if n_pages > 1 else "")
        text = f"{kind.caption[0].upper()}{kind.caption[1:]}. {family_words(part[0].family)}."
        rows = [row for curve in part for row in kind.rows(curve)]
        data = Table(name=full, rows=rows, columns=kind.columns)
        live = None if kind.live is None else partial(kind.live, part)
        yield Figure(name=full, draw=partial(kind.draw, part), caption=text, data=data, interactive=live)


def _scaling_rows(curve: Curve, law: str, statistic: Statistic) -> Iterator[Row]:
    """Points, then what is drawn of the law, of all laws beyond the data, of the largest scale held out."""
    from mlproject.report.figures.curves import drawn_line, extrapolates, held_out

    head = {**head_of(curve), "statistic": statistic}
    for point in curve.points:
        low, high = point.interval(statistic)
        row = {"what": "point", "scale": point.name, "x": point.x, "value": point.value(statistic)}
        counts = {"n_seeds": point.n_seeds, "n_images": point.n_images}
        yield head | row | {"low": low, "high": high} | counts
    line, slopes = drawn_line(curve, statistic, law), curve.local_exponents.get(statistic)
    if line is not None:
        law_of = {"law": law}
        yield from _lines(head | {"what": "law"} | law_of, line.x, line.losses, line.band.low, line.band.high)
        yield from _lines(head | {"what": "residual [%]"} | law_of, curve.x, line.residuals)
        yield from _lines(head | {"what": "local exponent of the law"} | law_of, line.slope_x, line.slopes)
    if line is not None and slopes is not None:
        what = head | {"what": "local exponent"}
        yield from _lines(what, slopes.x, slopes.value, slopes.low, slopes.high)
    if extrapolates(curve, statistic):
        beyond = curve.extrapolations[statistic]
        what = head | {"what": "all laws averaged"}
        yield from _lines(what, beyond.x, beyond.mean, beyond.low, beyond.high)
    predicted = held_out(curve, statistic)
    if predicted is not None:
        what = head | {"what": "largest scale predicted from the others"}
        yield from _lines(what, curve.x[-1:], predicted.mean[:1], predicted.low[:1], predicted.high[:1])


def _lines(head: Row, x: Any, value: Any, *limits: Any) -> Iterator[Row]:
    low, high = limits or (np.full(len(x), np.nan),) * 2
    for row in zip(x, value, low, high, strict=True):
        yield {**head, **dict(zip(("x", "value", "low", "high"), map(float, row), strict=True))}


def _kind_rows(curve: Curve) -> Iterator[Row]:
    for kind in curve.loss_kinds:
        for i, point in enumerate(curve.points):
            row = {"loss": kind.kind, "trained": kind.trained, "scale": point.name, "x": point.x}
            sizes = {"mean": float(kind.mean[i]), "sd_over_mean": float(kind.spread[i])}
            yield head_of(curve) | row | sizes
