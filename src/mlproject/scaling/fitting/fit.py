"""Fit one law: parameters with intervals, a verdict, predictions for scales that were never run.

Source: the estimator is variable projection on log losses (see ``solve``), the intervals are profile
likelihood, or percentiles of refits where the caller gives replicates of the losses (see ``intervals``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from mlproject.errors import BadInput
from mlproject.scaling.fitting.bca import Refits, pull
from mlproject.scaling.fitting.estimates import estimates, stretch, widen_amplitudes
from mlproject.scaling.fitting.intervals import (
    Estimate,
    Noise,
    Profile,
    condition_number,
    profile,
    read_noise,
)
from mlproject.scaling.fitting.least_squares import LeastSquares, polish, refit, solve
from mlproject.scaling.fitting.points import Points, read_points
from mlproject.scaling.fitting.prediction_profile import furthest
from mlproject.scaling.fitting.robust import huber_weights, physical_values
from mlproject.scaling.fitting.verdict import Evidence, Judged, judge
from mlproject.scaling.laws.law import Array, ScalingLaw
from mlproject.scaling.laws.table import LAWS, find_law
from mlproject.scaling.threads import one_thread

LINEAR = "linear loss"
OPINION_ROUNDS = 30  # of reweighting in the second opinion
SETTLED = 1e-5  # its relative change at the end: it is read to a fraction of a standard error


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Losses [n] with 95 % intervals: of the mean over runs, and of one new run; horizon [n] beyond the data.

    ``horizon`` is how many times further than the largest (or smallest) scale a prediction reaches; 1 inside.
    """

    mean: Array
    low: Array
    high: Array
    new_run_low: Array
    new_run_high: Array
    horizon: Array


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One law on one set of points. ``residuals`` are ln y - ln L [m]; losses and x keep their units.

    ``verdict`` is "scaling", "flat" or "not identifiable"; ``reason`` says why and what would change it;
    ``identified`` names the parameters that the data pin down, the others have an interval at most;
    ``robust`` are the parameters under Huber's loss, the second opinion;
    ``condition`` is the condition number of the scaled information matrix;
    ``held_out_error`` is ln(predicted / observed) on the largest scale when fitted without it.
    """

    law: str
    parameters: Mapping[str, Estimate]
    robust: Mapping[str, float]
    verdict: str
    reason: str
    flags: tuple[str, ...]
    identified: frozenset[str]
    n_scales: int
    dof: int
    residuals: Array
    residual_sd: float
    space: str
    held_out_error: float | None
    condition: float
    ceiling: float | None
    points: Points = field(repr=False)
    theta: Array = field(repr=False)
    spread: Array = field(repr=False)
    refits: Refits | None = field(repr=False)
    noise: Noise = field(repr=False)

    @property
    def from_draws(self) -> bool:
        """Whether intervals come from replicates of the losses."""
        return self.refits is not None

    @property
    def stretch(self) -> float:
        """What refits, which carry only the noise of the draws, lack when residuals reject that noise."""
        return stretch(self.noise)

    def predict(self, x: ArrayLike) -> Prediction:
        """Predicted losses at x [n] (or [n, axes]) with intervals for the mean and for one new run."""
        at = read_scales(x, self.points.x.shape[1])
        log_x = self.points.scaled(at)
        mean = self._log_mean(self.theta[None], log_x)[0]
        if not np.isfinite(self.noise.factor):
            low, high = np.full(len(at), -np.inf), np.full(len(at), np.inf)
        elif self.refits is not None:
            low, high = self.refits.interval(
                self.theta, lambda theta: self._log_mean(theta, log_x), self.stretch
            )
        else:
            low, high = self._furthest(log_x)
        run = self.noise.factor * self.residual_sd
        return Prediction(
            mean=np.exp(mean),
            low=np.exp(low),
            high=np.exp(high),
            new_run_low=np.exp(mean - np.hypot(mean - low, run)),
            new_run_high=np.exp(mean + np.hypot(high - mean, run)),
            horizon=horizon(self.points, at),
        )

    def _furthest(self, log_x: Array) -> tuple[Array, Array]:
        """Lowest and highest ln L [n] inside the 95 % region: over the profiles, and pulled by itself."""
        problem = self.points.problem(find_law(self.law), linear=self.space == LINEAR)
        limit = self.noise.variance * self.noise.factor**2
        ends = np.stack(furthest(problem, self.theta, limit, log_x)) + np.log(self.points.loss_unit)
        cloud = self._log_mean(self.spread, log_x)
        return np.minimum(cloud.min(axis=0), ends[0]), np.maximum(cloud.max(axis=0), ends[1])

    def _log_mean(self, theta: Array, log_x: Array) -> Array:
        """ln L [g, n] in the unit of the data at scaled parameters [g, p]."""
        mean = find_law(self.law).mean(theta, log_x).real
        return np.asarray(np.log(np.maximum(mean, 1e-300) * self.points.loss_unit))


def fit(
    x: ArrayLike,
    y: ArrayLike,
    *,
    law: str = "power_floor",
    sd: ArrayLike | None = None,
    draws: ArrayLike | None = None,
    influence: ArrayLike | None = None,
    ceiling: float | None = None,
    seed: int = 0,
    space: str = "log",
) -> Fit:
    """Fit a law by name to losses y [m] at scales x [m] or [m, axes].

    ``sd`` [m] is the known standard deviation of each y; ``draws`` [b, m] are bootstrap replicates of y
    made by resampling images and seeds together (Bayesian bootstrap), and give the intervals when present;
    ``influence`` [n, m] is that of every image on each y, and makes them BCa. ``ceiling`` is the uninformed
    loss (ln of the number of classes) for laws that are bounded by it. ``space`` is "log" (relative errors)
    or "linear" (absolute errors). ``seed`` is kept for callers; nothing here is random.

    Raises: BadInput for values that no law can be fitted to.
    """
    form = find_law(law)
    points = read_points(x, y, sd=sd, draws=draws, ceiling=ceiling)
    if points.x.shape[1] != form.axes:
        raise BadInput(f"law {law!r} has {form.axes} axes and x has {points.x.shape[1]}")
    if space not in ("log", "linear"):
        raise BadInput(f"space must be 'log' or 'linear' and is {space!r}")
    return fit_points(points, form, linear=space == "linear", influence=read_influence(influence, points))


def fit_table(
    x: ArrayLike,
    y: ArrayLike,
    *,
    laws: Iterable[str] | None = None,
    sd: ArrayLike | None = None,
    draws: ArrayLike | None = None,
    ceiling: float | None = None,
    seed: int = 0,
) -> dict[str, Fit]:
    """Fit several laws (by default all of as many axes as x has) to the same points, by name."""
    points = read_points(x, y, sd=sd, draws=draws, ceiling=ceiling)
    names = laws if laws is not None else [n for n, law in LAWS.items() if law.axes == points.x.shape[1]]
    return {name: fit(x, y, law=name, sd=sd, draws=draws, ceiling=ceiling, seed=seed) for name in names}


def read_influence(influence: ArrayLike | None, points: Points) -> Array | None:
    """Influence [n, m] of images on ln y; raises BadInput without draws or of another shape."""
    if influence is None:
        return None
    values = np.asarray(influence, dtype=np.float64)
    if points.draws is None or values.ndim != 2 or values.shape[1] != len(points.y):
        raise BadInput(f"influence {values.shape} must be [images, {len(points.y)}], beside draws")
    return np.asarray(values / points.y)


@one_thread
def fit_points(
    points: Points, law: ScalingLaw, *, linear: bool = False, influence: Array | None = None
) -> Fit:
    """Fit a law to points that were checked; ``influence`` [n, m] is that of images on ln y."""
    problem = points.problem(law, linear=linear)
    theta = solve(problem)[0]
    n_free = law.n_free(points.ceiling)
    dof = len(points.y) - n_free
    noise = read_noise(float(problem.cost(theta[None])[0]), dof, known=points.noise_known)
    shape = _profile_or_point(problem, theta, noise)
    refits = None
    if points.draws is not None:
        drawn = refit(points.problem(law, linear=linear, draws=True), theta)
        pulled = None if influence is None else pull(problem, theta, influence)
        refits = Refits(draws=drawn, pulled=pulled)
    parameters = estimates(points, law, theta, shape, noise, refits)
    if refits is None:
        parameters = widen_amplitudes(points, problem, theta, noise, parameters)
    second = _second_opinion(problem, theta) if dof >= 2 else theta
    robust = physical_values(points, law, second)
    seen = Evidence(
        points=points,
        law=law,
        problem=problem,
        theta=theta,
        parameters=parameters,
        profiles=shape,
        noise=noise,
        robust=robust,
    )
    return _report(seen, judge(seen), dof=dof, linear=linear, refits=refits)


def _second_opinion(problem: LeastSquares, theta: Array) -> Array:
    """Huber's fit (see ``robust``) from the optimum, two steps to each reweighting: not to all digits."""
    for _ in range(OPINION_ROUNDS):
        pulled = np.sqrt(huber_weights(problem.residuals(theta[None])[0].real))
        new = polish(problem.of(problem.y, problem.weights * pulled), theta[None], rounds=2)[0]
        moved = np.max(np.abs(new - theta) / (np.abs(theta) + 1e-6))
        theta = new
        if moved < SETTLED:
            break
    return theta


def _report(seen: Evidence, judged: Judged, *, dof: int, linear: bool, refits: Refits | None) -> Fit:
    points, law, theta = seen.points, seen.law, seen.theta
    fitted = law.mean(theta[None], seen.problem.log_x)[0].real
    residuals = np.log(points.y / points.loss_unit) - np.log(fitted)
    return Fit(
        law=law.name,
        parameters=seen.parameters,
        robust=seen.robust,
        verdict=judged.verdict,
        reason=judged.reason,
        flags=judged.flags,
        identified=judged.identified,
        n_scales=points.n_scales,
        dof=dof,
        residuals=residuals,
        residual_sd=_run_sd(points, residuals, dof),
        space=LINEAR if linear else "log loss",
        held_out_error=held_out_error(points, law, linear=linear),
        condition=condition_number(seen.problem, theta),
        ceiling=points.ceiling,
        points=points,
        theta=theta,
        spread=seen.profiles.paths if refits is None else refits.draws,
        refits=refits,
        noise=seen.noise,
    )


def held_out_error(points: Points, law: ScalingLaw, *, linear: bool = False) -> float | None:
    """ln(predicted / observed mean) at the largest scale, from the others; None when they are too few."""
    size = np.round(points.scaled(points.x).sum(axis=1), 9)
    rest = size < size.max()
    if not rest.any() or points.take(rest).n_scales < law.n_free(points.ceiling):
        return None
    part = points.take(rest)
    theta = solve(part.problem(law, linear=linear))
    predicted = law.mean(theta, part.scaled(points.x[~rest]))[0].real * part.loss_unit
    return float(np.mean(np.log(np.maximum(predicted, 1e-300)) - np.log(points.y[~rest])))


def read_scales(x: ArrayLike, axes: int) -> Array:
    """Scales to predict at as [n, axes]; raises BadInput when they are not positive or of another width."""
    at = np.asarray(x, dtype=np.float64)
    at = at.reshape(-1, 1) if axes == 1 and at.ndim <= 1 else np.atleast_2d(at)
    if at.ndim != 2 or at.shape[1] != axes or not np.all(np.isfinite(at) & (at > 0)):
        raise BadInput(
            f"predictions need positive finite scales with {axes} columns and got shape {np.shape(x)}"
        )
    return at


def horizon(points: Points, at: Array) -> Array:
    """How many times beyond the observed range each scale lies, along its furthest axis; 1 inside."""
    over = at / points.x.max(axis=0)
    under = points.x.min(axis=0) / at
    return np.asarray(np.maximum(np.maximum(over, under).max(axis=1), 1.0))


def _profile_or_point(problem: LeastSquares, theta: Array, noise: Noise) -> Profile:
    if np.isfinite(noise.factor):
        return profile(problem, theta, noise)
    everything = np.ones(len(theta), bool)
    return Profile(paths=theta[None], open_low=everything, open_high=everything)


def _run_sd(points: Points, residuals: Array, dof: int) -> float:
    """Standard deviation of one run around the law, relative: from residuals, at least the known noise."""
    seen = float(np.sqrt(np.sum(residuals**2) / dof)) if dof > 0 else 0.0
    known = 0.0 if points.sd is None else float(np.sqrt(np.mean((points.sd / points.y) ** 2)))
    return max(seen, known)
