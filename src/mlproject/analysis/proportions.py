"""Proportions: intervals of accuracies, and what a printed score says of the number it was counted over."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


def wilson(n_correct: float, n_total: float, z: float = Z95) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927, JASA 22:209), 95 % unless told.

    ``n_total`` may be an effective number. Raises: ValueError unless 0 <= n_correct <= n_total > 0.

    >>> tuple(round(limit, 4) for limit in wilson(270, 300))
    (0.8608, 0.929)
    """
    if not (n_total > 0 and 0 <= n_correct <= n_total):
        raise ValueError(f"a proportion needs 0 <= n_correct <= n_total > 0, not {n_correct} of {n_total}")
    share, spread = n_correct / n_total, z * z / n_total
    centre = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / n_total + spread / (4 * n_total))
    return max(0.0, (centre - half) / (1 + spread)), min(1.0, (centre + half) / (1 + spread))


def effective_total(errors: NDArray[np.float64], n_total: float) -> float:
    """How many independent trials ``n_total`` pixels are worth, given each image's share of wrong ones.

    Pixels of an image are wrong together: p (1 - p) over the variance of the mean over images (the design
    effect, Kish 1965). Whole images count as themselves.
    """
    n_images = len(errors)
    if n_total <= n_images or n_images < 2:
        return n_total
    share = float(errors.mean())
    variance = float(errors.var(ddof=1)) / n_images
    if variance == 0 or not 0 < share < 1:
        return float(n_images)
    return min(n_total, share * (1 - share) / variance)


def least_total(percentages: Iterable[str]) -> int:
    """The least number of trials of which every printed percentage is a whole number; its multiples are too.

    A score must be printed in full: rounded ones say nothing. Raises: ValueError for text that is no number.

    >>> least_total(["76.83", "76.5225"])
    40000
    """
    shares = [Fraction(text.strip().removesuffix("%").strip()) / 100 for text in percentages]
    return math.lcm(*(share.denominator for share in shares))
