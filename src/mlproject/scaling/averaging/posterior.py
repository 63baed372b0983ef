"""The posterior of one law with its discrepancy: modes without discrepancy, then importance sampling.

Shapes are sampled as standard normal numbers z that ``ScalingLaw.prior`` turns into parameters; level, noise
and discrepancy are integrated in closed form (see ``discrepancy``). Where the noise is small, the posterior
without a smooth discrepancy is far narrower than with one, and may have all the weight: importance sampling
would not come upon it. So its modes are computed first (``modes``), with a floor and without one, and
samples start there too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlproject.scaling.averaging.averaged_points import AveragedPoints, average_repeats
from mlproject.scaling.averaging.discrepancy import (
    Conditioned,
    condition,
    discrepancies,
    log_likelihood,
    predict_points,
    predictive_covariance,
)
from mlproject.scaling.averaging.importance_sampling import (
    ENOUGH,
    Proposal,
    effective_size,
    first_samples,
    log_sum,
    sample,
)
from mlproject.scaling.averaging.modes import ModeSearch, find_modes
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.laws.law import Array, ScalingLaw, Span

LEVEL_WIDTH = 1.3  # ln of the prior width of an unknown level, relative to one fixed by a ceiling
COMPONENTS = 600  # of a mixture of laws
OFFSETS = (np.arange(9) + 0.5) / 9.0  # probabilities at which each component is evaluated
HUGE = 1e200  # in place of overflowing losses, as over tens of decades of scale
STARTS = 2  # samples of the prior from which a mode is sought


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """Weighted parameters theta [s, p]; weights [s, h] over samples and discrepancies sum to one."""

    law: ScalingLaw
    points: AveragedPoints
    given: list[Conditioned]
    theta: Array
    weights: Array
    level: float | None
    log_evidence: float

    @property
    def effective_size(self) -> float:
        """Effective sample size of the weights."""
        return effective_size(np.log(self.weights.sum(axis=1) + 1e-300))

    def prior(self) -> Array:
        """Samples [s, p] of the parameters as they are plausible before the losses are seen."""
        return _parameters(self.law, first_samples(self.law.n_prior), span_of(self.points))

    @property
    def dof(self) -> float:
        """Degrees of freedom of the noise, with a level that is estimated too where it is not known."""
        return self.points.dof + len(self.points.log_y) - (1.0 if self.level is None else 0.0)

    def resample(self, n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """``n`` pairs of sample and discrepancy indices by systematic resampling."""
        flat = np.cumsum(self.weights.ravel())
        picks = np.searchsorted(flat, (np.arange(n) + 0.5) / n * flat[-1])
        sample, hypothesis = np.unravel_index(np.minimum(picks, len(flat) - 1), self.weights.shape)
        return np.asarray(sample), np.asarray(hypothesis)

    def predict(self, at: Array, n: int) -> tuple[Array, Array, Array, float]:
        """``n`` components: means [n, k], variances of the mean [n, k] and of a run [n], and t dof."""
        sample, hypothesis = self.resample(n)
        theta = self.theta[sample]
        fitted, new = log_mean(self.law, theta, self.points.log_x), log_mean(self.law, theta, at)
        means, spread, run = np.empty(new.shape), np.empty(new.shape), np.empty(n)
        for h in np.unique(hypothesis):
            rows = hypothesis == h
            mean, factor, variance = predict_points(
                self.points, self.given[h], fitted[rows], at, new[rows], self.level
            )
            means[rows], run[rows] = mean, variance * self.points.run
            spread[rows] = variance[:, None] * factor + self.points.shared
        return means, spread, run, self.dof

    def levels(self, theta: Array, hypothesis: NDArray[np.intp]) -> Array:
        """The logarithm of the common factor of the amplitudes [s], drawn from its t distribution."""
        if self.level is not None:
            return np.full(len(theta), self.level)
        residual = self.points.log_y - log_mean(self.law, theta, self.points.log_x)
        dof = self.points.dof + len(self.points.log_y) - 1.0
        offsets = _shuffled_t(dof, len(theta))
        levels = np.empty(len(theta))
        for h in np.unique(hypothesis):
            rows, given = hypothesis == h, self.given[h]
            white = residual[rows] @ given.whiten.T
            middle = white @ given.ones / given.weight
            white = white - middle[:, None] * given.ones
            variance = (np.sum(white**2, axis=1) + self.points.prior_squares) / dof
            levels[rows] = middle + offsets[rows] * np.sqrt(variance / given.weight + self.points.shared)
        return levels

    def joint(self, at: Array, n: int) -> tuple[Array, Array, float]:
        """``n`` component means [n, k], the mean covariance within them [k, k], and the variance of a run."""
        sample, hypothesis = self.resample(n)
        theta = self.theta[sample]
        fitted, new = log_mean(self.law, theta, self.points.log_x), log_mean(self.law, theta, at)
        means, within, run = np.empty(new.shape), np.zeros((len(at), len(at))), 0.0
        for h in np.unique(hypothesis):
            rows, given = hypothesis == h, self.given[h]
            mean, _, variance = predict_points(self.points, given, fitted[rows], at, new[rows], self.level)
            means[rows] = mean
            within += variance.sum() * predictive_covariance(self.points, given, at, self.level)
            run += float(variance.sum()) * self.points.run
        return means, within / n + self.points.shared, run / n


@dataclass(frozen=True, kw_only=True)
class Target:
    """What posteriors are conditioned on: points under every discrepancy, and a known scaled ceiling.

    ``enough`` is the effective size that a posterior is sampled to.
    """

    points: AveragedPoints
    given: list[Conditioned]
    ceiling: float | None
    enough: float = ENOUGH

    def level(self, law: ScalingLaw) -> float | None:
        """The level that the ceiling fixes under a law; None where it is free."""
        return float(np.log(self.ceiling)) if self.ceiling is not None and law.ceiling is not None else None

    def likelihood(self, law: ScalingLaw, z: Array) -> Array:
        """ln p(points, discrepancy | z) [s, h] of a law at standard normal numbers z [s, d]."""
        shape = log_mean(law, _parameters(law, z, span_of(self.points)), self.points.log_x)
        return log_likelihood(self.points, self.given, shape, self.level(law))

    def same(self, other: Target) -> bool:
        """Whether both have the same points, noise, ceiling and size of samples."""
        if (self.ceiling, self.enough) != (other.ceiling, other.enough):
            return False
        names = (field.name for field in fields(AveragedPoints))
        return all(np.array_equal(getattr(self.points, n), getattr(other.points, n)) for n in names)


def target_of(points: Points, enough: float = ENOUGH) -> Target:
    """Checked points, averaged at repeated scales, under every discrepancy."""
    averaged = average_repeats(points)
    return Target(
        points=averaged,
        given=[condition(averaged, discrepancy) for discrepancy in discrepancies(averaged)],
        ceiling=None if points.ceiling is None else points.ceiling / points.loss_unit,
        enough=enough,
    )


def posteriors(law: ScalingLaw, targets: Sequence[Target]) -> list[Posterior]:
    """Sample the posterior of a law for each target to its effective size.

    The modes of all targets are sought together (``find_modes``).
    """
    first = first_samples(law.n_prior)
    scores = [target.likelihood(law, first) for target in targets]
    searches = [_search(law, target, first, score) for target, score in zip(targets, scores, strict=True)]
    starts = find_modes(_shapes_of(law, targets), searches)
    return [_sampled(law, *each, first) for each in zip(targets, scores, starts, strict=True)]


def _search(law: ScalingLaw, target: Target, first: Array, score: Array) -> ModeSearch:
    """The search for modes from the best of the first samples, without a smooth discrepancy."""
    floorless = None
    if "E" in law.names:
        plausible = _parameters(law, first, span_of(target.points))
        floorless = plausible[:, law.names.index("E")] == 0.0
    begin = [
        (part, _best(first[rows], score[rows, h]))
        for h, part in enumerate(target.given)
        if part.discrepancy.drift == 0.0
        for rows in _branches(floorless, len(first))
    ]
    return ModeSearch(
        points=target.points,
        given=[part for part, _ in begin],
        level=target.level(law),
        begin=np.stack([rows for _, rows in begin]),
    )


def _shapes_of(law: ScalingLaw, targets: Sequence[Target]) -> Callable[[Array, NDArray[np.intp]], Array]:
    """ln L [n, m] at z [n, d] at the scales of the targets ``of`` [n]; the last is repeated up to m."""
    m = max(len(target.points.log_x) for target in targets)
    rows = [np.minimum(np.arange(m), len(target.points.log_x) - 1) for target in targets]
    log_x = np.stack([target.points.log_x[row] for target, row in zip(targets, rows, strict=True)])
    low, high = log_x.min(axis=1), log_x.max(axis=1)
    known = all(target.points.reached is not None for target in targets)
    reached = np.array([target.points.reached for target in targets], dtype=float) if known else None

    def log_shape(z: Array, of: NDArray[np.intp]) -> Array:
        span = Span(low=low[of], high=high[of], reached=None if reached is None else reached[of])
        return log_mean(law, _parameters(law, z, span), log_x[of])

    return log_shape


def _sampled(
    law: ScalingLaw, target: Target, score: Array, starts: list[Proposal], first: Array
) -> Posterior:
    z, log_weight = sample(partial(target.likelihood, law), first, score, starts, target.enough)
    log_evidence, level = float(log_sum(log_weight.ravel(), axis=0)), target.level(law)
    return Posterior(
        law=law,
        points=target.points,
        given=target.given,
        theta=_parameters(law, z, span_of(target.points)),
        weights=np.exp(log_weight - log_evidence),
        level=level,
        log_evidence=log_evidence - (0.0 if level is None else LEVEL_WIDTH),
    )


@lru_cache(256)
def _shuffled_t(dof: float, n: int) -> Array:
    """``n`` quantiles of Student's t in a random order."""
    order = np.random.default_rng(0).permutation(n)
    return np.asarray(special.stdtrit(dof, (order + 0.5) / n))


def span_of(points: AveragedPoints) -> Span:
    """The range of the scales of the points."""
    return Span(low=points.log_x.min(axis=0), high=points.log_x.max(axis=0), reached=points.reached)


def log_mean(law: ScalingLaw, theta: Array, log_x: Array) -> Array:
    """ln L [s, m] up to the level."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.fmin(law.mean(theta, log_x).real, HUGE)  # HUGE for NaN too
    return np.asarray(np.log(np.maximum(mean, 1.0 / HUGE)))


def _parameters(law: ScalingLaw, z: Array, span: Span) -> Array:
    """Parameters of the prior at standard normal numbers; overflows over tens of decades become HUGE."""
    with np.errstate(over="ignore", invalid="ignore"):
        theta = law.prior(z, span)
        return theta if np.isfinite(theta).all() else np.nan_to_num(theta, nan=0.0, posinf=HUGE)


def _branches(floorless: NDArray[np.bool_] | None, n: int) -> list[NDArray[np.bool_]]:
    """Rows of samples with a floor and without one, between which no search for a mode passes."""
    if floorless is None or not floorless.any():
        return [np.ones(n, dtype=bool)]
    return [floorless, ~floorless]


def _best(z: Array, score: Array) -> Array:
    """The samples [STARTS, d] of the largest posterior density."""
    return z[np.argsort(0.5 * np.sum(z**2, axis=1) - score)[:STARTS]]
