"""Parts of a study's answer that compare: joint laws, arms, image scales, regions and trained networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlproject.analysis import (
    ArmTable,
    ImageScaleComparison,
    IterationArm,
    IterationLedger,
    RegionContrast,
    Study,
)
from mlproject.report.document import Answer
from mlproject.report.formats import interval, listed, signed_interval
from mlproject.report.grid_sections import grid_answers
from mlproject.report.image_scale_section import crossing_sentence
from mlproject.scaling import interval_text, scale_text

MOST_SETTINGS = 3
"""Settings, comparisons or families that an answer names; the rest is in the sections below it."""


def comparison_answers(study: Study) -> Answer:
    """What grids, arms, image scales, regions and trained networks of a study tell."""
    arms = _shorten([_arms(table) for table in study.ablation.tables], "settings of arms")
    scales = _shorten(
        [text for comparison in study.image_scale for text in _image_scale(comparison)], "comparisons"
    )
    regions = _shorten([_region(c) for c in study.region_contrasts if c.headline], "pairs of regions")
    networks = (
        [] if study.iterations is None else _shorten(_networks(study.iterations), "families of networks")
    )
    return Answer(
        result=(*_joint(study)[0], *arms, *scales, *regions, *networks),
        not_concluded=(*_joint(study)[1], *_doubts_of_arms(study.ablation.tables)),
    )


def _shorten(sentences: Sequence[str], what: str) -> list[str]:
    """The first sentences, and how many more the sections hold."""
    more = len(sentences) - MOST_SETTINGS
    rest = [f"{more} more {what} are in the sections below."] if more > 0 else []
    return [*sentences[:MOST_SETTINGS], *rest]


def _joint(study: Study) -> tuple[list[str], list[str]]:
    """Joint laws, and why grids of several models and sizes have none."""
    refused = [g for g in study.grids if not g.has_laws and min(g.shape) > 1]
    reasons = [f"A joint law of model size and images: {g.assessment.reason}." for g in refused]
    return _shorten(grid_answers(study.grids), "grids"), list(dict.fromkeys(reasons))[:MOST_SETTINGS]


def _arms(table: ArmTable) -> str:
    """Which arms of a setting are better or worse than the baseline, with their differences."""
    compared = [(row.arm, row.loss_difference) for row in table.rows if row.loss_difference is not None]
    by_verdict: dict[str, list[str]] = {}
    for arm, difference in compared:
        by_verdict.setdefault(difference.verdict, []).append(f"{arm} {signed_interval(difference.effect)}")
    clauses = []
    for verdict in ("better", "worse"):
        arms = by_verdict.pop(verdict, [])
        if arms:
            clauses.append(f"{verdict} than the baseline: {listed(arms)}")
    n_rest = sum(map(len, by_verdict.values()))
    if n_rest:
        clauses.append(f"{'; '.join(f'{verdict}: {len(arms)}' for verdict, arms in by_verdict.items())}")
    kind = str(table.setting["kind"]).replace("_", " ")
    return f"{table.label}, {len(compared)} arms by difference of {kind}: {'; '.join(clauses)}."


def _doubts_of_arms(tables: Sequence[ArmTable]) -> list[str]:
    rows = [row.loss_difference for table in tables for row in table.rows]
    n_seeds = [difference.effect.n_seeds for difference in rows if difference is not None]
    if n_seeds and max(n_seeds) == 1:
        return [
            "Which arms are better: with one seed, training again may differ by as much; run three or more."
        ]
    return []


def _image_scale(comparison: ImageScaleComparison) -> list[str]:
    return [f"{comparison.label}: {crossing_sentence(crossing)}" for crossing in comparison.crossings]


def _region(contrast: RegionContrast) -> str:
    """The ratio of the losses of two regions, and whether their exponents differ."""
    first, second = contrast.regions
    where = f"{scale_text(contrast.scale)} {contrast.first.axis.unit}"
    over = " (over images: one seed)" if contrast.n_seeds == 1 else ""
    text = (
        f"{contrast.first.series}: on {first} the loss is {interval(contrast.loss_ratio)} times that on "
        f"{second} at {where}{over}"
    )
    difference = contrast.difference
    if not contrast.identified:
        return f"{text}; their exponents are not compared, as one is not identifiable."
    same = "do not differ measurably" if difference.verdict == "no difference seen" else "differ"
    return f"{text}; their exponents (k x^-α) {same}, by {interval(difference.difference)}."


def _networks(ledger: IterationLedger) -> list[str]:
    """The most accurate arm of each family beside guessing and its parent."""
    return [_network(family.name, family.arms) for family in ledger.families]


def _network(name: str, arms: Sequence[IterationArm]) -> str:
    best = max(arms, key=lambda arm: arm.mean_sd("accuracy")[0])
    accuracy = interval_text(best.mean_sd("accuracy")[0], *best.interval)
    text = f"{name}: {best.label} has accuracy {accuracy}"
    if len(arms) > 1:
        text = f"{name}: of {len(arms)} networks {best.label} is the most accurate, {accuracy}"
    if not math.isnan(best.baseline):
        text += f"; guessing the most common class everywhere gives {best.baseline:.3f}"
    return f"{text}."
