"""The standing of every law in an average: weight, rolling-origin score, ranks in and out of sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mlproject.scaling.averaging.posterior import Posterior, log_mean
from mlproject.scaling.averaging.weights import ADMITTED_SHARE, limit_fixed_levels, weigh


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A law in the average: weights, rolling-origin score (log density summed over cuts), ranks from 1."""

    prior: float
    weight: float
    score: float | None
    log_evidence: float
    in_sample_sd: float
    in_sample_rank: int
    out_of_sample_rank: int | None


def rank(
    posteriors: Mapping[str, Posterior], prior: Mapping[str, float], scores: Mapping[str, float] | None
) -> dict[str, Standing]:
    """The standings of laws from posteriors, prior weights and rolling-origin scores (if any)."""
    names = list(posteriors)
    points = next(iter(posteriors.values())).points
    rolling = None if scores is None else np.array([scores[name] for name in names])
    evidence = np.array([post.log_evidence for post in posteriors.values()])
    base = np.array([prior[name] for name in names])
    weights = weigh(base, rolling, evidence, points)
    if points.log_x.shape[1] == 1:
        weights = limit_fixed_levels(weights, np.array([p.level is not None for p in posteriors.values()]))
    in_sample = np.array([_residual_sd(post) for post in posteriors.values()])
    in_rank = np.argsort(np.argsort(in_sample)) + 1
    out_rank = None if rolling is None else np.argsort(np.argsort(-rolling)) + 1
    return {
        name: Standing(
            prior=prior[name],
            weight=float(weights[i]),
            score=None if rolling is None else float(rolling[i]),
            log_evidence=float(evidence[i]),
            in_sample_sd=float(in_sample[i]),
            in_sample_rank=int(in_rank[i]),
            out_of_sample_rank=None if out_rank is None else int(out_rank[i]),
        )
        for i, name in enumerate(names)
    }


def with_admitted(standings: Mapping[str, Standing], post: Posterior) -> dict[str, Standing]:
    """The standings with that of an admitted law, which has ``ADMITTED_SHARE`` of the weight."""
    spread = _residual_sd(post)
    closer = sum(standing.in_sample_sd < spread for standing in standings.values())
    others = {
        name: replace(
            standing,
            weight=standing.weight * (1.0 - ADMITTED_SHARE),
            in_sample_rank=standing.in_sample_rank + int(standing.in_sample_sd >= spread),
        )
        for name, standing in standings.items()
    }
    admitted = Standing(
        prior=0.0,
        weight=ADMITTED_SHARE,
        score=None,
        log_evidence=post.log_evidence,
        in_sample_sd=spread,
        in_sample_rank=closer + 1,
        out_of_sample_rank=None,
    )
    return {**others, post.law.name: admitted}


def _residual_sd(post: Posterior) -> float:
    """Root mean square residual of the best sampled parameters, without discrepancy."""
    residual = post.points.log_y - log_mean(post.law, post.theta, post.points.log_x)
    if post.level is None:
        residual = residual - residual.mean(axis=1, keepdims=True)
    else:
        residual = residual - post.level
    return float(np.sqrt(np.min(np.mean(residual**2, axis=1))))
