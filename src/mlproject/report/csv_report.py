"""The report of a CSV of points: laws, verdicts and predictions of every group, and the JSON for programs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mlproject import __version__
from mlproject.analysis import AssessedGroup, CsvStudy, GroupComparison
from mlproject.report.document import Answer, Document, Format, Row, Section, Table
from mlproject.report.formats import (
    SYMBOLS,
    as_count,
    as_fixed,
    as_interval,
    as_limits,
    as_scale,
    as_text,
    as_times,
    assessment_text,
    ends,
    interval,
)
from mlproject.report.prior_section import prior_json
from mlproject.report.study_tables import estimate_json
from mlproject.scaling import Difference, Estimate, LawFit, Prediction

MOST_GROUPS = 6
"""With more groups than these, each has one row."""
MOST_ROWS = 24
"""More predictions than these are only counted on a page."""
LIMITS = ("mean", "low", "high", "new_run_low", "new_run_high")
ANSWERS = {
    "first larger": "The exponent {} of {} is larger than that of {}",
    "second larger": "The exponent {} of {} is smaller than that of {}",
    "no difference seen": "No difference between the exponents {} of {} and {} is seen",
    "not identifiable": "The data do not determine which exponent {} is larger, that of {} or of {}",
}


def csv_document(study: CsvStudy) -> Document:
    """Laws by weight (or, of many groups, one row each), predictions, verdicts and the comparison."""
    few = len(study.groups) <= MOST_GROUPS
    columns = study.columns
    quantities = f"{study.fitted} against {' and '.join(columns.x)}"
    laws = _laws_table(study, quantities) if few else _groups_table(study, quantities)
    sections = [Section(title="Laws", tables=(laws,))]
    if study.has_predictions:
        sections.append(_predictions(study))
    asked = accuracy_question(study)
    answer = [*([asked] if asked else []), *(_verdict(group) for group in study.groups if few)]
    if study.comparison is not None:
        answer.append(comparison_sentences(study.comparison))
    return Document(
        title=f"Scaling laws of {quantities}", answer=Answer(result=tuple(answer)), sections=tuple(sections)
    )


def csv_json(study: CsvStudy) -> dict[str, Any]:
    """``{"version", "groups": [...]}`` with everything that a page says, and a comparison where there is one.

    ``laws_of`` says so where laws describe another quantity than the column, ``question`` is what is asked.
    A value that the data do not determine is null beside its limits.
    """
    groups = [_group_json(group, study.columns.x) for group in study.groups]
    comparison = {} if study.comparison is None else {"comparison": _comparison_json(study.comparison)}
    other = {"laws_of": study.fitted} if study.fitted != study.columns.y else {}
    asked = accuracy_question(study)
    return {
        "version": __version__,
        "groups": groups,
        **comparison,
        **other,
        **({"question": asked} if asked else {}),
    }


def accuracy_question(study: CsvStudy) -> str:
    """The question whether a column holds accuracies, what each answer does, and what is done until then."""
    asked = [group for group in study.groups if group.asked is not None]
    if not asked:
        return ""
    y, bound = study.columns.y, f"{asked[0].asked:g}"
    names = [group.name for group in asked[:MOST_GROUPS]] + ["…"] * (len(asked) > MOST_GROUPS)
    where = f" (in {', '.join(names)})" if study.columns.group else ""
    return (
        f"Is {y} an accuracy? It lies within 0 and {bound}{where}. With --accuracy laws are fitted to "
        f"{bound} - {y}; with --no-accuracy it is a loss that may exceed {bound}. Until then laws are those "
        f"of a loss, and predictions are made from {bound} - {y}, which keeps them below {bound}."
    )


def comparison_sentences(comparison: GroupComparison) -> str:
    """For every exponent: which is larger, and the differences over all laws and under each.

    The answer is that over all laws where they have the exponent, else that of the heaviest shared law.
    """
    law, _, differences = comparison.by_law[0]
    over_all = {item.parameter: item for item in comparison.over_all_laws}
    decided = [(over_all.get(item.parameter, item), item.parameter in over_all) for item in differences]
    return " ".join(
        _comparison_sentence(comparison, item, "over all laws" if of_all else f"under {law.law}")
        for item, of_all in decided
    )


def _comparison_sentence(comparison: GroupComparison, difference: Difference, by: str) -> str:
    name = difference.parameter
    answer = ANSWERS[difference.verdict].format(SYMBOLS[name], comparison.first, comparison.second)
    texts = [
        f"{interval(item.difference)} over all laws"
        for item in comparison.over_all_laws
        if item.parameter == name
    ]
    texts += [
        f"{interval(item.difference)} under {first.law}{_doubt(first, second)}"
        for first, second, differences in comparison.by_law
        for item in differences
        if item.parameter == name
    ]
    return f"{answer} ({by}). The difference is {', '.join(texts)}."


def _doubt(first: LawFit, second: LawFit) -> str:
    return " (not identifiable)" if "not identifiable" in (first.verdict, second.verdict) else ""


def _laws_table(study: CsvStudy, quantities: str) -> Table:
    rows: list[Row] = []
    for group in study.groups:
        rows += [_law_row(group, law) for law in group.laws]
        if not group.laws:
            rows.append({"group": group.name, "verdict": group.assessment.verdict})
    exponents = [name for name in SYMBOLS if any(name in row.get("parameters", ()) for row in rows)]
    formats = {"group": as_text("group"), "law": as_text("law", wrap=False), "weight": as_fixed("weight")}
    formats |= {SYMBOLS[name]: as_interval(name) for name in exponents} | {"E": as_interval("E")}
    formats |= {"in": as_count("in_sample_rank"), "out": as_count("out_of_sample_rank")}
    formats["verdict"] = Format(write=lambda row: str(row.get("verdict", "")))
    caption = f"Laws of {quantities}, 95 % intervals; in, out: rank in and out of sample"
    return Table(name="laws", rows=rows, formats=formats, caption=caption)


def _law_row(group: AssessedGroup, law: LawFit) -> dict[str, Any]:
    row: dict[str, Any] = {"group": group.name, "law": law.law, "weight": law.weight}
    for name, estimate in law.parameters.items():
        row |= ends(name, estimate, identified=estimate.identified)
    row |= {"in_sample_rank": law.in_sample_rank, "out_of_sample_rank": law.out_of_sample_rank}
    row["parameters"] = tuple(law.parameters)
    return row | ({"verdict": group.assessment.verdict} if law is group.laws[0] else {})


def _groups_table(study: CsvStudy, quantities: str) -> Table:
    """One row for each of many groups, with its exponents over all laws."""
    rows = []
    for group in study.groups:
        row: dict[str, Any] = {"group": group.name, "n_points": group.assessment.n_points}
        for name, estimate in _over_laws(group).items():
            row |= ends(name, estimate, identified=estimate.identified)
        heaviest = {"law": group.laws[0].law, "weight": group.laws[0].weight} if group.laws else {}
        rows.append(row | heaviest | {"verdict": group.assessment.verdict})
    exponents = [name for name in SYMBOLS if any(name in row for row in rows)]
    columns = {SYMBOLS[name]: as_interval(name) for name in exponents}
    if any("local" in row for row in rows):
        columns |= {"exponent at the largest scale": as_interval("local"), "E": as_interval("floor")}
    formats = {"group": as_text("group"), "points": as_count("n_points")}
    formats |= columns | {
        "heaviest law": as_text("law"),
        "weight": as_fixed("weight"),
        "verdict": as_text("verdict"),
    }
    caption = f"Laws of {quantities}, 95 % intervals over all laws"
    return Table(name="groups", rows=rows, formats=formats, caption=caption)


def _over_laws(group: AssessedGroup) -> Mapping[str, Estimate]:
    """What is reported over all laws: of a curve local exponent and floor, else the exponents."""
    assessment = group.assessment
    if assessment.local is None or assessment.floor is None:
        return assessment.exponents
    return {"local": assessment.local, "floor": assessment.floor}


def _verdict(group: AssessedGroup) -> str:
    slopes = [
        f"{SYMBOLS[name]} {interval(estimate, identified=estimate.identified)}"
        for name, estimate in group.assessment.exponents.items()
        if group.assessment.local is None
    ]
    over = f" Over all laws: {', '.join(slopes)}." if slopes else ""
    return f"{group.name}: {assessment_text(group.assessment)}{over}"


def _predictions(study: CsvStudy) -> Section:
    names = study.columns.x
    rows = [{"group": group.name, **row} for group in study.groups for row in _prediction_rows(group, names)]
    if len(rows) > MOST_ROWS:
        return Section(title="Predictions", paragraphs=(f"{len(rows):,} predictions: --json writes them.",))
    horizons = [x for group in study.groups for x in _horizons(group.predictions, len(group.scales))]
    rows = [{**row, "horizon": horizon} for row, horizon in zip(rows, horizons, strict=True)]
    formats = {"group": as_text("group")} | {name: as_scale(name) for name in names}
    formats |= {study.columns.y: as_interval("mean", "low", "high")}
    formats |= {"new run within": as_limits("new_run_low", "new_run_high")}
    formats["beyond the data"] = as_times("horizon")
    table = Table(name="predictions", rows=rows, formats=formats, caption="Predictions, 95 % intervals")
    return Section(title="Predictions", tables=(table,))


def _prediction_rows(group: AssessedGroup, names: Sequence[str]) -> Iterator[dict[str, float | None]]:
    """One row for each scale: its x by column name, the mean and both intervals."""
    for i, scales in enumerate(group.scales):
        row: dict[str, float | None] = dict(zip(names, map(float, scales), strict=True))
        yield row | {key: _at(group.predictions, key, i) for key in LIMITS}


def _at(predictions: Prediction | None, key: str, i: int) -> float | None:
    if predictions is None:
        return None
    value = float(getattr(predictions, key)[i])
    return None if math.isnan(value) else value


def _horizons(predictions: Prediction | None, n: int) -> Iterable[float | None]:
    return [None] * n if predictions is None else map(float, predictions.horizon)


def _group_json(group: AssessedGroup, names: Sequence[str]) -> dict[str, Any]:
    assessment = group.assessment
    ceiling = None if assessment.points is None else assessment.points.ceiling
    horizons = _horizons(group.predictions, len(group.scales))
    predictions = zip(_prediction_rows(group, names), horizons, strict=True)
    return {
        "group": group.name,
        "verdict": assessment.verdict,
        "reason": assessment.reason,
        "flags": list(assessment.flags),
        "n_points": assessment.n_points,
        "n_scales": assessment.n_scales,
        "n_runs": None if assessment.points is None else assessment.points.n_runs or None,
        "ceiling": ceiling,
        **({} if assessment.library is None else {"prior": prior_json(assessment.library)}),
        "over_all_laws": {name: estimate_json(e) for name, e in _over_laws(group).items()},
        "laws": [_law_json(law) for law in group.laws],
        "predictions": [row | {"horizon": horizon} for row, horizon in predictions],
    }


def _law_json(law: LawFit) -> dict[str, Any]:
    parameters = {name: estimate_json(estimate) for name, estimate in law.parameters.items()}
    ranks = {"in_sample_rank": law.in_sample_rank, "out_of_sample_rank": law.out_of_sample_rank}
    verdict = {"verdict": law.verdict, "reason": law.reason}
    return {"law": law.law, "weight": law.weight, **verdict, **ranks, "parameters": parameters}


def _comparison_json(comparison: GroupComparison) -> Mapping[str, Any]:
    laws = [
        {
            "law": first.law,
            "weights": [first.weight, second.weight],
            "differences": [_difference_json(item) for item in differences],
        }
        for first, second, differences in comparison.by_law
    ]
    over_all = [_difference_json(item) for item in comparison.over_all_laws]
    answer = {
        "first": comparison.first,
        "second": comparison.second,
        "answer": comparison_sentences(comparison),
    }
    return {**answer, "laws": laws, "over_all_laws": over_all}


def _difference_json(item: Difference) -> dict[str, Any]:
    estimate = estimate_json(item.difference)
    return {"parameter": item.parameter, **estimate, "verdict": item.verdict}
