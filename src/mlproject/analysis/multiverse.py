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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product

import numpy as np

from mlproject.analysis.axes import AXES
from mlproject.analysis.comparable import flat_fields
from mlproject.analysis.curves import Curve
from mlproject.analysis.effects import seed_weights
from mlproject.analysis.points import LEAST_SCALES
from mlproject.analysis.runs import LOSS_KINDS, EvaluatedRun, Floats
from mlproject.analysis.summaries import SUMMARIES, summaries
from mlproject.scaling import Estimate, PowerLaws, fit_power, fit_power_floor

N_DRAWS = 200
ALL = "all"
LAWS = {"k x^-α": (fit_power, LEAST_SCALES), "E + k x^-α": (fit_power_floor, LEAST_SCALES + 1)}
"""Laws by their formula: how each is fitted, and the least number of scales that it needs."""
LEAST_NOISE = 1e-4
"""Relative noise below which all points count alike."""


@dataclass(frozen=True, kw_only=True)
class Specification:
    """One combination of choices: value by choice, the local exponent, and the fall from there to twice."""

    choices: Mapping[str, str]
    exponent: Estimate
    fall: Estimate

    @property
    def falls(self) -> bool:
        """Whether the loss falls with the scale, beyond the interval."""
        return self.exponent.low > 0


@dataclass(frozen=True, kw_only=True)
class ChoiceEffect:
    """What a value of a choice changes, all other choices being equal.

    ``change`` is the mean change of the exponent against the usual value of the choice, ``n`` the number of
    pairs of specifications behind it, of which the conclusion that the loss falls differs in ``n_flips``.
    """

    choice: str
    value: str
    usual: str
    change: float
    n: int
    n_flips: int


@dataclass(frozen=True, kw_only=True)
class Multiverse:
    """All specifications of a curve. ``usual`` is that of the report; ``effects`` begin with the largest."""

    curve: Curve
    specifications: tuple[Specification, ...]
    usual: Specification
    effects: tuple[ChoiceEffect, ...]
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
    usable = [curve for curve in curves if curve.n_scales >= LEAST_SCALES and curve.assessments]
    each_or_none = (_multiverse(group, by_id, seed) for group in _but_for_tuning(usable))
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


def _multiverse(curves: Sequence[Curve], by_id: Mapping[str, EvaluatedRun], seed: int) -> Multiverse | None:
    specifications: list[Specification] = []
    usual: dict[str, str] = {}
    searched = sorted({name for curve in curves for name in _tuned(curve)})
    for curve in curves:
        tuning = {"knobs": _tuning(curve, searched)} if len(curves) > 1 else {}
        drawn = _Drawn.of(curve, by_id, seed)
        usual = usual or {**drawn.usual, **tuning}
        specifications += (
            Specification(choices={**choices, **tuning}, exponent=exponent, fall=fall)
            for choices, exponent, fall in drawn.specifications()
        )
    chosen = next((each for each in specifications if each.choices == usual), None)
    if chosen is None or len(specifications) < 2:
        return None
    return Multiverse(
        curve=curves[0],
        specifications=tuple(sorted(specifications, key=lambda each: each.exponent.value)),
        usual=chosen,
        effects=tuple(sorted(_effects(specifications, usual), key=lambda effect: -abs(effect.change))),
        n_seeds=curves[0].n_seeds[0],
    )


def _tuning(curve: Curve, searched: Sequence[str]) -> str:
    """How the knobs of a curve were chosen, of which others of its group searched some."""
    if tuned := _tuned(curve):
        return f"tuned {', '.join(tuned)}"
    return ", ".join(f"{name}={curve.fixed['knobs'].get(name)}" for name in searched)


def _effects(specifications: Sequence[Specification], usual: Mapping[str, str]) -> Iterator[ChoiceEffect]:
    by_choices = {tuple(sorted(each.choices.items())): each for each in specifications}
    for choice, common in usual.items():
        for value in dict.fromkeys(each.choices[choice] for each in specifications):
            if value == common:
                continue
            pairs = [
                (each, by_choices[twin])
                for each in specifications
                if each.choices[choice] == value
                and (twin := tuple(sorted({**each.choices, choice: common}.items()))) in by_choices
            ]
            if pairs:
                changes = [each.exponent.value - other.exponent.value for each, other in pairs]
                yield ChoiceEffect(
                    choice=choice,
                    value=value,
                    usual=common,
                    change=float(np.mean(changes)),
                    n=len(pairs),
                    n_flips=sum(each.falls != other.falls for each, other in pairs),
                )


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """Summaries of a curve's runs under shared weights of images, and its choices.

    ``values`` hold [1 + draws] by kind of loss, summary and run: the value itself, then the draws.
    """

    curve: Curve
    scales: Sequence[Sequence[EvaluatedRun]]
    values: Mapping[str, Mapping[str, Mapping[str, Floats]]]
    choices: Mapping[str, Sequence[str]]
    x: Mapping[str, Floats]
    fitted: Mapping[str, Sequence[bool]]
    seed: int
    usual: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, curve: Curve, by_id: Mapping[str, EvaluatedRun], seed: int) -> _Drawn:
        scales = [[by_id[run_id] for run_id in point.run_ids] for point in curve.points]
        runs = [run for of_scale in scales for run in of_scale]
        trained = runs[0].kind
        kinds = [trained, *(k for k in LOSS_KINDS if k != trained and all(k in run.columns for run in runs))]
        seeds = sorted({run.cell.seed for run in runs})
        can_leave = [s for s in seeds if all(any(r.cell.seed != s for r in each) for each in scales)]
        x, fitted = _parameters(curve, scales), _outliers(curve)
        choices = {
            "loss": kinds,
            "summary": SUMMARIES,
            "law": tuple(LAWS),
            "scales": (ALL, "without the smallest", "without the largest"),
            "seeds": (ALL, *(f"without seed {s}" for s in can_leave)),
            "outliers": tuple(fitted),
            "parameters": tuple(x),
        }
        preferred = curve.preferred("mean")
        floor = preferred is not None and preferred.law == "power_floor"
        usual = {name: values[0] for name, values in choices.items()} | {"law": tuple(LAWS)[int(floor)]}
        several = {name: values for name, values in choices.items() if len(values) > 1}
        return cls(
            curve=curve,
            scales=scales,
            values={k: summaries(runs, k, len(curve.image_ids), n_draws=N_DRAWS, seed=seed) for k in kinds},
            choices=choices,
            x=x,
            fitted=fitted,
            seed=seed,
            usual={name: value for name, value in usual.items() if name in several},
        )

    def specifications(self) -> Iterator[tuple[dict[str, str], Estimate, Estimate]]:
        """Every combination of choices that can be fitted: its choices of several values, and results."""
        averaged = cache(self._losses)  # the same for every law and choice of scales
        for values in product(*self.choices.values()):
            at = dict(zip(self.choices, values, strict=True))
            result = self._fitted(at, averaged(at["loss"], at["summary"], at["seeds"]))
            if result is not None:
                yield {name: at[name] for name in self.usual}, *result

    def _fitted(self, at: Mapping[str, str], losses: Floats) -> tuple[Estimate, Estimate] | None:
        """Exponent and fall of losses [1 + draws, points]; None where the choices leave too little to fit."""
        x, used = self.x[at["parameters"]], np.array(self.fitted[at["outliers"]])
        if at["scales"] != ALL:
            used &= x > x.min() if at["scales"] == "without the smallest" else x < x.max()
        fit, least = LAWS[at["law"]]
        if len(np.unique(x[used])) < least:
            return None
        y = losses[:, used]
        if not (y > 0).all():
            return None
        laws: PowerLaws = fit(x[used], y, _weights(y))
        largest = float(x.max())
        return _estimate(laws.local_exponent(largest)), _estimate(
            1 - laws.mean(2 * largest) / laws.mean(largest)
        )

    def _losses(self, kind: str, summary: str, seeds: str) -> Floats:
        """Losses [1 + draws, points]: averages over the seeds that are kept, in draws over a resample."""
        values, columns = self.values[kind][summary], []
        rng = np.random.default_rng([self.seed, 2])
        for runs in self.scales:
            kept = [run for run in runs if seeds != f"without seed {run.cell.seed}"]
            of_runs = np.stack([values[run.run_id] for run in kept])
            weights = np.vstack([np.full(len(kept), 1 / len(kept)), seed_weights(len(kept), N_DRAWS, rng)])
            columns.append(np.einsum("bs,sb->b", weights, of_runs))
        return np.stack(columns, axis=1)


def _parameters(curve: Curve, scales: Sequence[Sequence[EvaluatedRun]]) -> dict[str, Floats]:
    """Scales by what is counted: along models with a frozen backbone, with and without the head."""
    counted = {ALL: curve.x}
    heads = [runs[0].observation.metrics.get("params_trained", 0.0) for runs in scales]
    if curve.axis is AXES["params"] and all(0 < head < x / 2 for head, x in zip(heads, curve.x, strict=True)):
        counted["without the trained head"] = curve.x - np.array(heads)
    return counted


def _outliers(curve: Curve) -> dict[str, list[bool]]:
    """Which points are fitted: without those that the report leaves out as outliers, and with them."""
    every = [True] * len(curve.points)
    points = curve.assessments["mean"].points
    if points is None or len(points.y) == len(every):
        return {"left out": every}
    kept = set(points.x[:, 0].tolist())
    return {"left out": [x in kept for x in curve.x.tolist()], "kept": every}


def _weights(y: Floats) -> Floats:
    """Weights of ln y [points], from the spread of its draws [1 + draws, points]."""
    noise = np.log(y[1:]).std(axis=0)
    return np.asarray(1 / np.maximum(noise, max(LEAST_NOISE, 0.2 * float(np.median(noise)))) ** 2)


def _estimate(values: Floats) -> Estimate:
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return Estimate(value=float(values[0]), low=float(low), high=float(high))
