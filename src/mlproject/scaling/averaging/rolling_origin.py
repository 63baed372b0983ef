"""Rolling origin along the scale: fit the cheaper cells, score the log predictive density on the next larger.

Sources: Tashman 2000 (Int. J. Forecasting 16, 437); Dawid 1984 (J. R. Statist. Soc. A 147, 278).
The size of a cell is the sum of the logarithms of its scales, which for N x D orders by compute.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling.averaging.posterior import Posterior, conditioned, posterior
from mlproject.scaling.fitting.averaged_points import make_cells
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.laws.law import Array, ScalingLaw

LEFT_OUT = (0.08, 0.15, 0.22)  # of the range of sizes, for each cut
REACH = 0.17  # of the range of sizes beyond a cut that is scored
LEAST = 5  # distinct scales to fit
MOST_SCORED = 6
COMPONENTS = 100


def rolling_scores(points: Points, members: Mapping[str, ScalingLaw]) -> tuple[dict[str, float], int]:
    """Mean log predictive density of held-out losses summed over cuts, per law, and the number of cuts."""
    scores, n_cuts = dict.fromkeys(members, 0.0), 0
    for rows, held in cuts(points):
        part = points.take(rows)
        cells = make_cells(part)
        given = conditioned(cells)
        ceiling = None if part.ceiling is None else part.ceiling / part.loss_unit
        at, seen = part.scaled(points.x[held]), np.log(points.y[held] / part.loss_unit)
        for name, law in members.items():
            scores[name] += log_density(posterior(law, cells, given, ceiling), at, seen)
        n_cuts += 1
    return scores, n_cuts


def cuts(points: Points) -> list[tuple[NDArray[np.bool_], NDArray[np.intp]]]:
    """Rows to fit (a mask) and rows to score (indices), for every cut that leaves enough and differs."""
    size = points.scaled(points.x).sum(axis=1)
    span = size.max() - size.min()
    found: list[tuple[NDArray[np.bool_], NDArray[np.intp]]] = []
    for share in LEFT_OUT:
        edge = size.max() - share * span
        rows = size <= edge - 1e-9
        if points.take(rows).n_scales < LEAST or any(np.array_equal(rows, other) for other, _ in found):
            continue
        reach = max(size[rows].max() + REACH * span, size[~rows].min() + 1e-9)
        held = np.flatnonzero(~rows & (size <= reach))
        held = held[np.argsort(size[held], kind="stable")]
        keep = np.unique(np.linspace(0, len(held) - 1, MOST_SCORED).astype(int))
        found.append((rows, held[keep]))
    return found


def log_density(post: Posterior, at: Array, seen: Array) -> float:
    """Mean over held-out losses of the log density of one new run."""
    means, spread, run, _ = post.predict(at, COMPONENTS)
    variance = spread + run[:, None]
    density = np.exp(-0.5 * (seen - means) ** 2 / variance) / np.sqrt(2.0 * np.pi * variance)
    return float(np.mean(np.log(density.mean(axis=0) + 1e-12)))
