"""Several estimates of the same kind, each shrunk towards their common mean as far as its noise demands.

    estimate_c ~ N(θ_c, s_c²),    θ_c ~ N(μ, τ²)

μ and τ have flat priors; the posterior of θ_c is averaged over that of τ (Gelman et al. 2013, Bayesian Data
Analysis, section 5.4; Gelman 2006, Bayesian Analysis 1, 515, for the prior). Empirical Bayes, which fixes τ
at an estimate (Efron and Morris 1975, JASA 70, 311; Paule and Mandel 1982), gives intervals that are too
short where classes are few: τ is then hardly known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from mlproject.errors import BadInput
from mlproject.scaling.fitting.intervals import Estimate
from mlproject.scaling.laws.law import Array

LEAST_SHRUNK = 3
"""Estimates below which the posterior of τ under a flat prior is improper."""
GRID = 400
WIDEST = 10.0
"""The largest τ that is looked at, in standard deviations of the estimates."""
HALVINGS = 60
TAIL = 0.025


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """Posterior means [n] of what is estimated, with 95 % limits, and its standard deviation τ."""

    values: tuple[Estimate, ...]
    spread: Estimate


def shrink(estimates: ArrayLike, errors: ArrayLike) -> Shrunk:
    """Shrink estimates [n] with standard errors [n]. Raises: BadInput below three, for errors of 0."""
    values, noise = np.asarray(estimates, np.float64), np.asarray(errors, np.float64)
    if len(values) < LEAST_SHRUNK or not np.all((noise > 0) & np.isfinite(noise) & np.isfinite(values)):
        raise BadInput(f"shrinking needs {LEAST_SHRUNK} estimates or more with errors above 0")
    tau = np.linspace(0.0, WIDEST * float(np.std(values)) + float(noise.min()), GRID)
    precision = 1.0 / (noise**2 + tau[:, None] ** 2)
    variance = 1.0 / precision.sum(axis=1)
    mean = variance * (precision @ values)
    misfit = (precision * (values - mean[:, None]) ** 2).sum(axis=1)
    log_weight = 0.5 * (np.log(variance) + np.log(precision).sum(axis=1) - misfit)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    pooled = noise**2 * precision  # the share of the common mean in each posterior mean
    centre = values + pooled * (mean[:, None] - values)
    spread = np.sqrt(noise**2 * (1.0 - pooled) + pooled**2 * variance[:, None])
    low, high = (_quantiles(tail, weight, centre, spread) for tail in (TAIL, 1.0 - TAIL))
    below = np.cumsum(weight)
    limits = [float(tau[np.searchsorted(below, tail)]) for tail in (0.5, TAIL, 1.0 - TAIL)]
    return Shrunk(
        values=tuple(
            Estimate(value=float(v), low=float(a), high=float(b))
            for v, a, b in zip(weight @ centre, low, high, strict=True)
        ),
        spread=Estimate(value=limits[0], low=limits[1], high=limits[2]),
    )


def _quantiles(tail: float, weight: Array, centre: Array, spread: Array) -> Array:
    """Quantiles [n] of mixtures of normal distributions [grid, n], by bisection."""
    low, high = (centre - 12.0 * spread).min(axis=0), (centre + 12.0 * spread).max(axis=0)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        under = weight @ special.ndtr((middle - centre) / spread) < tail
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    return np.asarray(0.5 * (low + high))
