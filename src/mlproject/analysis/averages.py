"""Predictions beyond the data: laws averaged by their weights, each allowed to be a little wrong.

One law's band only knows the noise around that law; an average also knows the other laws, so it
is what a number for a scale that was never run should come from. Curves that carry no power law
(``shortcomings``) get none, nor do those whose loss rises, as every averaged law falls.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mlproject.analysis.fits import LAWS, own_noise, shortcomings
from mlproject.analysis.study import STATISTICS, Curve, Statistic
from mlproject.errors import MLProjectError
from mlproject.scaling import Average, Prediction, average
from mlproject.scaling.fitting.points import read_points
from mlproject.scaling.fitting.verdict import rises

LEAST_HELD = 4
"""Distinct scales before the largest is held out: the others must carry an average."""


def averages(curve: Curve) -> Mapping[Statistic, Average]:
    """The averaged laws of the mean and of the median loss, where the curve carries them."""
    why = shortcomings(curve, LAWS["power"])
    if curve.n_scales < 3 or (why is not None and why.hopeless):
        return {}
    found = {statistic: _average(curve, statistic) for statistic in STATISTICS}
    return {statistic: one for statistic, one in found.items() if one is not None}


def held_out(curve: Curve) -> Mapping[Statistic, Prediction]:
    """The largest scale predicted over all laws from the smaller ones, where they are enough."""
    if not curve.averages or curve.n_scales < LEAST_HELD:
        return {}
    rest = curve.x < curve.x[-1]
    found = {statistic: _average(curve, statistic, rest) for statistic in curve.averages}
    return {statistic: one.predict(curve.x[-1:]) for statistic, one in found.items() if one is not None}


def _average(curve: Curve, statistic: Statistic, rows: NDArray[np.bool_] | None = None) -> Average | None:
    kept = np.ones(len(curve.points), bool) if rows is None else rows
    draws = np.stack([point.draws[statistic] for point in curve.points], axis=1)[:, kept]
    values = curve.values(statistic)[kept]
    sd = own_noise(values, draws)
    try:
        if rises(read_points(curve.x[kept], values, sd=sd, draws=None, ceiling=None)):
            return None  # every averaged law falls
        return average(curve.x[kept], values, sd=sd, draws=draws)
    except MLProjectError:
        return None
