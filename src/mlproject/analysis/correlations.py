"""Correlations and distributions of per-image losses, over the images that two scales share."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.stats import rankdata

from mlproject.analysis.study import QUANTILES, Correlation, Floats

FEWEST = 3
"""Images that two scales must share before a correlation is given."""


def correlations(names: tuple[str, ...], losses: Floats) -> tuple[Correlation, ...]:
    """Pearson and Spearman for every pair of columns of losses [images, points]; NaN marks no loss."""
    pairs = combinations(range(len(names)), 2)
    found = (_pair(names[i], names[j], losses[:, i], losses[:, j]) for i, j in pairs)
    return tuple(pair for pair in found if pair is not None)


def _pair(first: str, second: str, a: Floats, b: Floats) -> Correlation | None:
    both = ~np.isnan(a) & ~np.isnan(b)
    n = int(both.sum())
    if n < FEWEST:
        return None
    pearson, spearman = _pearson(a[both], b[both]), _pearson(rankdata(a[both]), rankdata(b[both]))
    return Correlation(first=first, second=second, n_images=n, pearson=pearson, spearman=spearman)


def _pearson(a: Floats, b: Floats) -> float:
    """The correlation, NaN where one side does not vary."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip((a @ b) / size, -1.0, 1.0)) if size > 0 else float("nan")


def distribution(losses: Floats) -> dict[str, float]:
    """Mean, sd, extremes and quantiles of one scale's per-image losses."""
    quantiles = np.quantile(losses, QUANTILES)
    spread = float(losses.std(ddof=1)) if len(losses) > 1 else 0.0
    low, high = float(losses.min()), float(losses.max())
    shown = {f"q{round(100 * q):02d}": float(v) for q, v in zip(QUANTILES, quantiles, strict=True)}
    return {"mean": float(losses.mean()), "sd": spread, "min": low, **shown, "max": high}
