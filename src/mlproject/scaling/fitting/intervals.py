"""95 % intervals of parameters: Student t, profiles, and bias-corrected accelerated (BCa) ones of refits.

Sources: Efron 1987 (J. Amer. Statist. Assoc. 82, 171), equations 2.3 and 6.6, for the BCa interval and its
acceleration a = sum u^3 / (6 (sum u^2)^1.5) from influence values u; DiCiccio and Efron 1996 (Statist. Sci.
11, 189). The ends of an ordinary bootstrap are the quantiles Phi(z0 + (z0 + z) / (1 - a (z0 + z))).
Replicates of the Bayesian bootstrap (Rubin 1981, exponential weights) have the same variance and twice the
skewness, so their distribution already contains the acceleration, and their median shift counts it twice.
Matching the Cornish-Fisher expansion of both gives Phi(z + 2 z0 - a) for them; without it, intervals of
skewed losses lie too high.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from scipy import special

from mlproject.scaling.fitting.least_squares import LeastSquares
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.fitting.profile_likelihood import Profile, derived_errors, gradients_of, inverse_slopes
from mlproject.scaling.laws.law import Array, ScalingLaw

LEVEL = 0.95
TAIL = 0.5 + LEVEL / 2.0
LEVELS = (1.0 - TAIL, 0.5, TAIL)  # of the lower limit, the median and the upper limit
NORMAL = float(special.ndtri(TAIL))
LEAST_UNITS = 20  # images; the skewness of fewer is too uncertain for a correction
REJECTED = 0.05  # probability of the residuals below which known noise is rejected
MOST_SHIFT = 0.8  # of the median of the replicates, in standard normal units
SAME = 1e-7  # relative distance of equal values: refits to equal losses, as of medians, differ by rounding
LOSSES = {"E", "L0"}  # amplitudes that the search carries unchanged


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its 95 % interval, in the units of the data.

    Where ``identified`` is False the data do not pin the value down, and only its limits are to be shown.
    """

    value: float
    low: float
    high: float
    identified: bool = True

    @property
    def width(self) -> float:
        """high - low."""
        return self.high - self.low

    def holds(self, value: float) -> bool:
        """Whether the interval contains a value."""
        return self.low <= value <= self.high

    def united(self, other: Estimate) -> Estimate:
        """The same value with limits that hold both intervals."""
        return replace(self, low=min(self.low, other.low), high=max(self.high, other.high))


def t_quantile(dof: float) -> float:
    """The factor of a two-sided 95 % interval: 12.7 at one degree of freedom, 1.96 at infinity."""
    return float(special.stdtrit(dof, TAIL)) if dof > 0 else float("inf")


def t_interval(value: float, standard_error: float, dof: float) -> Estimate:
    """The interval value -/+ t standard_error."""
    half = t_quantile(dof) * standard_error if standard_error > 0 else 0.0
    return Estimate(value=value, low=value - half, high=value + half)


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The variance of weighted residuals, and the factor of a 95 % interval for it.

    Known noise has variance 1 and the normal factor, or that of Student's t where it was itself estimated
    with few degrees of freedom, unless the residuals reject it at 5 % (chi-square or F): then the law or the
    noise is wrong, and the variance is estimated from the residuals with the factor of Student's t. Noise of
    which only a ``partial`` source is known has the variance of the residuals, at least 1, and that t. Where
    rows of a run share noise, parameters differ in their degrees of freedom: ``factors`` by name, of which
    ``factor`` is the largest.
    """

    variance: float
    factor: float
    dof: float
    rejected: bool = False
    partial: bool = False
    factors: Mapping[str, float] = field(default_factory=dict)

    def factor_of(self, name: str) -> float:
        """The factor of the interval of a parameter."""
        return self.factors.get(name, self.factor)

    def narrowed(self, estimates: dict[str, Estimate]) -> dict[str, Estimate]:
        """Intervals made with the largest factor, each brought to its own about its value."""
        out = {}
        for name, e in estimates.items():
            share = self.factor_of(name) / self.factor if np.isfinite(self.factor) else 1.0
            low, high = e.value - share * (e.value - e.low), e.value + share * (e.high - e.value)
            out[name] = e if share == 1.0 else replace(e, low=low, high=high)
        return out

    @property
    def limit(self) -> float:
        """How much the cost may exceed that of the optimum inside the 95 % region."""
        return self.variance * self.factor**2

    @property
    def stretch(self) -> float:
        """The factor on intervals of refits, which are those of normal replicates of variance 1.

        It is 1 for partial noise, where they are one of two sources of the interval.
        """
        return 1.0 if self.partial else float(self.factor * np.sqrt(self.variance) / NORMAL)


def estimate_noise(cost: float, dof: int, *, known: bool, noise_dof: float = float("inf")) -> Noise:
    """Noise from the sum of squared weighted residuals and its degrees of freedom.

    ``noise_dof`` are those behind known noise (``Points``).
    """
    partial = known and noise_dof == 0.0
    if dof <= 0:
        given = noise_dof if known else 0.0
        return Noise(variance=1.0, factor=_factor(given), dof=given, partial=partial)
    if partial:
        return Noise(variance=max(1.0, cost / dof), factor=t_quantile(dof), dof=dof, partial=True)
    rejected = known and _excess(cost, dof, noise_dof) < REJECTED
    if known and not rejected:
        return Noise(variance=1.0, factor=_factor(noise_dof), dof=noise_dof)
    return Noise(variance=cost / dof, factor=t_quantile(dof), dof=dof, rejected=rejected)


def _factor(dof: float) -> float:
    return NORMAL if np.isinf(dof) else t_quantile(dof)


def _excess(cost: float, dof: int, noise_dof: float) -> float:
    """The probability of residuals as large: of chi-square, or of F where the noise is an estimate."""
    if np.isinf(noise_dof):
        return float(special.chdtrc(dof, cost))
    return float(special.fdtrc(dof, noise_dof, cost / dof))


def bca_levels(
    value: Array, draws: Array, acceleration: Array, *, bayesian: bool = True
) -> tuple[Array, Array]:
    """Probabilities [k] at which draws [b, k] of values [k] give the ends of a 95 % interval."""
    same, edge = np.isclose(draws, value, rtol=SAME, atol=0.0), 1.0 / len(draws)
    below = np.mean((draws < value) & ~same, axis=0) + 0.5 * np.mean(same, axis=0)
    z0 = np.clip(special.ndtri(np.clip(below, edge, 1.0 - edge)), -MOST_SHIFT, MOST_SHIFT)
    ends = []
    for z in (-NORMAL, NORMAL):
        ordinary = z0 + (z0 + z) / (1.0 - acceleration * (z0 + z))
        ends.append(special.ndtr(z + 2.0 * z0 - acceleration if bayesian else ordinary))
    return ends[0], ends[1]


def bca(
    value: Array,
    draws: Array,
    acceleration: Array | float = 0.0,
    *,
    stretch: float = 1.0,
    bayesian: bool = True,
) -> tuple[Array, Array]:
    """Ends [k] of the 95 % interval of values [k] from draws [b, k], stretched about the values."""
    low, high = bca_levels(value, draws, np.broadcast_to(acceleration, value.shape), bayesian=bayesian)
    ordered = np.sort(draws, axis=0)
    ends = [_ordered_quantile(ordered, level) - value for level in (low, high)]
    return value + stretch * np.minimum(ends[0], 0.0), value + stretch * np.maximum(ends[1], 0.0)


def _ordered_quantile(ordered: Array, level: Array) -> Array:
    """The quantile [k] of each column of ordered draws [b, k] at the level [k] of that column."""
    place = level * (len(ordered) - 1)
    first = place.astype(np.intp)
    columns = np.arange(ordered.shape[1])
    below, above = ordered[first, columns], ordered[np.minimum(first + 1, len(ordered) - 1), columns]
    return np.asarray(below + (place - first) * (above - below))


def acceleration_of(influence: Array, variance: Array | float = 0.0) -> Array:
    """Acceleration [k] from influence values [n, k]; ``variance`` [k] of the draws where seeds add to it.

    Zero for fewer than ``LEAST_UNITS`` images: the interval is then only bias-corrected.
    """
    if len(influence) < LEAST_UNITS:
        return np.zeros(influence.shape[1])
    size = np.sqrt(np.maximum(np.sum(influence**2, axis=0), variance))
    usable = np.isfinite(size) & (size > 0)
    unit = influence / np.where(usable, size, np.inf)
    return np.asarray(np.sum(unit**3, axis=0) / 6.0)


def parameter_influence(problem: LeastSquares, theta: Array, influence: Array) -> Array:
    """Influence [n, p] of every image on the parameters [p], from that on ln y [n, m].

    To first order, the response of a fit to a relative change of its losses is the pseudo-inverse of its
    Jacobian. Parameters that are known or at a bound do not respond.
    """
    low, high = problem.bounds()
    inverse = inverse_slopes(problem, theta, (low < theta) & (theta < high))
    moved = problem.white(influence * (problem.y[0] if problem.linear else 1.0))
    return np.asarray(moved @ -inverse.T)


@dataclass(frozen=True, kw_only=True)
class Refits:
    """Parameters refitted to draws [b, p], and the influence of images on them [n, p] where it is known."""

    draws: Array
    influence: Array | None = None

    def interval(
        self, theta: Array, quantity: Callable[[Array], Array], stretch: float
    ) -> tuple[Array, Array]:
        """Ends [k] of the interval of quantities [g, k] of parameters [g, p], at the optimum theta [p]."""
        replicates = quantity(self.draws)
        return bca(
            quantity(theta[None])[0],
            replicates,
            self._acceleration(theta, quantity, replicates),
            stretch=stretch,
        )

    def _acceleration(self, theta: Array, quantity: Callable[[Array], Array], replicates: Array) -> Array:
        if self.influence is None:
            return np.zeros(replicates.shape[1])
        usable = np.nan_to_num(gradients_of(quantity, theta).T, posinf=0.0, neginf=0.0)
        with np.errstate(all="ignore"):  # amplitudes of a law that does not fit may have no variance
            return acceleration_of(self.influence @ usable, np.var(replicates, axis=0))


def estimate_parameters(
    points: Points, law: ScalingLaw, theta: Array, profiles: Profile, noise: Noise, refits: Refits | None
) -> dict[str, Estimate]:
    """Parameters in the units of the data, with intervals from the profiles or from the refits."""
    physical = partial(_physical, points, law)
    values, spread = physical(theta[None]), physical(profiles.paths if refits is None else refits.draws)
    out = {}
    for name, value in values.items():
        at, samples, positive = float(value[0]), spread[name], name not in _shape_names(law)
        if not np.isfinite(noise.factor):
            low, high = (0.0, np.inf) if positive else (-np.inf, np.inf)
        elif refits is None:
            low, high = float(samples.min()), float(samples.max())
        else:
            as_log = positive and at > 0 and bool(np.all(samples > 0))
            quantity = partial(_parameter, physical, name, as_log)
            ends = refits.interval(theta, quantity, noise.stretch)
            with np.errstate(over="ignore"):  # an end that the data leave open
                low, high = (float(np.exp(end[0]) if as_log else end[0]) for end in ends)
            low = max(low, 0.0) if positive else low
        out[name] = Estimate(value=at, low=low, high=high)
    return out


def _physical(points: Points, law: ScalingLaw, theta: Array) -> Mapping[str, Array]:
    with np.errstate(all="ignore"):  # amplitudes of steep laws overflow for a flat loss
        return law.physical(theta, points.log_unit, points.loss_unit)


def widen_amplitudes(
    points: Points, problem: LeastSquares, theta: Array, noise: Noise, parameters: dict[str, Estimate]
) -> dict[str, Estimate]:
    """Widen the intervals of amplitudes by those of the delta method.

    Amplitudes are losses at x = 1 in the unit of the data, which profiles of single parameters do not cover.
    """
    names = [n for n, e in parameters.items() if n not in LOSSES | _shape_names(problem.law) and e.value > 0]
    if not names or not np.isfinite(noise.factor):
        return parameters

    def logs(moved: Array) -> Array:
        values = _physical(points, problem.law, moved)
        return np.stack([np.log(np.maximum(values[name], 1e-300)) for name in names], axis=1)

    half = derived_errors(problem, theta, gradients_of(logs, theta)) * noise.factor * np.sqrt(noise.variance)
    wide = dict(parameters)
    for name, reach in zip(names, np.exp(np.minimum(half, 300.0)), strict=True):
        at = parameters[name]
        low, high = at.value / float(reach), at.value * float(reach)
        wide[name] = Estimate(value=at.value, low=min(at.low, low), high=max(at.high, high))
    return wide


def _parameter(
    physical: Callable[[Array], Mapping[str, Array]], name: str, as_log: bool, theta: Array
) -> Array:
    """A parameter [g, 1]; amplitudes other than a floor as logarithms."""
    values = physical(theta)[name][:, None]
    return np.log(np.maximum(values, 1e-300)) if as_log else values


def _shape_names(law: ScalingLaw) -> set[str]:
    return {shape.name for shape in law.shapes}
