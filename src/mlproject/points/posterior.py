"""Parameters of a law from the posterior that an average is made of: medians and 95 % intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlproject.points.reading import Floats
from mlproject.scaling import Average, Estimate
from mlproject.scaling.posterior import Posterior, log_mean

SAMPLES = 1000
LEVELS = (0.025, 0.5, 0.975)


def posterior_parameters(found: Average, name: str) -> dict[str, Estimate]:
    """Parameters in the units of the data, whatever the law's departure from them may be."""
    post = found.posteriors[name]
    sample, departure = post.resample(SAMPLES)
    theta = post.theta[sample].copy()
    theta[:, post.law.n_shapes :] *= np.exp(_levels(post, theta, departure))[:, None]
    values = post.law.physical(theta, found.points.log_unit, found.points.loss_unit)
    limits = {key: np.quantile(value, LEVELS) for key, value in values.items()}
    return {key: Estimate(value=float(v[1]), low=float(v[0]), high=float(v[2])) for key, v in limits.items()}


def _levels(post: Posterior, theta: Floats, departure: NDArray[Any]) -> Floats:
    """The logarithm of the factor that the amplitudes share [s], drawn from its t distribution."""
    if post.level is not None:
        return np.full(len(theta), post.level)
    cells = post.cells
    residual = cells.log_y - log_mean(post.law, theta, cells.log_x)
    dof = cells.dof + len(cells.log_y) - 1.0
    order = np.random.default_rng(0).permutation(len(theta))
    offsets = special.stdtrit(dof, (order + 0.5) / len(theta))
    levels = np.empty(len(theta))
    for h in np.unique(departure):
        mine, one = departure == h, post.given[h]
        white = residual[mine] @ one.whiten.T
        middle = white @ one.ones / one.weight
        rest = white - middle[:, None] * one.ones
        variance = (np.sum(rest**2, axis=1) + cells.spare) / dof
        levels[mine] = middle + offsets[mine] * np.sqrt(variance / one.weight)
    return levels
