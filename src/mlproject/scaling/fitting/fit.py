"""Fit one law: parameters with intervals, a verdict, and predictions.

The estimator is variable projection on log losses (``least_squares``). Intervals are profile likelihood
(``profile_likelihood``), or BCa intervals of refits where replicates of the losses are given (``intervals``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from mlproject.errors import BadInput
from mlproject.scaling.fitting.grid_search import refit, solve
from mlproject.scaling.fitting.intervals import (
    Estimate,
    Noise,
    Refits,
    estimate_noise,
    estimate_parameters,
    parameter_influence,
    widen_amplitudes,
)
from mlproject.scaling.fitting.least_squares import LeastSquares, one_thread
from mlproject.scaling.fitting.points import (
    Points,
    Prediction,
    horizon,
    read_influence,
    read_points,
    read_scales,
)
from mlproject.scaling.fitting.profile_likelihood import (
    Profile,
    condition_number,
    gradients_of,
    prediction_limits,
    profile,
)
from mlproject.scaling.fitting.robust import refit_robustly
from mlproject.scaling.fitting.shared_noise import Components, noise_with_runs, share_noise
from mlproject.scaling.fitting.verdict import Evidence, FitVerdict, find_verdict
from mlproject.scaling.laws import find_law
from mlproject.scaling.laws.law import Array, ScalingLaw

LINEAR = "linear loss"


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One law fitted to one set of points, in the units of the data.

    ``verdict`` is "scaling", "flat" or "not identifiable", and ``reason`` gives the reason and the remedy.
    ``identified`` names the parameters that the data pin down; the others have an interval at most.
    ``robust`` are the parameters under Huber's loss. ``residuals`` [m] are ln y - ln L. ``condition`` is the
    condition number of the scaled information matrix. ``held_out_error`` is ln(predicted / observed) at the
    largest scale when fitted without it. ``shared`` is the noise that rows of a run share, where they do.
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
    shared: Components | None = field(default=None, repr=False)

    @property
    def from_draws(self) -> bool:
        """Whether intervals are those of replicates of the losses, which then hold all of the noise."""
        return self.refits is not None and not self.noise.partial

    @property
    def problem(self) -> LeastSquares:
        """The least-squares problem that was solved."""
        problem = self.points.problem(find_law(self.law), linear=self.space == LINEAR)
        return problem if self.shared is None else self.shared.whitened(problem)

    def mean(self, x: ArrayLike) -> Array:
        """Losses [n] of the law at x [n] or [n, axes], without the search for their intervals."""
        log_x = self.points.scaled(read_scales(x, self.points.x.shape[1]))
        return np.asarray(np.exp(self._log_mean(self.theta[None], log_x)[0]))

    def predict(self, x: ArrayLike) -> Prediction:
        """Predict losses at x [n] or [n, axes], with intervals of the mean and of one new run."""
        at = read_scales(x, self.points.x.shape[1])
        log_x = self.points.scaled(at)
        mean = self._log_mean(self.theta[None], log_x)[0]
        if not np.isfinite(self.noise.factor):
            low, high = np.full(len(at), -np.inf), np.full(len(at), np.inf)
        else:
            low, high = self._limits(log_x)
        run = self.noise.factor * self.residual_sd
        with np.errstate(over="ignore"):  # an end that the data leave open
            return Prediction(
                mean=np.exp(mean),
                low=np.exp(low),
                high=np.exp(high),
                new_run_low=np.exp(mean - np.hypot(mean - low, run)),
                new_run_high=np.exp(mean + np.hypot(high - mean, run)),
                horizon=horizon(self.points, at),
            )

    def _limits(self, log_x: Array) -> tuple[Array, Array]:
        """Limits of ln L [n]: of refits, of profiles, or those that hold both for partly known noise."""
        ends = [] if self.from_draws else [self._profile_limits(log_x)]
        if self.refits is not None:
            ends.append(
                self.refits.interval(
                    self.theta, lambda theta: self._log_mean(theta, log_x), self.noise.stretch
                )
            )
        return np.min([low for low, _ in ends], axis=0), np.max([high for _, high in ends], axis=0)

    def _profile_limits(self, log_x: Array) -> tuple[Array, Array]:
        """Lowest and highest ln L [n] inside the 95 % region: over all profiles, and of the prediction."""
        ends = np.stack(prediction_limits(self.problem, self.theta, self.noise.limit, log_x))
        ends += np.log(self.points.loss_unit)
        along = self._log_mean(self.spread, log_x)
        low, high = np.minimum(along.min(axis=0), ends[0]), np.maximum(along.max(axis=0), ends[1])
        if self.shared is None:
            return low, high
        middle = self._log_mean(self.theta[None], log_x)[0]
        gradients = gradients_of(lambda theta: self._log_mean(theta, log_x), self.theta)
        share = self.shared.factors(gradients) / self.noise.factor
        return middle - share * (middle - low), middle + share * (high - middle)

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
    noise_dof: float = float("inf"),
    runs: Sequence[object] | None = None,
    space: str = "log",
) -> Fit:
    """Fit a law by name to losses y [m] at scales x [m] or [m, axes].

    ``sd`` [m] is the known standard deviation of each y. ``draws`` [b, m] are bootstrap replicates of y
    from resampled images and seeds (Bayesian bootstrap); where given, intervals come from refits to them.
    ``influence`` [n, m] is the influence of every image on each y and adds the acceleration of BCa intervals.
    ``ceiling`` is the uninformed loss (ln of the number of classes) for laws that are bounded by it.
    ``noise_dof`` are the degrees of freedom behind ``sd`` and ``draws``: 0 where they hold only part of the
    noise (see ``Points``). ``runs`` [m] labels rows that share an offset, such as those of one training.
    ``space`` is "log" (relative errors) or "linear" (absolute). No randomness.

    Raises: BadInput for values that no law can be fitted to.
    """
    form = find_law(law)
    points = read_points(x, y, sd=sd, draws=draws, ceiling=ceiling, noise_dof=noise_dof, runs=runs)
    if points.x.shape[1] != form.axes:
        raise BadInput(f"law {law!r} has {form.axes} axes and x has {points.x.shape[1]}")
    if space not in ("log", "linear"):
        raise BadInput(f"space must be 'log' or 'linear' and is {space!r}")
    return fit_points(points, form, linear=space == "linear", influence=read_influence(influence, points))


@one_thread
def fit_points(
    points: Points, law: ScalingLaw, *, linear: bool = False, influence: Array | None = None
) -> Fit:
    """Fit a law to checked points; ``influence`` [n, m] is that of images on ln y."""
    problem = points.problem(law, linear=linear)
    problem, theta, shared = share_noise(problem, solve(problem)[0], points)
    dof = len(points.y) - law.n_free(points.ceiling)
    noise = estimate_noise(
        float(problem.cost(theta[None])[0]), dof, known=points.noise_known, noise_dof=points.noise_dof
    )
    if shared is not None:
        noise = noise_with_runs(noise, shared, points, law, theta)
    profiles = profile(problem, theta, noise.limit)
    refits = None
    if points.draws is not None:
        drawn = points.problem(law, linear=linear, draws=True)
        refitted = refit(drawn if shared is None else shared.whitened(drawn), theta)
        on_parameters = None if influence is None else parameter_influence(problem, theta, influence)
        refits = Refits(draws=refitted, influence=on_parameters)
    parameters = _parameters(problem, points, theta, profiles, noise, refits)
    robust = refit_robustly(problem, theta) if dof >= 2 else theta
    fitted = Evidence(
        points=points,
        law=law,
        problem=problem,
        theta=theta,
        parameters=parameters,
        profiles=profiles,
        noise=noise,
        robust=physical_values(points, law, robust),
    )
    return _report(fitted, find_verdict(fitted), dof=dof, linear=linear, refits=refits, shared=shared)


def _parameters(
    problem: LeastSquares,
    points: Points,
    theta: Array,
    profiles: Profile,
    noise: Noise,
    refits: Refits | None,
) -> dict[str, Estimate]:
    """Parameters with intervals of the refits, of the profiles, or such that hold both.

    Refits to replicates without all of the noise are too alike: profiles with the residuals' t add the rest.
    """
    drawn = None
    if refits is not None:
        drawn = estimate_parameters(points, problem.law, theta, profiles, noise, refits)
        if not noise.partial:
            return drawn
    profiled = estimate_parameters(points, problem.law, theta, profiles, noise, None)
    profiled = noise.narrowed(widen_amplitudes(points, problem, theta, noise, profiled))
    if drawn is None:
        return profiled
    return {name: estimate.united(drawn[name]) for name, estimate in profiled.items()}


def physical_values(points: Points, law: ScalingLaw, theta: Array) -> dict[str, float]:
    """Scaled parameters [p] in the units of the data, by name."""
    values = law.physical(theta[None], points.log_unit, points.loss_unit)
    return {name: float(value[0]) for name, value in values.items()}


def _report(
    fitted: Evidence,
    verdict: FitVerdict,
    *,
    dof: int,
    linear: bool,
    refits: Refits | None,
    shared: Components | None,
) -> Fit:
    points, law, theta = fitted.points, fitted.law, fitted.theta
    mean = law.mean(theta[None], fitted.problem.log_x)[0].real
    residuals = np.log(points.y / points.loss_unit) - np.log(mean)
    return Fit(
        law=law.name,
        parameters=fitted.parameters,
        robust=fitted.robust,
        verdict=verdict.verdict,
        reason=verdict.reason,
        flags=verdict.flags,
        identified=verdict.identified,
        n_scales=points.n_scales,
        dof=dof,
        residuals=residuals,
        residual_sd=points.run_sd(residuals, dof),
        space=LINEAR if linear else "log loss",
        held_out_error=held_out_error(points, law, linear=linear),
        condition=condition_number(fitted.problem, theta),
        ceiling=points.ceiling,
        points=points,
        theta=theta,
        spread=fitted.profiles.paths if refits is None or fitted.noise.partial else refits.draws,
        refits=refits,
        noise=fitted.noise,
        shared=shared,
    )


def held_out_error(points: Points, law: ScalingLaw, *, linear: bool = False) -> float | None:
    """ln(predicted / observed mean) at the largest scale, from the others; None where these are too few."""
    size = np.round(points.scaled(points.x).sum(axis=1), 9)
    smaller = size < size.max()
    if not smaller.any() or points.take(smaller).n_scales < law.n_free(points.ceiling):
        return None
    part = points.take(smaller)
    theta = solve(part.problem(law, linear=linear))
    predicted = law.mean(theta, part.scaled(points.x[~smaller]))[0].real * part.loss_unit
    return float(np.mean(np.log(np.maximum(predicted, 1e-300)) - np.log(points.y[~smaller])))
