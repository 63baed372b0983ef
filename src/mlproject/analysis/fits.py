"""Fits of a curve: both laws on the mean and the median loss, and when not to fit at all.

A law of p parameters needs p + 2 scales before it may be called *scaling*, and p + 1 before it is
fitted; below a factor of two in x nothing is fitted, as no exponent could be told from the noise of the
points. Three close models are refused twice over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlproject.analysis.bootstrap import influence
from mlproject.analysis.study import STATISTICS, Curve, Floats, Statistic, Verdict
from mlproject.errors import MLProjectError
from mlproject.scaling import Fit, ImageExponents, fit, image_exponents

LAWS = {"power": 2, "power_floor": 3}
"""The laws that are fitted, and how many parameters each has."""
UNIDENTIFIABLE = "not identifiable"
NARROW = 2.0
DECADE = 10.0


def verdicts(curve: Curve) -> tuple[Verdict, ...]:
    """What each law says of each statistic; nothing for a curve of one point."""
    if curve.n_scales < 2:
        return ()
    return tuple(_verdict(curve, statistic, law) for statistic in STATISTICS for law in LAWS)


def _verdict(curve: Curve, statistic: Statistic, law: str) -> Verdict:
    why = shortcomings(curve, LAWS[law])
    fitted, refusal = (None, "") if why is not None and why.hopeless else _fit(curve, statistic, law)
    known = frozenset() if fitted is None else fitted.identified
    if fitted is None:
        verdict, reason = UNIDENTIFIABLE, refusal if why is None else why.text
    elif why is None:
        verdict, reason = fitted.verdict, fitted.reason
    else:
        verdict = UNIDENTIFIABLE if fitted.verdict == "scaling" else fitted.verdict
        reason = f"{why.text}; {fitted.reason}"
        known = known if verdict == "flat" else frozenset()
    return Verdict(statistic=statistic, law=law, fit=fitted, verdict=verdict, reason=reason, identified=known)


@dataclass(frozen=True)
class Shortcomings:
    """Why a curve cannot carry a law; ``hopeless`` where it is not even fitted."""

    text: str
    hopeless: bool


def shortcomings(curve: Curve, n_parameters: int) -> Shortcomings | None:
    """What a curve lacks for a law with so many parameters, or None."""
    n, factor = curve.n_scales, float(curve.x[-1] / curve.x[0])
    few, narrow = n < n_parameters + 2, factor < NARROW
    if not few and not narrow:
        return None
    said = [_few(n, n_parameters)] if few else []
    if factor < DECADE:
        said.append(f"the range of {curve.axis.name} is a factor of {factor:.2g}, under a decade")
    hopeless = narrow or n < n_parameters + 1
    return Shortcomings("; ".join(said) + ("; not fitted" if hopeless else ""), hopeless)


def _few(n: int, n_parameters: int) -> str:
    freedom = n - n_parameters
    text = f"{n} scales for {n_parameters} parameters, at least {n_parameters + 2} needed"
    return f"{text} (one degree of freedom is left: t = 12.7)" if freedom == 1 else text


def _fit(curve: Curve, statistic: Statistic, law: str) -> tuple[Fit | None, str]:
    draws = np.stack([point.draws[statistic] for point in curve.points], axis=1)
    values = curve.values(statistic)
    moved = influence(curve.losses) if statistic == "mean" else None
    try:
        return fit(curve.x, values, law=law, sd=own_noise(values, draws), draws=draws, influence=moved), ""
    except MLProjectError as error:
        return None, f"not fitted: {error}"


def own_noise(values: Floats, draws: Floats) -> Floats | None:
    """The noise [points] that scales do not share, from their replicates [draws, points].

    Hard images raise every scale alike: that moves a law's amplitude, not its shape. Counted as noise of
    each point it would hide a law that bends away from the data, so each draw's common factor is left out.
    """
    if not (draws > 0).all():
        return None
    logs = np.log(draws)
    own = logs - logs.mean(axis=1, keepdims=True)
    n = draws.shape[1]
    relative: Floats = np.maximum(own.std(axis=0, ddof=1) * np.sqrt(n / (n - 1)), 1e-6)
    return values * relative


def per_image(curve: Curve) -> ImageExponents | None:
    """Exponents per image; None below three sizes, or where no image was judged at every size."""
    if curve.n_scales < 3 or np.isnan(curve.losses).any(axis=1).all():
        return None
    try:
        return image_exponents(curve.x, curve.losses)
    except MLProjectError:
        return None
