"""Warnings to show beside an average of laws."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlproject.scaling.averaging.posterior import Posterior
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.fitting.slopes import rises, rising_axes

LEAST_SAMPLES = 20.0  # effective sample size below which a posterior is flagged
LEAST_WEIGHT = 0.05  # of a law for this flag
AXES = "NDS"


def find_flags(points: Points) -> tuple[str, ...]:
    """Warnings about the points: losses that rise, few scales, axes that do not vary."""
    flags = []
    if rises(points):
        flags.append("the loss rises: of the averaged laws only the power law can follow it")
    elif axes := rising_axes(points):
        where = " and ".join(map(str, axes))
        flags.append(f"the loss rises along axis {where}, which all averaged laws take to be unlikely")
    if points.x.shape[1] > 1:
        single = [axis for axis, n in zip(AXES, map(len, map(np.unique, points.x.T)), strict=False) if n == 1]
        flags += [f"{axis} has a single value: its exponent is not identifiable" for axis in single]
    if points.n_scales < 5:
        flags.append(
            f"{points.n_scales} distinct scales: weights come from priors and misfit, without held-out points"
        )
    return tuple(flags)


def sampling_flags(posteriors: Mapping[str, Posterior], weights: Mapping[str, float]) -> tuple[str, ...]:
    """A warning where hardly any samples of a law with weight fit the points, as with very small noise."""
    few = [
        n
        for n, post in posteriors.items()
        if weights[n] > LEAST_WEIGHT and post.effective_size < LEAST_SAMPLES
    ]
    if not few:
        return ()
    return (
        f"too few samples fit {' and '.join(few)}, so intervals may be too narrow: is the noise this small?",
    )
