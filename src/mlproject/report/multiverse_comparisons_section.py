"""The section on comparisons under other choices: whether a choice reverses which of two curves is better."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from mlproject.analysis import ComparisonMultiverse, Contrast
from mlproject.report.document import Figure, Row, Section, Table
from mlproject.report.formats import apart, as_count, as_interval, as_scale, as_text, signed_interval, slugs
from mlproject.report.multiverse_columns import CHOICES
from mlproject.scaling import scale_text

MOST_DRAWN = 4
"""Comparisons whose contrasts are drawn, of those that a choice flips."""
METHOD = (
    "Of the curves that differ in the network or the region alone, that of the lowest loss at the next scale "
    "as reported is compared with each other one under the choices that both allow. Its lead is its exponent "
    "minus that of the other at the largest scale of both, or ln of the other's loss over its own at twice "
    "that scale."
)
COMPARISONS = (
    "first", "second", "axis", "quantity", "scale", "lead", "lead_low", "lead_high", "n_specifications",
    "n_first", "n_second", "flips",
)  # fmt: skip
CONTRASTS = (
    "first", "second", "axis", "quantity", "scale", *(f"choice_{name}" for name in CHOICES), "lead",
    "lead_low", "lead_high", "as_reported",
)  # fmt: skip
AHEAD = {"exponent": "falls faster", "loss": "has the lower loss"}


def multiverse_comparisons_section(multiverses: Sequence[ComparisonMultiverse]) -> Section:
    """A sentence and a row for each comparison, figures of those that a choice flips, and all contrasts."""
    names = comparison_names(multiverses)
    return Section(
        title="Multiverse: which curve is ahead",
        paragraphs=(METHOD,),
        bullets=tuple(comparison_sentence(each, names) for each in multiverses),
        tables=_tables(multiverses),
        figures=tuple(_figures(multiverses)),
    )


def comparison_names(multiverses: Iterable[ComparisonMultiverse]) -> Mapping[str, str]:
    """What sets the labels of all compared curves apart."""
    return apart(curve.label for each in multiverses for curve in (each.first, each.second))[0]


def comparison_sentence(multiverse: ComparisonMultiverse, names: Mapping[str, str]) -> str:
    """The reported lead, how many analyses conclude what, and which choices alone change the conclusion."""
    first, second = (names[curve.label] for curve in (multiverse.first, multiverse.second))
    counts = {who: multiverse.count(way) for who, way in ((first, 1), (second, -1)) if multiverse.count(way)}
    n, verb = len(multiverse.contrasts), AHEAD[multiverse.quantity]
    decided = [f"in {count} {who} {verb}" for who, count in counts.items()]
    neither = n - sum(counts.values())
    if n in counts.values():
        agreed = f"all agree: {next(iter(counts))} {verb}"
    elif neither == n:
        agreed = f"all agree: it cannot be concluded that either {verb}"
    else:
        agreed = "; ".join([*decided, *([f"in {neither} neither"] if neither else [])])
    text = (
        f"{first} against {second}, {multiverse.quantity} at {scale_text(multiverse.scale)} "
        f"{multiverse.first.axis.unit}: lead {signed_interval(multiverse.usual.lead)} as reported; of {n} "
        f"specifications {agreed}"
    )
    return text + "".join(f"; {flip}" for flip in _flips(multiverse, names)) + "."


def comparison_flip(multiverse: ComparisonMultiverse, names: Mapping[str, str]) -> str:
    """What is reported of a comparison, and what single choices say instead."""
    reported = _conclusion(multiverse, multiverse.usual, names)
    return f"as reported {reported}, but {'; '.join(_flips(multiverse, names))}"


def _flips(multiverse: ComparisonMultiverse, names: Mapping[str, str]) -> Iterator[str]:
    for each in multiverse.flips:
        conclusion = _conclusion(multiverse, each, names)
        change = change_words(each.choices, multiverse.usual.choices)
        yield f"with {change} {conclusion} ({signed_interval(each.lead)})"


def change_words(choices: Mapping[str, str], usual: Mapping[str, str]) -> str:
    """The choice in which choices differ from the usual ones, in words."""
    choice = next(name for name, value in choices.items() if value != usual[name])
    return f"{choice} {choices[choice]} instead of {usual[choice]}"


def _conclusion(multiverse: ComparisonMultiverse, contrast: Contrast, names: Mapping[str, str]) -> str:
    first, second = (names[curve.label] for curve in (multiverse.first, multiverse.second))
    verb = AHEAD[multiverse.quantity]
    either = f"it cannot be concluded that {first} or {second} {verb}"
    return {1: f"{first} {verb}", -1: f"{second} {verb}"}.get(contrast.conclusion, either)


def _tables(multiverses: Sequence[ComparisonMultiverse]) -> tuple[Table, Table]:
    """A row for each comparison, and, as a file, for each of its contrasts."""
    names = comparison_names(multiverses)
    rows: list[Row] = [
        {
            **_about(each),
            **_lead(each.usual),
            "n_specifications": len(each.contrasts),
            "n_first": each.count(1),
            "n_second": each.count(-1),
            "flips": "; ".join(change_words(flip.choices, each.usual.choices) for flip in each.flips) or None,
            "name_first": names[each.first.label],
            "name_second": names[each.second.label],
        }
        for each in multiverses
    ]
    formats = {
        "first": as_text("name_first"),
        "second": as_text("name_second"),
        "of": as_text("quantity"),
        "at": as_scale("scale"),
        "lead of the first": as_interval("lead"),
        "first ahead": as_count("n_first"),
        "second ahead": as_count("n_second"),
        "of all": as_count("n_specifications"),
        "flipped by": as_text("flips"),
    }
    shown = Table(
        name="multiverse_comparisons",
        rows=rows,
        columns=COMPARISONS,
        formats=formats,
        caption="Which curve is ahead, in how many specifications, and which choices alone change that",
    )
    every = [row for each in multiverses for row in _contrast_rows(each)]
    return shown, Table(name="multiverse_contrasts", rows=every, columns=CONTRASTS)


def _figures(multiverses: Sequence[ComparisonMultiverse]) -> list[Figure]:
    """Contrasts of the comparisons that a choice flips, those that are reversed first."""
    from mlproject.report.figures.multiverse import contrast_figure

    names = comparison_names(multiverses)
    drawn = sorted((each for each in multiverses if each.flips), key=lambda each: not each.reversed)
    drawn = drawn[:MOST_DRAWN]
    both = [(names[each.first.label], names[each.second.label]) for each in drawn]
    files = slugs([f"contrast_{each.quantity}_{a}_{b}" for each, (a, b) in zip(drawn, both, strict=True)], 70)
    return [
        Figure(
            name=file,
            draw=partial(contrast_figure, each, pair),
            caption=f"{pair[0]} against {pair[1]}, {each.quantity}: leads of the first in "
            f"{len(each.contrasts)} specifications, ascending, with 95 % intervals, and the choices of each "
            "below; the reported one is marked. Above 0 the first is ahead.",
            data=Table(name=file, rows=list(_contrast_rows(each)), columns=CONTRASTS),
        )
        for file, each, pair in zip(files, drawn, both, strict=True)
    ]


def _contrast_rows(multiverse: ComparisonMultiverse) -> Iterator[Row]:
    for each in multiverse.contrasts:
        choices = {f"choice_{name}": each.choices.get(name) for name in CHOICES}
        usual = each is multiverse.usual
        yield {**_about(multiverse), **choices, **_lead(each), "as_reported": usual}


def _about(multiverse: ComparisonMultiverse) -> Row:
    return {
        "first": multiverse.first.label,
        "second": multiverse.second.label,
        "axis": multiverse.first.axis.name,
        "quantity": multiverse.quantity,
        "scale": multiverse.scale,
    }


def _lead(contrast: Contrast) -> Row:
    lead = contrast.lead
    return {"lead": lead.value, "lead_low": lead.low, "lead_high": lead.high}
