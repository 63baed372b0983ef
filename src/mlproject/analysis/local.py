"""Local exponents: the slope between neighbouring scales, constant only where a pure power law holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlproject.analysis.point import Floats, Statistic
from mlproject.analysis.study import Curve
from mlproject.scaling.fitting.bca import bca

STEP = 1e-4


@dataclass(frozen=True, kw_only=True)
class LocalExponents:
    """-d ln L / d ln x [k] half-way (in ln x) between neighbouring scales, with 95 % limits."""

    x: Floats
    value: Floats
    low: Floats
    high: Floats


def local_exponents(curve: Curve, statistic: Statistic) -> LocalExponents | None:
    """Slopes between neighbours from points and their draws; None where a loss is not above zero.

    Scales that hold several points (two models of one size) are averaged first.
    """
    values = curve.values(statistic)
    draws = np.stack([point.draws[statistic] for point in curve.points], axis=1)
    x, owner = np.unique(curve.x, return_inverse=True)
    if len(x) < 2 or not ((values > 0).all() and (draws > 0).all()):
        return None
    mean = np.eye(len(x))[owner] / np.bincount(owner)
    steps = np.diff(np.log(x))
    value = -np.diff(np.log(values) @ mean) / steps
    low, high = bca(value, -np.diff(np.log(draws) @ mean, axis=1) / steps)
    return LocalExponents(x=np.sqrt(x[1:] * x[:-1]), value=value, low=low, high=high)


def law_exponents(curve: Curve, statistic: Statistic, law: str, x: Floats) -> Floats | None:
    """The same slope [k] of a law that was fitted, at scales x [k]."""
    verdict = curve.verdict(statistic, law)
    if verdict is None or verdict.fit is None:
        return None
    ends = [np.log(verdict.fit.predict(x * np.exp(step)).mean) for step in (-STEP, STEP)]
    return np.asarray((ends[0] - ends[1]) / (2.0 * STEP))
