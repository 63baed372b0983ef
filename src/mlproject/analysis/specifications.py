"""Specifications of a curve: its laws under every combination of defensible choices of the analysis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import product

import numpy as np

from mlproject.analysis.axes import AXES
from mlproject.analysis.curves import Curve
from mlproject.analysis.effects import seed_weights
from mlproject.analysis.points import LEAST_SCALES
from mlproject.analysis.runs import EvaluatedRun, Floats
from mlproject.analysis.summaries import SUMMARIES, Summaries
from mlproject.losses import LOSS_KINDS
from mlproject.scaling import Estimate, PowerLaws, fit_power, fit_power_floor

N_DRAWS = 200
ALL = "all"
LAWS = {"k x^-α": (fit_power, LEAST_SCALES), "E + k x^-α": (fit_power_floor, LEAST_SCALES + 1)}
"""Laws by their formula: how each is fitted, and the least number of scales that it needs."""
LEAST_NOISE = 1e-4
"""Relative noise below which all points count alike."""
MOST_GROUPS = 10
"""Groups of seeds that are left out in turn."""

Choices = Mapping[str, str]
"""Value by choice."""


@dataclass(frozen=True, kw_only=True)
class Specification:
    """One combination of choices: value by choice, the local exponent, and the fall from there to twice.

    ``laws`` are those of the losses and of each draw, [1 + draws].
    """

    choices: Choices
    exponent: Estimate
    fall: Estimate
    laws: PowerLaws = field(repr=False, compare=False)

    @property
    def falls(self) -> bool:
        """Whether the loss falls with the scale, beyond the interval."""
        return self.exponent.low > 0


@dataclass(frozen=True, kw_only=True)
class ChoiceEffect:
    """What a value of a choice changes, all other choices being equal.

    ``change`` is the mean change of the number against the usual value of the choice, ``n`` the number of
    pairs of specifications behind it, of which the conclusion differs in ``n_flips``.
    """

    choice: str
    value: str
    usual: str
    change: float
    n: int
    n_flips: int


def choice_effects(
    specified: Sequence[Choices], estimates: Sequence[Estimate], conclusions: Sequence[int], usual: Choices
) -> tuple[ChoiceEffect, ...]:
    """The effect of every value of every choice on estimates and conclusions, the largest first."""
    place = {_key(choices): i for i, choices in enumerate(specified)}
    effects = []
    for choice, common in usual.items():
        for value in dict.fromkeys(choices[choice] for choices in specified):
            pairs = [
                (i, place[twin])
                for i, choices in enumerate(specified)
                if value != common
                and choices[choice] == value
                and (twin := _key({**choices, choice: common})) in place
            ]
            if pairs:
                effects.append(
                    ChoiceEffect(
                        choice=choice,
                        value=value,
                        usual=common,
                        change=float(np.mean([estimates[i].value - estimates[j].value for i, j in pairs])),
                        n=len(pairs),
                        n_flips=sum(conclusions[i] != conclusions[j] for i, j in pairs),
                    )
                )
    return tuple(sorted(effects, key=lambda effect: -abs(effect.change)))


def single_flips(specified: Sequence[Choices], conclusions: Sequence[int], usual: int) -> list[int]:
    """Places of the specifications that differ from the usual one in one choice, and in the conclusion."""
    common = specified[usual]
    changed = [sum(value != common[name] for name, value in choices.items()) for choices in specified]
    return [i for i, n in enumerate(changed) if n == 1 and conclusions[i] != conclusions[usual]]


def estimate(values: Floats) -> Estimate:
    """The first of [1 + draws], with the 95 % interval of the others."""
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return Estimate(value=float(values[0]), low=float(low), high=float(high))


def _key(choices: Choices) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(choices.items()))


@dataclass(frozen=True, kw_only=True)
class DrawnCurve:
    """Summaries of a curve's runs under shared weights of images, and its choices.

    ``values`` hold [runs, 1 + draws] by kind of loss, summary and scale: the value itself, then the draws.
    ``kept`` are the places of the runs that are used, by choice of seeds and scale.
    """

    curve: Curve
    values: Mapping[tuple[str, str], Sequence[Floats]]
    choices: Mapping[str, Sequence[str]]
    x: Mapping[str, Floats]
    fitted: Mapping[str, Sequence[bool]]
    kept: Mapping[str, Sequence[Sequence[int]]]
    seed: int
    usual: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, curve: Curve, by_id: Mapping[str, EvaluatedRun], drawn: Summaries) -> DrawnCurve:
        """The summaries of a curve's runs, which are ``drawn``, and the choices that they allow."""
        scales = [[by_id[run_id] for run_id in point.run_ids] for point in curve.points]
        runs = [run for of_scale in scales for run in of_scale]
        trained = runs[0].kind
        kinds = [trained, *(k for k in LOSS_KINDS if k != trained and all(k in run.columns for run in runs))]
        kept = _runs_kept(scales)
        x, fitted = _parameters(curve, scales), _outliers(curve)
        choices = {
            "loss": kinds,
            "summary": SUMMARIES,
            "law": tuple(LAWS),
            "scales": (ALL, "without the smallest", "without the largest"),
            "seeds": tuple(kept),
            "outliers": tuple(fitted),
            "parameters": tuple(x),
        }
        preferred = curve.preferred("mean")
        floor = preferred is not None and preferred.law == "power_floor"
        usual = {name: values[0] for name, values in choices.items()} | {"law": tuple(LAWS)[int(floor)]}
        several = {name: values for name, values in choices.items() if len(values) > 1}
        return cls(
            curve=curve,
            values=_by_scale(scales, kinds, len(curve.image_ids), drawn),
            choices=choices,
            x=x,
            fitted=fitted,
            kept=kept,
            seed=drawn.seed,
            usual={name: value for name, value in usual.items() if name in several},
        )

    def specifications(self, tuning: Mapping[str, str]) -> Iterator[Specification]:
        """Every combination of choices that can be fitted; ``tuning`` is a choice that the curve makes."""
        averaged = cache(self._losses)  # the same for every law and choice of scales
        for values in product(*self.choices.values()):
            at = dict(zip(self.choices, values, strict=True))
            laws = self._fitted(at, averaged(at["loss"], at["summary"], at["seeds"]))
            if laws is not None:
                largest = float(self.x[at["parameters"]].max())
                yield Specification(
                    choices={**{name: at[name] for name in self.usual}, **tuning},
                    exponent=estimate(laws.local_exponent(largest)),
                    fall=estimate(1 - laws.mean(2 * largest) / laws.mean(largest)),
                    laws=laws,
                )

    def _fitted(self, at: Mapping[str, str], losses: Floats) -> PowerLaws | None:
        """The laws of losses [1 + draws, points]; None where the choices leave too little to fit."""
        x, used = self.x[at["parameters"]], np.array(self.fitted[at["outliers"]])
        if at["scales"] != ALL:
            used &= x > x.min() if at["scales"] == "without the smallest" else x < x.max()
        fit, least = LAWS[at["law"]]
        if len(np.unique(x[used])) < least:
            return None
        y = losses[:, used]
        return fit(x[used], y, _weights(y)) if (y > 0).all() else None

    def _losses(self, kind: str, summary: str, seeds: str) -> Floats:
        """Losses [1 + draws, points]: averages over the seeds that are kept, in draws over a resample."""
        columns = []
        for x, values, kept in zip(self.curve.x, self.values[kind, summary], self.kept[seeds], strict=True):
            weights = _averaging(len(kept), self.seed, int(x))  # curves share the draws of a scale
            columns.append(np.einsum("sb,sb->b", weights, values[kept]))
        return np.stack(columns, axis=1)


def _by_scale(
    scales: Sequence[Sequence[EvaluatedRun]], kinds: Sequence[str], n_images: int, drawn: Summaries
) -> dict[tuple[str, str], list[Floats]]:
    """Summaries [runs, 1 + draws] of every scale, by kind of loss and summary."""
    runs, ends = [run for of_scale in scales for run in of_scale], np.cumsum([*map(len, scales)])[:-1]
    return {
        (kind, summary): np.split(values, ends)
        for kind in kinds
        for summary, values in zip(SUMMARIES, drawn.of(runs, kind, n_images), strict=True)
    }


@lru_cache(maxsize=32)
def _averaging(n_seeds: int, seed: int, scale: int) -> Floats:
    """Weights [seeds, 1 + draws] of the average over seeds, and of averages over resamples of them."""
    rng = np.random.default_rng([seed, 2, scale])
    return np.column_stack([np.full(n_seeds, 1 / n_seeds), seed_weights(n_seeds, N_DRAWS, rng).T])


def _runs_kept(scales: Sequence[Sequence[EvaluatedRun]]) -> dict[str, list[list[int]]]:
    """Places of runs by scale: of all, and without each seed, or each of ten groups, if all scales keep one.

    Of many seeds each alone changes little, and fits of each would take longer than all else of a study.
    """
    seeds = [np.array([run.cell.seed for run in runs]) for runs in scales]
    every = np.unique(np.concatenate(seeds))
    kept = {ALL: [list(range(len(runs))) for runs in scales]}
    for group in np.array_split(every, min(len(every), MOST_GROUPS)):
        name = f"without seed {group[0]}" if len(group) == 1 else f"without seeds {group[0]} to {group[-1]}"
        others = [np.flatnonzero(~np.isin(of_scale, group)).tolist() for of_scale in seeds]
        if all(others):
            kept[name] = others
    return kept


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
