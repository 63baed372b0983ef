"""Parameters in the units of the data with their intervals, from profiles or from refits."""

from __future__ import annotations

import numpy as np

from .intervals import NORMAL, Estimate, Noise, Profile, derived_errors, percentile
from .law import Array, ScalingLaw
from .points import Points
from .solve import Problem

DIRECT = {"E", "L0"}  # amplitudes that are parameters of the search as they stand


def estimates(
    points: Points, law: ScalingLaw, theta: Array, shape: Profile, noise: Noise, refits: Array | None
) -> dict[str, Estimate]:
    """Parameters in the units of the data, with the interval of the profile or of the refits."""
    with np.errstate(all="ignore"):  # a flat loss sends amplitudes of steep laws beyond all numbers
        values = law.physical(theta[None], points.log_unit, points.loss_unit)
        spread = law.physical(shape.paths if refits is None else refits, points.log_unit, points.loss_unit)
    out = {}
    for name, value in values.items():
        at, cloud = float(value[0]), spread[name]
        if not np.isfinite(noise.factor):
            low, high = (-np.inf, np.inf) if name in _shape_names(law) else (0.0, np.inf)
        elif refits is None:
            low, high = float(cloud.min()), float(cloud.max())
        else:
            low, high = _from_refits(at, cloud, stretch(noise), positive=name not in _shape_names(law))
        out[name] = Estimate(value=at, low=low, high=high)
    return out


def widen_amplitudes(
    points: Points, problem: Problem, theta: Array, noise: Noise, found: dict[str, Estimate]
) -> dict[str, Estimate]:
    """Amplitudes lie at x = 1 in the caller's unit, far from any one profile: add the delta method's ends."""
    names = [n for n, e in found.items() if n not in DIRECT | _shape_names(problem.law) and e.value > 0]
    if not names or not np.isfinite(noise.factor):
        return found
    step = 1e-6
    moved = np.concatenate([theta + step * np.eye(len(theta)), theta - step * np.eye(len(theta))])
    values = problem.law.physical(moved, points.log_unit, points.loss_unit)
    logs = np.stack([np.log(np.maximum(values[name], 1e-300)) for name in names])
    gradients = (logs[:, : len(theta)] - logs[:, len(theta) :]) / (2.0 * step)
    half = derived_errors(problem, theta, gradients) * noise.factor * np.sqrt(noise.variance)
    wide = dict(found)
    for name, reach in zip(names, np.exp(np.minimum(half, 300.0)), strict=True):
        at = found[name]
        low, high = at.value / float(reach), at.value * float(reach)
        wide[name] = Estimate(value=at.value, low=min(at.low, low), high=max(at.high, high))
    return wide


def stretch(noise: Noise) -> float:
    """The factor on intervals of refits: 1 unless the residuals reject the noise of the draws."""
    return float(noise.factor * np.sqrt(noise.variance) / NORMAL)


def _from_refits(at: float, cloud: Array, stretch: float, *, positive: bool) -> tuple[float, float]:
    """A bias-corrected interval of one parameter; amplitudes other than a floor stretch as logarithms."""
    if positive and at > 0 and np.all(cloud > 0):
        low, high = percentile(np.array([np.log(at)]), np.log(cloud)[:, None], stretch)
        return float(np.exp(low[0])), float(np.exp(high[0]))
    low, high = percentile(np.array([at]), cloud[:, None], stretch)
    return max(float(low[0]), 0.0) if positive else float(low[0]), float(high[0])


def _shape_names(law: ScalingLaw) -> set[str]:
    return {shape.name for shape in law.shapes}
