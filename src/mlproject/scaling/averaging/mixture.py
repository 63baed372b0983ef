"""The predictive distribution over all laws: equally weighted samples, their centre and limits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import special

from mlproject.scaling.averaging.posterior import COMPONENTS, OFFSETS, Posterior
from mlproject.scaling.fitting.intervals import TAIL
from mlproject.scaling.laws.law import Array


def mixture(
    posteriors: Mapping[str, Posterior], weights: Mapping[str, float], at: Array
) -> tuple[Array, Array]:
    """Equally weighted samples [s, n] of log mean loss and of one new run at scaled scales."""
    of_mean, of_run = [], []
    for name, post in posteriors.items():
        n = round(COMPONENTS * weights[name])
        if n == 0:
            continue
        means, spread, run, dof = post.predict(at, n)
        offset = special.stdtrit(dof, OFFSETS)[:, None, None]
        of_mean.append((means + offset * np.sqrt(spread)).reshape(-1, means.shape[1]))
        of_run.append((means + offset * np.sqrt(spread + run[:, None])).reshape(-1, means.shape[1]))
    return np.concatenate(of_mean), np.concatenate(of_run)


def summarise(of_mean: Array, of_run: Array) -> Array:
    """Centre (the mean of five inner quantiles) and 95 % limits [5, n] of samples [s, n]."""
    of_mean, of_run = np.sort(of_mean, axis=0), np.sort(of_run, axis=0)
    rows = [
        _sorted_quantile(of_mean, 1.0 - TAIL),
        _sorted_quantile(of_mean, TAIL),
        _sorted_quantile(of_run, 1.0 - TAIL),
        _sorted_quantile(of_run, TAIL),
    ]
    center = np.mean([_sorted_quantile(of_mean, level) for level in (0.1, 0.3, 0.5, 0.7, 0.9)], axis=0)
    low, high = np.minimum(rows[0], center), np.maximum(rows[1], center)
    return np.stack([center, low, high, np.minimum(rows[2], low), np.maximum(rows[3], high)])


def _sorted_quantile(ordered: Array, level: float) -> Array:
    place = level * (len(ordered) - 1)
    first = int(place)
    above = ordered[min(first + 1, len(ordered) - 1)]
    return np.asarray(ordered[first] + (place - first) * (above - ordered[first]))
