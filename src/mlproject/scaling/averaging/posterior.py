"""The posterior of one law with its departure, by adaptive importance sampling on quasi-random numbers.

Source: Cappe et al. 2008 (Statist. Comput. 18, 447), mixture importance sampling; Sobol points with fixed
scrambling make it deterministic. Shapes are sampled as standard normal numbers that ``ScalingLaw.prior``
turns into parameters; level, noise and departure are integrated in closed form (see ``discrepancy``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.stats import qmc

from mlproject.scaling.averaging.discrepancy import (
    Cells,
    Conditioned,
    condition,
    departures,
    log_likelihood,
    predict_cells,
    unseen_covariance,
)
from mlproject.scaling.laws.law import Array, ScalingLaw, Span

FIRST = 512  # samples from the prior
NEXT = 256  # samples of every adapted proposal
STAGES = 4
TAIL = 5.0  # degrees of freedom of the proposals
WIDEN = 1.2
LEVEL_WIDTH = 1.3  # ln of the prior width of an unknown level, against one that a ceiling fixes
HUGE = 1e200  # losses of a law beyond all numbers, as over tens of decades of scale
COOL = 4.0  # the first adaptation follows the likelihood to the power 1 / COOL


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """Weighted parameters theta [s, p] with weights [s, h] over samples and departures, summing to one."""

    law: ScalingLaw
    cells: Cells
    given: list[Conditioned]
    theta: Array
    weights: Array
    level: float | None
    log_evidence: float

    @property
    def effective_size(self) -> float:
        """How many independent samples the weights are worth."""
        return float(1.0 / np.sum(self.weights.sum(axis=1) ** 2))

    def resample(self, n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """``n`` pairs of sample and departure indices in proportion to their weights, systematically."""
        flat = np.cumsum(self.weights.ravel())
        picks = np.searchsorted(flat, (np.arange(n) + 0.5) / n * flat[-1])
        sample, departure = np.unravel_index(np.minimum(picks, len(flat) - 1), self.weights.shape)
        return np.asarray(sample), np.asarray(departure)

    def predict(self, at: Array, n: int) -> tuple[Array, Array, Array, float]:
        """``n`` components: means [n, k], variance of the mean [n, k], variance of a run [n], and t dof."""
        sample, departure = self.resample(n)
        theta = self.theta[sample]
        here, there = log_mean(self.law, theta, self.cells.log_x), log_mean(self.law, theta, at)
        means, spread, run = np.empty(there.shape), np.empty(there.shape), np.empty(n)
        for h in np.unique(departure):
            mine = departure == h
            mean, factor, variance = predict_cells(
                self.cells, self.given[h], here[mine], at, there[mine], self.level
            )
            means[mine], spread[mine], run[mine] = mean, variance[:, None] * factor, variance
        dof = self.cells.dof + len(self.cells.log_y) - (1.0 if self.level is None else 0.0)
        return means, spread, run, dof

    def levels(self, theta: Array, departure: NDArray[np.intp]) -> Array:
        """The logarithm of the factor that the amplitudes share [s], drawn from its t distribution."""
        if self.level is not None:
            return np.full(len(theta), self.level)
        residual = self.cells.log_y - log_mean(self.law, theta, self.cells.log_x)
        dof = self.cells.dof + len(self.cells.log_y) - 1.0
        order = np.random.default_rng(0).permutation(len(theta))
        offsets = special.stdtrit(dof, (order + 0.5) / len(theta))
        levels = np.empty(len(theta))
        for h in np.unique(departure):
            mine, one = departure == h, self.given[h]
            white = residual[mine] @ one.whiten.T
            middle = white @ one.ones / one.weight
            rest = white - middle[:, None] * one.ones
            variance = (np.sum(rest**2, axis=1) + self.cells.spare) / dof
            levels[mine] = middle + offsets[mine] * np.sqrt(variance / one.weight)
        return levels

    def joint(self, at: Array, n: int) -> tuple[Array, Array, float]:
        """``n`` component means [n, k], the mean covariance within components [k, k], and of one run."""
        sample, departure = self.resample(n)
        theta = self.theta[sample]
        here, there = log_mean(self.law, theta, self.cells.log_x), log_mean(self.law, theta, at)
        means, inside, run = np.empty(there.shape), np.zeros((len(at), len(at))), 0.0
        for h in np.unique(departure):
            mine, one = departure == h, self.given[h]
            mean, _, variance = predict_cells(self.cells, one, here[mine], at, there[mine], self.level)
            means[mine] = mean
            inside += variance.sum() * unseen_covariance(self.cells, one, at, self.level)
            run += float(variance.sum())
        return means, inside / n, run / n


def posterior(law: ScalingLaw, cells: Cells, given: list[Conditioned], ceiling: float | None) -> Posterior:
    """Sample the posterior of a law; ``ceiling`` is the scaled uninformed loss where it is known."""
    level = float(np.log(ceiling)) if ceiling is not None and law.ceiling is not None else None
    span = Span(low=cells.log_x.min(axis=0), high=cells.log_x.max(axis=0))
    d = law.n_prior
    z = special.ndtri(_sobol(d, FIRST, 1))
    theta = _parameters(law, z, span)
    score = log_likelihood(cells, given, log_mean(law, theta, cells.log_x), level)
    proposals: list[tuple[Array, Array]] = []
    for stage in range(STAGES):
        target = special.logsumexp(score, axis=1) + _log_normal(z) - _log_proposals(z, proposals)
        mean, lower = _adapt(z, target / (COOL if stage == 0 else 1.0))
        proposals.append((mean, lower))
        new = mean + _student(d, stage) @ lower.T
        new = np.clip(new, -6.0, 6.0)
        new_theta = _parameters(law, new, span)
        new_score = log_likelihood(cells, given, log_mean(law, new_theta, cells.log_x), level)
        z, theta = np.concatenate([z, new]), np.concatenate([theta, new_theta])
        score = np.concatenate([score, new_score])
    log_weight = score + (_log_normal(z) - _log_proposals(z, proposals))[:, None]
    log_evidence = float(special.logsumexp(log_weight))
    return Posterior(
        law=law,
        cells=cells,
        given=given,
        theta=theta,
        weights=np.exp(log_weight - log_evidence),
        level=level,
        log_evidence=log_evidence - (0.0 if level is None else LEVEL_WIDTH),
    )


def conditioned(cells: Cells) -> list[Conditioned]:
    """The cells under every departure."""
    return [condition(cells, departure) for departure in departures(cells)]


def log_mean(law: ScalingLaw, theta: Array, log_x: Array) -> Array:
    """ln L [s, m] up to the level."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.nan_to_num(law.mean(theta, log_x).real, nan=HUGE, posinf=HUGE)
    return np.asarray(np.log(np.clip(mean, 1.0 / HUGE, HUGE)))


def _parameters(law: ScalingLaw, z: Array, span: Span) -> Array:
    """The prior's parameters at standard normal numbers, finite over tens of decades of scale too."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.nan_to_num(law.prior(z, span), nan=0.0, posinf=HUGE)


def _adapt(z: Array, target: Array) -> tuple[Array, Array]:
    """Mean and Cholesky factor of the weighted samples, a little wider."""
    weight = np.exp(target - target.max())
    weight /= weight.sum()
    mean = weight @ z
    away = z - mean
    covariance = WIDEN * (away * weight[:, None]).T @ away + 1e-6 * np.eye(z.shape[1])
    return mean, np.linalg.cholesky(covariance)


def _log_normal(z: Array) -> Array:
    return np.asarray(-0.5 * np.sum(z**2, axis=1) - 0.5 * z.shape[1] * np.log(2.0 * np.pi))


def _log_proposals(z: Array, proposals: list[tuple[Array, Array]]) -> Array:
    """ln of the mixture density of the prior and all proposals, weighted by their sample counts."""
    d = z.shape[1]
    terms = [np.log(FIRST) + _log_normal(z)]
    constant = special.gammaln((TAIL + d) / 2) - special.gammaln(TAIL / 2) - 0.5 * d * np.log(TAIL * np.pi)
    for mean, lower in proposals:
        away = np.linalg.solve(lower, (z - mean).T)
        density = -0.5 * (TAIL + d) * np.log1p(np.sum(away**2, axis=0) / TAIL)
        terms.append(np.log(NEXT) + constant - np.log(np.diag(lower)).sum() + density)
    return np.asarray(special.logsumexp(np.array(terms), axis=0))


@cache
def _sobol(d: int, n: int, seed: int) -> Array:
    return np.asarray(np.clip(qmc.Sobol(d, seed=seed).random(n), 1e-6, 1.0 - 1e-6))


@cache
def _student(d: int, stage: int) -> Array:
    """Standard multivariate t numbers [NEXT, d]."""
    uniform = _sobol(d + 1, NEXT, 10 + stage)
    chi = 2.0 * special.gammaincinv(TAIL / 2.0, uniform[:, d])
    return np.asarray(special.ndtri(uniform[:, :d]) / np.sqrt(chi / TAIL)[:, None])
