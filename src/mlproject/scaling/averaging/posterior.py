"""The posterior of one law with its discrepancy, by adaptive importance sampling on quasi-random numbers.

Source: Cappe et al. 2008 (Statist. Comput. 18, 447), mixture importance sampling; Sobol points with fixed
scrambling make it deterministic. Shapes are sampled as standard normal numbers that ``ScalingLaw.prior``
turns into parameters; level, noise and discrepancy are integrated in closed form (see ``discrepancy``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlproject.scaling.averaging.averaged_points import AveragedPoints
from mlproject.scaling.averaging.discrepancy import (
    Conditioned,
    condition,
    discrepancies,
    log_likelihood,
    predict_points,
    predictive_covariance,
)
from mlproject.scaling.laws.law import Array, ScalingLaw, Span

N_PRIOR = 512  # samples from the prior
N_ADAPTED = 256  # samples of every adapted proposal
STAGES = 4
HEAVY = 5.0  # degrees of freedom of the proposals
WIDEN = 1.2
LEVEL_WIDTH = 1.3  # ln of the prior width of an unknown level, relative to one fixed by a ceiling
COMPONENTS = 600  # of a mixture of laws
OFFSETS = (np.arange(9) + 0.5) / 9.0  # probabilities at which each component is evaluated
HUGE = 1e200  # in place of overflowing losses, as over tens of decades of scale
TEMPERATURE = 4.0  # the first adaptation uses the likelihood to the power 1 / TEMPERATURE


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
        return float(1.0 / np.sum(self.weights.sum(axis=1) ** 2))

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
            means[rows], run[rows] = mean, variance
            spread[rows] = variance[:, None] * factor + self.points.shared
        return means, spread, run, self.dof

    def levels(self, theta: Array, hypothesis: NDArray[np.intp]) -> Array:
        """The logarithm of the common factor of the amplitudes [s], drawn from its t distribution."""
        if self.level is not None:
            return np.full(len(theta), self.level)
        residual = self.points.log_y - log_mean(self.law, theta, self.points.log_x)
        dof = self.points.dof + len(self.points.log_y) - 1.0
        order = np.random.default_rng(0).permutation(len(theta))
        offsets = special.stdtrit(dof, (order + 0.5) / len(theta))
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
            run += float(variance.sum())
        return means, within / n + self.points.shared, run / n


def posterior(
    law: ScalingLaw, points: AveragedPoints, given: list[Conditioned], ceiling: float | None
) -> Posterior:
    """Sample the posterior of a law; ``ceiling`` is the scaled uninformed loss where it is known."""
    level = float(np.log(ceiling)) if ceiling is not None and law.ceiling is not None else None
    span = Span(low=points.log_x.min(axis=0), high=points.log_x.max(axis=0))
    d = law.n_prior
    z = special.ndtri(_sobol(d, N_PRIOR, 1))
    theta = _parameters(law, z, span)
    score = log_likelihood(points, given, log_mean(law, theta, points.log_x), level)
    likely, normal = _log_sum(score), _log_normal(z)
    sampled = np.log(N_PRIOR) + normal  # ln of the mixture of the prior and all proposals, by sample counts
    proposals: list[tuple[Array, Array]] = []
    for stage in range(STAGES):
        target = likely + normal - sampled
        mean, lower = _adapt(z, target / (TEMPERATURE if stage == 0 else 1.0))
        proposals.append((mean, lower))
        new = mean + _student(d, stage) @ lower.T
        new = np.clip(new, -6.0, 6.0)
        new_theta = _parameters(law, new, span)
        new_score = log_likelihood(points, given, log_mean(law, new_theta, points.log_x), level)
        new_normal = _log_normal(new)
        densities = [_log_proposal(new, *proposal) for proposal in proposals]
        new_sampled = np.logaddexp.reduce([np.log(N_PRIOR) + new_normal, *densities])
        sampled = np.concatenate([np.logaddexp(sampled, _log_proposal(z, mean, lower)), new_sampled])
        z, theta = np.concatenate([z, new]), np.concatenate([theta, new_theta])
        score, likely = np.concatenate([score, new_score]), np.concatenate([likely, _log_sum(new_score)])
        normal = np.concatenate([normal, new_normal])
    log_evidence = float(np.logaddexp.reduce(likely + normal - sampled))
    return Posterior(
        law=law,
        points=points,
        given=given,
        theta=theta,
        weights=np.exp(score + (normal - sampled - log_evidence)[:, None]),
        level=level,
        log_evidence=log_evidence - (0.0 if level is None else LEVEL_WIDTH),
    )


def condition_all(points: AveragedPoints) -> list[Conditioned]:
    """The points under every discrepancy."""
    return [condition(points, discrepancy) for discrepancy in discrepancies(points)]


def log_mean(law: ScalingLaw, theta: Array, log_x: Array) -> Array:
    """ln L [s, m] up to the level."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.nan_to_num(law.mean(theta, log_x).real, nan=HUGE, posinf=HUGE)
    return np.asarray(np.log(np.clip(mean, 1.0 / HUGE, HUGE)))


def _parameters(law: ScalingLaw, z: Array, span: Span) -> Array:
    """Parameters of the prior at standard normal numbers; overflows over tens of decades become HUGE."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.nan_to_num(law.prior(z, span), nan=0.0, posinf=HUGE)


def _adapt(z: Array, target: Array) -> tuple[Array, Array]:
    """Mean and Cholesky factor of the weighted samples, with the covariance widened by WIDEN."""
    weight = np.exp(target - target.max())
    weight /= weight.sum()
    mean = weight @ z
    centred = z - mean
    covariance = WIDEN * (centred * weight[:, None]).T @ centred + 1e-6 * np.eye(z.shape[1])
    return mean, np.linalg.cholesky(covariance)


def _log_normal(z: Array) -> Array:
    return np.asarray(-0.5 * np.sum(z**2, axis=1) - 0.5 * z.shape[1] * np.log(2.0 * np.pi))


def _log_proposal(z: Array, mean: Array, lower: Array) -> Array:
    """ln of the density of an adapted proposal, a multivariate t, times its sample count."""
    d = z.shape[1]
    constant = special.gammaln((HEAVY + d) / 2) - special.gammaln(HEAVY / 2) - 0.5 * d * np.log(HEAVY * np.pi)
    white = np.linalg.solve(lower, (z - mean).T)
    density = -0.5 * (HEAVY + d) * np.log1p(np.sum(white**2, axis=0) / HEAVY)
    return np.asarray(np.log(N_ADAPTED) + constant - np.log(np.diag(lower)).sum() + density)


def _log_sum(score: Array) -> Array:
    """ln of the likelihood summed over the discrepancies [s]; SciPy's logsumexp takes four times as long."""
    top = score.max(axis=1)
    return np.asarray(top + np.log(np.sum(np.exp(score - top[:, None]), axis=1)))


@cache
def _sobol(d: int, n: int, seed: int) -> Array:
    from scipy.stats import qmc  # scipy.stats takes 0.4 s to import

    return np.asarray(np.clip(qmc.Sobol(d, seed=seed).random(n), 1e-6, 1.0 - 1e-6))


@cache
def _student(d: int, stage: int) -> Array:
    """Standard multivariate t numbers [N_ADAPTED, d]."""
    uniform = _sobol(d + 1, N_ADAPTED, 10 + stage)
    chi = 2.0 * special.gammaincinv(HEAVY / 2.0, uniform[:, d])
    return np.asarray(special.ndtri(uniform[:, :d]) / np.sqrt(chi / HEAVY)[:, None])
