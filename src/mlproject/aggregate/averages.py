"""Predictions beyond the data: laws averaged by their weights, each allowed to be a little wrong.

One law's band only knows the noise around that law; an average also knows the other laws, so it
is what a number for a scale that was never run should come from. Curves that carry no power law
(``shortcomings``) get none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlproject.aggregate.fits import LAWS, own_noise, shortcomings
from mlproject.aggregate.study import STATISTICS, Curve, Statistic
from mlproject.errors import Problem
from mlproject.scaling import Average, average


def averages(curve: Curve) -> Mapping[Statistic, Average]:
    """The averaged laws of the mean and of the median loss, where the curve carries them."""
    why = shortcomings(curve, LAWS["power"])
    if curve.n_scales < 3 or (why is not None and why.hopeless):
        return {}
    found = {statistic: _average(curve, statistic) for statistic in STATISTICS}
    return {statistic: one for statistic, one in found.items() if one is not None}


def _average(curve: Curve, statistic: Statistic) -> Average | None:
    draws = np.stack([point.draws[statistic] for point in curve.points], axis=1)
    values = curve.values(statistic)
    try:
        return average(curve.x, values, sd=own_noise(values, draws), draws=draws)
    except Problem:
        return None
