"""The posterior of one law with its discrepancy, as weighted samples.

Shapes are sampled as standard normal numbers z that ``ScalingLaw.prior`` turns into parameters (``targets``);
level, noise and discrepancy are integrated in closed form (see ``discrepancy`` and ``likelihood``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlproject.scaling.averaging.averaged_points import AveragedPoints
from mlproject.scaling.averaging.discrepancy import Conditioned, predict_points, predictive_covariance
from mlproject.scaling.averaging.importance_sampling import effective_size, first_samples
from mlproject.scaling.laws.law import Array, ScalingLaw, Span

COMPONENTS = 600  # of a mixture of laws
OFFSETS = (np.arange(9) + 0.5) / 9.0  # probabilities at which each component is evaluated
HUGE = 1e200  # in place of overflowing losses, as over tens of decades of scale


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
        return parameters_of(self.law, first_samples(self.law.n_prior, self.law.axes), span_of(self.points))

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
        return log_loss(law.mean(theta, log_x).real)


def log_loss(mean: Array) -> Array:
    """Logarithms of losses, of which overflows and NaN become HUGE."""
    return np.asarray(np.log(np.maximum(np.fmin(mean, HUGE), 1.0 / HUGE)))


def parameters_of(law: ScalingLaw, z: Array, span: Span) -> Array:
    """Parameters of the prior at standard normal numbers; overflows over tens of decades become HUGE."""
    with np.errstate(over="ignore", invalid="ignore"):
        theta = law.prior(z, span)
        return theta if np.isfinite(theta).all() else np.nan_to_num(theta, nan=0.0, posinf=HUGE)
