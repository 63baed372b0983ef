"""The section of a report on the multiverse: which choice of the analysis moves the exponents the most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from mlproject.analysis import ComparisonMultiverse, Multiverse, Specification
from mlproject.report.document import Figure, Row, Section, Table
from mlproject.report.formats import as_count, as_signed, as_text, group_column, slugs
from mlproject.report.multiverse_columns import CHOICES
from mlproject.report.multiverse_comparisons_section import change_words, comparison_flip, comparison_names
from mlproject.scaling import interval_text

MOST_DRAWN = 6
"""Curves whose specifications are drawn: those that a choice flips first, then those of the widest range."""
SPECIFICATIONS = (
    "group", "axis", *(f"choice_{name}" for name in CHOICES), "exponent", "exponent_low", "exponent_high",
    "fall", "fall_low", "fall_high", "as_reported",
)  # fmt: skip
EFFECTS = ("group", "axis", "choice", "choice_value", "choice_usual", "exponent_change", "n_pairs", "n_flips")
METHOD = (
    "Every combination of defensible choices is a specification: the same runs, analysed as another careful "
    "author might have (Steegen et al. 2016; Simonsohn et al. 2020). The exponent is the local one at the "
    "largest scale, -d ln L / d ln x; the fall is the share by which the loss falls from there to twice the "
    "scale. Each has a single law, while the report averages laws, so that its intervals are wider. "
    "Intervals are 95 %, of 200 bootstrap draws over images, and over seeds where there are several; with "
    "one seed they lack the noise of training."
)


def multiverse_section(
    multiverses: Sequence[Multiverse], comparisons: Sequence[ComparisonMultiverse]
) -> Section:
    """Whether a choice flips a conclusion, a sentence for each, figures, effects, and all specifications."""
    from mlproject.report.figures.multiverse import specification_figure

    drawn = sorted(multiverses, key=lambda each: (each.n_agreeing == len(each.specifications), -_width(each)))
    drawn = drawn[:MOST_DRAWN]
    names = slugs([f"multiverse_{each.curve.axis.slug}_{each.curve.label}" for each in drawn], 70)
    figures = [
        Figure(
            name=name,
            draw=partial(specification_figure, each),
            caption=f"{each.curve.label}: exponents of {len(each.specifications)} specifications, ascending, "
            "with 95 % intervals, and the choices of each below; the reported one is marked.",
            data=Table(name=name, rows=list(_specification_rows([each])), columns=SPECIFICATIONS),
        )
        for name, each in zip(names, drawn, strict=True)
    ]
    return Section(
        title="Multiverse: other defensible analyses",
        paragraphs=(headline(multiverses, comparisons), METHOD),
        bullets=tuple(map(sentence, multiverses)),
        tables=(_effects(multiverses), _specifications(multiverses)),
        figures=tuple(figures),
    )


def headline(multiverses: Sequence[Multiverse], comparisons: Sequence[ComparisonMultiverse]) -> str:
    """Whether a single choice, all others as reported, flips any conclusion, and which."""
    names = comparison_names(comparisons)
    flipped = [_flip(each) for each in multiverses if each.flips]
    turned = sorted(comparisons, key=lambda each: not each.reversed)
    flipped = [comparison_flip(each, names) for each in turned if each.flips] + flipped
    n = len(multiverses) + len(comparisons)
    n_split = sum(each.n_agreeing < len(each.specifications) for each in multiverses)
    n_split += sum(not each.agreed for each in comparisons)
    split = f" Combinations of choices disagree on {n_split} of them." if n_split else ""
    if not flipped:
        any_of = f"any of the {n} conclusions" if n > 1 else "the conclusion"
        return f"No choice alone flips {any_of}.{split}"
    more = len(flipped) - MOST_DRAWN
    rest = f" {more} more below." if more > 0 else ""
    shown = " ".join(f"({i}) {text}." for i, text in enumerate(flipped[:MOST_DRAWN], 1))
    return f"A choice alone flips {len(flipped)} of {n} conclusions.{split} {shown}{rest}"


def _flip(multiverse: Multiverse) -> str:
    """What is reported of a curve, and which single choices say the opposite."""
    usual = multiverse.usual.choices
    changes = [change_words(each.choices, usual) for each in multiverse.flips]
    curve, falls = multiverse.curve, multiverse.usual.falls
    reported = "the loss falls" if falls else "it cannot be concluded that the loss falls"
    instead = "this cannot be concluded" if falls else "it can"
    return f"{curve.label}, along {curve.axis.name}: {reported}, but with {' or '.join(changes)} {instead}"


def sentence(multiverse: Multiverse) -> str:
    """Range of the exponents, the choice that moves them the most, and whether any flips the conclusion."""
    usual, n = multiverse.usual, len(multiverse.specifications)
    low, high = multiverse.range
    text = (
        f"{multiverse.curve.label}, along {multiverse.curve.axis.name}: exponent "
        f"{interval_text(usual.exponent.value, usual.exponent.low, usual.exponent.high)} with the "
        f"report's choices, {low:.2f} to {high:.2f} over {n} specifications; "
    )
    if multiverse.effects:
        first = multiverse.effects[0]
        text += f"{first.value} instead of {first.usual} moves it most (by {first.change:+.2f}, averaged "
        text += "over pairs that differ in it alone); "
    what = "the loss falls" if usual.falls else "it cannot be concluded that the loss falls"
    flips = sorted(
        (e for e in multiverse.effects if e.n_flips), key=lambda effect: -effect.n_flips / effect.n
    )
    verdict = multiverse.curve.assessments["mean"].verdict
    if usual.falls and verdict != "scaling":
        what += f" under a single law (averaged over laws the curve is {verdict.replace('_', ' ')})"
    if multiverse.n_agreeing == n:
        return f"{text}all agree: {what}."
    text += f"{n - multiverse.n_agreeing} of {n} contradict that {what}"
    if not flips:
        return f"{text}."
    return f"{text}, most often with {flips[0].value} instead of {flips[0].usual}."


def _width(multiverse: Multiverse) -> float:
    low, high = multiverse.range
    return high - low


def _effects(multiverses: Sequence[Multiverse]) -> Table:
    rows: list[Row] = [
        {
            "group": each.curve.label,
            "axis": each.curve.axis.name,
            "choice": effect.choice,
            "choice_value": effect.value,
            "choice_usual": effect.usual,
            "exponent_change": effect.change,
            "n_pairs": effect.n,
            "n_flips": effect.n_flips,
        }
        for each in multiverses
        for effect in each.effects
    ]
    column, shared = group_column(row["group"] for row in rows)
    formats = column | {
        "choice": as_text("choice"),
        "instead of": as_text("choice_usual"),
        "value": as_text("choice_value"),
        "change of α": as_signed("exponent_change", 3),
        "pairs": as_count("n_pairs"),
        "conclusion flips": as_count("n_flips"),
    }
    caption = f"What each choice changes, all others equal\n{shared}".rstrip()
    return Table(name="multiverse_choices", rows=rows, columns=EFFECTS, formats=formats, caption=caption)


def _specifications(multiverses: Sequence[Multiverse]) -> Table:
    rows = list(_specification_rows(multiverses))
    return Table(name="multiverse", rows=rows, columns=SPECIFICATIONS)


def _specification_rows(multiverses: Sequence[Multiverse]) -> Iterator[Row]:
    for each in multiverses:
        for specification in each.specifications:
            yield _row(each, specification)


def _row(multiverse: Multiverse, specification: Specification) -> Row:
    exponent, fall = specification.exponent, specification.fall
    return {
        "group": multiverse.curve.label,
        "axis": multiverse.curve.axis.name,
        **{f"choice_{name}": specification.choices.get(name) for name in CHOICES},
        "exponent": exponent.value,
        "exponent_low": exponent.low,
        "exponent_high": exponent.high,
        "fall": fall.value,
        "fall_low": fall.low,
        "fall_high": fall.high,
        "as_reported": specification is multiverse.usual,
    }
