"""All figures of a study, each as PNG and PDF, split by family so that a figure never mixes protocols."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import matplotlib
from matplotlib.figure import Figure

from mlproject.analysis.axes import AXES
from mlproject.analysis.study import STATISTICS, Curve, Study
from mlproject.report.curves import scaling_figure
from mlproject.report.escape import slug
from mlproject.report.forest import arm_figures
from mlproject.report.joint_figures import frontier_figure, joint_figure
from mlproject.report.panels import correlation_figure, distribution_figure
from mlproject.report.style import RC, encode

Draw = Callable[[Sequence[Curve]], Figure]
MOST = {"images": 6, "params": 9, "flops": 6, "epochs": 6}
"""Curves that a figure holds before the next one begins: models by hue are fewer than sizes by shade."""


def figures(study: Study) -> Iterator[tuple[str, bytes]]:
    """File name and content of every figure, one at a time."""
    with matplotlib.rc_context(RC):
        for name, figure in itertools.chain(_drawn(study), arm_figures(study.ablation)):
            for kind in ("png", "pdf"):
                yield f"{name}.{kind}", encode(figure, kind)


def _drawn(study: Study) -> Iterator[tuple[str, Figure]]:
    for key, axis in AXES.items():
        for ending, family in _families(study.along(key)):
            for name, (draw, curves) in _kinds(key, family).items():
                yield from _paged(name.format(axis.slug) + ending, draw, curves, MOST[key])
    yield from _joint(study)


def _joint(study: Study) -> Iterator[tuple[str, Figure]]:
    """Both figures of every grid that carries laws, numbered where there are several."""
    grids = [joint for joint in study.joints if joint.laws is not None]
    for i, joint in enumerate(grids, start=1):
        ending = f"_{i}" if len(grids) > 1 else ""
        yield f"joint{ending}", joint_figure(joint)
        assert joint.laws is not None
        if joint.laws.allocation.frontier is not None or joint.laws.allocation.envelopes:
            yield f"frontier{ending}", frontier_figure(joint)


def _kinds(key: str, family: Sequence[Curve]) -> dict[str, tuple[Draw, Sequence[Curve]]]:
    """What is drawn of a family, and of which of its curves."""
    several = [curve for curve in family if len(curve.points) > 1]
    kinds: dict[str, tuple[Draw, Sequence[Curve]]] = {
        f"scaling_{{}}_{statistic}": (partial(scaling_figure, statistic=statistic), several)
        for statistic in STATISTICS
    }
    if key != "flops":
        spread = several or (family if key == "images" else [])
        kinds["distribution_{}"] = (distribution_figure, spread)
        kinds["correlation_{}"] = (correlation_figure, [curve for curve in several if curve.correlations])
    return kinds


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


def _paged(name: str, draw: Draw, curves: Sequence[Curve], most: int) -> Iterator[tuple[str, Figure]]:
    """One figure, or pages of equal length where there are too many curves for one."""
    n_pages = -(-len(curves) // most)
    for page in range(n_pages):
        part = curves[page * len(curves) // n_pages : (page + 1) * len(curves) // n_pages]
        yield name + (f"_page{page + 1}" if n_pages > 1 else ""), draw(part)
