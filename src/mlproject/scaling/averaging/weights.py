"""Weights of laws: prior plausibility, prediction of held-out points, and misfit.

Rolling origin along the scale: fit the smaller scales and score the log predictive density of the next larger
ones. The size of a point is the sum of the logarithms of its scales, which for N x D orders by compute.
Sources: Dawid 1984 (J. R. Statist. Soc. A 147, 278), prequential scoring; Tashman 2000 (Int. J. Forecasting
16, 437), rolling origin; Yao et al. 2018, stacking of predictive distributions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlproject.scaling.averaging.averaged_points import AveragedPoints
from mlproject.scaling.averaging.posterior import Posterior
from mlproject.scaling.averaging.targets import Target, target_of
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.laws.law import Array, ScalingLaw

FAMILY = {
    "bounded_sum": "separable",
    "power": "power_floor",
    "bnsl1_no_floor": "bnsl1",
    "bnsl2_no_floor": "bnsl2",
    "log_plane": "product",
}  # laws with a common limit share its prior
PRIOR_SHARE = 0.5  # of the weights: a few cuts can favour a law by chance
MOST_FIXED = 0.5  # of the weights, of laws whose level is fixed
LEAST_EVIDENCE = 2.0  # ln of the Bayes factor over every other law from which on a law is admitted
ADMITTED_SHARE = 0.5  # of the weights, of the admitted law
TEMPERED = 0.5  # power of the evidence for joint laws that are also scored by rolling origin
LEFT_OUT = (0.08, 0.15, 0.22)  # of the range of sizes, for each cut
REACH = 0.17  # of the range of sizes beyond a cut that is scored
LEAST_SCALES = 5  # distinct scales to fit
MOST_SCORED = 6
COMPONENTS = 100
ENOUGH = 60.0  # effective size of the posterior of a cut


def prior_weights(
    members: Mapping[str, ScalingLaw], n_points: int, ceiling: float | None
) -> dict[str, float]:
    """Equal by family from eight points on; with fewer, a factor e^-((8 - points) / 6) per parameter."""
    penalty = max(0.0, 8.0 - n_points) / 6.0
    family = [FAMILY.get(name, name) for name in members]
    raw = {
        name: float(np.exp(-penalty * law.n_free(ceiling))) / family.count(FAMILY.get(name, name))
        for name, law in members.items()
    }
    return {name: value / sum(raw.values()) for name, value in raw.items()}


def scores_count(points: AveragedPoints) -> bool:
    """Whether weights depend on rolling-origin scores, which else only rank the laws."""
    return not points.noise_known or points.log_x.shape[1] > 1


def weigh(prior: Array, scores: Array | None, evidence: Array, points: AveragedPoints) -> Array:
    """Weights [laws] from prior weights, rolling-origin scores and log evidence, each where it is reliable.

    Evidence compares laws by misfit. It counts in full where the noise is known independently of the laws, or
    where points are too few for a rolling origin. Otherwise it is not used for laws of one axis, which are
    nested, and by its square root for joint laws, which are exclusive and all slightly wrong (power
    likelihood: Holmes and Walker 2017, Biometrika 104, 497). Rolling-origin scores set the remaining share,
    of which ``PRIOR_SHARE`` is kept for the prior.
    """
    joint = points.log_x.shape[1] > 1
    few = float(np.clip((8.0 - len(points.log_y)) / 4.0, 0.0, 1.0))
    share = max(few, TEMPERED) if joint else 1.0 if points.noise_known else few
    base = np.log(prior) + share * (evidence - evidence.max())
    unscored = np.exp(base - special.logsumexp(base))
    if scores is None or not scores_count(points):
        return np.asarray(unscored)
    scored = base + scores
    return np.asarray(
        PRIOR_SHARE * unscored + (1.0 - PRIOR_SHARE) * np.exp(scored - special.logsumexp(scored))
    )


def limit_fixed_levels(weights: Array, fixed: NDArray[np.bool_]) -> Array:
    """Weights [laws] of a curve in which laws whose level a known ceiling fixes have at most ``MOST_FIXED``.

    Evidence cannot compare a fixed level with levels that are fitted, as these have no proper prior: a
    law with the ceiling can win by any margin while both follow the points, and its errors beyond the points
    would then be nobody's.
    """
    share = float(weights[fixed].sum())
    if share <= MOST_FIXED or fixed.all():
        return weights
    return np.where(fixed, weights * MOST_FIXED / share, weights * (1.0 - MOST_FIXED) / (1.0 - share))


def admits(evidence: float, others: Sequence[float], n_points: int) -> bool:
    """Whether a law that no curve is expected to follow is averaged too: its Bayes factor is at least e^2.

    Averaged with every curve, a law that reaches zero would pull the lower limits of all predictions there.
    Positive evidence begins at a factor of 3 (Kass and Raftery 1995, J. Amer. Statist. Assoc. 90, 773).
    """
    return n_points >= LEAST_SCALES and evidence > max(others) + LEAST_EVIDENCE


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Points up to a size, and scaled scales ``at`` and log losses ``observed`` of the next larger ones."""

    target: Target
    at: Array
    observed: Array

    def score(self, post: Posterior) -> float:
        """Mean over the held-out losses of the log density of one new run under the posterior of a law."""
        means, spread, run, _ = post.predict(self.at, COMPONENTS)
        variance = spread + run[:, None]
        density = np.exp(-0.5 * (self.observed - means) ** 2 / variance) / np.sqrt(2.0 * np.pi * variance)
        return float(np.mean(np.log(density.mean(axis=0) + 1e-12)))


def rolling_cuts(points: Points) -> list[Cut]:
    """The cuts by which laws are scored: none where too few scales are left."""
    made = []
    for rows, held in cuts(points):
        part = points.take(rows)
        observed = np.log(points.y[held] / part.loss_unit)
        made.append(Cut(target=target_of(part, ENOUGH), at=part.scaled(points.x[held]), observed=observed))
    return made


def cuts(points: Points) -> list[tuple[NDArray[np.bool_], NDArray[np.intp]]]:
    """Rows to fit (a mask) and rows to score (indices) of every distinct cut that leaves enough scales."""
    size = points.scaled(points.x).sum(axis=1)
    span = size.max() - size.min()
    splits: list[tuple[NDArray[np.bool_], NDArray[np.intp]]] = []
    for share in LEFT_OUT:
        edge = size.max() - share * span
        rows = size <= edge - 1e-9
        if points.take(rows).n_scales < LEAST_SCALES or any(
            np.array_equal(rows, other) for other, _ in splits
        ):
            continue
        reach = max(size[rows].max() + REACH * span, size[~rows].min() + 1e-9)
        held = np.flatnonzero(~rows & (size <= reach))
        held = held[np.argsort(size[held], kind="stable")]
        keep = np.unique(np.linspace(0, len(held) - 1, MOST_SCORED).astype(int))
        splits.append((rows, held[keep]))
    return splits
