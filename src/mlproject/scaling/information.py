"""How much of one representation another one holds: reconstruction losses as information, in bits.

Shi et al. 2024, arXiv 2403.13043, section 4.2. A linear map predicts a target from a source with mean squared
error l; l0 is the loss of the best constant:

    I  = -log2(l / l0)      bits; 0 for a source that tells nothing (the published I are in bits: only with
                            base 2 do the rows of a block give one l0)
    I* = -log2(l* / l0)     the same from a reference source, a giant model: what can be reached at all
    r  = I / I*             means nothing, and is not given, where I* is 0 or less; may exceed 1

With the variance explained R² = 1 - l / l0, I = -log2(1 - R²). Intervals: the Bayesian bootstrap over images
(Rubin 1981), the same weights for l, l0 and l*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEVELS = (2.5, 97.5)


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number and its 95 % interval; infinite limits where the images leave it open."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Information:
    """What a source tells of a target on some images.

    ``loss`` and ``constant`` are l and l0; ``bits`` is I. ``ceiling`` (I*) and ``ratio`` (r) are None without
    a reference, and ``ratio`` also where I* is not positive.
    """

    n_images: int
    loss: float
    constant: float
    bits: Quantity
    ceiling: Quantity | None = None
    ratio: Quantity | None = None


def information(loss: float, constant: float) -> float:
    """I = -log2(loss / constant) in bits: infinite for a loss of 0, negative above the constant's."""
    return float(_bits(np.array(loss), np.array(constant)))


def measure(
    losses: Floats, constant: Floats, reference: Floats | None = None, *, n_draws: int = 1000, seed: int = 0
) -> Information:
    """I, and I* and r beside a reference, with intervals over images.

    Shapes: ``losses``, ``constant`` and ``reference`` [n], per-image squared errors of the source's map, of
    the constant and of the reference's map.
    Raises: ValueError when the constant's loss is not positive: the target does not vary.
    """
    if not constant.mean() > 0:
        raise ValueError("the target is the same for all images: there is nothing to tell")
    weights = np.random.default_rng(seed).standard_exponential((n_draws, len(losses)))
    weights /= weights.sum(1, keepdims=True)
    drawn = _bits(weights @ losses, weights @ constant)
    value = information(float(losses.mean()), float(constant.mean()))
    bits, ceiling, ratio = _quantity(value, drawn), None, None
    if reference is not None:
        drawn_ceiling = _bits(weights @ reference, weights @ constant)
        ceiling = _quantity(information(float(reference.mean()), float(constant.mean())), drawn_ceiling)
        ratio = _ratio(bits, ceiling, drawn, drawn_ceiling)
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


def _quantity(value: float, drawn: Floats) -> Quantity:
    low, high = np.percentile(drawn, LEVELS)
    return Quantity(value=value, low=float(low), high=float(high))


def _ratio(bits: Quantity, ceiling: Quantity, drawn: Floats, drawn_ceiling: Floats) -> Quantity | None:
    """r, with an open interval as soon as a draw leaves no positive I* to divide by."""
    if not (0 < ceiling.value < np.inf and np.isfinite(bits.value)):
        return None
    value = bits.value / ceiling.value
    if not (drawn_ceiling > 0).all():
        return Quantity(value=value, low=-np.inf, high=np.inf)
    return _quantity(value, drawn / drawn_ceiling)
