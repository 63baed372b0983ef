"""Average slopes in logarithms, and what they say before any law is fitted: a loss that is flat, or rises."""

from __future__ import annotations

import numpy as np

from mlproject.scaling.fitting.intervals import Estimate, estimate_noise, t_interval
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.fitting.shared_noise import Components, components, membership
from mlproject.scaling.laws.law import Array

FLAT_WITHIN = 0.1  # an average slope within -/+ this is flat: at most a fifth of the loss per decade
ROUNDING = 1e-9  # smaller slopes are those of a constant in floating point


def average_slopes(points: Points) -> tuple[Estimate, ...]:
    """Minus the slopes of ln y over ln x, one for each axis; none without a degree of freedom.

    Weighted least squares with a constant and ln x of every axis, which for one axis is the optimum of the
    power law; generalised where runs are stated, whose rows share an offset.
    """
    log_x = points.scaled(points.x)
    if points.n_scales < 2:
        return ()
    weights = np.ones(len(points.y)) if points.sd is None else points.y / points.sd
    design = np.concatenate([np.ones((len(log_x), 1)), -log_x], axis=1) * weights[:, None]
    inverse = np.linalg.pinv(design, rcond=1e-10)
    target = np.log(points.y / points.loss_unit) * weights
    coefficients = inverse @ target
    if shared := _shared(points, design, target - design @ coefficients, weights):
        return shared.estimates(target, weights)[1:]
    dof = len(points.y) - int(np.linalg.matrix_rank(design))
    noise = estimate_noise(
        float(np.sum((target - design @ coefficients) ** 2)),
        dof,
        known=points.noise_known,
        noise_dof=points.noise_dof,
    )
    if not np.isfinite(noise.factor):
        return ()
    errors = np.linalg.norm(inverse, axis=1) * np.sqrt(noise.variance)
    return tuple(
        t_interval(float(coefficients[j]), float(errors[j]), noise.dof) for j in range(1, design.shape[1])
    )


def is_flat(slope: Estimate) -> bool:
    """Whether the interval of a slope includes 0 and nothing steeper than ``FLAT_WITHIN``."""
    steepest = max(-slope.low, slope.high)
    return steepest <= ROUNDING or (slope.holds(0.0) and steepest <= FLAT_WITHIN)


def rises(points: Points) -> bool:
    """Whether the loss rises along its only axis, which only a power law can follow."""
    return points.x.shape[1] == 1 and bool(rising_axes(points))


def rising_axes(points: Points) -> tuple[int, ...]:
    """Axes, counted from 1, along which the loss rises."""
    slopes = enumerate(average_slopes(points), 1)
    return tuple(axis for axis, slope in slopes if slope.high < 0.0 and not is_flat(slope))


def _shared(points: Points, design: Array, residual: Array, weights: Array) -> Components | None:
    """Components of the noise of a linear fit where runs are stated; all arrays are weighted."""
    runs = None if points.runs is None else membership(points)
    known = points.noise_known and points.noise_dof > 0.0
    return None if runs is None else components(design, residual, runs, weights, known=known)
