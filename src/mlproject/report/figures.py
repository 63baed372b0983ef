"""All figures of a study, each as PNG and PDF, split by family so that a figure never mixes protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import matplotlib
from matplotlib.figure import Figure

from mlproject.aggregate.axes import AXES
from mlproject.aggregate.study import STATISTICS, Curve, Study
from mlproject.report.curves import scaling_figure
from mlproject.report.escape import slug
from mlproject.report.panels import correlation_figure, distribution_figure
from mlproject.report.style import RC, encode

MOST = 6
"""Curves that a figure holds before the next one begins: as many as there are colours."""


def figures(study: Study) -> Iterator[tuple[str, bytes]]:
    """File name and content of every figure, one at a time."""
    with matplotlib.rc_context(RC):
        for name, figure in _drawn(study):
            for kind in ("png", "pdf"):
                yield f"{name}.{kind}", encode(figure, kind)


def _drawn(study: Study) -> Iterator[tuple[str, Figure]]:
    for key, axis in AXES.items():
        for suffix, family in _families(study.along(key)):
            several = [curve for curve in family if len(curve.points) > 1]
            for statistic in STATISTICS:
                draw = partial(scaling_figure, statistic=statistic)
                yield from _paged(f"scaling_{axis.slug}_{statistic}{suffix}", several, draw)
            if key != "flops":
                spread = several or (family if key == "images" else [])
                yield from _paged(f"distribution_{axis.slug}{suffix}", spread, distribution_figure)
                related = [curve for curve in several if curve.correlations]
                yield from _paged(f"correlation_{axis.slug}{suffix}", related, correlation_figure)


def _families(curves: Sequence[Curve]) -> list[tuple[str, list[Curve]]]:
    """Curves by family, with an ending for the file's name: what tells this family from the others."""
    found: dict[str, list[Curve]] = {}
    for curve in curves:
        found.setdefault(curve.family, []).append(curve)
    common = set.intersection(*(set(name.split(" · ")) for name in found)) if found else set()
    own = {name: slug("_".join(p for p in name.split(" · ") if p not in common)) for name in found}
    endings = {name: f"_{ending}" if ending else "" for name, ending in own.items()}
    if len(set(endings.values())) < len(found):
        endings = {name: f"_{i}{endings[name]}" for i, name in enumerate(found, start=1)}
    return [(endings[name], family) for name, family in found.items()]


def _paged(
    name: str, curves: Sequence[Curve], draw: Callable[[Sequence[Curve]], Figure]
) -> Iterator[tuple[str, Figure]]:
    for page, start in enumerate(range(0, len(curves), MOST), start=1):
        suffix = "" if len(curves) <= MOST else f"_page{page}"
        yield name + suffix, draw(curves[start : start + MOST])
