"""Model size against image scale at equal compute: two curves of loss against GMAC, and where they cross.

Shi et al. 2024, arXiv 2403.13043, section 3.3, without reading by eye: curves are joined by power laws
between neighbouring points (straight lines in log GMAC and log loss), and the crossing is taken in every
bootstrap draw, images and seeds paired between all points.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mlproject.analysis.bootstrap import Floats, Replicates, over_seeds
from mlproject.analysis.comparable import IMAGE_SCALE_FIELDS, by_key, data_name, shared_by_runs
from mlproject.analysis.runs import EvaluatedRun, ImagePool

Way = Literal["model size", "image scale"]
CellPoints = dict[tuple[str, tuple[float, ...], str], "ComputePoint"]
"""Points by model, image scales, and what larger images are made of."""
BASE = (1.0,)
GIGA_MAC = 2e9
"""Operations of a thousand million multiply-adds."""
N_GRID = 400
SEED = 2
"""Of the stream that resamples seeds: the same for every point, so that seeds are paired too."""


@dataclass(frozen=True, kw_only=True)
class ComputePoint:
    """A model at its image scales: GMAC of one image, mean loss, and bootstrap replicates of that [draws]."""

    model: str
    image_scales: tuple[float, ...]
    gmac: float
    loss: float
    draws: Floats
    n_seeds: int
    n_images: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % percentile interval over images and seeds."""
        low, high = np.percentile(self.draws, (2.5, 97.5))
        return float(low), float(high)

    def gain(self, first: ComputePoint) -> tuple[float, float, float]:
        """Relative change of the loss since another point, with its 95 % interval (draws are paired)."""
        low, high = np.percentile(self.draws / first.draws - 1, (2.5, 97.5))
        return self.loss / first.loss - 1, float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class ComputeCurve:
    """One way of scaling: models at one scale, or one model at growing sets of scales; by rising GMAC."""

    way: Way
    name: str
    points: tuple[ComputePoint, ...]

    @property
    def gmac(self) -> Floats:
        """GMAC of the points, rising."""
        return np.array([point.gmac for point in self.points])


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """An image-scale curve against the model-size curve over the GMAC that both cover.

    ``gmac`` is the largest at which they cross, None for none in range; its interval goes from 0 or to
    infinity where it leaves the range. ``ahead`` has the lower loss at the upper end of the range, by ``gap``
    (relative difference of losses there, image scale over model size minus 1, with its interval). ``share``
    is the share of bootstrap draws that agree on whether there is a crossing. Where a point has one seed
    (``n_seeds``, the fewest), the intervals are over images alone.
    """

    name: str
    gmac: float | None
    low: float
    high: float
    share: float
    ahead: Way
    gap: float
    gap_low: float
    gap_high: float
    reach: tuple[float, float]
    n_seeds: int

    @property
    def decided(self) -> bool:
        """Whether the interval of the gap, over images and seeds, excludes zero; never with one seed."""
        return self.n_seeds > 1 and (self.gap_low > 0 or self.gap_high < 0)


@dataclass(frozen=True, kw_only=True)
class ImageScaleComparison:
    """Both ways of scaling on one axis; ``fixed`` is what all cells share."""

    label: str
    kind: str
    fixed: Mapping[str, Any]
    models: ComputeCurve
    scales: tuple[ComputeCurve, ...]
    crossings: tuple[Crossing, ...]

    @property
    def curves(self) -> tuple[ComputeCurve, ...]:
        """The model-size curve, then those over image scales."""
        return (self.models, *self.scales)

    def unshared_intervals(self) -> tuple[tuple[tuple[float, float], ...], ...]:
        """95 % intervals of each point of ``curves`` without the factor that all points of a draw share."""
        points = {id(point): point for curve in self.curves for point in curve.points}
        logs = np.log(np.maximum(np.stack([point.draws for point in points.values()]), 1e-300))
        unshared = np.exp(logs - logs.mean(0) + logs.mean(0).mean())
        limits = np.percentile(unshared, (2.5, 97.5), axis=1).T.tolist()
        by_point = {key: (low, high) for key, (low, high) in zip(points, limits, strict=True)}
        return tuple(tuple(by_point[id(point)] for point in curve.points) for curve in self.curves)


def image_scale_comparisons(
    pool: ImagePool, drawn: Mapping[str, Replicates], seed: int
) -> Iterator[ImageScaleComparison]:
    """One for every set of comparable runs that scales models and images; most studies have none."""
    for runs in _groups(pool.runs):
        points = {key: _point(cells, drawn, seed) for key, cells in _cells(runs).items()}
        models = [point for (_, scales, _), point in points.items() if scales == BASE]
        along = ComputeCurve(way="model size", name="one image scale", points=_sorted(models))
        scales = tuple(_image_curves(points))
        crossings = [_crossing(along, curve) for curve in scales]
        yield ImageScaleComparison(
            label=_label(runs[0]),
            kind=runs[0].kind,
            fixed=shared_by_runs(runs[0], IMAGE_SCALE_FIELDS),
            models=along,
            scales=scales,
            crossings=tuple(crossing for crossing in crossings if crossing is not None),
        )


def _groups(runs: Sequence[EvaluatedRun]) -> list[list[EvaluatedRun]]:
    """Comparable runs of models of one family that scale both ways."""
    groups = []
    for comparable in by_key([run for run in runs if _gmac(run) > 0], IMAGE_SCALE_FIELDS).values():
        families: dict[str, list[EvaluatedRun]] = {}
        for run in comparable:
            families.setdefault(_family(run.cell.model), []).append(run)
        groups += [families[name] for name in sorted(families)]
    return [group for group in groups if _scales_both(group)]


def _family(model: str) -> str:
    """The word that a model's name begins with: ``efficientnet``, ``vit``, ``resnet``."""
    word = re.match(r"[a-z]+", model.removeprefix("timm:").lower())
    return word.group() if word else model


def _scales_both(runs: Sequence[EvaluatedRun]) -> bool:
    models = {run.cell.model for run in runs if run.cell.image_scales == BASE}
    larger = {run.cell.model for run in runs if run.cell.image_scales != BASE}
    return len(models) > 1 and bool(models & larger)


def _cells(runs: Sequence[EvaluatedRun]) -> dict[tuple[str, tuple[float, ...], str], list[EvaluatedRun]]:
    """Runs of one point, in the order of their seeds, so that points are paired by seed."""
    cells: dict[tuple[str, tuple[float, ...], str], list[EvaluatedRun]] = {}
    for run in sorted(runs, key=lambda run: run.cell.seed):
        cell = run.cell
        cells.setdefault((cell.model, cell.image_scales, cell.large_images), []).append(run)
    return cells


def _point(runs: Sequence[EvaluatedRun], drawn: Mapping[str, Replicates], seed: int) -> ComputePoint:
    draws = over_seeds([drawn[run.run_id] for run in runs], np.random.default_rng([seed, SEED]))
    return ComputePoint(
        model=runs[0].cell.model,
        image_scales=runs[0].cell.image_scales,
        gmac=_gmac(runs[0]),
        loss=float(np.mean([run.losses.mean() for run in runs])),
        draws=draws["mean"],
        n_seeds=len(runs),
        n_images=len(runs[0].losses),
    )


def _gmac(run: EvaluatedRun) -> float:
    metrics = run.observation.metrics
    return float(metrics.get("gmac_per_image", metrics.get("flops_per_image", 0.0) / GIGA_MAC))


def _image_curves(points: CellPoints) -> Iterator[ComputeCurve]:
    """Every model's curve over its sets of image scales, from scale 1 on."""
    ways = {(model, how) for model, scales, how in points if scales != BASE}
    for model, how in sorted(ways):
        of_model = [
            point
            for (name, scales, kind), point in points.items()
            if name == model and (kind == how or scales == BASE)
        ]
        if any(point.image_scales == BASE for point in of_model):
            name = model if how == "interpolated" else f"{model} ({how} pixels)"
            yield ComputeCurve(way="image scale", name=name, points=_sorted(of_model))


def _sorted(points: Sequence[ComputePoint]) -> tuple[ComputePoint, ...]:
    return tuple(sorted(points, key=lambda point: (point.gmac, point.image_scales)))


def _crossing(models: ComputeCurve, scales: ComputeCurve) -> Crossing | None:
    """Where two curves cross, draw by draw; None where they share no range of GMAC."""
    low, high = max(models.gmac[0], scales.gmac[0]), min(models.gmac[-1], scales.gmac[-1])
    if not high > low * (1 + 1e-6):
        return None
    grid = np.linspace(np.log(low), np.log(high), N_GRID)[1:]  # the lower end is often one shared point
    value = _along(scales, grid, draws=False) - _along(models, grid, draws=False)
    draws = _along(scales, grid, draws=True) - _along(models, grid, draws=True)
    falls = bool(value[0, -1] < 0)
    at, crossed = _last_change(value, grid, falls=falls), _last_change(draws, grid, falls=falls)
    inside = np.isfinite(crossed)
    crosses = bool(np.isfinite(at[0]))
    gaps = np.expm1(draws[:, -1])
    limits = _percentiles(crossed) if crosses else (float("nan"), float("nan"))
    gap_low, gap_high = np.percentile(gaps, (2.5, 97.5))
    return Crossing(
        name=scales.name,
        gmac=float(np.exp(at[0])) if crosses else None,
        low=limits[0],
        high=limits[1],
        share=float(inside.mean() if crosses else 1 - inside.mean()),
        ahead="image scale" if falls else "model size",
        gap=float(np.expm1(value[0, -1])),
        gap_low=float(gap_low),
        gap_high=float(gap_high),
        reach=(float(low), float(high)),
        n_seeds=min(point.n_seeds for point in (*models.points, *scales.points)),
    )


def _along(curve: ComputeCurve, grid: Floats, *, draws: bool) -> Floats:
    """Log losses [draws or 1, grid] on straight lines between the points."""
    x = np.log(curve.gmac)
    columns = [point.draws if draws else np.array([point.loss]) for point in curve.points]
    y = np.log(np.maximum(np.stack(columns, axis=1), 1e-300))
    right = np.clip(np.searchsorted(x, grid), 1, len(x) - 1)
    share = (grid - x[right - 1]) / np.maximum(x[right] - x[right - 1], 1e-12)
    return np.asarray(y[:, right - 1] * (1 - share) + y[:, right] * share)


def _last_change(differences: Floats, grid: Floats, *, falls: bool) -> Floats:
    """Log GMAC [draws] of the last change of sign; without one ±inf, the side on which it could still occur.

    Where the differences fall (from model size ahead to image scale ahead) and are negative throughout, the
    crossing could only occur below the range.
    """
    signs = np.sign(differences)
    changes = signs[:, 1:] != signs[:, :-1]
    last = changes.shape[1] - 1 - np.argmax(changes[:, ::-1], axis=1)
    beyond = np.where((signs[:, -1] < 0) == falls, -np.inf, np.inf)
    return np.where(changes.any(axis=1), (grid[last] + grid[last + 1]) / 2, beyond)


def _percentiles(crossed: Floats) -> tuple[float, float]:
    """The 95 % interval of GMAC; infinite where it leaves the range."""
    low, high = np.quantile(crossed, (0.025, 0.975), method="inverted_cdf")
    return (0.0 if low == -np.inf else float(np.exp(low))), float(np.exp(high))


def _label(run: EvaluatedRun) -> str:
    cell = run.cell
    knobs = [str(cell.knobs[name]) for name in ("target", "solver", "form") if name in cell.knobs]
    protocol = "in-sample" if run.split == "train" else "held-out"
    size = f"{cell.dataset_size:,} images"
    return " · ".join([data_name(cell.data), cell.recipe, *knobs, run.kind, size, protocol])
