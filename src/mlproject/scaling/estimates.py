"""Parameters in the units of the data with their intervals, from profiles or from refits."""

from __future__ import annotations

import numpy as np

from .intervals import NORMAL, Estimate, Noise, Profile, derived_errors, percentile
from .law import Array, ScalingLaw
from .points import Points
from .solve import Problem

DIRECT = {"E", "L0"}  # amplitudes that are parameters of the search as they stand


def estimates(
    points: Points, law: ScalingLaw, theta: Array, shape: Profile, noise: Noise, refits: Array | None
) -> dict[str, Estimate]:
    """Parameters in the units of the data, with the interval of the profile or of the refits."""
    values = law.physical(theta[None], points.log_unit, points.loss_unit)
    spread = law.physical(shape.paths if refits is None else refits, points.log_unit, points.loss_unit)
    out = {}
    for name, value in values.items():
        at, cloud = float(value[0]), spread[name]
        if not np.isfinite(noise.factor):
            low, high = (-np.inf, np.inf) if name in _shape_names(law) else (0.0, np.inf)
        elif refits is None:
            low, high = float(cloud.min()), float(cloud.max())
        else:
            low, high = _from_refits(at, cloud, stretch(noise), positive=name not in _shape_names(law))
        out[name] = Estimate(value=at, low=low, high=high)
    return out


def widen_amplitudes(
    points: Points, problem: Problem, theta: Array, noise: Noise, found: dict[str, Estimate]
) -> dict[str, Estimate]:
    """Amplitudes lie at x = 1 in the caller's unit, far from any one profile: add the delta method's ends."""
    names = [n for n, e in found.items() if n not in DIRECT | _shape_names(problem.law) and e.value > 0]
    if not names or not np.isfinite(noise.factor):
        return found
    step = 1e-6
    moved = np.concatenate([theta + step * np.eye(len(theta)), theta - step * np.eye(len(theta))])
    values = problem.law.physical(moved, points.log_unit, points.loss_unit)
    logs = np.stack([np.log(np.maximum(values[name], 1e-300)) for name in names])
    gradients = (logs[:, : len(theta)] - logs[:, len(theta) :]) / (2.0 * step)
    half = derived_errors(problem, theta, gradients) * noise.factor * np.sqrt(noise.variance)
    wide = dict(found)
    for name, reach in zip(names, np.exp(np.minimum(half, 300.0)), strict=True):
        at = found[name]
        wide[name] = Estimate(
            value=at.value,
            low=min(at.low, at.value / float(reach)),
            high=max(at.high, at.value * float(reach)),
        )
    return wide


def stretch(self) -> float:
        """What refits, which carry only the noise of the draws, lack when residuals reject that noise."""
        return stretch(self.noise)

    def predict(self, x: ArrayLike) -> Prediction:
        """Predicted losses at x [n] (or [n, axes]) with intervals for the mean and for one new run."""
        at = read_scales(x, self.points.x.shape[1])
        law, log_x = find_law(self.law), self.points.scaled(at)
        mean = np.log(law.mean(self.theta[None], log_x)[0].real * self.points.loss_unit)
        cloud = np.log(np.maximum(law.mean(self.spread, log_x).real, 1e-300) * self.points.loss_unit)
        if not np.isfinite(self.noise.factor):
            low, high = np.full(len(at), -np.inf), np.full(len(at), np.inf)
        elif self.from_draws:
            low, high = percentile(mean, cloud, self.stretch)
        else:
            low, high = np.minimum(cloud.min(axis=0), mean), np.maximum(cloud.max(axis=0), mean)
        run = self.noise.factor * self.residual_sd
        return Prediction(
            mean=np.exp(mean),
            low=np.exp(low),
            high=np.exp(high),
            new_run_low=np.exp(mean - np.hypot(mean - low, run)),
            new_run_high=np.exp(mean + np.hypot(high - mean, run)),
            horizon=horizon(self.points, at),
        )


def fit(
    x: ArrayLike,
    y: ArrayLike,
    *,
    law: str = "power_floor",
    sd: ArrayLike | None = None,
    draws: ArrayLike | None = None,
    ceiling: float | None = None,
    seed: int = 0,
    space: str = "log",
) -> Fit:
    """Fit a law by name to losses y [m] at scales x [m] or [m, axes].

    ``sd`` [m] is the known standard deviation of each y; ``draws`` [b, m] are bootstrap replicates of y
    made by resampling images and seeds together, and give the intervals when present; ``ceiling`` is the
    uninformed loss (ln of the number of classes) for laws that are bounded by it. ``space`` is "log"
    (relative errors) or "linear" (absolute errors). ``seed`` is kept for callers; nothing here is random.

    Raises: BadInput for values that no law can be fitted to.
    """
    form = find_law(law)
    points = read_points(x, y, sd=sd, draws=draws, ceiling=ceiling)
    if points.x.shape[1] != form.axes:
        raise BadInput(f"law {law!r} has {form.axes} axes and x has {points.x.shape[1]}")
    if space not in ("log", "linear"):
        raise BadInput(f"space must be 'log' or 'linear' and is {space!r}")
    return fit_points(points, form, linear=space == "linear")


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


def fit_points(points: Points, law: ScalingLaw, *, linear: bool = False) -> Fit:
    """Fit a law to points that were checked."""
    problem = points.problem(law, linear=linear)
    theta = solve(problem)[0]
    n_free = law.n_free(points.ceiling)
    dof = len(points.y) - n_free
    noise = read_noise(float(problem.cost(theta[None])[0]), dof, known=points.noise_known)
    shape = _profile_or_point(problem, theta, noise)
    refits = None if points.draws is None else solve(points.problem(law, linear=linear, draws=True))
    parameters = estimates(points, law, theta, shape, noise, refits)
    if refits is None:
        parameters = widen_amplitudes(points, problem, theta, noise, parameters)
    second = huber(problem, start=theta) if dof >= 2 else theta
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


def _report(seen: Evidence, judged: Judged, *, dof: int, linear: bool, refits: Array | None) -> Fit:
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
        n_scales=points.n_scales,
        dof=dof,
        residuals=residuals,
        residual_sd=_run_sd(points, residuals, dof),
        space="linear loss" if linear else "log loss",
        held_out_error=held_out_error(points, law, linear=linear),
        condition=condition_number(seen.problem, theta),
        ceiling=points.ceiling,
        points=points,
        theta=theta,
        spread=seen.profiles.paths if refits is None else refits,
        from_draws=refits is not None,
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


def _profile_or_point(problem: Problem, theta: Array, noise: Noise) -> Profile:
    if np.isfinite(noise.factor):
        return profile(problem, theta, noise)
    everything = np.ones(len(theta), bool)
    return Profile(paths=theta[None], open_low=everything, open_high=everything)


def stretch(noise: Noise) -> float:
    """The factor on intervals of refits: 1 unless the residuals reject the noise of the draws."""
    return float(noise.factor * np.sqrt(noise.variance) / NORMAL)


def _from_refits(at: float, cloud: Array, stretch: float, *, positive: bool) -> tuple[float, float]:
    """A bias-corrected interval of one parameter; amplitudes other than a floor stretch as logarithms."""
    if positive and at > 0 and np.all(cloud > 0):
        low, high = percentile(np.array([np.log(at)]), np.log(cloud)[:, None], stretch)
        return float(np.exp(low[0])), float(np.exp(high[0]))
    low, high = percentile(np.array([at]), cloud[:, None], stretch)
    return max(float(low[0]), 0.0) if positive else float(low[0]), float(high[0])


def _shape_names(law: ScalingLaw) -> set[str]:
    return {shape.name for shape in law.shapes}
