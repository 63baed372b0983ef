"""Information (bits) about target features that a linear map recovers from source features.

Shi et al. 2024, arXiv 2403.13043, section 4.2. A linear map predicts a target from a source with mean squared
error l; l0 is the loss of the best constant:

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
from numpy.typing import NDArray

from mlproject.scaling.fitting.intervals import Estimate

Floats = NDArray[np.float64]
LEVELS = (2.5, 97.5)


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
    losses: Floats, constant: Floats, reference: Floats | None = None, *, n_draws: int = 1000, seed: int = 0
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


def _bits(loss: Floats, constant: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log2(constant) - np.log2(loss))


def _estimate(value: float, draws: Floats) -> Estimate:
    low, high = np.percentile(draws, LEVELS)
    return Estimate(value=value, low=float(low), high=float(high))


def _ratio(bits: Estimate, ceiling: Estimate, draws: Floats, ceiling_draws: Floats) -> Estimate | None:
    """r; its limits are infinite where a replicate of I* is not positive."""
    if not (0 < ceiling.value < np.inf and np.isfinite(bits.value)):
        return None
    value = bits.value / ceiling.value
    if not (ceiling_draws > 0).all():
        return Estimate(value=value, low=-np.inf, high=np.inf)
    return _estimate(value, draws / ceiling_draws)
