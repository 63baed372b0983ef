"""Posteriors of one law for several sets of points: modes without discrepancy, then importance sampling.

Where the noise is small, the posterior without a smooth discrepancy is far narrower than with one, and may
have all the weight: importance sampling would not come upon it. So its modes are computed first (``modes``),
with a floor and without one, and samples start there too; with those of the most probable discrepancy, most
posteriors need fewer stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling.averaging.averaged_points import AveragedPoints, average_repeats
from mlproject.scaling.averaging.discrepancy import Conditioned, condition, discrepancies
from mlproject.scaling.averaging.importance_sampling import ENOUGH, Proposal, first_samples, log_sum, sample
from mlproject.scaling.averaging.likelihood import Likelihood
from mlproject.scaling.averaging.modes import LogShapes, ModeSearch, find_modes
from mlproject.scaling.averaging.posterior import (
    HUGE,
    Posterior,
    log_loss,
    log_mean,
    parameters_of,
    span_of,
)
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.laws.derivatives import mean_slopes
from mlproject.scaling.laws.law import Array, ScalingLaw, Span

LEVEL_WIDTH = 1.3  # ln of the prior width of an unknown level, relative to one fixed by a ceiling
STEP = 1e-5  # of z, for derivatives of the parameters
STARTS = 2  # samples of the prior from which a mode is sought


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

    def log_shape(self, law: ScalingLaw, z: Array) -> Array:
        """ln L [s, m] of a law up to the level, at standard normal numbers z [s, d]."""
        return log_mean(law, parameters_of(law, z, span_of(self.points)), self.points.log_x)

    @cached_property
    def likelihood(self) -> Likelihood:
        """That of the points under every discrepancy, which all laws share."""
        return Likelihood(points=self.points, given=self.given)

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
        given=condition(averaged, discrepancies(averaged)),
        ceiling=None if points.ceiling is None else points.ceiling / points.loss_unit,
        enough=enough,
    )


def posteriors(law: ScalingLaw, targets: Sequence[Target]) -> list[Posterior]:
    """Sample the posterior of a law for each target to its effective size.

    The modes of all targets are sought together (``find_modes``).
    """
    scored = [_Scored.of(law, target, first_samples(law.n_prior, law.axes)) for target in targets]
    starts = find_modes(_shapes_of(law, targets), [each.search() for each in scored])
    return [each.sampled(begin) for each, begin in zip(scored, starts, strict=True)]


@dataclass(frozen=True, kw_only=True)
class _Scored:
    """A law and a target with samples ``first`` [s, d] of the prior and their log likelihoods [s, h]."""

    law: ScalingLaw
    target: Target
    likelihood: Likelihood
    first: Array
    score: Array

    @classmethod
    def of(cls, law: ScalingLaw, target: Target, first: Array) -> _Scored:
        """The scores of the first samples, whose residuals give the space for those of all others."""
        shape, level = target.log_shape(law, first), target.level(law)
        likelihood = target.likelihood.reduced(shape, level)
        score = likelihood.log_density(shape, level)
        return cls(law=law, target=target, likelihood=likelihood, first=first, score=score)

    def search(self) -> ModeSearch:
        """The search for modes from the best of the first samples.

        Without a smooth discrepancy, where the posterior may be narrow, and with the most probable, where
        much of it lies.
        """
        floorless, target, law = None, self.target, self.law
        if "E" in law.names:
            plausible = parameters_of(law, self.first, span_of(target.points))
            floorless = plausible[:, law.names.index("E")] == 0.0
        drifts = np.array([part.discrepancy.drift for part in target.given])
        probable = int(np.argmax(np.where(drifts > 0.0, log_sum(self.score, axis=0), -np.inf)))
        begin = [
            (h, _best(self.first[rows], self.score[rows, h]))
            for h in (*np.flatnonzero(drifts == 0.0).tolist(), probable)
            for rows in _branches(floorless, len(self.first))
        ]
        return ModeSearch(
            points=target.points,
            given=[target.given[h] for h, _ in begin],
            whiten=[self.likelihood.whitening(h) for h, _ in begin],
            level=target.level(law),
            begin=np.stack([rows for _, rows in begin]),
        )

    def sampled(self, starts: Sequence[Proposal]) -> Posterior:
        """The posterior, sampled from the prior and from proposals at its modes."""
        law, target, level = self.law, self.target, self.target.level(self.law)

        def likelihood(z: Array) -> Array:
            return self.likelihood.log_density(target.log_shape(law, z), level)

        z, log_weight = sample(likelihood, self.first, self.score, starts, target.enough)
        log_evidence = float(log_sum(log_weight.ravel(), axis=0))
        return Posterior(
            law=law,
            points=target.points,
            given=target.given,
            theta=parameters_of(law, z, span_of(target.points)),
            weights=np.exp(log_weight - log_evidence),
            level=level,
            log_evidence=log_evidence - (0.0 if level is None else LEVEL_WIDTH),
        )


def _shapes_of(law: ScalingLaw, targets: Sequence[Target]) -> LogShapes:
    """ln L at the scales of the targets, with derivatives; the last scale is repeated up to m."""
    m = max(len(target.points.log_x) for target in targets)
    rows = [np.minimum(np.arange(m), len(target.points.log_x) - 1) for target in targets]
    log_x = np.stack([target.points.log_x[row] for target, row in zip(targets, rows, strict=True)])
    low, high = log_x.min(axis=1), log_x.max(axis=1)
    known = all(target.points.reached is not None for target in targets)
    reached = np.array([target.points.reached for target in targets], dtype=float) if known else None

    def log_shapes(z: Array, of: NDArray[np.intp]) -> tuple[Array, Array]:
        d = z.shape[1]
        steps = STEP * np.concatenate([np.zeros((1, d)), np.eye(d), -np.eye(d)])
        each = np.repeat(of, len(steps))
        span = Span(low=low[each], high=high[each], reached=None if reached is None else reached[each])
        theta = parameters_of(law, (z[:, None] + steps).reshape(-1, d), span).reshape(len(z), len(steps), -1)
        moved = (theta[:, 1 : 1 + d] - theta[:, 1 + d :]) / (2.0 * STEP)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            mean, slopes = mean_slopes(law, theta[:, 0], log_x[of])
            slopes = moved @ slopes.swapaxes(0, 1) / mean[:, None]
        usual = np.isfinite(slopes).all(axis=1) & (mean > 1.0 / HUGE) & (mean < HUGE)
        return log_loss(mean), np.where(usual[:, None], slopes, 0.0)

    return log_shapes


def _branches(floorless: NDArray[np.bool_] | None, n: int) -> list[NDArray[np.bool_]]:
    """Rows of samples with a floor and without one, between which no search for a mode passes."""
    if floorless is None or not floorless.any():
        return [np.ones(n, dtype=bool)]
    return [floorless, ~floorless]


def _best(z: Array, score: Array) -> Array:
    """The samples [STARTS, d] of the largest posterior density."""
    return z[np.argsort(0.5 * np.sum(z**2, axis=1) - score)[:STARTS]]
