"""The verdict on a fitted law, *scaling*, *flat* or *not identifiable*, with its reason and the remedy.

A verdict never drops a number: exponents below zero, floors at zero and exponents at their bounds are flags
beside it. Sources of the rules: a fit with as many parameters as distinct scales cannot be checked
(Besiroglu et al. 2024; Kricheli et al. 2026, arXiv 2605.08541); a profile that does not close means that
the data do not bound the parameter (Raue et al. 2009, Bioinformatics 25, 1923).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlproject.scaling.fitting.intervals import LOSSES, Estimate, Noise
from mlproject.scaling.fitting.least_squares import LeastSquares
from mlproject.scaling.fitting.numbers_as_text import interval_text, scale_text
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.fitting.profile_likelihood import Profile
from mlproject.scaling.fitting.slopes import FLAT_WITHIN, average_slopes, is_flat
from mlproject.scaling.laws import scales_needed
from mlproject.scaling.laws.law import Array, ScalingLaw

SCALING, FLAT, UNIDENTIFIABLE = "scaling", "flat", "not identifiable"
EXPONENTS = {"alpha", "beta", "gamma", "delta", "alpha1"}
COLLINEAR = 0.995  # correlation of ln N and ln D above which a design is a line
LEAST_VALUES = 3  # distinct values of each axis of a grid
DECADE = 10.0
MOST_WEIGHT = 0.5  # from which on the parameters of one law are part of the answer
NARROW = 2.0  # ratio of largest to smallest scale below which no law is fitted
WIDEST = 2.0  # largest width of the interval of an exponent, relative to its value


@dataclass(frozen=True, kw_only=True)
class FitVerdict:
    """A verdict, its reason in one sentence, flags, and the parameters that the data pin down."""

    verdict: str
    reason: str
    flags: tuple[str, ...] = ()
    identified: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A fitted law and what its verdict depends on."""

    points: Points
    law: ScalingLaw
    problem: LeastSquares
    theta: Array
    parameters: Mapping[str, Estimate]
    profiles: Profile
    noise: Noise
    robust: Mapping[str, float]


def find_verdict(fitted: Evidence) -> FitVerdict:
    """The verdict on a fitted law."""
    flags = tuple(find_flags(fitted) + sensitive_to_outliers(fitted))
    slopes = average_slopes(fitted.points)
    slope = slopes[0] if len(slopes) == 1 else None
    if slopes and all(map(is_flat, slopes)):
        steepest = ", ".join(map(_show, slopes))
        text = f"slope {steepest} includes" if slope else f"slopes {steepest} include"
        reason = f"the average {text} 0 and nothing steeper than {FLAT_WITHIN:g}"
        return FitVerdict(verdict=FLAT, reason=reason, flags=flags, identified=_identified(fitted, flat=True))
    if shortage := too_few_scales(fitted.points, fitted.law, fitted.noise):
        return FitVerdict(verdict=UNIDENTIFIABLE, reason=shortage, flags=flags)
    confounded, identified = collinear(fitted.points), _identified(fitted, flat=False)
    problem = confounded or _first_problem(fitted)
    if problem is None:
        reason = _exponents_text(fitted) + ("" if not flags else f"; {flags[0]}")
        return FitVerdict(verdict=SCALING, reason=reason, flags=flags, identified=identified)
    reason = problem + ("" if slope is None else f"; the average slope is {_show(slope)}")
    bound = frozenset() if confounded else identified
    return FitVerdict(verdict=UNIDENTIFIABLE, reason=reason, flags=flags, identified=bound)


def too_few_scales(points: Points, law: ScalingLaw, noise: Noise | None = None) -> str:
    """Why the points have too few distinct scales for a law, with the remedy; empty where they suffice.

    Where ``noise``, that of a fit (by default estimated from the residuals), has a single degree of freedom,
    the reason says so.
    """
    n, n_parameters = points.n_scales, law.n_free(points.ceiling)
    needed = scales_needed(law.axes, n_parameters)
    if n >= needed:
        return ""
    more = "one more scale" if needed - n == 1 else f"{needed - n} more scales"
    where = "" if law.axes > 1 else f", best above {scale_text(points.x.max())}"
    single = n >= n_parameters and (len(points.y) - n_parameters if noise is None else noise.dof) == 1
    last = " (one degree of freedom is left: t = 12.7)" if single else ""
    there = "1 scale" if n == 1 else f"{n} scales"
    text = f"{there} for the {n_parameters} parameters of {law.name}, at least {needed} needed"
    return f"{text}{last}; add {more}{where}"


def grid_shortage(x: Array, axes: Sequence[str] = ("N", "D")) -> str:
    """What cells x [m, axes] lack for laws of all their axes, whatever their losses; empty for nothing."""
    counts = [len(np.unique(column)) for column in x.T]
    if min(counts) < LEAST_VALUES:
        grid = " × ".join(f"{n} value{'s' * (n > 1)} of {name}" for n, name in zip(counts, axes, strict=True))
        return f"{grid}, at least {LEAST_VALUES} of each needed"
    for name, span in zip(axes, x.max(axis=0) / x.min(axis=0), strict=True):
        if span < NARROW:
            return f"the range of {name} is a factor of {span:.3g}, at least {NARROW:g} needed"
    n_cells = len(np.unique(x, axis=0))
    needed = scales_needed(x.shape[1])
    return f"{n_cells} cells, at least {needed} needed" if n_cells < needed else ""


def not_fitted(points: Points, law: ScalingLaw, axis: str) -> str:
    """Why a law is not fitted to a curve along ``axis``; empty where it is. Grids are checked as a whole."""
    factor = float(points.x.max() / points.x.min())
    few = points.n_scales <= law.n_free(points.ceiling)
    if points.x.shape[1] > 1 or not (few or factor < NARROW):
        return ""
    reasons = [too_few_scales(points, law)]
    if factor < DECADE:
        reasons.append(f"the range of {axis} is a factor of {factor:.3g}, under a decade")
    return "; ".join([*filter(None, reasons), "not fitted"])


def carrying(law: str, weight: float, parameters: Mapping[str, Estimate]) -> str:
    """A law with its identified exponents and losses where it carries most of the weight; else nothing."""
    named = [(name, e) for name, e in parameters.items() if e.identified and name in EXPONENTS | LOSSES]
    text = ", ".join(f"{name} {_show(estimate)}" for name, estimate in named)
    return f"{law} carries {weight:.0%} of the weight: {text}" if text and weight >= MOST_WEIGHT else ""


def verdict_over_laws(points: Points, local: Estimate, floor: Estimate, law: str) -> tuple[str, str]:
    """The verdict on a curve by its local exponent at the largest scale; ``law`` is that of ``carrying``."""
    largest = scale_text(points.x.max())
    limit = f"no floor above {floor.high:.3g}" if floor.high < points.y.min() else "any floor below the data"
    end = f"irreducible loss {_show(floor)}" if floor.identified else f"{limit} fits"
    if local.holds(0.0) and local.high <= FLAT_WITHIN and average_slopes(points)[0].low > 0.0:
        reason = f"the loss fell and levels off: exponent {_limits(local)} at {largest}, over all laws; {end}"
    elif local.holds(0.0) or local.width > WIDEST * abs(local.value):
        reason = f"the interval of the exponent at {largest} over all laws {_limits(local)} is too wide"
        return UNIDENTIFIABLE, f"{reason} for a conclusion; {_remedy(points)}"
    else:
        way = "rises" if local.high < 0.0 else "falls"
        reason = f"the loss {way} with exponent {_show(local)} at {largest}, over all laws; {end}"
    return SCALING, reason + (f"; {law}" if law else "")


def exponents(law: ScalingLaw) -> tuple[str, ...]:
    """The shapes that are exponents of an axis (others are locations, widths of breaks, couplings)."""
    return tuple(shape.name for shape in law.shapes if shape.name in EXPONENTS)


def find_flags(fitted: Evidence) -> list[str]:
    """Warnings to show beside the parameters."""
    low, high = fitted.problem.bounds()
    names, flags = fitted.law.names, []
    for j, name in enumerate(names):
        if low[j] == high[j]:
            continue
        if name == "E" and fitted.theta[j] <= 0.0:
            flags.append("E is at zero: the data show no floor")
        elif fitted.theta[j] <= low[j] or fitted.theta[j] >= high[j]:
            flags.append(f"{name} is at its bound {fitted.theta[j]:.3g}")
    flags += [f"{name} is negative" for name in exponents(fitted.law) if fitted.theta[names.index(name)] < 0]
    if fitted.noise.rejected:
        flags.append("the residuals are larger than the known noise: intervals use the residuals")
    return flags


def sensitive_to_outliers(fitted: Evidence) -> list[str]:
    """Exponents and floors that change by more than one standard error under Huber's loss."""
    flags = []
    for name in (*exponents(fitted.law), "E"):
        estimate = fitted.parameters.get(name)
        if estimate is None or not np.isfinite(estimate.width):
            continue
        error = max(estimate.width / (2.0 * fitted.noise.factor_of(name)), 1e-6 * abs(estimate.value))
        if abs(fitted.robust[name] - estimate.value) > error:
            change = f"{name} changes to {fitted.robust[name]:.3g} under a robust loss"
            flags.append(f"{change}, by more than one standard error")
    return flags


def collinear(points: Points) -> str | None:
    """Why the design cannot separate the axes, or None: an axis does not vary, or two are collinear."""
    log_x = points.scaled(points.x)
    if log_x.shape[1] < 2:
        return None
    flat = [i + 1 for i in range(log_x.shape[1]) if np.ptp(log_x[:, i]) < 1e-9]
    if flat:
        return f"axis {flat[0]} has a single value: vary it"
    aligned = np.abs(np.corrcoef(log_x, rowvar=False)) > COLLINEAR
    together = np.argwhere(np.triu(aligned, 1)) + 1
    if not len(together):
        return None
    which = "the two axes" if log_x.shape[1] == 2 else f"axes {together[0][0]} and {together[0][1]}"
    return f"{which} move together, so their exponents cannot be separated: add cells off the line"


def _first_problem(fitted: Evidence) -> str | None:
    problems = (_problem(fitted, name) for name in exponents(fitted.law))
    return next((problem for problem in problems if problem is not None), None)


def _problem(fitted: Evidence, name: str) -> str | None:
    """Why the data do not pin down a scaled parameter of this name, with the remedy."""
    estimate, j, remedy = fitted.parameters[name], fitted.law.names.index(name), _remedy(fitted.points)
    if not np.isfinite(estimate.width):
        return f"no degree of freedom is left to estimate the error of {name}; {remedy}"
    if fitted.profiles.open_low[j] or fitted.profiles.open_high[j]:
        side = "below" if fitted.profiles.open_low[j] else "above"
        return f"the data do not bound {name} {_limits(estimate)} from {side}; {remedy}"
    if estimate.holds(0.0) or estimate.width > WIDEST * abs(estimate.value):
        return f"the interval of {name} {_limits(estimate)} is too wide for a conclusion; {remedy}"
    return None


def _identified(fitted: Evidence, *, flat: bool) -> frozenset[str]:
    """The parameters that the data pin down; the others have an interval at most.

    Exponents and losses (E, L0) are decided one by one; a loss whose interval includes 0 is an upper limit.
    All others (amplitudes at x = 1, locations, couplings) have a meaning only together with identified
    exponents. For a flat loss, the power law without a floor bounds the slope.
    """
    if flat and "E" not in fitted.law.names:
        return frozenset(fitted.parameters)
    single = {*(() if flat else exponents(fitted.law)), *LOSSES.intersection(fitted.law.names)}
    identified = {name for name in single if _problem(fitted, name) is None}
    if not flat and identified.issuperset(exponents(fitted.law)):
        others = (item for item in fitted.parameters.items() if item[0] not in single)
        identified |= {name for name, estimate in others if np.isfinite(estimate.width)}
    return frozenset(identified)


def _exponents_text(fitted: Evidence) -> str:
    estimates = {name: fitted.parameters[name] for name in exponents(fitted.law)}
    text = ", ".join(f"{name} {_show(estimate)}" for name, estimate in estimates.items())
    rising = any(estimate.high < 0 for estimate in estimates.values())
    return f"{text}: the loss {'rises' if rising else 'falls'} with scale"


def _remedy(points: Points) -> str:
    if points.x.shape[1] > 1:
        return "add cells further apart on both axes, or more seeds and images"
    return f"add two scales above {scale_text(points.x.max())}, or more seeds and images"


def _show(estimate: Estimate) -> str:
    return interval_text(estimate.value, estimate.low, estimate.high)


def _limits(estimate: Estimate) -> str:
    return interval_text(None, estimate.low, estimate.high)
