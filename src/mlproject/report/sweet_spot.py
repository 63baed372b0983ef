"""Both ways of scaling against GMAC: the figure with intervals, two tables, the sentences of a summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlproject.analysis.compute import ComputeCurve, SweetSpot
from mlproject.analysis.study import Study
from mlproject.report.escape import figure_text, markdown, slug
from mlproject.report.rows import to_csv
from mlproject.report.style import COLUMN, MARKERS, PALETTE, RC, encode, faint_grid, log_axis
from mlproject.report.words import UNITS

POINT = (
    "group", "way", "model", "image_scales", "gmac", "loss", "low", "high", "gain", "gain_low", "gain_high",
    "n_seeds", "n_images",
)  # fmt: skip
CROSSING = (
    "group", "model", "crossover_gmac", "low", "high", "share_of_draws", "ahead", "gap", "gap_low",
    "gap_high", "from_gmac", "to_gmac",
)  # fmt: skip


def sweet_spot_files(study: Study) -> dict[str, bytes]:
    """Tables and figures by file name; nothing where no study scales both models and images."""
    if not study.sweet_spots:
        return {}
    return {
        "compute_curves.csv": to_csv(_point_rows(study), POINT),
        "sweet_spots.csv": to_csv(_crossing_rows(study), CROSSING),
        **dict(_figures(study)),
    }


def sweet_spot_md(study: Study) -> str:
    """The crossings in sentences, as a section of the summary."""
    parts = []
    for spot in study.sweet_spots:
        lines = [f"- {markdown(crossing.sentence)}" for crossing in spot.crossings]
        parts.append(f"{markdown(spot.label)}:\n\n" + "\n".join(lines or ["- no GMAC that both ways cover"]))
    head = "## Model size against image scale, at equal compute\n\n"
    return head + "\n\n".join(parts) if parts else ""


def _point_rows(study: Study) -> Iterator[dict[str, object]]:
    for spot in study.sweet_spots:
        for curve in (spot.models, *spot.scales):
            for point in curve.points:
                low, high = point.interval
                gain, gain_low, gain_high = point.gain(curve.points[0])
                yield {"group": spot.label, "way": curve.way, "model": point.model} | {
                    "image_scales": _scales(point.image_scales),
                    "gmac": point.gmac,
                    "loss": point.loss,
                    "low": low,
                    "high": high,
                    "gain": gain,
                    "gain_low": gain_low,
                    "gain_high": gain_high,
                    "n_seeds": point.n_seeds,
                    "n_images": point.n_images,
                }


def _crossing_rows(study: Study) -> Iterator[Mapping[str, object]]:
    for spot in study.sweet_spots:
        for found in spot.crossings:
            yield {
                "group": spot.label,
                "model": found.name,
                "crossover_gmac": "none in range" if found.gmac is None else found.gmac,
                "low": found.low,
                "high": found.high,
                "share_of_draws": found.share,
                "ahead": found.ahead,
                "gap": found.gap,
                "gap_low": found.gap_low,
                "gap_high": found.gap_high,
                "from_gmac": found.reach[0],
                "to_gmac": found.reach[1],
            }


def _figures(study: Study) -> Iterator[tuple[str, bytes]]:
    with matplotlib.rc_context(RC):
        for number, spot in enumerate(study.sweet_spots, 1):
            figure = sweet_spot_figure(spot)
            name = f"sweet_spot_{number}_{slug(spot.label.partition(' · ')[2], 60)}"
            for kind in ("png", "pdf"):
                yield f"{name}.{kind}", encode(figure, kind)


def sweet_spot_figure(spot: SweetSpot) -> Figure:
    """Loss against GMAC of one image: models at one scale in black, each model's image scales in colour.

    Thin bars are the 95 % intervals; thick ones leave out what all points share (images that are hard for
    all), and are the ones to compare points by.
    """
    figure = Figure(figsize=(COLUMN * 1.35, 3.2 + 0.15 * len(spot.scales)), layout="constrained")
    ax = figure.subplots()
    own = _own_intervals(spot)
    _draw(ax, spot.models, own, "#222222", "o", f"larger model, {spot.models.name}", shift=1.0)
    for i, curve in enumerate(spot.scales):
        shift = 1 + 0.012 * (i + 1)  # side by side: all start at a point of the black curve
        look = PALETTE[i % 6], MARKERS[1 + i % 5], f"larger images, {curve.name}"
        _draw(ax, curve, own, *look, shift=shift)
    for i, found in enumerate(spot.crossings):
        if found.gmac is not None:
            low, high = max(found.low, found.reach[0]), min(found.high, found.reach[1])
            ax.axvspan(low, high, color=PALETTE[i % 6], alpha=0.10, linewidth=0)
            ax.axvline(found.gmac, color=PALETTE[i % 6], linewidth=0.8, linestyle=":")
    _dress(ax, spot)
    figure.suptitle(figure_text(spot.label, 90), fontsize=7, x=0.02, ha="left")
    figure.legend(loc="outside lower left", ncols=1)
    return figure


def _own_intervals(spot: SweetSpot) -> dict[int, tuple[float, float]]:
    """Intervals of each point (by identity) with the common factor of every draw left out."""
    points = {id(point): point for curve in (spot.models, *spot.scales) for point in curve.points}
    logs = np.log(np.maximum(np.stack([point.draws for point in points.values()]), 1e-300))
    own = np.exp(logs - logs.mean(0) + logs.mean(0).mean())
    lows, highs = np.percentile(own, (2.5, 97.5), axis=1)
    return dict(zip(points, zip(lows.tolist(), highs.tolist(), strict=True), strict=True))


def _draw(
    ax: Axes,
    curve: ComputeCurve,
    own: Mapping[int, tuple[float, float]],
    color: str,
    marker: str,
    label: str,
    *,
    shift: float,
) -> None:
    x = curve.gmac * shift
    y = np.array([point.loss for point in curve.points])
    bars = np.array([point.interval for point in curve.points]).T
    reach = np.maximum([y - bars[0], bars[1] - y], 0.0)
    black = curve.way == "model size"
    ax.errorbar(
        x, y, yerr=reach, color=color, marker=marker, markersize=4, linewidth=1.3 if black else 1.0,
        linestyle="-" if black else "--", elinewidth=0.8, capsize=1.8, capthick=0.7, zorder=4 if black else 3,
        label=figure_text(label, 60),
    )  # fmt: skip
    for point, at in zip(curve.points, x, strict=True):
        ax.plot([at, at], own[id(point)], color=color, linewidth=2.6, alpha=0.55, solid_capstyle="butt")
    if not black:
        for point, at in zip(curve.points, x, strict=True):
            if point.image_scales != (1.0,):
                _name(ax, _scales(point.image_scales), at, point.loss, color)


def _name(ax: Axes, text: str, x: float, y: float, color: str) -> None:
    ax.annotate(
        text, (x, y), textcoords="offset points", xytext=(3, 4), fontsize=5, color=color, annotation_clip=True
    )


def _dress(ax: Axes, spot: SweetSpot) -> None:
    ax.set_xscale("log")
    points = [point for curve in (spot.models, *spot.scales) for point in curve.points]
    low, high = min(p.gmac for p in points) / 1.1, max(p.gmac for p in points) * 1.25
    ax.set_xlim(low, high)
    log_axis(ax.xaxis, low, high)
    ax.set_xlabel("compute of one image [GMAC]; thick bars: without what all points share")
    unit = f" [{UNITS[spot.kind]}]" if spot.kind in UNITS else ""
    ax.set_ylabel(f"mean {spot.kind.replace('_', ' ')}{unit}")
    faint_grid(ax)


def _scales(scales: tuple[float, ...]) -> str:
    return ",".join(f"{scale:g}" for scale in scales)
