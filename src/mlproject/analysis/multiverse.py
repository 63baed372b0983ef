"""Multiverse: the exponent of a curve under every combination of defensible choices of its analysis.

Summary of losses, law, scales, seeds, kind of loss, outliers, parameters that are counted, tuning: each is a
choice that a careful author could have made otherwise. Every combination is a *specification*; the range of
their exponents is uncertainty that no interval of a single analysis holds.

Sources: multiverse analysis, Steegen, Tuerlinckx, Gelman and Vanpaemel 2016, Perspectives on Psychological
Science 11, 702; the specification curve, Simonsohn, Simmons and Nelson 2020, Nature Human Behaviour 4, 1208.

What is compared is the local exponent at the largest scale, and the share by which the loss falls from there
to twice as much: both mean the same under every law, summary and kind of loss. Intervals are quantiles of one
Bayesian bootstrap over images, and over seeds where there are several, the same draws in all specifications.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlproject.analysis.comparable import flat_fields
from mlproject.analysis.curves import Curve
from mlproject.analysis.points import LEAST_SCALES
from mlproject.analysis.runs import EvaluatedRun
from mlproject.analysis.specifications import (
    N_DRAWS,
    ChoiceEffect,
    DrawnCurve,
    Specification,
    choice_effects,
    single_flips,
)
from mlproject.analysis.summaries import Summaries


@dataclass(frozen=True, kw_only=True)
class Multiverse:
    """All specifications of a curve. ``usual`` is that of the report; ``effects`` begin with the largest.

    ``flips`` differ from the usual one in a single choice, and in the conclusion.
    """

    curve: Curve
    specifications: tuple[Specification, ...]
    usual: Specification
    effects: tuple[ChoiceEffect, ...]
    flips: tuple[Specification, ...]
    n_seeds: int

    @property
    def n_agreeing(self) -> int:
        """Specifications with the conclusion of the usual one."""
        return sum(each.falls == self.usual.falls for each in self.specifications)

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest exponent."""
        values = [each.exponent.value for each in self.specifications]
        return min(values), max(values)


def multiverses(
    curves: Iterable[Curve], runs: Iterable[EvaluatedRun], *, seed: int = 0
) -> tuple[Multiverse, ...]:
    """The multiverse of every curve with enough scales; curves that differ in tuning alone share one.

    ``runs`` are placed in their pools.
    """
    by_id = {run.run_id: run for run in runs}
    drawn = Summaries(n_draws=N_DRAWS, seed=seed)
    usable = [curve for curve in curves if curve.n_scales >= LEAST_SCALES and curve.assessments]
    each_or_none = (_multiverse(group, by_id, drawn) for group in _but_for_tuning(usable))
    return tuple(each for each in each_or_none if each is not None)


def _but_for_tuning(curves: Sequence[Curve]) -> list[list[Curve]]:
    """Groups of curves that differ in nothing but how knobs were chosen, one of each group by a search."""
    tuned = {name for curve in curves for name in _tuned(curve)}
    alike: dict[str, list[Curve]] = {}
    for curve in curves:
        kept = {
            name: value
            for name, value in flat_fields(curve.fixed).items()
            if not name.startswith("tuning.") and name.removeprefix("knobs.") not in tuned
        }
        alike.setdefault(f"{curve.axis.name} {sorted(kept.items(), key=lambda item: item[0])}", []).append(
            curve
        )
    groups: list[list[Curve]] = []
    for group in alike.values():
        groups += [group] if any(map(_tuned, group)) else [[curve] for curve in group]
    return groups


def _tuned(curve: Curve) -> list[str]:
    """The knobs that a search chose."""
    return [name for name in str(curve.fixed["tuning"].get("knobs", "")).split(",") if name]


def _multiverse(
    curves: Sequence[Curve], by_id: Mapping[str, EvaluatedRun], summaries: Summaries
) -> Multiverse | None:
    specifications: list[Specification] = []
    usual: dict[str, str] = {}
    searched = sorted({name for curve in curves for name in _tuned(curve)})
    for curve in curves:
        tuning = {"knobs": _tuning(curve, searched)} if len(curves) > 1 else {}
        drawn = DrawnCurve.of(curve, by_id, summaries)
        usual = usual or {**drawn.usual, **tuning}
        specifications += drawn.specifications(tuning)
    specifications.sort(key=lambda each: each.exponent.value)
    specified = [each.choices for each in specifications]
    if usual not in specified or len(specified) < 2:
        return None
    at, falls = specified.index(usual), [each.falls for each in specifications]
    return Multiverse(
        curve=curves[0],
        specifications=tuple(specifications),
        usual=specifications[at],
        effects=choice_effects(specified, [each.exponent for each in specifications], falls, usual),
        flips=tuple(specifications[i] for i in single_flips(specified, falls, at)),
        n_seeds=curves[0].n_seeds[0],
    )


def _tuning(curve: Curve, searched: Sequence[str]) -> str:
    """How the knobs of a curve were chosen, of which others of its group searched some."""
    if tuned := _tuned(curve):
        return f"tuned {', '.join(tuned)}"
    return ", ".join(f"{name}={curve.fixed['knobs'].get(name)}" for name in searched)
