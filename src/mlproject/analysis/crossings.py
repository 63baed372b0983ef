"""The sweet spot between a larger model and larger images: two curves on one GMAC axis, and where they cross.

Shi et al. 2024, arXiv 2403.13043, section 3.3, without their reading by eye: curves are joined by power laws
between neighbouring points (straight lines in log GMAC and log loss), and the crossing is taken in every
bootstrap draw, images and seeds paired between all points.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mlproject.analysis.bootstrap import Replicates, over_seeds, replicates
from mlproject.analysis.comparable import weights_kind
from mlproject.analysis.compute import ComputeCurve, ComputePoint, Crossing, Floats, SweetSpot
from mlproject.analysis.runs import Pool, Run
from mlproject.cell import LABELS_ONLY

BASE = (1.0,)
GIGA_MAC = 2e9
"""Operations of a thousand million multiply-adds."""
N_GRID = 400
FREE = {"model", "weights_digest", "image_scales", "large_images", "seed", *LABELS_ONLY}


def sweet_spots(pools: Sequence[Pool], *, n_draws: int, seed: int) -> tuple[SweetSpot, ...]:
    """One for every set of comparable cells that scales models and images; most studies have none."""
    return tuple(spot for pool in pools for spot in _of_pool(pool, n_draws=n_draws, seed=seed))


def _of_pool(pool: Pool, *, n_draws: int, seed: int) -> Iterator[SweetSpot]:
    found = [runs for runs in _groups(pool.runs) if _scales_both(runs)]
    drawn = replicates(pool, n_draws=n_draws, seed=seed) if found else {}
    for runs in found:
        points = {key: _point(some, drawn, seed) for key, some in _cells(runs).items()}
        models = [point for (_, scales, _), point in points.items() if scales == BASE]
        along = ComputeCurve(way="model size", name="one image scale", points=_sorted(models))
        scales = tuple(_image_curves(points))
        crossings = [_crossing(along, curve) for curve in scales]
        yield SweetSpot(
            label=_label(runs[0]),
            kind=runs[0].kind,
            fixed=_shared(runs[0]),
            models=along,
            scales=scales,
            crossings=tuple(crossing for crossing in crossings if crossing is not None),
        )


def _groups(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that differ in model (of one family), image scales and seed only."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        key = json.dumps(_shared(run) | {"family": _family(run.cell.model)}, sort_keys=True)
        if _gmac(run) > 0:
            found.setdefault(key, []).append(run)
    return [found[key] for key in sorted(found)]


def _shared(run: Run) -> dict[str, Any]:
    own = {name: value for name, value in run.cell.to_dict().items() if name not in FREE}
    return own | {"split": run.split, "kind": run.kind, "weights_kind": weights_kind(run.cell)}


def _family(model: str) -> str:
    """The word that a model's name begins with: ``efficientnet``, ``vit``, ``resnet``."""
    found = re.match(r"[a-z]+", model.removeprefix("timm:").lower())
    return found.group() if found else model


def _scales_both(runs: Sequence[Run]) -> bool:
    models = {run.cell.model for run in runs if run.cell.image_scales == BASE}
    larger = {run.cell.model for run in runs if run.cell.image_scales != BASE}
    return len(models) > 1 and bool(models & larger)


def _cells(runs: Sequence[Run]) -> dict[tuple[str, tuple[float, ...], str], list[Run]]:
    """Runs of one point, in the order of their seeds, so that points are paired by seed."""
    found: dict[tuple[str, tuple[float, ...], str], list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.cell.seed):
        cell = run.cell
        found.setdefault((cell.model, cell.image_scales, cell.large_images), []).append(run)
    return found


def _point(runs: Sequence[Run], drawn: dict[str, Replicates], seed: int) -> ComputePoint:
    rng = np.random.default_rng([seed, 2])  # the same for every point: seeds are paired too
    draws = over_seeds([drawn[run.observation.run_id] for run in runs], rng)
    return ComputePoint(
        model=runs[0].cell.model,
        image_scales=runs[0].cell.image_scales,
        gmac=_gmac(runs[0]),
        loss=float(np.mean([run.losses.mean() for run in runs])),
        draws=draws["mean"],
        n_seeds=len(runs),
        n_images=len(runs[0].losses),
    )


def _gmac(run: Run) -> float:
    metrics = run.observation.metrics
    return float(metrics.get("gmac_per_image", metrics.get("flops_per_image", 0.0) / GIGA_MAC))


def _image_curves(
    points: dict[tuple[str, tuple[float, ...], str], ComputePoint],
) -> Iterator[ComputeCurve]:
    """Every model's curve over its sets of image scales, from scale 1 on."""
    ways = {(model, how) for model, scales, how in points if scales != BASE}
    for model, how in sorted(ways):
        mine = [
            p for (name, scales, h), p in points.items() if name == model and (h == how or scales == BASE)
        ]
        if any(point.image_scales == BASE for point in mine):
            name = model if how == "interpolated" else f"{model} ({how} pixels)"
            yield ComputeCurve(way="image scale", name=name, points=_sorted(mine))


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
    there = bool(np.isfinite(at[0]))
    gaps = np.expm1(draws[:, -1])
    limits = _percentiles(crossed) if there else (float("nan"), float("nan"))
    gap_low, gap_high = np.percentile(gaps, (2.5, 97.5))
    return Crossing(
        name=scales.name,
        gmac=float(np.exp(at[0])) if there else None,
        low=limits[0],
        high=limits[1],
        share=float(inside.mean() if there else 1 - inside.mean()),
        ahead="image scale" if falls else "model size",
        gap=float(np.expm1(value[0, -1])),
        gap_low=float(gap_low),
        gap_high=float(gap_high),
        reach=(float(low), float(high)),
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
    """Log GMAC [draws] of the last change of sign; minus or plus infinity where one way is ahead throughout.

    A difference that never changes sign has its crossing on the side where it would still have to come:
    with differences that fall (from model size ahead to image scale ahead), below the range if negative.
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


def _label(run: Run) -> str:
    cell = run.cell
    data = cell.data.rstrip("/").rpartition("/")[2]
    knobs = [str(cell.knobs[name]) for name in ("target", "solver", "form") if name in cell.knobs]
    protocol = "in-sample" if run.split == "train" else "held-out"
    return " · ".join([data, cell.recipe, *knobs, run.kind, f"{cell.dataset_size:,} images", protocol])
