"""From the runs of one scale to a point: per-image losses averaged over seeds, replicates, a distribution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlproject.analysis.bootstrap import Replicates, influence
from mlproject.analysis.correlations import distribution
from mlproject.analysis.point import Floats, Point
from mlproject.analysis.runs import Run
from mlproject.scaling.fitting.bca import acceleration_of


def average_losses(runs: Sequence[Run], n_images: int) -> Floats:
    """Per-image losses [images of the pool] averaged over runs; NaN where no run judged the image."""
    total, count = np.zeros(n_images), np.zeros(n_images)
    for run in runs:
        total[run.rows] += run.losses
        count[run.rows] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def make_point(name: str, x: float, runs: Sequence[Run], losses: Floats, draws: Replicates) -> Point:
    """A point from the runs of one scale, their losses [images] averaged over seeds and their replicates."""
    judged = losses[~np.isnan(losses)]
    skew = acceleration_of(influence(judged[:, None]), float(np.var(draws["mean"])))
    return Point(
        name=name,
        x=x,
        run_ids=tuple(run.observation.run_id for run in runs),
        n_images=len(judged),
        seeds={
            "mean": tuple(float(run.losses.mean()) for run in runs),
            "median": tuple(float(np.median(run.losses)) for run in runs),
        },
        draws=draws,
        distribution=distribution(judged),
        acceleration=float(skew[0]),
    )
