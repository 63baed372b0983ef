"""Statistics of per-image losses that need no law of their mean: exponents of images, information in bits.

**Exponents**, for thousands of images at once: slope, standard error, shrunk slope, false discoveries.

    ln L = a - exponent ln x + noise,    exponent ~ N(mean, spread^2) over images

Sources: ordinary least squares of ln loss on ln size; Smyth 2004 (Stat. Appl. Genet. Mol. Biol. 3) for
variances moderated across images; normal-normal empirical Bayes for the shrunk exponents (Morris 1983);
Benjamini and Hochberg 1995 for the rate of false discoveries. An image *scales* when its exponent is
significantly above zero at a false-discovery rate of 5 %.

**Information** about target features that a linear map recovers from source features (Shi et al. 2024, arXiv
2403.13043, section 4.2). A linear map predicts a target from a source with mean squared error l; l0 is the
loss of the best constant:

    I  = -log2(l / l0)      bits; 0 for a source without information (the published I are in bits: only with
                            base 2 do the rows of a block give one l0)
    I* = -log2(l* / l0)     the same from a reference source, a very large model: what can be reached
    r  = I / I*             undefined where I* is 0 or less; may exceed 1

With the variance explained R² = 1 - l / l0, I = -log2(1 - R²). Intervals: the Bayesian bootstrap over images
(Rubin 1981), the same weights for l, l0 and l*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from mlproject.errors import BadInput
from mlproject.scaling.fitting.intervals import Estimate, t_quantile
from mlproject.scaling.laws.law import Array

LEVELS = (2.5, 97.5)
"""Percentiles of the draws that bound an interval."""


@dataclass(frozen=True, kw_only=True)
class ImageExponents:
    """Exponents [n] of images, L ~ x^-exponent, with standard errors (moderated), shrunk values and q values.

    ``scales`` marks exponents above zero and ``rises`` those below, at the given rate of false discoveries;
    for all others the data show no scaling. ``valid`` marks images with positive finite losses.
    """

    exponent: Array
    standard_error: Array
    shrunk: Array
    shrunk_error: Array
    q_value: Array
    scales: NDArray[np.bool_]
    rises: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    mean: float
    spread: float
    dof: float

    @property
    def half_width(self) -> Array:
        """Half the width of each exponent's 95 % interval [n]."""
        return t_quantile(self.dof) * self.standard_error


def image_exponents(x: ArrayLike, losses: ArrayLike, *, false_discovery_rate: float = 0.05) -> ImageExponents:
    """Exponents of every row of losses [images, sizes] along sizes x [sizes].

    Images with a loss that is zero, negative or not finite get NaN and ``valid`` False. Raises: BadInput for
    fewer than three sizes or shapes that differ.
    """
    sizes, table = np.asarray(x, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if sizes.ndim != 1 or table.ndim != 2 or table.shape[1] != len(sizes):
        raise BadInput(
            f"x {sizes.shape} and losses {table.shape} do not match: losses must be [images, sizes]"
        )
    if not np.all(np.isfinite(sizes) & (sizes > 0)):
        raise BadInput("sizes must be positive and finite")
    if len(np.unique(sizes)) < 3:
        raise BadInput("per-image exponents need three distinct sizes: two leave no error to estimate")
    valid = np.all(np.isfinite(table) & (table > 0), axis=1)
    if not valid.any():
        raise BadInput("no image has positive finite losses at every size")
    slope, variance, dof = _slopes(np.log(sizes), np.log(table[valid]))
    error = np.sqrt(variance)
    mean, spread = population(slope, variance)
    shrunk, shrunk_error = _shrink(slope, variance, mean, spread)
    p_values = 2.0 * special.stdtr(dof, -np.abs(slope) / error)
    from scipy.stats import false_discovery_control  # takes longer to import than a cell takes to run

    q = false_discovery_control(p_values)
    return ImageExponents(
        exponent=_with_nan(slope, valid),
        standard_error=_with_nan(error, valid),
        shrunk=_with_nan(shrunk, valid),
        shrunk_error=_with_nan(shrunk_error, valid),
        q_value=_with_nan(q, valid),
        scales=_mask((q <= false_discovery_rate) & (slope > 0), valid),
        rises=_mask((q <= false_discovery_rate) & (slope < 0), valid),
        valid=valid,
        mean=mean,
        spread=spread,
        dof=dof,
    )


def population(slope: Array, variance: Array) -> tuple[float, float]:
    """Mean and standard deviation of the true exponents, by moments with a few reweightings."""
    spread2 = max(float(np.var(slope) - np.mean(variance)), 0.0)
    mean = float(np.mean(slope))
    for _ in range(20):
        weight = 1.0 / (variance + spread2 + 1e-300)
        mean = float(np.sum(weight * slope) / np.sum(weight))
        excess = (slope - mean) ** 2 - variance
        spread2 = max(float(np.sum(weight**2 * excess) / np.sum(weight**2)), 0.0)
    return mean, float(np.sqrt(spread2))


def moderate(variance: Array, dof: float) -> tuple[Array, float]:
    """Residual variances [n] moderated towards a common value, and the degrees of freedom they then have.

    Fits a scaled F distribution to the variances by moments of their logarithms (Smyth 2004, section 6.2).
    """
    usable = variance[variance > 0]
    if len(usable) < 3:
        return variance, dof
    z = np.log(usable)
    centred = z - special.digamma(dof / 2.0) + np.log(dof / 2.0)
    excess = float(np.var(centred, ddof=1) - special.polygamma(1, dof / 2.0))
    if excess <= 0:
        return np.full(len(variance), float(np.exp(np.mean(centred)))), float("inf")
    prior_dof = 2.0 * _inverse_trigamma(excess)
    prior = float(np.exp(np.mean(centred) + special.digamma(prior_dof / 2.0) - np.log(prior_dof / 2.0)))
    return (prior_dof * prior + dof * variance) / (prior_dof + dof), dof + prior_dof


def _slopes(log_x: Array, log_y: Array) -> tuple[Array, Array, float]:
    """Exponent, its variance and degrees of freedom per image, with moderated residual variances."""
    centred = log_x - log_x.mean()
    sxx = float(centred @ centred)
    slope = -(log_y @ centred) / sxx
    residual = log_y - log_y.mean(axis=1, keepdims=True) + slope[:, None] * centred
    dof = float(len(log_x) - 2)
    variance, total = moderate(np.sum(residual**2, axis=1) / dof, dof)
    return slope, np.maximum(variance, 1e-24) / sxx, total


def _shrink(slope: Array, variance: Array, mean: float, spread: float) -> tuple[Array, Array]:
    if spread == 0.0:
        return np.full_like(slope, mean), np.zeros_like(slope)
    keep = spread**2 / (spread**2 + variance)
    return mean + keep * (slope - mean), np.sqrt(keep * variance)


def _inverse_trigamma(value: float) -> float:
    """Solve trigamma(y) = value by Newton's method (Smyth 2004, appendix)."""
    y = 0.5 + 1.0 / value
    for _ in range(50):
        tri = float(special.polygamma(1, y))
        step = tri * (1.0 - tri / value) / float(special.polygamma(2, y))
        y += step
        if -step / y < 1e-10:
            break
    return y


def _with_nan(values: Array, valid: NDArray[np.bool_]) -> Array:
    out = np.full(len(valid), np.nan)
    out[valid] = values
    return out


def _mask(values: NDArray[np.bool_], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    out = np.zeros(len(valid), dtype=bool)
    out[valid] = values
    return out


@dataclass(frozen=True, kw_only=True)
class Information:
    """Information about a target in a source, over a set of images.

    ``loss`` and ``constant`` are l and l0; ``bits`` is I. ``ceiling`` (I*) and ``ratio`` (r) are None without
    a reference, and ``ratio`` also where I* is not positive.
    """

    n_images: int
    loss: float
    constant: float
    bits: Estimate
    ceiling: Estimate | None = None
    ratio: Estimate | None = None


def information(loss: float, constant: float) -> float:
    """I = -log2(loss / constant) in bits: infinite for a loss of 0, negative above the constant's."""
    return float(_bits(np.array(loss), np.array(constant)))


def measure_information(
    losses: Array, constant: Array, reference: Array | None = None, *, n_draws: int = 1000, seed: int = 0
) -> Information:
    """I, and I* and r beside a reference, with intervals over images.

    Shapes: ``losses``, ``constant`` and ``reference`` [n], per-image squared errors of the source's map, of
    the constant and of the reference's map.
    Raises: ValueError when the constant's loss is not positive: the target does not vary.
    """
    if not constant.mean() > 0:
        raise ValueError("the target is the same for all images, so there is no information to recover")
    weights = np.random.default_rng(seed).standard_exponential((n_draws, len(losses)))
    weights /= weights.sum(1, keepdims=True)
    draws = _bits(weights @ losses, weights @ constant)
    value = information(float(losses.mean()), float(constant.mean()))
    bits, ceiling, ratio = _estimate(value, draws), None, None
    if reference is not None:
        ceiling_draws = _bits(weights @ reference, weights @ constant)
        ceiling = _estimate(information(float(reference.mean()), float(constant.mean())), ceiling_draws)
        ratio = _ratio(bits, ceiling, draws, ceiling_draws)
    return Information(
        n_images=len(losses),
        loss=float(losses.mean()),
        constant=float(constant.mean()),
        bits=bits,
        ceiling=ceiling,
        ratio=ratio,
    )


def _bits(loss: Array, constant: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log2(constant) - np.log2(loss))


def _estimate(value: float, draws: Array) -> Estimate:
    low, high = np.percentile(draws, LEVELS)
    return Estimate(value=value, low=float(low), high=float(high))


def _ratio(bits: Estimate, ceiling: Estimate, draws: Array, ceiling_draws: Array) -> Estimate | None:
    """r; its limits are infinite where a replicate of I* is not positive."""
    if not (0 < ceiling.value < np.inf and np.isfinite(bits.value)):
        return None
    value = bits.value / ceiling.value
    if not (ceiling_draws > 0).all():
        return Estimate(value=value, low=-np.inf, high=np.inf)
    return _estimate(value, draws / ceiling_draws)
