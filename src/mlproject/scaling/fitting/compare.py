"""The difference of one parameter between two fits, with an interval and a verdict.

Source: Zou and Donner 2008 (Statist. Med. 27, 1693), the interval of a difference from two intervals. Where
both fits have the same number of paired replicates, the difference is taken replicate by replicate, so that
the effect of shared images cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlproject.errors import BadInput
from mlproject.scaling.fitting.fit import Fit
from mlproject.scaling.fitting.intervals import Estimate, bca
from mlproject.scaling.fitting.verdict import UNIDENTIFIABLE
from mlproject.scaling.laws import find_law
from mlproject.scaling.laws.law import Array


@dataclass(frozen=True, kw_only=True)
class Difference:
    """First minus second with a 95 % interval; ``paired`` where replicates were matched one to one."""

    parameter: str
    difference: Estimate
    paired: bool

    @property
    def verdict(self) -> str:
        """Which is larger, as far as the data show."""
        if not np.isfinite(self.difference.width):
            return UNIDENTIFIABLE
        if self.difference.holds(0.0):
            return "no difference seen"
        return "first larger" if self.difference.value > 0 else "second larger"


def compare(first: Fit, second: Fit, *, parameter: str = "alpha", paired: bool | None = None) -> Difference:
    """The difference of a parameter; by default paired where both fits have as many replicates.

    Raises: BadInput when a fit lacks the parameter, or for ``paired`` without matching replicates.
    """
    for fitted in (first, second):
        if parameter not in fitted.parameters:
            raise BadInput(
                f"law {fitted.law!r} has no parameter {parameter!r}; it has {', '.join(fitted.parameters)}"
            )
    matching = first.from_draws and second.from_draws and len(first.spread) == len(second.spread)
    if paired and not matching:
        raise BadInput("paired comparison needs the same number of draws in both fits")
    a, b = first.parameters[parameter], second.parameters[parameter]
    value = a.value - b.value
    if matching and paired is not False:
        replicates = _refitted(first, parameter) - _refitted(second, parameter)
        stretch = max(first.noise.stretch, second.noise.stretch)
        low, high = bca(np.array([value]), replicates[:, None], stretch=stretch)
        estimate = Estimate(value=value, low=float(low[0]), high=float(high[0]))
        return Difference(parameter=parameter, difference=estimate, paired=True)
    estimate = Estimate(
        value=value,
        low=value - float(np.hypot(a.value - a.low, b.high - b.value)),
        high=value + float(np.hypot(a.high - a.value, b.value - b.low)),
    )
    return Difference(parameter=parameter, difference=estimate, paired=False)


def _refitted(fitted: Fit, parameter: str) -> Array:
    """A parameter [b] of all refits, in the units of the data."""
    points = fitted.points
    return find_law(fitted.law).physical(fitted.spread, points.log_unit, points.loss_unit)[parameter]
