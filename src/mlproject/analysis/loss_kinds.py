"""Kinds of loss compared on the same outputs: spread over images, agreement, and dependence on scale.

Recipes log every loss that is defined for their outputs, whichever they train (a probe: squared, absolute and
Huber's error, or cross-entropy and Brier's score), so that no run is needed to compare them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from mlproject.analysis.points import FEWEST_SHARED, Floats
from mlproject.analysis.runs import LOSS_KINDS, EvaluatedRun
from mlproject.errors import BadInput
from mlproject.scaling import Fit, fit

LEAST_SCALES = 3
"""Distinct scales that leave a power law a degree of freedom."""


@dataclass(frozen=True, kw_only=True)
class LossKind:
    """One kind of loss along a curve. Shapes: ``mean`` and ``spread`` are [points], as the curve's points.

    ``spread`` is the standard deviation over images, relative to the mean. ``agreement`` [kinds] are Spearman
    correlations with every kind over images at the largest scale. ``law`` is k x^-alpha fitted to the mean,
    with a t interval; None below three scales, or where a mean is not above zero.
    """

    kind: str
    trained: bool
    mean: Floats
    spread: Floats
    agreement: Mapping[str, float]
    law: Fit | None


def loss_kinds(
    scales: Sequence[Sequence[EvaluatedRun]], x: Sequence[float], n_images: int
) -> tuple[LossKind, ...]:
    """Kinds that every run [by scale] logged, the trained one first; none where only that was logged."""
    runs = [run for of_scale in scales for run in of_scale]
    trained = runs[0].kind
    kinds = [kind for kind in LOSS_KINDS if kind != trained and all(kind in run.columns for run in runs)]
    if not kinds:
        return ()
    columns = {kind: _columns(scales, kind, n_images) for kind in (trained, *kinds)}
    return tuple(
        LossKind(
            kind=kind,
            trained=kind == trained,
            mean=np.nanmean(losses, axis=0),
            spread=np.nanstd(losses, axis=0) / np.nanmean(losses, axis=0),
            agreement={other: _spearman(losses[:, -1], values[:, -1]) for other, values in columns.items()},
            law=_power_law(x, np.nanmean(losses, axis=0)),
        )
        for kind, losses in columns.items()
    )


def _columns(scales: Sequence[Sequence[EvaluatedRun]], kind: str, n_images: int) -> Floats:
    """Losses of a kind [images, scales], averaged over seeds; NaN where no seed evaluated an image."""
    columns = []
    for runs in scales:
        placed = [column for run in runs if (column := run.placed(kind, n_images)) is not None]
        total, count = np.nansum(placed, axis=0), np.sum(~np.isnan(placed), axis=0)
        columns.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return np.stack(columns, axis=1)


def _spearman(a: Floats, b: Floats) -> float:
    """Correlation of ranks over the images that have both; NaN where these are few or do not vary."""
    both = ~np.isnan(a) & ~np.isnan(b)
    if both.sum() < FEWEST_SHARED or not (np.ptp(a[both]) > 0 and np.ptp(b[both]) > 0):
        return float("nan")
    return float(np.corrcoef(rankdata(a[both]), rankdata(b[both]))[0, 1])


def _power_law(x: Sequence[float], mean: Floats) -> Fit | None:
    if len(np.unique(x)) < LEAST_SCALES:
        return None
    try:
        return fit(x, mean, law="power")
    except BadInput:
        return None
