"""Fits of a curve: both laws on the mean and the median loss, and when not to fit at all.

A law of p parameters needs p + 2 scales before its verdict can be anything but *not identifiable*, and
p + 1 before it is fitted; below a factor of two in x nothing is fitted, as no exponent could be told
from the noise of the points. Three close models are refused twice over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlproject.aggregate.study import STATISTICS, Curve, Floats, ImageExponents, Statistic, Verdict
from mlproject.errors import Problem
from mlproject.scaling import Fit, fit, image_exponents

LAWS = {"power": 2, "power_floor": 3}
"""The laws that are fitted, and how many parameters each has."""
UNIDENTIFIABLE = "not identifiable"
NARROW = 2.0
DECADE = 10.0


def verdicts(curve: Curve) -> tuple[Verdict, ...]:
    """What each law says of each statistic; nothing for a curve of one point."""
    if len(curve.points) < 2:
        return ()
    return tuple(_verdict(curve, statistic, law) for statistic in STATISTICS for law in LAWS)


def _verdict(curve: Curve, statistic: Statistic, law: str) -> Verdict:
    why = shortcomings(curve, LAWS[law])
    fitted: Fit | None = None
    if why is None or not why.hopeless:
        fitted, refusal = _fit(curve, statistic, law)
        if fitted is None:
            return _said(statistic, law, None, UNIDENTIFIABLE, refusal)
    if why is not None:
        return _said(statistic, law, fitted, UNIDENTIFIABLE, why.text)
    assert fitted is not None
    return _said(statistic, law, fitted, fitted.verdict, fitted.reason)


def _said(statistic: Statistic, law: str, fitted: Fit | None, verdict: str, reason: str) -> Verdict:
    return Verdict(statistic=statistic, law=law, fit=fitted, verdict=verdict, reason=reason)


@dataclass(frozen=True)
class Shortcomings:
    """Why a curve cannot carry a law; ``hopeless`` where it is not even fitted."""

    text: str
    hopeless: bool


def shortcomings(curve: Curve, n_parameters: int) -> Shortcomings | None:
    """What a curve lacks for a law with so many parameters, or None."""
    n, factor = len(curve.points), float(curve.x[-1] / curve.x[0])
    few, narrow = n < n_parameters + 2, factor < NARROW
    if not few and not narrow:
        return None
    said = [_few(n, n_parameters)] if few else []
    if factor < DECADE:
        said.append(f"{curve.axis.name} spans a factor of {factor:.2g}, under a decade")
    hopeless = narrow or n < n_parameters + 1
    return Shortcomings("; ".join(said) + ("; not fitted" if hopeless else ""), hopeless)


def _few(n: int, n_parameters: int) -> str:
    freedom = n - n_parameters
    text = f"{n} scales for {n_parameters} parameters, at least {n_parameters + 2} needed"
    return f"{text} (one degree of freedom: t = 12.7)" if freedom == 1 else text


def _fit(curve: Curve, statistic: Statistic, law: str) -> tuple[Fit | None, str]:
    draws = np.stack([point.draws[statistic] for point in curve.points], axis=1)
    try:
        return fit(curve.x, curve.values(statistic), law=law, draws=draws), ""
    except Problem as error:
        return None, f"not fitted: {error}"


def per_image(curve: Curve) -> ImageExponents | None:
    """Exponents per image over the images that every size judged; needs three sizes and three images."""
    complete = ~np.isnan(curve.losses).any(axis=1)
    losses: Floats = curve.losses[complete]
    positive = (losses > 0).all(axis=1)
    if len(curve.points) < 3 or positive.sum() < 3:
        return None
    ids = np.array(curve.image_ids, dtype=object)[complete][positive]
    found = image_exponents(curve.x, losses[positive])
    return ImageExponents(
        image_ids=tuple(ids),
        exponent=found.exponents,
        standard_error=found.standard_errors,
        shrunk=found.shrunk,
        scales=found.discoveries,
    )
