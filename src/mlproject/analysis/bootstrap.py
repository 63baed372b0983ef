"""Bootstrap replicates of the mean and median loss of runs, over images and seeds.

Images: the Bayesian bootstrap (Rubin 1981, Annals of
Statistics 9, 130), one exponential weight per image and draw. A weight belongs to the image, not to the run,
so runs are paired wherever they share images, however few. Seeds: n - 1 of n are drawn with replacement (Rao
and Wu 1988, JASA 83, 231), as the usual n of n has a variance that is too small by (n - 1) / n, a third at
three seeds. One seed has no spread, and the interval then covers images only.

Weights are summed in each run's own order of losses, whatever number of runs is taken together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlproject.analysis.effects import seed_weights
from mlproject.analysis.ordered_losses import OrderedLosses, image_weights, ordered_losses
from mlproject.analysis.runs import ImagePool

Floats = NDArray[np.float64]
Statistic = Literal["mean", "median"]
STATISTICS: tuple[Statistic, ...] = ("mean", "median")
Replicates = Mapping[Statistic, Floats]
"""Bootstrap replicates [draws] of the mean and of the median loss."""
IN_CACHE = 40
"""Draws whose weights are put into the order of a run at once."""


def replicates(pool: ImagePool, *, n_draws: int, seed: int) -> dict[str, Replicates]:
    """Mean and median loss [draws] of every run of a pool, by run id, under shared image weights."""
    rng, ordered = np.random.default_rng(seed), ordered_losses(pool.runs)
    drawn: dict[Statistic, Floats] = {name: np.empty((len(pool.runs), n_draws)) for name in STATISTICS}
    for draws, weights in image_weights(rng, n_draws, len(pool.image_ids)):
        by_draw = np.ascontiguousarray(weights.T, np.float64)
        for losses in ordered:
            total = losses.total(weights)
            drawn["mean"][losses.places, draws] = _products(by_draw, losses) / total
            drawn["median"][losses.places, draws] = losses.quantile(weights, total, 0.5)
    return {
        run.run_id: {name: values[i] for name, values in drawn.items()} for i, run in enumerate(pool.runs)
    }


def _products(weights: Floats, ordered: OrderedLosses) -> Floats:
    """Summed products [runs, draws] of losses and ``weights`` [draws, images] in each run's order of losses.

    Their last bits decide where the search for a law stops: they are the same whatever is taken together.
    """
    products = np.empty((len(ordered.rows), len(weights)))
    for start in range(0, len(weights), IN_CACHE):
        draws = slice(start, start + IN_CACHE)
        for run, (rows, losses) in enumerate(zip(ordered.rows, ordered.losses, strict=True)):
            products[run, draws] = np.take(weights[draws], rows, axis=1) @ losses
    return products


def over_seeds(runs: Sequence[Replicates], rng: np.random.Generator) -> Replicates:
    """Replicates [draws] of a point: the average over a resample of its seeds, draw by draw."""
    if len(runs) == 1:
        return runs[0]
    weights = seed_weights(len(runs), len(runs[0]["mean"]), rng)
    return {
        statistic: np.einsum("bs,sb->b", weights, np.stack([run[statistic] for run in runs]))
        for statistic in runs[0]
    }
