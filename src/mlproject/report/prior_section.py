"""The section of a report on error rates with the laws of known studies as their prior, and without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from mlproject.analysis import HORIZONS, ErrorRate, PriorUse, Study
from mlproject.report.document import Row, Section, Table
from mlproject.report.formats import (
    ENDS,
    as_fixed,
    as_interval,
    as_scale,
    as_text,
    assessment_text,
    ends,
    interval,
    listed,
    sentence,
)
from mlproject.report.loss_tables import CURVE
from mlproject.report.study_tables import estimate_json, head_of
from mlproject.scaling import LIBRARY_SHARE, LibraryUse, Narrowed

TITLE = "Error rates with known studies as the prior"
LAST = len(HORIZONS) - 1
QUANTITIES = ("local", "local_without", "floor", "floor_without", "error_rate", "error_rate_without")
KNOWN = (
    *CURVE, "n_scales", "x_max", *(f"{name}{end}" for name in QUANTITIES for end in ENDS), "horizon",
    "library_weight", "bayes_factor", "verdict",
)  # fmt: skip
NEAREST = (*CURVE, "study", "study_data", "study_model", "study_exponent", "source")
WIDE = ("largest scale", "library's weight", "verdict")
"""Columns that a terminal has no room for."""
MOST_NAMED = 4
"""Curves that the answer names one by one."""


def prior_section(use: PriorUse, study: Study) -> Section:
    """Exponent, floor and a prediction of every error rate with the prior and without, and the studies."""
    return Section(
        title=TITLE,
        paragraphs=(_method(use),),
        bullets=tuple(_sentences(use, study)),
        tables=tuple(table for table in (known_table(use, study), _nearest_table(use, study)) if table.rows),
    )


def prior_answer(study: Study) -> Iterator[str]:
    """The exponents with the prior and without it, in a sentence of the answer."""
    use = study.prior_use
    if use is None:
        return
    used = [rate for rate in use.rates if rate.assessment.library is not None]
    scaling = [rate for rate in used if rate.assessment.verdict == "scaling"]
    if not used:
        yield f"The library {use.choice.name} is asked for as a prior, and no error rate could use it."
        return
    if not scaling:
        yield f"Even with the library {use.choice.name} as a prior no error rate carries a conclusion."
        return
    yield _falls(study, scaling, len(used) - len(scaling))


def _falls(study: Study, rates: Sequence[ErrorRate], n_open: int) -> str:
    """The exponents of the error rates that fall; of ``n_open`` more this cannot be concluded."""
    known = [(study.name_of(rate.curve), rate.assessment.library) for rate in rates]
    used = [(name, library) for name, library in known if library is not None]
    texts = [
        f"{_marked(each.local)} ({name}; without it {interval(each.local.without)})"
        for name, each in used[:MOST_NAMED]
    ]
    more = f"; {len(used) - MOST_NAMED} more curves are in the table" if len(used) > MOST_NAMED else ""
    unsure = f" Of {n_open} more this cannot be concluded." if n_open else ""
    return (
        f"{sentence(used[0][1].label).rstrip('.')} the error rate falls at the largest scale with exponent "
        f"{listed(texts)}{more}.{unsure}"
    )


def _marked(quantity: Narrowed) -> str:
    """An estimate with the prior, the limits alone where it comes from the library."""
    return interval(quantity.estimate, identified=quantity.estimate.identified)


def _method(use: PriorUse) -> str:
    return (
        f"--prior {use.choice.text}: the loss of this section is the error rate, the share of evaluated "
        "images whose class is wrong. Its exponent and floor have the laws of published studies as their "
        f"prior, with weight {LIBRARY_SHARE:g}, and the usual priors with {1.0 - LIBRARY_SHARE:.2g}, which "
        "take over where the data disagree. Each quantity stands beside what the same data give without the "
        "library; limits without a value come from the library, not from these data. All other sections are "
        "without it."
    )


def _sentences(use: PriorUse, study: Study) -> Iterator[str]:
    for rate in use.rates:
        yield f"{study.name_of(rate.curve)}: {assessment_text(rate.assessment)}"
    for reason in use.left_out:
        yield f"Without the prior: {reason}."


def known_table(use: PriorUse, study: Study) -> Table:
    """A row for each error rate that a library was a prior of."""
    rows = [
        _known_row(study, rate, library)
        for rate in use.rates
        if (library := rate.assessment.library) is not None
    ]
    at = f"at {HORIZONS[-1]:g} ×"
    formats = {"group": as_text("name"), "largest scale": as_scale("x_max")}
    formats |= {"exponent there": as_interval("local"), "without": as_interval("local_without")}
    formats |= {"floor": as_interval("floor"), "floor without": as_interval("floor_without")}
    formats |= {f"error {at}": as_interval("error_rate"), f"{at} without": as_interval("error_rate_without")}
    formats |= {"library's weight": as_fixed("library_weight"), "verdict": as_text("verdict")}
    caption = (
        "Error rates with the prior of known studies, and from the same data without it; 95 % intervals over "
        f"all laws. The library's weight is {LIBRARY_SHARE:g} before the data."
    )
    return Table(name="known_studies", rows=rows, columns=KNOWN, formats=formats, caption=caption)


def brief_known_table(use: PriorUse, study: Study) -> Table:
    """Exponents and predictions alone, as a terminal has room for."""
    table = known_table(use, study)
    kept = [
        name for name in table.formats if "floor" not in name and name not in ("largest scale", "verdict")
    ]
    formats = {name: table.formats[name] for name in kept} | {"group": as_text("name", wrap=False)}
    return replace(table, name="known_studies_brief", formats=formats)


def _known_row(study: Study, rate: ErrorRate, use: LibraryUse) -> Row:
    row: dict[str, Any] = head_of(rate.curve) | {"name": study.name_of(rate.curve)}
    row |= {"n_scales": rate.curve.n_scales, "x_max": float(rate.curve.x[-1]), "horizon": HORIZONS[-1]}
    for name, quantity in (("local", use.local), ("floor", use.floor)):
        row |= ends(name, quantity.estimate, identified=quantity.estimate.identified)
        row |= ends(f"{name}_without", quantity.without, identified=quantity.without.identified)
    for name, predicted in zip(QUANTITIES[-2:], rate.predictions or (), strict=False):
        limits = (predicted.mean[LAST], predicted.low[LAST], predicted.high[LAST])
        row |= {f"{name}{end}": float(limit) for end, limit in zip(ENDS, limits, strict=True)}
    row |= {"library_weight": use.weight, "bayes_factor": use.bayes_factor}
    return row | {"verdict": rate.assessment.verdict}


def _nearest_table(use: PriorUse, study: Study) -> Table:
    """The nearest known studies of every error rate, by exponent."""
    rows = [
        head_of(rate.curve)
        | {"name": study.name_of(rate.curve), "study": law.study, "study_data": law.dataset}
        | {"study_model": law.model, "study_exponent": law.exponent, "source": law.source}
        for rate in use.rates
        if rate.assessment.library is not None
        for law in rate.assessment.library.nearest
    ]
    formats = {"group": as_text("name"), "study": as_text("study"), "data": as_text("study_data")}
    formats |= {"model": as_text("study_model"), "exponent": as_fixed("study_exponent")}
    formats["source"] = as_text("source")
    caption = "The known studies whose exponents are nearest to that of each curve."
    return Table(name="nearest_studies", rows=rows, columns=NEAREST, formats=formats, caption=caption)


def prior_json(use: LibraryUse) -> dict[str, Any]:
    """The library, its weight after the data, and both quantities with it and without."""
    return {
        "library": use.library.name,
        "axis": use.library.axis,
        "loss": use.library.loss,
        "studies": list(use.library.studies),
        "weight": use.weight,
        "bayes_factor": use.bayes_factor,
        "conflict": use.conflict,
        **{
            name: {
                "with": estimate_json(each.estimate),
                "without": estimate_json(each.without),
                "variance_ratio": each.variance_ratio,
                "from_library": each.from_library,
            }
            for name, each in (("local", use.local), ("floor", use.floor))
        },
        "nearest": [
            {"study": law.study, "dataset": law.dataset, "exponent": law.exponent, "source": law.source}
            for law in use.nearest
        ],
    }


def rates_json(use: PriorUse) -> list[dict[str, Any]]:
    """Every error rate with its verdict, and what the library did to it."""
    return [
        {
            "group": rate.curve.label,
            "verdict": rate.assessment.verdict,
            "reason": rate.assessment.reason,
            "flags": list(rate.assessment.flags),
            "prior": None if rate.assessment.library is None else prior_json(rate.assessment.library),
        }
        for rate in use.rates
    ]
