"""Bootstrap over images and seeds: replicates of the mean and median loss of a run, and of a point.

Images: the Bayesian bootstrap (Rubin 1981, Annals of Statistics 9, 130), one exponential weight per
image and draw. A weight belongs to the image, not to the run, so runs are paired wherever they share
images, however few. Seeds: n - 1 of n are drawn with replacement (Rao and Wu 1988, JASA 83, 231), as the
usual n of n has a variance that is too small by (n - 1) / n, a third at three seeds. One seed has no
spread, and the interval then covers images only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlproject.analysis.points import Floats, Replicates
from mlproject.analysis.runs import EvaluatedRun, ImagePool

CHUNK = 8_000_000
"""Weights held at once: bounds memory at 32 MB, however many images there are."""


def replicates(pool: ImagePool, *, n_draws: int, seed: int) -> dict[str, Replicates]:
    """Mean and median loss [draws] of every run of a pool, by run id, under shared image weights."""
    rng = np.random.default_rng(seed)
    orders = [np.argsort(run.losses, kind="stable") for run in pool.runs]
    parts: dict[str, list[tuple[Floats, Floats]]] = {run.run_id: [] for run in pool.runs}
    step = max(1, CHUNK // len(pool.image_ids))
    for start in range(0, n_draws, step):
        size = (min(step, n_draws - start), len(pool.image_ids))
        weights = rng.standard_exponential(size, dtype=np.float32)
        for run, order in zip(pool.runs, orders, strict=True):
            parts[run.run_id].append(_weighted(weights, run, order))
    return {name: _join(pieces) for name, pieces in parts.items()}


def _weighted(
    weights: NDArray[np.float32], run: EvaluatedRun, order: NDArray[np.intp]
) -> tuple[Floats, Floats]:
    """Weighted mean and median of one run's losses; weights are [draws, images of the pool]."""
    chosen = weights[:, run.rows[order]]
    losses = run.losses[order]
    below = np.cumsum(chosen, axis=1)
    middle = np.sum(below < 0.5 * below[:, -1:], axis=1)
    return chosen @ losses / below[:, -1], losses[np.minimum(middle, len(losses) - 1)]


def _join(pieces: list[tuple[Floats, Floats]]) -> Replicates:
    means, medians = zip(*pieces, strict=True)
    return {"mean": np.concatenate(means), "median": np.concatenate(medians)}


def over_seeds(runs: Sequence[Replicates], rng: np.random.Generator) -> Replicates:
    """Replicates [draws] of a point: the average over a resample of its seeds, draw by draw."""
    n, n_draws = len(runs), len(runs[0]["mean"])
    if n == 1:
        return runs[0]
    counts = rng.multinomial(n - 1, np.full(n, 1.0 / n), size=n_draws) / (n - 1)
    return {
        statistic: np.einsum("bs,sb->b", counts, np.stack([run[statistic] for run in runs]))
        for statistic in runs[0]
    }
