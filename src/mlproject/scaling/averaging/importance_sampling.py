"""Tempered adaptive importance sampling of a posterior with a standard normal prior, on fixed numbers.

Stage by stage a proposal follows the target

    p(z) p(points | z)^t,    t as large as leaves the samples so far an effective size of ADAPT,

and stages end once the target itself (t = 1) has the effective size that is ``enough``. A proposal is a
mixture of Student kernels at resampled samples, drawn towards their mean so that it keeps their covariance:
it follows bent and divided posteriors. Every sample is weighted by the mixture of the prior and all
proposals, so no stage is wasted, and weights are bounded by those of the prior. Modes far narrower than the
prior are given as ``starts``. Sobol points with fixed scrambling make the result deterministic. Sources:
Cappe et al. 2008 (Statist. Comput. 18, 447), mixture importance sampling; Cornuet et al. 2012 (Scand. J.
Statist. 39, 798), weights over all stages; Liu and West 2001 (*Sequential Monte Carlo Methods in Practice*,
chapter 10), kernels that keep the covariance; Del Moral et al. 2012 (Statist. Comput. 22, 1009), tempering by
effective size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from scipy import special
from scipy.linalg import lapack

from mlproject.scaling.laws.law import Array

N_PRIOR, N_PRIOR_JOINT = 256, 512  # samples from the prior of laws of one axis, of several
N_ADAPTED = 256  # samples of every adapted proposal
N_START = 128  # samples around every mode that is given
MOST_STAGES = 14
ADAPT = 12.0  # effective size from which a proposal is adapted
ENOUGH = 150.0  # effective size of a posterior that needs no more stages
KERNELS = 32  # of every adapted proposal
KERNEL_WIDTH = 0.6  # of one kernel, relative to the standard deviation of the samples
HEAVY = 5  # degrees of freedom of the kernels
WIDEN = 1.2
ZOOMS, POWERS = 2, 16  # of the search for the logarithm of the power of the likelihood
FLAT = 1e-12
FURTHEST = 6.0  # standard normal numbers lie within -/+ this


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A mixture of Student kernels: ``n`` samples, centres [k, d], Cholesky factor [d, d] of their scale."""

    n: int
    centres: Array
    lower: Array

    def draw(self, stage: int) -> Array:
        """Samples [n, d], as many of each kernel."""
        kernel = np.arange(self.n) % len(self.centres)
        numbers = _student(self.centres.shape[1], self.n, stage)
        return np.clip(self.centres[kernel] + numbers @ self.lower.T, -FURTHEST, FURTHEST)

    def log_density(self, z: Array) -> Array:
        """ln of ``n`` times the density at z [s, d]."""
        inverse, distances, constant = self._constants
        white = inverse @ z.T
        rows = np.concatenate([white, np.sum(white**2, axis=0)[None], np.ones((1, len(z)))])
        kernels = _inverse_power(np.maximum(distances @ rows, 1.0), HEAVY + z.shape[1])
        return np.asarray(np.log(kernels.mean(axis=0)) + constant)

    @cached_property
    def _constants(self) -> tuple[Array, Array, float]:
        """Whitening [d, d]; what whitened z, its square and 1 count for 1 + square / HEAVY; a constant."""
        d = self.centres.shape[1]
        inverse = lapack.dtrtri(self.lower, lower=1)[0]
        centres = self.centres @ inverse.T
        squares = np.vecdot(centres, centres)[:, None]
        distances = np.concatenate(
            [-2.0 / HEAVY * centres, np.full_like(squares, 1.0 / HEAVY), 1.0 + squares / HEAVY], axis=1
        )
        constant = special.gammaln((HEAVY + d) / 2) - special.gammaln(HEAVY / 2) + np.log(self.n)
        constant -= 0.5 * d * np.log(HEAVY * np.pi) + np.log(np.diag(self.lower)).sum()
        return inverse, distances, float(constant)


def around(mode: Array, covariance: Array) -> Proposal:
    """The proposal at a mode [d] with the covariance [d, d] of the posterior there."""
    return Proposal(n=N_START, centres=mode[None], lower=_triangular(WIDEN * covariance))


def _triangular(covariance: Array) -> Array:
    """The Cholesky factor [d, d] of a covariance, also where it is singular up to rounding.

    Losses without noise leave posteriors so narrow in some directions; their variances are raised to
    ``FLAT`` of the largest.
    """
    try:
        return np.asarray(np.linalg.cholesky(covariance))
    except np.linalg.LinAlgError:
        variances, directions = np.linalg.eigh((covariance + covariance.T) / 2)
        root = directions * np.sqrt(np.maximum(variances, FLAT * variances[-1]))
        upper = np.linalg.qr(root.T)[1]
        return np.asarray((np.sign(np.diag(upper))[:, None] * upper).T)


def first_samples(d: int, axes: int) -> Array:
    """Samples [n, d] of the prior of a law."""
    return np.asarray(special.ndtri(_sobol(d, N_PRIOR if axes == 1 else N_PRIOR_JOINT, 1)))


def sample(
    likelihood: Callable[[Array], Array],
    first: Array,
    score: Array,
    starts: Sequence[Proposal],
    enough: float = ENOUGH,
) -> tuple[Array, Array]:
    """Samples z [s, d] and ln weights [s, h], whose sum is the evidence.

    ``likelihood(z)`` gives ln p(points, hypothesis | z) [s, h]; ``score`` is that of the ``first`` samples.
    """
    drawn = [start.draw(i) for i, start in enumerate(starts)]
    proposals, scores = list(starts), [score, *(likelihood(new) for new in drawn)]
    z = np.concatenate([first, *drawn])
    n, log_prior = len(first), _log_normal(z)
    log_sampled = _log_sampled(z, proposals, n)
    marginal = np.concatenate([log_sum(part, axis=1) for part in scores])
    for stage in range(len(starts), MOST_STAGES):
        target = log_prior - log_sampled
        power = _power(marginal, target)
        if power == 1.0 and effective_size(marginal + target) >= enough:
            break
        proposal = _adapt(z, power * marginal + target)
        new = proposal.draw(stage)
        scores.append(likelihood(new))
        z, log_prior = np.concatenate([z, new]), np.concatenate([log_prior, _log_normal(new)])
        marginal = np.concatenate([marginal, log_sum(scores[-1], axis=1)])
        before = np.concatenate([log_sampled, _log_sampled(new, proposals, n)])
        log_sampled = np.logaddexp(before, proposal.log_density(z))
        proposals.append(proposal)
    return z, np.concatenate(scores) + (log_prior - log_sampled)[:, None]


def effective_size(log_weight: Array) -> float:
    """Effective sample size (Kish) of weights [s] given by their logarithms."""
    weight = np.exp(log_weight - log_weight.max())
    return float(weight.sum() ** 2 / (weight @ weight))


def log_sum(terms: Array, axis: int) -> Array:
    """ln of the sum of exponentials along an axis, without overflow."""
    top = terms.max(axis=axis, keepdims=True)
    return np.asarray(np.log(np.exp(terms - top).sum(axis=axis)) + np.squeeze(top, axis=axis))


def _power(marginal: Array, target: Array) -> float:
    """The largest power of the likelihood, up to 1, that leaves an effective size of ADAPT."""
    if effective_size(marginal + target) >= ADAPT:
        return 1.0
    low, width = -16.0, 16.0
    for _ in range(ZOOMS):
        powers = low + width / POWERS * np.arange(1, POWERS)
        log_weight = np.exp(powers)[:, None] * marginal + target
        weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
        sizes = weight.sum(axis=1) ** 2 / np.vecdot(weight, weight)
        width /= POWERS
        low += width * int(np.argmin(np.append(sizes >= ADAPT, False)))
    return float(np.exp(low))


def _adapt(z: Array, target: Array) -> Proposal:
    """A proposal with the mean of the weighted samples, and their covariance widened by WIDEN."""
    weight = np.exp(target - target.max())
    weight /= weight.sum()
    mean = weight @ z
    centred = z - mean
    covariance = (centred * weight[:, None]).T @ centred
    covariance += 1e-9 * np.diag(np.diag(covariance)) + 1e-18 * np.eye(z.shape[1])
    places = (np.arange(KERNELS) + 0.5) / KERNELS
    picked = np.minimum(np.searchsorted(np.cumsum(weight), places), len(z) - 1)
    centres = mean + np.sqrt(1.0 - KERNEL_WIDTH**2) * centred[picked]
    lower = _triangular(WIDEN * KERNEL_WIDTH**2 * covariance)
    return Proposal(n=N_ADAPTED, centres=centres, lower=lower)


def _inverse_power(base: Array, twice: int) -> Array:
    """base^(-twice / 2) by products, which take a tenth of the time of a power."""
    power = 1.0 / base
    out = np.sqrt(power) if twice % 2 else np.ones_like(base)
    left = twice // 2
    while left:
        if left % 2:
            out *= power
        left //= 2
        if left:
            power *= power
    return out


def _log_normal(z: Array) -> Array:
    return np.asarray(-0.5 * np.sum(z**2, axis=1) - 0.5 * z.shape[1] * np.log(2.0 * np.pi))


def _log_sampled(z: Array, proposals: Sequence[Proposal], n: int) -> Array:
    """ln of the summed densities of the prior, times its n samples, and of the proposals, times theirs."""
    terms = [np.log(n) + _log_normal(z), *(proposal.log_density(z) for proposal in proposals)]
    return np.asarray(log_sum(np.array(terms), axis=0))


@cache
def _sobol(d: int, n: int, seed: int) -> Array:
    from scipy.stats import qmc  # scipy.stats takes 0.4 s to import

    return np.asarray(np.clip(qmc.Sobol(d, seed=seed).random(n), 1e-6, 1.0 - 1e-6))


@cache
def _student(d: int, n: int, stage: int) -> Array:
    """Standard multivariate t numbers [n, d]."""
    uniform = _sobol(d + 1, n, 10 + stage)
    chi = 2.0 * special.gammaincinv(HEAVY / 2.0, uniform[:, d])
    return np.asarray(special.ndtri(uniform[:, :d]) / np.sqrt(chi / HEAVY)[:, None])
