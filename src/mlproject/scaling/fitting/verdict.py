"""Whether the data can answer: *scaling*, *flat* or *not identifiable*, with the reason and the remedy.

A verdict never drops a number: exponents below zero, floors at zero and exponents at their bounds are
flags beside it. Source of the rules: a fit with fewer distinct scales than parameters + 1 has no check
(Besiroglu et al. 2024; Kricheli et al. 2026, arXiv 2605.08541); a profile that does not close means that
the data do not bound the parameter (Raue et al. 2009, Bioinformatics 25, 1923).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mlproject.scaling.fitting.intervals import Estimate, Noise, Profile, read_noise, t_interval
from mlproject.scaling.fitting.least_squares import LeastSquares
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.laws.law import Array, ScalingLaw

SCALING, FLAT, UNIDENTIFIABLE = "scaling", "flat", "not identifiable"
EXPONENTS = {"alpha", "beta", "gamma", "delta", "alpha1"}
LOSSES = frozenset({"E", "L0"})
FLAT_WITHIN = 0.1  # an average slope inside -/+ this is flat: at most a fifth of the loss per decade
ROUNDING = 1e-9  # slopes below it are those of a constant in floating point
COLLINEAR = 0.995  # correlation of ln N and ln D from which a design is a line
WIDEST = 2.0  # an exponent's interval may be this many times as wide as its value


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A verdict, one plain sentence of reason, flags, and the parameters that the data pin down."""

    verdict: str
    reason: str
    flags: tuple[str, ...] = ()
    identified: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a verdict is read from: the points, the fitted law and everything that was found about it."""

    points: Points
    law: ScalingLaw
    problem: LeastSquares
    theta: Array
    parameters: Mapping[str, Estimate]
    profiles: Profile
    noise: Noise
    robust: Mapping[str, float]


def judge(seen: Evidence) -> Judged:
    """The verdict on a fitted law."""
    flags = tuple(find_flags(seen) + find_moved(seen))
    slopes = average_slopes(seen.points)
    slope = slopes[0] if len(slopes) == 1 else None
    needed = seen.law.n_free(seen.points.ceiling) + 1 - seen.points.n_scales
    if slopes and all(map(is_flat, slopes)):
        told = f"slope {_show(slopes[0])} holds" if slope else f"slopes {', '.join(map(_show, slopes))} hold"
        text = f"the average {told} 0 and nothing steeper than {FLAT_WITHIN:g}"
        return Judged(verdict=FLAT, reason=text, flags=flags, identified=_identified(seen, flat=True))
    if needed > 0:
        return Judged(verdict=UNIDENTIFIABLE, reason=_too_few(seen.points, seen.law, needed), flags=flags)
    together, known = collinear(seen.points), _identified(seen, flat=False)
    trouble = together or _first_trouble(seen)
    if trouble is not None:
        rest = "" if slope is None else f"; the average slope is {_show(slope)}"
        some = frozenset() if together else known
        return Judged(verdict=UNIDENTIFIABLE, reason=trouble + rest, flags=flags, identified=some)
    said = _praise(seen) + ("" if not flags else f"; {flags[0]}")
    return Judged(verdict=SCALING, reason=said, flags=flags, identified=known)


def exponents(law: ScalingLaw) -> tuple[str, ...]:
    """The shapes that are exponents of an axis (the others are places, sharpnesses, couplings)."""
    return tuple(shape.name for shape in law.shapes if shape.name in EXPONENTS)


def average_slope(points: Points) -> Estimate | None:
    """Minus the slope of the straight line in log-log space, with its interval; one axis only."""
    slopes = average_slopes(points) if points.x.shape[1] == 1 else ()
    return slopes[0] if slopes else None


def average_slopes(points: Points) -> tuple[Estimate, ...]:
    """Minus the slopes of the plane of ln y over ln x, one for each axis; none where no error can be told.

    Weighted least squares, which is the power law's optimum: the design has one constant and every axis.
    """
    log_x = points.scaled(points.x)
    if points.n_scales < 2:
        return ()
    weights = np.ones(len(points.y)) if points.sd is None else points.y / points.sd
    design = np.concatenate([np.ones((len(log_x), 1)), -log_x], axis=1) * weights[:, None]
    inverse = np.linalg.pinv(design, rcond=1e-10)
    target = np.log(points.y / points.loss_unit) * weights
    found = inverse @ target
    dof = len(points.y) - int(np.linalg.matrix_rank(design))
    noise = read_noise(float(np.sum((target - design @ found) ** 2)), dof, known=points.noise_known)
    if not np.isfinite(noise.factor):
        return ()
    errors = np.linalg.norm(inverse, axis=1) * np.sqrt(noise.variance)
    return tuple(t_interval(float(found[j]), float(errors[j]), noise.dof) for j in range(1, len(found)))


def is_flat(slope: Estimate) -> bool:
    """Whether a slope holds 0 and nothing steeper than ``FLAT_WITHIN``, or is that of a constant."""
    steepest = max(-slope.low, slope.high)
    return steepest <= ROUNDING or (slope.holds(0.0) and steepest <= FLAT_WITHIN)


def rises(points: Points) -> bool:
    """Whether the loss rises along its only axis, which only a power law follows."""
    return points.x.shape[1] == 1 and bool(rising_axes(points))


def rising_axes(points: Points) -> tuple[int, ...]:
    """Axes, counted from 1, along which the loss rises."""
    slopes = enumerate(average_slopes(points), 1)
    return tuple(axis for axis, slope in slopes if slope.high < 0.0 and not is_flat(slope))


def find_flags(seen: Evidence) -> list[str]:
    """Facts that a reader must see beside the parameters."""
    low, high = seen.problem.bounds()
    names, flags = seen.law.names, []
    for j, name in enumerate(names):
        if low[j] == high[j]:
            continue
        if name == "E" and seen.theta[j] <= 0.0:
            flags.append("E is at zero: no floor is seen within the data")
        elif seen.theta[j] <= low[j] or seen.theta[j] >= high[j]:
            flags.append(f"{name} is at its bound {seen.theta[j]:.3g}")
    flags += [f"{name} is negative" for name in exponents(seen.law) if seen.theta[names.index(name)] < 0]
    if seen.noise.rejected:
        flags.append("residuals are larger than the known noise: intervals use the residuals")
    return flags


def find_moved(seen: Evidence) -> list[str]:
    """Exponents and floors that move by more than one standard error under Huber's loss."""
    flags = []
    for name in (*exponents(seen.law), "E"):
        found = seen.parameters.get(name)
        if found is None or not np.isfinite(found.width):
            continue
        error = max(found.width / (2.0 * seen.noise.factor), 1e-6 * abs(found.value))
        if abs(seen.robust[name] - found.value) > error:
            where = f"{name} moves to {seen.robust[name]:.3g}"
            flags.append(f"{where} under a robust loss, more than one standard error")
    return flags


def collinear(points: Points) -> str | None:
    """The reason when the axes move together, so that no design of this kind tells them apart."""
    log_x = points.scaled(points.x)
    if log_x.shape[1] < 2:
        return None
    flat = [i + 1 for i in range(log_x.shape[1]) if np.ptp(log_x[:, i]) < 1e-9]
    if flat:
        return f"axis {flat[0]} has a single value: vary it"
    apart = np.abs(np.corrcoef(log_x, rowvar=False)) > COLLINEAR
    together = np.argwhere(np.triu(apart, 1)) + 1
    if not len(together):
        return None
    which = "the two axes" if log_x.shape[1] == 2 else f"axes {together[0][0]} and {together[0][1]}"
    return f"{which} move together, so their exponents cannot be told apart: add cells off the line"


def _first_trouble(seen: Evidence) -> str | None:
    troubles = (_trouble(seen, name) for name in exponents(seen.law))
    return next((trouble for trouble in troubles if trouble is not None), None)


def _trouble(seen: Evidence, name: str) -> str | None:
    """Why the data do not pin down a parameter that the search carries by this name, with the remedy."""
    estimate, j, remedy = seen.parameters[name], seen.law.names.index(name), _remedy(seen.points)
    if not np.isfinite(estimate.width):
        return f"no degree of freedom is left to judge {name}; {remedy}"
    if seen.profiles.open_low[j] or seen.profiles.open_high[j]:
        side = "below" if seen.profiles.open_low[j] else "above"
        return f"the data do not bound {name} {_limits(estimate)} from {side}; {remedy}"
    if estimate.holds(0.0) or estimate.width > WIDEST * abs(estimate.value):
        return f"the interval of {name} {_limits(estimate)} is too wide to tell; {remedy}"
    return None


def _identified(seen: Evidence, *, flat: bool) -> frozenset[str]:
    """The parameters that may be told as numbers; the others have an interval at most.

    Exponents and losses (E, L0) stand by themselves; a loss that may be 0 is an upper limit. All others
    (amplitudes at x = 1, places, couplings) have a meaning only beside exponents that are known. Of a loss
    that is flat, a power law without a floor tells how steep it is at most.
    """
    if flat and "E" not in seen.law.names:
        return frozenset(seen.parameters)
    own = {*(() if flat else exponents(seen.law)), *LOSSES.intersection(seen.law.names)}
    known = {name for name in own if _trouble(seen, name) is None}
    if not flat and known.issuperset(exponents(seen.law)):
        rest = {name: one for name, one in seen.parameters.items() if name not in own}
        known |= {name for name, one in rest.items() if np.isfinite(one.width)}
    return frozenset(known)


def _praise(seen: Evidence) -> str:
    found = {name: seen.parameters[name] for name in exponents(seen.law)}
    steep = ", ".join(f"{name} {_show(estimate)}" for name, estimate in found.items())
    rising = any(estimate.high < 0 for estimate in found.values())
    return f"{steep}: the loss {'rises' if rising else 'falls'} with scale"


def _too_few(points: Points, law: ScalingLaw, needed: int) -> str:
    free = law.n_free(points.ceiling)
    more = "one more scale" if needed == 1 else f"{needed} more scales"
    beyond = "" if points.x.shape[1] > 1 else f", best above {points.x.max():,.4g}"
    short = f"{points.n_scales} distinct scales cannot carry the {free} parameters of {law.name} and a check"
    return f"{short}; add {more}{beyond}"


def _remedy(points: Points) -> str:
    if points.x.shape[1] > 1:
        return "more cells further apart on both axes, or more seeds and images, would tell"
    return f"two more scales above {points.x.max():,.4g}, or more seeds and images, would tell"


def _show(estimate: Estimate) -> str:
    return f"{estimate.value:.3g} {_limits(estimate)}"


def _limits(estimate: Estimate) -> str:
    return f"[{estimate.low:.3g}, {estimate.high:.3g}]"
