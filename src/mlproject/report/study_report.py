"""The report of a study as a document: exponents, predictions, grids, comparisons, verdicts and notes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from mlproject.analysis import AXES, STATISTICS, Curve, Study
from mlproject.report.answer import study_answer
from mlproject.report.comparison_sections import (
    ablation_sections,
    arms_table,
    brief_arm_formats,
    image_scale_section,
    regions_table,
)
from mlproject.report.document import Document, Figure, Interactive, Section, Table
from mlproject.report.formats import (
    as_fixed,
    as_interval,
    as_number,
    as_text,
    assessment_text,
    sentence,
    slug,
)
from mlproject.report.grid_sections import grid_json, grids_section
from mlproject.report.loss_tables import loss_kinds_table, loss_tables
from mlproject.report.study_tables import (
    curve_json,
    data_tables,
    exponents_table,
    predictions_table,
)

MOST_CURVES = {"params": 9}
"""Curves that a figure holds before the next one begins, where it is not 6: shades of sizes are more than
hues of models."""


def study_document(study: Study) -> Document:
    """Everything that is reported of a study."""
    exponents = exponents_table(study)
    files = (regions_table(study.region_contrasts), *loss_tables(study), *data_tables(study))
    sections = [
        Section(title="Exponents", paragraphs=(_method(study),), tables=(exponents,)),
        Section(title="Predictions beyond the data", tables=(predictions_table(study),)),
        grids_section(study.grids),
        *([image_scale_section(study.image_scale)] if study.image_scale else []),
        Section(title="Not fitted", bullets=tuple(_refusals(study))),
        Section(title="Verdicts", bullets=tuple(_verdicts(study))),
        *ablation_sections(study.ablation),
        Section(title="Kinds of loss", tables=(loss_kinds_table(study),)),
        Section(title="Read with this in mind", bullets=study.notes),
        Section(title="Data", tables=files),
        Section(title="Curves", figures=tuple(_figures(study))),
    ]
    return Document(
        title="Scaling fits",
        answer=study_answer(study),
        sections=tuple(sections),
        brief=_brief(study, exponents),
    )


def study_json(study: Study) -> dict[str, Any]:
    """Everything but the images, for programs."""
    return {
        "n_runs": len(study.run_ids),
        "n_left_out": study.n_left_out,
        "n_draws": study.n_draws,
        "notes": list(study.notes),
        "curves": [curve_json(curve) for curve in study.curves],
        "joints": [grid_json(grid) for grid in study.grids],
    }


def _method(study: Study) -> str:
    return (
        f"{len(study.run_ids)} runs in {len(study.assessed)} groups with two or more scales. Loss L against "
        "scale x: L = k x^-α, and L = E + k x^-α with the irreducible loss E; a positive α means that the "
        f"loss falls. Intervals are 95 %, from {study.n_draws:,} bootstrap draws over images (paired where "
        "scales share them) and seeds; an interval without a value is all that the data determine. Where a "
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
    return Section(title="", bullets=study.notes, tables=tuple(tables))


def _brief_arms(arms: Table) -> Table:
    formats = {"group": as_text("group"), "arm": as_text("arm", wrap=False)}
    formats |= {"loss": as_number("loss_evaluation"), "accuracy [%]": as_fixed("accuracy", 1)}
    formats |= brief_arm_formats()
    caption = "Arms, difference from the baseline (verdict after Holm's correction)"
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


def _figures(study: Study) -> Iterator[Figure]:
    """Curves, distributions and correlations by family, so that a figure never mixes protocols."""
    for key in AXES:
        for ending, family in _families(study.along(key)):
            for name, (draw, curves, caption) in _kinds(key, family).items():
                yield from _pages(
                    f"{name}_{ending}".rstrip("_"),
                    draw,
                    curves,
                    MOST_CURVES.get(key, 6),
                    caption,
                    _view(name),
                )


def _view(name: str) -> Callable[..., Interactive] | None:
    """What a browser shows in the place of a kind of figure; it switches between mean and median itself."""
    from mlproject.report.interactive.curves import distribution_view, scaling_view

    if name.startswith("scaling_") and name.endswith("_mean"):
        return scaling_view
    return distribution_view if name.startswith("distribution_") else None


def _kinds(key: str, family: Sequence[Curve]) -> dict[str, tuple[Any, Sequence[Curve], str]]:
    """What is drawn of a family, of which of its curves, and the caption."""
    from mlproject.report.figures.curves import scaling_figure
    from mlproject.report.figures.distributions import (
        correlation_figure,
        distribution_figure,
        loss_kinds_figure,
    )

    axis, several = AXES[key], [curve for curve in family if len(curve.points) > 1]
    kinds: dict[str, tuple[Any, Sequence[Curve], str]] = {}
    for statistic in STATISTICS:
        parts = "laws with 95 % bands, residuals and local exponents"
        text = f"{statistic.capitalize()} loss against {axis.name}: {parts}."
        draw = partial(scaling_figure, statistic=statistic)
        kinds[f"scaling_{axis.slug}_{statistic}"] = (draw, several, text)
    if key != "flops":
        spread = several or (family if key == "images" else [])
        text = f"Per-image losses by {axis.name}: densities, quartiles (boxes), medians and means (diamonds)."
        kinds[f"distribution_{axis.slug}"] = (distribution_figure, spread, text)
        correlated = [curve for curve in several if curve.correlations]
        text = f"Correlation of per-image losses between scales of {axis.name}."
        kinds[f"correlation_{axis.slug}"] = (correlation_figure, correlated, text)
        compared = [curve for curve in several if curve.loss_kinds]
        text = f"Kinds of loss by {axis.name}: means, spread over images, agreement at the largest scale."
        kinds[f"loss_kinds_{axis.slug}"] = (loss_kinds_figure, compared, text)
    return kinds


def _families(curves: Sequence[Curve]) -> list[tuple[str, list[Curve]]]:
    """Curves by family, with an ending for file names: what distinguishes this family from the others."""
    families: dict[str, list[Curve]] = {}
    for curve in curves:
        families.setdefault(curve.family, []).append(curve)
    parts = {name: name.split(" · ") for name in families}
    common = set.intersection(*map(set, parts.values())) if parts else set()
    endings = {
        name: slug("_".join(word for word in words if word not in common)) for name, words in parts.items()
    }
    if len(set(endings.values())) < len(families):
        endings = {name: f"{i}_{endings[name]}".rstrip("_") for i, name in enumerate(families, start=1)}
    return [(endings[name], family) for name, family in families.items()]


def _pages(
    name: str,
    draw: Callable[..., Any],
    curves: Sequence[Curve],
    most: int,
    caption: str,
    view: Callable[..., Interactive] | None,
) -> Iterator[Figure]:
    """One figure, or pages of equal length where there are too many curves for one."""
    n_pages = -(-len(curves) // most)
    for page in range(n_pages):
        part = curves[page * len(curves) // n_pages : (page + 1) * len(curves) // n_pages]
        ending = f"_page{page + 1}" if n_pages > 1 else ""
        text = f"{caption} {part[0].family}."
        live = None if view is None else partial(view, part)
        yield Figure(name=name + ending, draw=partial(draw, part), caption=text, interactive=live)
