"""Parameters in the units of the data with their intervals, from profiles or from refits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from mlproject.scaling.fitting.bca import Refits
from mlproject.scaling.fitting.intervals import NORMAL, Estimate, Noise, Profile, derived_errors, gradients_of
from mlproject.scaling.fitting.least_squares import LeastSquares
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.laws.law import Array, ScalingLaw

DIRECT = {"E", "L0"}  # amplitudes that are parameters of the search as they stand


def estimates(
    points: Points, law: ScalingLaw, theta: Array, shape: Profile, noise: Noise, refits: Refits | None
) -> dict[str, Estimate]:
    """Parameters in the units of the data, with the interval of the profile or of the refits."""
    physical = partial(_physical, points, law)
    values, spread = physical(theta[None]), physical(shape.paths if refits is None else refits.draws)
    out = {}
    for name, value in values.items():
        at, cloud, positive = float(value[0]), spread[name], name not in _shape_names(law)
        if not np.isfinite(noise.factor):
            low, high = (0.0, np.inf) if positive else (-np.inf, np.inf)
        elif refits is None:
            low, high = float(cloud.min()), float(cloud.max())
        else:
            as_log = positive and at > 0 and bool(np.all(cloud > 0))
            one = partial(_one, physical, name, as_log)
            ends = refits.interval(theta, one, stretch(noise))
            low, high = (float(np.exp(end[0])) if as_log else float(end[0]) for end in ends)
            low = max(low, 0.0) if positive else low
        out[name] = Estimate(value=at, low=low, high=high)
    return out


def _physical(points: Points, law: ScalingLaw, theta: Array) -> Mapping[str, Array]:
    with np.errstate(all="ignore"):  # a flat loss sends amplitudes of steep laws beyond all numbers
        return law.physical(theta, points.log_unit, points.loss_unit)


def widen_amplitudes(
    points: Points, problem: LeastSquares, theta: Array, noise: Noise, found: dict[str, Estimate]
) -> dict[str, Estimate]:
    """Amplitudes lie at x = 1 in the caller's unit, far from any one profile: add the delta method's ends."""
    names = [n for n, e in found.items() if n not in DIRECT | _shape_names(problem.law) and e.value > 0]
    if not names or not np.isfinite(noise.factor):
        return found

    def logs(moved: Array) -> Array:
        values = _physical(points, problem.law, moved)
        return np.stack([np.log(np.maximum(values[name], 1e-300)) for name in names], axis=1)

    half = derived_errors(problem, theta, gradients_of(logs, theta)) * noise.factor * np.sqrt(noise.variance)
    wide = dict(found)
    for name, reach in zip(names, np.exp(np.minimum(half, 300.0)), strict=True):
        at = found[name]
        low, high = at.value / float(reach), at.value * float(reach)
        wide[name] = Estimate(value=at.value, low=min(at.low, low), high=max(at.high, high))
    return wide


def stretch(noise: Noise) -> float:
    """The factor on intervals of refits: 1 unless the residuals reject the noise of the draws."""
    return float(noise.factor * np.sqrt(noise.variance) / NORMAL)


def _one(physical: Callable[[Array], Mapping[str, Array]], name: str, as_log: bool, theta: Array) -> Array:
    """One parameter [g, 1]; amplitudes other than a floor vary, and stretch, as logarithms."""
    found = physical(theta)[name][:, None]
    return np.log(np.maximum(found, 1e-300)) if as_log else found


def _shape_names(law: ScalingLaw) -> set[str]:
    return {shape.name for shape in law.shapes}
