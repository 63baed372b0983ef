"""Sections of a report on comparisons: arms against a baseline, model size against image scale, regions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from mlproject.analysis import (
    AXES,
    COLUMNS,
    Ablation,
    ArmRow,
    ArmTable,
    Crossing,
    ExponentDifference,
    ImageScaleComparison,
    Interaction,
    PairedDifference,
    RegionContrast,
)
from mlproject.report.document import Figure, Format, Row, Section, Table
from mlproject.report.formats import (
    ABSENT,
    ENDS,
    FORMULAS,
    as_count,
    as_interval,
    as_number,
    as_signed,
    as_text,
    ends,
    number,
    signed_interval,
    slug,
)
from mlproject.scaling import scale_text

FEWEST_DRAWN = 3
"""Arms, with the baseline, from which a setting is drawn: a single difference is a line of a table."""
HEADINGS = ("best on validation", "final", "evaluation")
"""Where an arm is evaluated, in the order of ``COLUMNS``."""
ARMS = (
    "Differences are arm minus baseline on the same evaluation images and seeds, with 95 % intervals, one at "
    "a time; the verdict is after Holm's correction for all arms of a group. *Interval over* says what an "
    "interval covers: that of one seed is over images alone and concerns the networks that were trained; "
    "trained again they may differ by more, so no verdict and no p are given. With two seeds one degree of "
    "freedom is left for the seeds (t = 12.7), so most differences stay inconclusive. Best "
    "on validation: on the images that chose the epoch, which is optimistic. Final: under the last weights. "
    "Evaluation: the chosen epoch on the evaluation images, used once."
)
POINTS = (
    "group", "way", "model", "image_scales", "gmac", "loss", "low", "high", "gain", "gain_low", "gain_high",
    "n_seeds", "n_images",
)  # fmt: skip
CROSSINGS = (
    "group", "model", "crossover_gmac", "low", "high", "share_of_draws", "ahead", "gap", "gap_low",
    "gap_high", "from_gmac", "to_gmac",
)  # fmt: skip
REGIONS = (
    "group", "axis", "statistic", "law", "first", "second", "difference", "low", "high", "paired",
    "identified", "verdict", "scale", "loss_ratio", "loss_ratio_low", "loss_ratio_high",
)  # fmt: skip


def ablation_sections(ablation: Ablation) -> Iterator[Section]:
    """Arms, interactions and exponents of arms; nothing without arms."""
    if ablation.tables:
        figures = tuple(_ablation_figures(ablation))
        yield Section(title="Arms", paragraphs=(ARMS,), tables=(arms_table(ablation),), figures=figures)
    if ablation.interactions:
        text = "How the difference between an arm and its baseline changes by each doubling along an axis."
        table = _interactions_table(ablation.interactions)
        yield Section(title="Interactions", paragraphs=(text,), tables=(table,))
    if ablation.exponents:
        text = "Positive differences: the loss of the arm falls faster."
        table = _exponents_table(ablation.exponents)
        yield Section(title="Exponents of arms", paragraphs=(text,), tables=(table,))


def arms_table(ablation: Ablation) -> Table:
    """Every arm of every setting beside its baseline."""
    rows = [_arm_row(table, row) for table in ablation.tables for row in table.rows]
    formats = {"group": as_text("group"), "arm": as_text("arm"), "seeds": as_count("n_seeds")}
    for heading in HEADINGS:
        formats[f"loss, {heading}"] = as_interval(f"loss_{heading.replace(' ', '_')}")
    formats["accuracy, evaluation [%]"] = as_interval("accuracy")
    formats |= brief_arm_formats()
    formats |= {"interval over": as_text("interval_over"), "p (Holm)": as_number("loss_difference_p_holm")}
    formats["wrong alone, arm : baseline (McNemar p)"] = Format(write=_mcnemar)
    kinds = ", ".join(
        dict.fromkeys(str(table.setting["kind"]).replace("_", " ") for table in ablation.tables)
    )
    hidden = [f"{name}{end}" for name in ("accuracy", "points") for end in ENDS]
    columns = tuple(name for name in rows[0] if name not in hidden)
    caption = f"Arms against their baseline; losses are {kinds}."
    return Table(name="ablations", rows=rows, columns=columns, formats=formats, caption=caption)


def brief_arm_formats() -> dict[str, Format]:
    """The columns of differences, which a terminal shows too."""
    return {
        "Δ loss": as_signed("loss_difference"),
        "Δ accuracy [points]": as_signed("points", 1),
        "loss is": as_text("loss_difference_verdict", wrap=False),
    }


def _arm_row(table: ArmTable, row: ArmRow) -> dict[str, Any]:
    values: dict[str, Any] = {"group": table.label, "dataset_size": table.setting["dataset_size"]}
    values |= {"loss": table.setting["kind"], "arm": row.arm, "n_seeds": row.n_seeds, "params": row.n_params}
    for name, heading in zip(COLUMNS, HEADINGS, strict=True):
        column = heading.replace(" ", "_")
        values |= ends(f"loss_{column}", row.loss.get(name)) | ends(f"error_{column}", row.error.get(name))
    compared = row.loss_difference
    values["interval_over"] = compared.effect.over if compared else row.over
    for quantity, difference in (("loss", row.loss_difference), ("error", row.error_difference)):
        values |= _difference(f"{quantity}_difference", difference)
    values |= {"only_arm_wrong": row.mcnemar.first_only if row.mcnemar else None}
    values |= {"only_baseline_wrong": row.mcnemar.second_only if row.mcnemar else None}
    values |= {"mcnemar_p": row.mcnemar.p if row.mcnemar else None}
    return (
        values
        | _percent("accuracy", values, "error_evaluation", 1.0)
        | _percent("points", values, "error_difference", 0.0)
    )


def _percent(name: str, values: Row, error: str, whole: float) -> dict[str, float | None]:
    """An accuracy in percent, or a difference in points, of an error rate: the limits change places."""
    columns = {name: error, f"{name}_low": f"{error}_high", f"{name}_high": f"{error}_low"}
    return {
        column: None if values[source] is None else 100 * (whole - values[source])
        for column, source in columns.items()
    }


def _mcnemar(row: Row) -> str:
    if row["only_arm_wrong"] is None:
        return ABSENT
    return f"{row['only_arm_wrong']} : {row['only_baseline_wrong']} ({number(row['mcnemar_p'])})"


def _interactions_table(interactions: Sequence[Interaction]) -> Table:
    rows = []
    for item in interactions:
        row: dict[str, Any] = {"arm": item.arm, "axis": item.axis, "held": item.series}
        row |= {"scales": " ".join(f"{x:.6g}" for x in item.scales)}
        row |= _difference("loss_change_by_doubling", item.loss)
        row |= _difference("error_change_by_doubling", item.error)
        row["change"] = item.loss.change
        steps = zip(item.scales, item.steps, strict=True)
        row["interval_over"] = item.loss.effect.over
        row["steps"] = "; ".join(f"{scale_text(x)}: {signed_interval(step)}" for x, step in steps)
        rows.append(row)
    formats = {"arm": as_text("arm"), "axis": as_text("axis"), "fixed": as_text("held")}
    formats |= {"difference of loss at each scale": as_text("steps")}
    formats |= {"change by doubling [95 %]": as_signed("loss_change_by_doubling")}
    formats |= {"interval over": as_text("interval_over"), "change is": as_text("change")}
    formats |= {"p (Holm)": as_number("loss_change_by_doubling_p_holm")}
    columns = tuple(name for name in rows[0] if name not in ("steps", "change"))
    return Table(name="interactions", rows=rows, columns=columns, formats=formats)


def _exponents_table(differences: Sequence[ExponentDifference]) -> Table:
    rows = []
    for item in differences:
        row: dict[str, Any] = {"arm": item.arm, "axis": item.axis, "held": item.series, "law": item.law}
        estimates = {"alpha": item.exponent, "alpha_baseline": item.baseline}
        for name, estimate in estimates.items():
            row |= ends(name, estimate, identified=estimate.identified)
        row |= ends("difference", item.difference.difference)
        verdict = item.difference.verdict
        row |= {"verdict": verdict, "identified": item.identified, "formula": FORMULAS[item.law]}
        doubt = "" if item.identified else " (a law of the two is not identifiable)"
        row["words"] = verdict.replace("first", "arm").replace("second", "baseline") + doubt
        rows.append(row)
    formats = {"arm": as_text("arm"), "axis": as_text("axis"), "fixed": as_text("held")}
    formats |= {"law": as_text("formula"), "α": as_interval("alpha")}
    formats |= {
        "α of the baseline": as_interval("alpha_baseline"),
        "difference [95 %]": as_interval("difference"),
    }
    formats["verdict"] = as_text("words")
    columns = tuple(name for name in rows[0] if name not in ("formula", "words"))
    return Table(name="exponent_differences", rows=rows, columns=columns, formats=formats)


def _difference(name: str, difference: PairedDifference | None) -> dict[str, Any]:
    if difference is None:
        return ends(name, None) | dict.fromkeys((f"{name}_p", f"{name}_p_holm", f"{name}_verdict"))
    p_values = {f"{name}_p": difference.p, f"{name}_p_holm": difference.holm}
    tests = {key: None if math.isnan(p) else p for key, p in p_values.items()}
    return ends(name, difference.effect) | tests | {f"{name}_verdict": difference.verdict}


def _ablation_figures(ablation: Ablation) -> Iterator[Figure]:
    from mlproject.report.figures.comparisons import arms_figure, interaction_figure

    for table in ablation.tables:
        if len(table.rows) >= FEWEST_DRAWN:
            one_seed = " (none with one seed)" if table.over == "images" else ""
            caption = (
                f"{table.label}: arm minus baseline, 95 % intervals over {table.over}; filled where "
                f"p < 0.05 after Holm's correction{one_seed}."
            )
            yield Figure(name=f"arms_{slug(table.label)}", draw=partial(arms_figure, table), caption=caption)
    for axis in AXES.values():
        along = [item for item in ablation.interactions if item.axis == axis.name]
        for arm in dict.fromkeys(item.arm for item in along):
            items = [item for item in along if item.arm == arm]
            caption = f"{arm}: difference of loss from the baseline along {axis.name}."
            draw = partial(interaction_figure, items, axis.label)
            yield Figure(name=f"arm_{slug(arm)}_by_{axis.slug}", draw=draw, caption=caption)


def image_scale_section(comparisons: Sequence[ImageScaleComparison]) -> Section:
    """Crossings in sentences, both tables and a figure for each comparison."""
    from mlproject.report.figures.comparisons import image_scale_figure

    bullets, figures = [], []
    for i, comparison in enumerate(comparisons, 1):
        texts = [crossing_sentence(crossing) for crossing in comparison.crossings]
        bullets += [f"{comparison.label}: {text}" for text in texts or ["no GMAC that both ways cover."]]
        name = f"sweet_spot_{i}_{slug(comparison.label.partition(' · ')[2], 60)}"
        caption = f"{comparison.label}: loss against compute of one image, by larger models or larger images."
        figures.append(Figure(name=name, draw=partial(image_scale_figure, comparison), caption=caption))
    points = [row for comparison in comparisons for row in _compute_rows(comparison)]
    crossings = [_crossing_row(item.label, crossing) for item in comparisons for crossing in item.crossings]
    return Section(
        title="Model size against image scale, at equal compute",
        bullets=tuple(bullets),
        tables=(
            Table(name="compute_curves", rows=points, columns=POINTS),
            Table(name="sweet_spots", rows=crossings, columns=CROSSINGS),
        ),
        figures=tuple(figures),
    )


def crossing_sentence(crossing: Crossing) -> str:
    """Where the two ways of scaling cross, and which is ahead at the upper end of the range."""
    low, high = (f"{end:.3g}" for end in crossing.reach)
    where = f"between {low} and {high} GMAC an image"
    gap = f"{crossing.gap:+.1%} [{crossing.gap_low:+.1%}, {crossing.gap_high:+.1%}] loss at {high} GMAC"
    end = f"{crossing.ahead} ahead" if crossing.decided else "neither ahead beyond its interval"
    if crossing.n_seeds == 1:
        end = "not concluded, as one seed's interval is over images only"
    if crossing.gmac is None:
        text = f"none in range ({where}; {crossing.share:.0%} of draws agree)"
    else:
        limits = f"[{_end(crossing.low, '< ' + low)}, {_end(crossing.high, '> ' + high)}]"
        text = f"{crossing.gmac:.3g} {limits} GMAC an image ({crossing.share:.0%} of draws cross {where})"
    return f"{crossing.name} against model size: crossover {text}; image scale over model size {gap}: {end}."


def _end(value: float, beyond: str) -> str:
    return f"{value:.3g}" if 0 < value < float("inf") else beyond


def _compute_rows(comparison: ImageScaleComparison) -> Iterator[Row]:
    for curve in comparison.curves:
        for point in curve.points:
            row: dict[str, Any] = {"group": comparison.label, "way": curve.way, "model": point.model}
            row |= {"image_scales": ",".join(f"{scale:g}" for scale in point.image_scales)}
            row |= {"gmac": point.gmac, "loss": point.loss}
            row |= dict(zip(("low", "high"), point.interval, strict=True))
            row |= dict(zip(("gain", "gain_low", "gain_high"), point.gain(curve.points[0]), strict=True))
            yield row | {"n_seeds": point.n_seeds, "n_images": point.n_images}


def _crossing_row(group: str, crossing: Crossing) -> Row:
    gmac = "none in range" if crossing.gmac is None else crossing.gmac
    row: dict[str, Any] = {"group": group, "model": crossing.name, "crossover_gmac": gmac}
    row |= {"share_of_draws": crossing.share, "from_gmac": crossing.reach[0], "to_gmac": crossing.reach[1]}
    return row | {name: getattr(crossing, name) for name in CROSSINGS if hasattr(crossing, name)}


def regions_table(contrasts: Sequence[RegionContrast]) -> Table:
    """One row for each pair of regions, statistic and law: the difference of their exponents."""
    rows = []
    for item in contrasts:
        row: dict[str, Any] = {"group": item.first.series, "axis": item.first.axis.name}
        row |= {"statistic": item.statistic, "law": item.law, "paired": item.difference.paired}
        row |= dict(zip(("first", "second"), item.regions, strict=True))
        difference = item.difference.difference
        row |= {"difference": difference.value, "low": difference.low, "high": difference.high}
        row |= {"identified": item.identified, "verdict": item.difference.verdict, "scale": item.scale}
        rows.append(row | ends("loss_ratio", item.loss_ratio))
    return Table(name="exponents_by_region", rows=rows, columns=REGIONS)
