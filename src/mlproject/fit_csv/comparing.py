"""Is the exponent of one group larger than that of another? Under the law that suits both, and over all.

An exponent depends on its law (without a floor it is smaller): the answer names the law it is given under,
and says what the other laws, and each group's average over all of them, would answer.
Source: Zou and Donner 2008 (Statist. Med. 27, 1693), the interval of a difference from two intervals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlproject.errors import BadInput, unknown
from mlproject.fit_csv.fits import GroupFit, LawFit
from mlproject.fit_csv.words import SYMBOLS, interval
from mlproject.fit_csv.writing import finite
from mlproject.scaling import HEARD, Difference, Estimate, compare
from mlproject.scaling.fitting.verdict import UNIDENTIFIABLE

SAID = {
    "first larger": "The exponent {} of {} is larger than that of {}",
    "second larger": "The exponent {} of {} is smaller than that of {}",
    "no difference seen": "No difference between the exponents {} of {} and {} is seen",
    "not identifiable": "The data do not say which exponent {} is larger, that of {} or of {}",
}
Pair = tuple[LawFit, LawFit]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """First minus second: under laws fitted to both (heaviest pair first), and over all laws."""

    first: str
    second: str
    by_law: tuple[tuple[Pair, tuple[Difference, ...]], ...]
    over_all: tuple[Difference, ...]

    @property
    def sentences(self) -> str:
        """The answer for every exponent under the first law, then what the other laws say."""
        return " ".join(self._sentence(one) for one in self.by_law[0][1])

    def _sentence(self, one: Difference) -> str:
        answer = SAID[one.verdict].format(SYMBOLS[one.parameter], self.first, self.second)
        shown = [
            f"{interval(other.difference)} under {pair[0].law}{_doubt(pair)}"
            for pair, found in self.by_law
            for other in found
            if other.parameter == one.parameter
        ]
        shown += [
            f"{interval(o.difference)} over all laws" for o in self.over_all if o.parameter == one.parameter
        ]
        return f"{answer} (by {self.by_law[0][0][0].law}). The difference is {', '.join(shown)}."

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        rows = [
            {"law": a.law, "weights": [a.weight, b.weight], "differences": [_row(one) for one in found]}
            for (a, b), found in self.by_law
        ]
        over = [_row(one) for one in self.over_all]
        return {"first": self.first, "second": self.second, "laws": rows, "over_all_laws": over}


def compare_groups(fits: Sequence[GroupFit], first: str, second: str) -> Comparison:
    """The differences of all exponents between two groups.

    Raises: WrongUse for a group that does not exist, BadInput where no law was fitted to both.
    """
    a, b = _find(fits, first), _find(fits, second)
    pairs = _pairs(a, b)
    if not pairs:
        raise BadInput(f"{first} and {second} cannot be compared: no law was fitted to both")
    shared = [name for name in SYMBOLS if name in a.exponents and name in b.exponents]
    return Comparison(
        first=a.name,
        second=b.name,
        by_law=tuple((pair, tuple(_compare(*pair))) for pair in pairs),
        over_all=tuple(_difference(name, a.exponents[name], b.exponents[name]) for name in shared),
    )


def _difference(name: str, a: Estimate, b: Estimate) -> Difference:
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    high = value + math.hypot(a.high - a.value, b.value - b.low)
    return Difference(parameter=name, difference=Estimate(value=value, low=low, high=high), paired=False)


def _compare(one: LawFit, other: LawFit) -> list[Difference]:
    assert one.fit is not None
    assert other.fit is not None
    return [compare(one.fit, other.fit, parameter=name) for name in SYMBOLS if name in one.parameters]


def _find(fits: Sequence[GroupFit], name: str) -> GroupFit:
    for one in fits:
        if one.name == name:
            return one
    raise unknown("group", name, [one.name for one in fits])


def _pairs(a: GroupFit, b: GroupFit) -> list[Pair]:
    """Laws that were fitted to both, the heaviest pair first; light ones only where there is no other."""
    own = {row.law: row for row in b.laws if row.fit is not None}
    pairs = [(row, own[row.law]) for row in a.laws if row.fit is not None and row.law in own]
    pairs.sort(key=lambda pair: -pair[0].weight * pair[1].weight)
    heard = [pair for pair in pairs if min(pair[0].weight, pair[1].weight) >= HEARD]
    return heard or pairs[:1]


def _doubt(pair: Pair) -> str:
    unsure = any(row.fit is not None and row.fit.verdict == UNIDENTIFIABLE for row in pair)
    return " (not identifiable)" if unsure else ""


def _row(found: Difference) -> dict[str, Any]:
    e = found.difference
    limits = {"value": finite(e.value), "low": finite(e.low), "high": finite(e.high)}
    return {"parameter": found.parameter, **limits, "verdict": found.verdict}
