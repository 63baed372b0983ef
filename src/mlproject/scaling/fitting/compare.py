"""Is the exponent of A larger than that of B? An interval of the difference of one parameter of two fits.

Source: Zou and Donner 2008 (Statist. Med. 27, 1693), recovery of variances from two intervals. Where both
fits carry the same number of paired draws, the difference is taken draw by draw: shared images stay shared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlproject.errors import BadInput
from mlproject.scaling.fitting.fit import Fit
from mlproject.scaling.fitting.intervals import Estimate, percentile
from mlproject.scaling.laws.law import Array
from mlproject.scaling.laws.table import find_law


@dataclass(frozen=True, kw_only=True)
class Difference:
    """First minus second with a 95 % interval; ``paired`` where draws were matched one to one."""

    parameter: str
    difference: Estimate
    paired: bool

    @property
    def verdict(self) -> str:
        """Which is larger, as far as the data can tell."""
        if not np.isfinite(self.difference.width):
            return "not identifiable"
        if self.difference.holds(0.0):
            return "no difference seen"
        return "first larger" if self.difference.value > 0 else "second larger"


def compare(first: Fit, second: Fit, *, parameter: str = "alpha", paired: bool | None = None) -> Difference:
    """The difference of a parameter. ``paired`` None pairs draws when both fits have as many.

    Raises: BadInput when a fit lacks the parameter, or pairing is asked for without matching draws.
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
        cloud = _draws(first, parameter) - _draws(second, parameter)
        stretch = max(first.stretch, second.stretch)
        low, high = percentile(np.array([value]), cloud[:, None], stretch)
        estimate = Estimate(value=value, low=float(low[0]), high=float(high[0]))
        return Difference(parameter=parameter, difference=estimate, paired=True)
    estimate = Estimate(
        value=value,
        low=value - float(np.hypot(a.value - a.low, b.high - b.value)),
        high=value + float(np.hypot(a.high - a.value, b.value - b.low)),
    )
    return Difference(parameter=parameter, difference=estimate, paired=False)


def _draws(fitted: Fit, parameter: str) -> Array:
    points = fitted.points
    return find_law(fitted.law).physical(fitted.spread, points.log_unit, points.loss_unit)[parameter]
