"""Multiverse of comparisons: whether a choice of the analysis reverses which of two curves is better.

A study says which curve has the least loss at the next scale, and which falls fastest. Both are computed
under every combination of choices that both curves allow, the same for both, from draws that are paired over
the images and seeds that they share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlproject.analysis.axes import MODEL_FIELDS
from mlproject.analysis.comparable import REGION_FIELDS, comparison_key
from mlproject.analysis.curves import Curve
from mlproject.analysis.multiverse import Multiverse
from mlproject.analysis.points import HORIZONS
from mlproject.analysis.specifications import (
    LAWS,
    ChoiceEffect,
    Specification,
    choice_effects,
    estimate,
    single_flips,
)
from mlproject.scaling import Estimate

COMPARED = (MODEL_FIELDS | {"weights_kind"}, REGION_FIELDS)
"""What curves that are compared differ in: the network and its weights, or the region of the images."""
OF_A_CURVE = ("outliers", "knobs")
"""Choices that may have several values for one of two curves alone; the others are the same for both."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Two curves under one combination of choices: value by choice, and how far the first is ahead."""

    choices: Mapping[str, str]
    lead: Estimate

    @property
    def conclusion(self) -> int:
        """1 where the first is ahead beyond the interval, -1 where the second is, else 0."""
        return int(self.lead.low > 0) - int(self.lead.high < 0)


@dataclass(frozen=True, kw_only=True)
class ComparisonMultiverse:
    """All contrasts of two curves in one quantity, ascending.

    The lead of the first is its exponent at ``scale`` minus that of the second (``exponent``), or
    ln of the second's loss over its own there (``loss``). ``flips`` differ from the usual contrast in a
    single choice, and in the conclusion.
    """

    first: Curve
    second: Curve
    quantity: str
    scale: float
    contrasts: tuple[Contrast, ...]
    usual: Contrast
    effects: tuple[ChoiceEffect, ...]
    flips: tuple[Contrast, ...]

    def count(self, conclusion: int) -> int:
        """How many contrasts have a conclusion."""
        return sum(each.conclusion == conclusion for each in self.contrasts)

    @property
    def agreed(self) -> bool:
        """Whether all contrasts have one conclusion."""
        return self.count(self.usual.conclusion) == len(self.contrasts)

    @property
    def reversed(self) -> bool:
        """Whether some contrasts conclude that the first is ahead, and others that the second is."""
        return self.count(1) > 0 and self.count(-1) > 0


def comparison_multiverses(multiverses: Iterable[Multiverse]) -> tuple[ComparisonMultiverse, ...]:
    """The curve that is ahead at the next scale as reported, against each that it can be compared to."""
    groups: dict[str, list[Multiverse]] = {}
    for each in multiverses:
        for varies in COMPARED:
            key = f"{each.curve.axis.name} {comparison_key(each.curve.fixed, varies)} {sorted(varies)}"
            groups.setdefault(key, []).append(each)
    compared: list[ComparisonMultiverse] = []
    for group in groups.values():
        scale = min(float(each.curve.x[-1]) for each in group)
        first = min(group, key=lambda each: float(each.usual.laws.mean(HORIZONS[0] * scale)[0]))
        for second in group:
            if second is not first and _same_images(first.curve, second.curve):
                compared += _compared(first, second)
    return tuple(compared)


def _same_images(first: Curve, second: Curve) -> bool:
    """Whether two curves evaluate the same images, so that their draws are paired."""
    unseen = [np.isnan(curve.losses).all(axis=1) for curve in (first, second)]
    return first.image_ids == second.image_ids and bool((unseen[0] == unseen[1]).all())


def _compared(first: Multiverse, second: Multiverse) -> Iterator[ComparisonMultiverse]:
    pairs, usual = _pairs(first, second), _usual(first, second)
    scale = min(float(each.curve.x[-1]) for each in (first, second))
    following = HORIZONS[0] * scale
    leads = {
        "exponent": (scale, [a.laws.local_exponent(scale) - b.laws.local_exponent(scale) for a, b in pairs]),
        "loss": (following, [np.log(b.laws.mean(following) / a.laws.mean(following)) for a, b in pairs]),
    }
    choices = [{**b.choices, **a.choices} for a, b in pairs]
    if usual not in choices or len(choices) < 2:
        return
    for quantity, (at, values) in leads.items():
        contrasts = [
            Contrast(choices=of_pair, lead=estimate(of_draws))
            for of_pair, of_draws in zip(choices, values, strict=True)
        ]
        conclusions = [each.conclusion for each in contrasts]
        place = choices.index(usual)
        yield ComparisonMultiverse(
            first=first.curve,
            second=second.curve,
            quantity=quantity,
            scale=at,
            contrasts=tuple(sorted(contrasts, key=lambda each: each.lead.value)),
            usual=contrasts[place],
            effects=choice_effects(choices, [each.lead for each in contrasts], conclusions, usual),
            flips=tuple(contrasts[i] for i in single_flips(choices, conclusions, place)),
        )


def _pairs(first: Multiverse, second: Multiverse) -> Sequence[tuple[Specification, Specification]]:
    """Specifications of both that make the same choices, as far as both have them."""
    shared = [name for name in first.usual.choices if name in second.usual.choices]
    others: dict[tuple[str, ...], list[Specification]] = {}
    for each in _comparable(second, shared):
        others.setdefault(tuple(each.choices[name] for name in shared), []).append(each)
    return [
        (each, other)
        for each in _comparable(first, shared)
        for other in others.get(tuple(each.choices[name] for name in shared), ())
    ]


def _comparable(multiverse: Multiverse, shared: Sequence[str]) -> Iterator[Specification]:
    """Specifications with the usual values of choices that the other curve does not have."""
    usual = multiverse.usual.choices
    alone = [name for name in usual if name not in shared and name not in OF_A_CURVE]
    yield from (
        each for each in multiverse.specifications if all(each.choices[name] == usual[name] for name in alone)
    )


def _usual(first: Multiverse, second: Multiverse) -> dict[str, str]:
    """The usual choices of both; the law with a floor where either has it."""
    usual = {**second.usual.choices, **first.usual.choices}
    laws = [each.usual.choices["law"] for each in (first, second) if "law" in each.usual.choices]
    return usual | ({"law": max(laws, key=tuple(LAWS).index)} if laws else {})
