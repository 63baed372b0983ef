"""Bootstrap replicates of the mean and median loss of runs, over images and seeds.

Images: the Bayesian bootstrap (Rubin 1981, Annals of
Statistics 9, 130), one exponential weight per image and draw. A weight belongs to the image, not to the run,
so runs are paired wherever they share images, however few. Seeds: n - 1 of n are drawn with replacement (Rao
and Wu 1988, JASA 83, 231), as the usual n of n has a variance that is too small by (n - 1) / n, a third at
three seeds. One seed has no spread, and the interval then covers images only.

The sums are those of `numpy.cumsum` and of a product with each run's own order of images, to the last bit,
whatever number of runs is taken together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlproject.analysis.effects import CHUNK, seed_weights
from mlproject.analysis.runs import EvaluatedRun, ImagePool

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Statistic = Literal["mean", "median"]
STATISTICS: tuple[Statistic, ...] = ("mean", "median")
Replicates = Mapping[Statistic, Floats]
"""Bootstrap replicates [draws] of the mean and of the median loss."""
TOGETHER = 4
"""Runs whose weights are summed together: more would not fit into a processor's cache."""


def replicates(pool: ImagePool, *, n_draws: int, seed: int) -> dict[str, Replicates]:
    """Mean and median loss [draws] of every run of a pool, by run id, under shared image weights."""
    rng = np.random.default_rng(seed)
    orders = [np.argsort(run.losses, kind="stable") for run in pool.runs]
    parts: dict[str, list[tuple[Floats, Floats]]] = {run.run_id: [] for run in pool.runs}
    step = max(1, CHUNK // len(pool.image_ids))
    for start in range(0, n_draws, step):
        size = (min(step, n_draws - start), len(pool.image_ids))
        weights = rng.standard_exponential(size, dtype=np.float32)
        by_image = np.ascontiguousarray(weights.T)
        for runs in _batches(list(zip(pool.runs, orders, strict=True))):
            for (run, _), part in zip(runs, _weighted(weights, by_image, runs), strict=True):
                parts[run.run_id].append(part)
    return {name: _join(pieces) for name, pieces in parts.items()}


Ordered = tuple[EvaluatedRun, NDArray[np.intp]]
"""A run, and the places of its images by ascending loss."""


def _batches(runs: Sequence[Ordered]) -> Iterator[list[Ordered]]:
    """A few runs of equally many images at a time."""
    for _, group in groupby(runs, lambda ordered: len(ordered[1])):
        alike = list(group)
        for start in range(0, len(alike), TOGETHER):
            yield alike[start : start + TOGETHER]


def _weighted(weights: Floats32, by_image: Floats32, runs: Sequence[Ordered]) -> list[tuple[Floats, Floats]]:
    """Weighted mean and median [draws] of each run's losses.

    ``weights`` are [draws, images of the pool], and ``by_image`` the same, transposed in memory.
    """
    rows = np.stack([run.rows[order] for run, order in runs], axis=1)
    losses = [run.losses[order] for run, order in runs]
    summed = [_products(weights, rows[:, i], losses[i]) for i in range(len(runs))]
    below = np.take(by_image, rows, axis=0)  # [images, runs, draws], summed over the images before
    for i in range(1, len(below)):  # a whole row of draws at a time, unlike numpy.cumsum
        np.add(below[i - 1], below[i], out=below[i])
    middle = _n_less(below, 0.5 * below[-1])
    return [
        (total / below[-1, i], values[np.minimum(middle[i], len(values) - 1)])
        for i, (total, values) in enumerate(zip(summed, losses, strict=True))
    ]


def _products(weights: Floats32, rows: NDArray[np.intp], losses: Floats) -> Floats:
    """Sums [draws] of weighted losses, whose images have these places."""
    chosen = np.take(weights, rows, axis=1)  # its rows lie in one piece, unlike those of an index
    return np.asarray(chosen @ losses)


def _n_less(ascending: Floats32, limits: Floats32) -> NDArray[np.intp]:
    """How many of ``ascending`` [n, …], along the first axis, are less than ``limits`` […]."""
    low, high = np.zeros(limits.shape, np.intp), np.full(limits.shape, len(ascending))
    while np.any(low < high):
        middle = (low + high) // 2
        place = np.minimum(middle, len(ascending) - 1)
        less = np.take_along_axis(ascending, place[None], axis=0)[0] < limits
        low, high = np.where(less & (low < high), middle + 1, low), np.where(less, high, middle)
    return low


def _join(pieces: list[tuple[Floats, Floats]]) -> Replicates:
    means, medians = zip(*pieces, strict=True)
    return {"mean": np.concatenate(means), "median": np.concatenate(medians)}


def over_seeds(runs: Sequence[Replicates], rng: np.random.Generator) -> Replicates:
    """Replicates [draws] of a point: the average over a resample of its seeds, draw by draw."""
    if len(runs) == 1:
        return runs[0]
    weights = seed_weights(len(runs), len(runs[0]["mean"]), rng)
    return {
        statistic: np.einsum("bs,sb->b", weights, np.stack([run[statistic] for run in runs]))
        for statistic in runs[0]
    }
