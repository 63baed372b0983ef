"""Trends of single images along scale, tested against the variance between repeated runs of a scale.

    y_is = mean over seeds of ln L_isr,    slope_i = Σ_s a_s y_is,    a_s = (ln x_s - mean) / Σ (ln x - mean)²
    var slope_i = σ_i² Σ_s a_s² φ_s / n_s

σ_i² is the variance between the n_s runs of a scale, pooled over scales and moderated across images (Smyth
2004, Stat. Appl. Genet. Mol. Biol. 3); φ_s is how much larger it is at a scale than on average, the same for
all images. Unlike the exponents of ``per_image`` the noise is that of repetition, not the distance from a
power law: an image that rises in a curve rises all the same. Runs of one seed share part of their training
images along scale, which makes the variance of a slope smaller than this. q-values are those of Benjamini and
Hochberg (1995, JRSS B 57, 289) over images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlproject.errors import BadInput
from mlproject.scaling.laws.law import Array
from mlproject.scaling.per_image import moderate


@dataclass(frozen=True, kw_only=True)
class ImageTrends:
    """Slopes [n] of ln loss over ln scale with their standard errors; negative where the loss falls.

    ``rises`` and ``falls`` mark those that differ from 0 at the false-discovery rate. NaN and False for
    images with a loss that is not above 0.
    """

    slope: Array
    standard_error: Array
    q_value: Array
    rises: NDArray[np.bool_]
    falls: NDArray[np.bool_]
    dof: float


def image_trends(
    x: Sequence[float], losses: Sequence[Array], *, false_discovery_rate: float = 0.05
) -> ImageTrends:
    """Trends along scales x of losses, by scale [seeds, images].

    Raises: BadInput where scales are not distinct, or a scale has a single seed.
    """
    if len(set(x)) < 2:
        raise BadInput("a trend needs two distinct scales")
    if min(len(of_scale) for of_scale in losses) < 2:
        raise BadInput("a scale has one seed, so that what seeds differ by is not known")
    valid = np.all([np.all(of_scale > 0, axis=0) for of_scale in losses], axis=0)
    logs = [np.log(of_scale[:, valid]) for of_scale in losses]
    centred = np.log(x) - np.mean(np.log(x))
    pull = centred / (centred @ centred)
    slope = pull @ np.array([of_scale.mean(axis=0) for of_scale in logs])
    variance, by_scale, dof = _noise(logs)
    n_seeds = np.array([len(of_scale) for of_scale in logs])
    error = np.sqrt(np.maximum(variance, 1e-24) * float(pull**2 @ (by_scale / n_seeds)))
    from scipy.stats import false_discovery_control  # takes longer to import than a cell takes to run

    q = false_discovery_control(2.0 * special.stdtr(dof, -np.abs(slope) / error))
    known = q <= false_discovery_rate
    return ImageTrends(
        slope=_placed(slope, valid, np.nan),
        standard_error=_placed(error, valid, np.nan),
        q_value=_placed(q, valid, np.nan),
        rises=_placed((known & (slope > 0)).astype(float), valid, 0.0).astype(bool),
        falls=_placed((known & (slope < 0)).astype(float), valid, 0.0).astype(bool),
        dof=dof,
    )


def _noise(logs: Sequence[Array]) -> tuple[Array, Array, float]:
    """Moderated variances [n], what they are multiplied by at each scale, and their degrees of freedom."""
    within = np.array([of_scale.var(axis=0, ddof=1) for of_scale in logs])
    freedom = np.array([len(of_scale) - 1.0 for of_scale in logs])
    means = within.mean(axis=1) if within.size else np.ones(len(logs))
    by_scale = np.maximum(means / max(float(means.mean()), 1e-24), 1e-6)
    pooled = freedom @ (within / by_scale[:, None]) / freedom.sum()
    variance, dof = moderate(pooled, float(freedom.sum()))
    return variance, by_scale, dof


def _placed(values: Array, valid: NDArray[np.bool_], absent: float) -> Array:
    out = np.full(len(valid), absent)
    out[valid] = values
    return out
