"""The report of a study as a document: exponents, predictions, grids, comparisons, verdicts and notes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlproject.analysis import AXES, Allocation, Grid, Spending, Study
from mlproject.report.answer import study_answer
from mlproject.report.comparison_sections import (
    ablation_sections,
    arms_table,
    brief_arm_formats,
)
from mlproject.report.curve_figures import curve_figures
from mlproject.report.document import Document, Section, Table
from mlproject.report.formats import (
    as_fixed,
    as_interval,
    as_number,
    as_text,
    assessment_text,
    group_column,
    sentence,
)
from mlproject.report.grid_sections import (
    cell_rows,
    frontier_rows,
    grid_head,
    grids_section,
    prediction_rows,
)
from mlproject.report.image_scale_section import image_scale_section
from mlproject.report.loss_tables import classes_section, loss_kinds_table, loss_tables, regions_table
from mlproject.report.mistakes_section import mistakes_section
from mlproject.report.multiverse_comparisons_section import multiverse_comparisons_section
from mlproject.report.multiverse_section import multiverse_section
from mlproject.report.predictions_section import predictions_section, record_answer
from mlproject.report.prior_section import brief_known_table, prior_section, rates_json
from mlproject.report.spending_section import spending_section
from mlproject.report.study_tables import (
    LIMITS,
    curve_json,
    data_tables,
    exponents_table,
    parameters_json,
    predictions_table,
)


def study_document(study: Study, spending: Spending | None = None) -> Document:
    """Everything that is reported of a study, and what was spent where it was run until it was narrow."""
    exponents = exponents_table(study)
    files = (regions_table(study.region_contrasts), *loss_tables(study), *data_tables(study))
    sections = [
        Section(title="Exponents", paragraphs=(_method(study),), tables=(exponents,)),
        Section(title="Predictions beyond the data", tables=(predictions_table(study),)),
        *([predictions_section(study.predictions)] if study.predictions else []),
        *([spending_section(spending)] if spending else []),
        grids_section(study.grids),
        *([prior_section(study.prior_use, study)] if study.prior_use else []),
        *([image_scale_section(study.image_scale)] if study.image_scale else []),
        Section(title="Not fitted", bullets=tuple(_refusals(study))),
        Section(title="Verdicts", bullets=tuple(_verdicts(study))),
        *_multiverse(study),
        *ablation_sections(study.ablation),
        Section(title="Kinds of loss", tables=(loss_kinds_table(study),)),
        *([classes_section(study)] if study.classes else []),
        mistakes_section(study),
        Section(title="Read with this in mind", bullets=study.notes),
        Section(title="Data", tables=files),
        Section(title="Curves", figures=tuple(curve_figures(study))),
    ]
    return Document(
        title="Scaling fits",
        answer=study_answer(study),
        sections=tuple(sections),
        brief=_brief(study, exponents),
    )


def _multiverse(study: Study) -> list[Section]:
    if not study.multiverses:
        return []
    compared = study.comparison_multiverses
    first = multiverse_section(study.multiverses, compared)
    return [first, *([multiverse_comparisons_section(compared)] if compared else [])]


def study_json(study: Study) -> dict[str, Any]:
    """Everything but the images, for programs."""
    return {
        "n_runs": len(study.run_ids),
        "n_left_out": study.n_left_out,
        "n_draws": study.n_draws,
        "notes": list(study.notes),
        "curves": [curve_json(curve) for curve in study.curves],
        "joints": [grid_json(grid) for grid in study.grids],
        **({} if study.prior_use is None else {"known_studies": rates_json(study.prior_use)}),
    }


def _method(study: Study) -> str:
    """What was fitted to what, and what the intervals are over."""
    n_runs, n_groups = len(study.run_ids), len(study.assessed)
    runs = f"{n_runs} run{'s' * (n_runs != 1)}"
    if not n_groups:
        return f"{runs}; no group has two or more scales, so that no law is fitted."
    single = all(curve.n_seeds[1] == 1 for curve in study.assessed)
    seeds = "" if single else " and seeds"
    return (
        f"{runs} in {n_groups} group{'s' * (n_groups != 1)} with two or more scales. Loss L against "
        "scale x: L = k x^-α, and L = E + k x^-α with the irreducible loss E; a positive α means that the "
        f"loss falls. Intervals are 95 %, from {study.n_draws:,} bootstrap draws over images (paired where "
        f"scales share them){seeds}; an interval without a value is all that the data determine. Where a "
        "scale has one seed, the noise of training is estimated from the residuals, with Student's t."
    )


def _brief(study: Study, exponents: Table) -> Section:
    """What a terminal shows: laws fitted to the mean loss, arms beside their baseline, and the notes.

    Model sizes that carry no law are reported in a note, not in a row for each dataset size.
    """
    params = AXES["params"].name
    rows = [
        row
        for row in exponents.rows
        if row["statistic"] == "mean"
        and row["fitted"]
        and (row["axis"] != params or row["verdict"] != "not identifiable")
    ]
    formats = {"group": as_text("name"), "law": as_text("formula", wrap=False)}
    formats |= {"α": as_interval("alpha"), "E": as_interval("E"), "verdict": as_text("verdict", wrap=False)}
    formats["scales"] = exponents.formats["scales"]
    formats["seeds"] = exponents.formats["seeds"]
    caption = f"Exponents of the mean loss, 95 % intervals\n{study.shared_family}".rstrip()
    tables = [Table(name="exponents_brief", rows=rows, formats=formats, caption=caption)]
    if study.ablation.tables:
        tables.append(_brief_arms(arms_table(study.ablation)))
    if study.prior_use is not None:
        tables.append(brief_known_table(study.prior_use, study))
    none = () if rows or study.ablation.tables or study.notes else ("No law is fitted to the mean loss.",)
    record = [f"Sealed predictions: {record_answer(study.predictions)}"] if study.predictions else []
    return Section(title="", paragraphs=none, bullets=(*study.notes, *record), tables=tuple(tables))


def _brief_arms(arms: Table) -> Table:
    groups, shared = group_column(str(row["group"]) for row in arms.rows)
    formats = {**groups, "arm": as_text("arm", wrap=False)}
    formats |= {"loss": as_number("loss_evaluation"), "accuracy [%]": as_fixed("accuracy", 1)}
    formats |= brief_arm_formats()
    caption = f"Arms, difference from the baseline (verdict after Holm's correction)\n{shared}".rstrip()
    return Table(name="arms_brief", rows=arms.rows, formats=formats, caption=caption)


def _refusals(study: Study) -> Iterator[str]:
    """Groups without a fit, together where they share the reason."""
    reasons: dict[str, list[str]] = {}
    for curve in study.unfitted:
        reasons.setdefault(curve.refusal, []).append(study.name_of(curve))
    for reason, names in reasons.items():
        yield f"{sentence(reason)} Groups: {'; '.join(names)}."


def _verdicts(study: Study) -> Iterator[str]:
    """The answer of each curve of the mean loss, with its warnings; single laws are in exponents.csv."""
    for curve in study.curves:
        assessment = curve.assessments.get("mean")
        if assessment is not None and assessment.fits:
            yield f"{study.name_of(curve)}: {assessment_text(assessment)}"


def grid_json(grid: Grid) -> dict[str, Any]:
    """Everything of a grid but its images."""
    refusal = grid.assessment.reason if grid.allocation is None else ""
    head: dict[str, Any] = {**grid_head(grid), "fixed": dict(grid.fixed), "refusal": refusal}
    head["cells"] = [dict(row) for row in cell_rows(grid)]
    return head if grid.allocation is None else head | _laws_json(grid, grid.allocation)


def _laws_json(grid: Grid, allocation: Allocation) -> dict[str, Any]:
    assessment, cell_cost = grid.assessment, allocation.cell_cost
    cost = cell_cost.cost
    laws = {
        law.law: {"verdict": law.verdict, "reason": law.reason, "flags": list(law.fit.flags)}
        | {"parameters": parameters_json(law)}
        for law in assessment.laws
        if law.fit is not None
    }
    powers = {"coefficient": cost.coefficient, "N_power": cost.n_power, "D_power": cost.d_power}
    names = ("N", "D", "horizon", *LIMITS)
    return {
        "verdict": assessment.verdict,
        "reason": assessment.reason,
        "flags": list(assessment.flags),
        "weights": {law.law: law.weight for law in assessment.laws},
        "laws": laws,
        "predictions": [{name: row[name] for name in names} for row in prediction_rows(grid)],
        "cost": powers
        | {"unit": cell_cost.unit, "measured": cell_cost.measured, "worst_log_error": cell_cost.error},
        "frontier": [dict(row) for row in frontier_rows(grid)],
        "frontier_refusals": list(allocation.refusals),
    }
