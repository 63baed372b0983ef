"""Exponents and the irreducible loss over all averaged laws: local at a scale, and far beyond the data.

The local exponent, -d ln L / d ln x, has a meaning under every law, and is what the data tell best; the
exponent alpha of one law is that of its own asymptote, which another law may place elsewhere. So the answer
of a set of points is the local exponent at the largest scale, weighted over all laws, with the discrepancy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy import special

from mlproject.scaling.averaging.posterior import COMPONENTS, OFFSETS, Posterior
from mlproject.scaling.fitting.intervals import LEVELS, Estimate
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.laws.law import Array

SPAN = float(np.log(2.0))
"""ln of the ratio of the two scales, one on either side, between which a local exponent is measured."""
SAMPLES = 2000  # of parameters, over all laws
NARROWED = 0.6
"""Width of the interval of an exponent, relative to that of its prior, below which the data determine it."""
SLOPES = {
    *("power", "power_floor", "zhai"),
    *("separable", "product", "log_plane", "coupled", "bounded_sum", "separable3", "product3"),
}
"""Laws whose alpha and beta are the slopes far beyond the data."""


def local_exponent(
    posteriors: Mapping[str, Posterior], weights: Mapping[str, float], log_x: float
) -> Estimate:
    """-d ln L / d ln x at a scaled ln x of one axis, over a factor of two around it, over all laws.

    Median and 95 % limits of the mixture of all laws with their discrepancy; noise of single runs excluded.
    """
    at = np.array([[log_x - SPAN / 2.0], [log_x + SPAN / 2.0]])
    slopes = []
    for name, post in posteriors.items():
        n = round(COMPONENTS * weights[name])
        if n == 0:
            continue
        means, covariance, _ = post.joint(at, n)
        variance = covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1]
        offset = special.stdtrit(post.dof, OFFSETS) * np.sqrt(max(float(variance), 0.0))
        slopes.append(((means[:, 0] - means[:, 1])[:, None] + offset).ravel() / SPAN)
    return estimate_of(np.concatenate(slopes))


def irreducible_loss(
    posteriors: Mapping[str, Posterior], weights: Mapping[str, float], points: Points
) -> Estimate:
    """The loss that every averaged law of one axis tends to; 0 for a power law. In the units of the data.

    Identified where its lower limit lies above 0, that is, where hardly any law without a floor has weight.
    """
    limits = []
    for name, post in posteriors.items():
        n = round(SAMPLES * weights[name])
        if n:
            sample, hypothesis = post.resample(n)
            theta = post.theta[sample].copy()
            theta[:, post.law.n_shapes :] *= np.exp(post.levels(theta, hypothesis))[:, None]
            limits.append(_floor(post.law.physical(theta, points.log_unit, points.loss_unit), n))
    estimate = estimate_of(np.concatenate(limits))
    return Estimate(value=estimate.value, low=estimate.low, high=estimate.high, identified=estimate.low > 0.0)


def _floor(parameters: Mapping[str, Array], n: int) -> Array:
    """L at infinite scale: E, or k g^alpha of the law k (1/x + g)^alpha; 0 for laws without either."""
    if "E" in parameters:
        return parameters["E"]
    if "g" in parameters:
        return np.asarray(parameters["k"] * parameters["g"] ** parameters["alpha"])
    return np.zeros(n)


def asymptotic_exponents(
    posteriors: Mapping[str, Posterior], weights: Mapping[str, float]
) -> dict[str, Estimate]:
    """Exponents averaged over the laws in which they are the slope far beyond the data.

    On several axes an exponent is identified where its axis varies and the data say more of it than its prior
    (see ``informed``).
    """
    out = {}
    varies = np.ptp(next(iter(posteriors.values())).points.log_x, axis=0) > 0.0
    for axis, symbol in enumerate(("alpha", "beta", "gamma")[: len(varies)]):
        samples, prior = [], []
        for name, post in posteriors.items():
            if name not in SLOPES or symbol not in post.law.names:
                continue
            n, place = max(1, round(SAMPLES * weights[name])), post.law.names.index(symbol)
            picked, _ = post.resample(n)
            samples.append(post.theta[picked, place])
            prior.append(np.resize(post.prior()[:, place], n))
        if samples:
            estimate = estimate_of(np.concatenate(samples))
            known = len(varies) == 1 or informed(estimate, estimate_of(np.concatenate(prior)))
            out[symbol] = replace(estimate, identified=known and bool(varies[axis]))
    return out


def informed(estimate: Estimate, prior: Estimate) -> bool:
    """Whether the data say more of an exponent than its prior, and whether its interval leaves out 0."""
    return bool(estimate.width < NARROWED * prior.width and not estimate.holds(0.0))


def estimate_of(samples: Array) -> Estimate:
    """Median and 95 % limits of samples [s]."""
    low, middle, high = np.quantile(samples, LEVELS)
    return Estimate(value=float(middle), low=float(low), high=float(high))
