"""Macros: every number that a paper may quote, by a name of letters that says what it is.

A name is the quantity and its words with digits spelled out, ``\\AlphaPowerEfficientnetLiteZero``; where two
would be equal, letters of a digest tell them apart, so that a name never means two numbers.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlproject.analysis import HORIZONS, Curve, Study
from mlproject.report.formats import Interval, interval, number, signed_interval
from mlproject.report.paper.latex import portable
from mlproject.report.renderers import plain
from mlproject.report.renderers.latex import latex_cell

DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
SIGNS = {"+": "Plus", "=": "Is", "%": "Percent", ".": "Point", "×": "Times", "*": "Star"}
LIMITS = re.compile(r"(?:(?P<value>\S+) )?\[(?P<low>\S+), (?P<high>\S+)\]")
AVERAGED = {"LocalExponent": "local exponent at the largest scale", "Floor": "irreducible loss"}
ENDINGS = ("", "Low", "High", "Interval")
UNKNOWN = "not identified"
LETTERS = "abcdefghijklmnop"
"""Of digests: one letter for each hexadecimal digit."""


@dataclass(frozen=True, kw_only=True)
class Macro:
    """A number by its name: its text as LaTeX, and what it is in words."""

    name: str
    text: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number with the words that its name is made of; ``text`` may hold limits in brackets."""

    kind: str
    words: tuple[str, ...]
    text: str
    meaning: str


def readable(*words: str) -> str:
    """Words as one name of letters: ``readable("alpha", "lite0")`` is ``AlphaLiteZero``."""
    return "".join(_word(word) for word in words)


def _word(text: str) -> str:
    signs = re.sub(r"-(?=\d)", " minus ", text)
    parts = re.findall(r"[A-Za-z]+|.", signs, re.DOTALL)
    return "".join(
        part[0].upper() + part[1:] if part.isascii() and part.isalpha() else _sign(part) for part in parts
    )


def _sign(character: str) -> str:
    if character.isascii() and character.isdecimal():
        return DIGITS[int(character)]
    if character.isascii() or character in SIGNS:
        return SIGNS.get(character, "")
    near = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    if near.isalnum():
        return _word(near)
    return "" if character == "·" else _word(unicodedata.name(character, "sign").title())


def macros(quantities: Sequence[Quantity]) -> list[Macro]:
    """A macro for each number: of an interval the value, both limits, and the whole."""
    names = macro_names(quantities)
    return [m for pair in zip(names, quantities, strict=True) for m in _of_quantity(*pair)]


def macro_names(quantities: Sequence[Quantity]) -> list[str]:
    """The names of the values of these numbers, no two of which, nor any with an ending, are equal."""
    names = [readable(quantity.kind, *quantity.words) for quantity in quantities]
    taken = Counter(f"{name}{ending}" for name in names for ending in ENDINGS)
    seen: Counter[Quantity] = Counter()
    made: list[str] = []
    for quantity, name in zip(quantities, names, strict=True):
        ambiguous = any(taken[f"{name}{ending}"] > 1 for ending in ENDINGS)
        made.append(name + (_letters(quantity, seen[quantity]) if ambiguous else ""))
        seen[quantity] += 1
    return made


def _letters(quantity: Quantity, nth: int) -> str:
    text = "\0".join((quantity.kind, *quantity.words, quantity.text, quantity.meaning, str(nth)))
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return "X" + "".join(LETTERS[int(digit, 16)] for digit in digest)


def _of_quantity(name: str, quantity: Quantity) -> Iterator[Macro]:
    match = LIMITS.fullmatch(quantity.text)
    if match is None:
        yield Macro(name=name, text=_math(quantity.text), meaning=quantity.meaning)
        return
    value = match["value"]
    shown = UNKNOWN if value is None else _math(value)
    yield Macro(name=name, text=shown, meaning=quantity.meaning)
    for end in ("Low", "High"):
        meaning = f"{quantity.meaning}: {end.lower()}er limit".replace("higher", "upper")
        yield Macro(name=f"{name}{end}", text=_math(match[end.lower()]), meaning=meaning)
    limits = f"[{_math(match['low'])},~{_math(match['high'])}]"
    whole = limits if value is None else f"{shown}~{limits}"
    yield Macro(name=f"{name}Interval", text=whole, meaning=f"{quantity.meaning}, 95 % interval")


def _math(text: str) -> str:
    cell = latex_cell(text)
    return rf"\ensuremath{{{cell[1:-1]}}}" if cell.startswith("$") else portable(cell)


def numbers_tex(made: Sequence[Macro]) -> str:
    """The file of macros, each with its meaning behind it."""
    lines = (rf"\newcommand*{{\{m.name}}}{{{m.text}}}% {plain(m.meaning)}" for m in made)
    head = r"% A macro for every number; written by mlproject, do not edit. \input it in the preamble."
    return "\n".join([head, *lines]) + "\n"


def study_quantities(study: Study, names: Mapping[str, str]) -> list[Quantity]:
    """The numbers of a study; ``names`` are the short names of curves and grids by their labels."""
    quantities = list(_counts(study))
    for curve in study.curves:
        quantities += _of_curve(curve, names[curve.label])
    for grid in study.grids:
        quantities += _of_grid(grid, names[grid.label])
    return [*quantities, *_of_arms(study), *_of_regions(study)]


def _counts(study: Study) -> Iterator[Quantity]:
    cells = [run.cell for run in study.runs]
    counted = {
        "Runs": (len(cells), "runs"),
        "Models": (len({(cell.model, cell.weights) for cell in cells}), "models with their weights"),
        "Seeds": (len({cell.seed for cell in cells}), "seeds"),
        "Draws": (study.n_draws, "bootstrap draws"),
        "SmallestTrainingSet": (min(cell.dataset_size for cell in cells), "training images, the fewest"),
        "LargestTrainingSet": (max(cell.dataset_size for cell in cells), "training images, the most"),
        "EvaluatedImages": (
            max(len(run.image_ids) for run in study.runs),
            "evaluated images of a run, the most",
        ),
    }
    for kind, (count, meaning) in counted.items():
        yield Quantity(kind=kind, words=(), text=f"{count:,}", meaning=f"number of {meaning}")


def _of_curve(curve: Curve, name: str) -> Iterator[Quantity]:
    words, over = (name, "over", curve.axis.name), f"{name}, along {curve.axis.name}"
    for statistic, assessment in curve.assessments.items():
        of = "" if statistic == "mean" else "Median"
        for law in curve.fitted_laws(statistic):
            for parameter, estimate in law.parameters.items():
                meaning = f"{parameter} of {law.law}, {statistic} loss, {over}"
                named, known = (law.law, *words), estimate.identified
                yield _quantity(f"{parameter}{of}", named, estimate, meaning, identified=known)
        for kind, average in (("LocalExponent", assessment.local), ("Floor", assessment.floor)):
            if average is not None:
                meaning = f"{AVERAGED[kind]}, over all laws, {statistic} loss, {over}"
                known = average.identified
                yield _quantity(f"{kind}{of}", words, average, meaning, identified=known)
        for i, times in enumerate(HORIZONS if statistic in curve.predictions else ()):
            predicted = curve.predictions[statistic]
            text = interval(_Limits(predicted.mean[i], predicted.low[i], predicted.high[i]))
            meaning = f"predicted {statistic} loss at {times:g} times the largest scale, {over}"
            yield Quantity(kind=f"Predicted{of}", words=(f"at{times:g}", *words), text=text, meaning=meaning)
    for place, point in (("Smallest", curve.points[0]), ("Largest", curve.points[-1])):
        meaning = f"mean loss at the {place.lower()} scale ({point.name}), {over}"
        yield _quantity(f"LossAt{place}", words, point.losses["mean"], meaning)


@dataclass(frozen=True)
class _Limits:
    value: float
    low: float
    high: float


def _quantity(
    kind: str, words: tuple[str, ...], estimate: Interval, meaning: str, *, identified: bool = True
) -> Quantity:
    text = interval(estimate, identified=identified)
    return Quantity(kind=kind, words=words, text=text, meaning=meaning)


def _of_grid(grid: Any, name: str) -> Iterator[Quantity]:
    for law in grid.assessment.laws if grid.has_laws else ():
        for parameter, estimate in law.parameters.items():
            meaning = f"{parameter} of the joint law {law.law}, {name}"
            words = (parameter, law.law, name)
            yield _quantity("Joint", words, estimate, meaning, identified=estimate.identified)
    frontier = grid.allocation.frontier if grid.allocation is not None else None
    if frontier is not None:
        meaning = f"exponent of the best model size against compute, {name}"
        yield _quantity("BestSizeExponent", (name,), frontier.n_exponent, meaning)
    if grid.held_out is not None:
        meaning = f"root mean square log error of the held-out cells, {name}"
        yield Quantity(kind="HeldOutError", words=(name,), text=number(grid.held_out.error), meaning=meaning)


def _of_arms(study: Study) -> Iterator[Quantity]:
    for table in study.ablation.tables:
        for row in table.rows:
            words, of = (row.arm, "in", table.label), f"{row.arm}, {table.label}"
            for column, effect in row.loss.items():
                yield _quantity("LossOf", (column, *words), effect, f"loss ({column}) of {of}")
            for kind, difference in (("Loss", row.loss_difference), ("Error", row.error_difference)):
                if difference is not None:
                    meaning = f"{kind.lower()} of the arm minus that of the baseline, {of}"
                    text = signed_interval(difference.effect)
                    yield Quantity(kind=f"{kind}Difference", words=words, text=text, meaning=meaning)


def _of_regions(study: Study) -> Iterator[Quantity]:
    for item in study.region_contrasts:
        words = (item.statistic, item.law, *item.regions, item.first.series)
        of = (
            f"{item.regions[0]} and {item.regions[1]}, {item.first.series}, {item.statistic} loss, {item.law}"
        )
        yield _quantity("RegionLossRatio", words, item.loss_ratio, f"ratio of losses of {of}")
        difference = item.difference.difference
        yield _quantity("RegionExponentDifference", words, difference, f"difference of exponents of {of}")
