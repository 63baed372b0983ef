"""Sections of a report on ablations: arms against a baseline, interactions, exponents of arms."""

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
    Axis,
    ExponentDifference,
    Interaction,
    PairedDifference,
    comparison_key,
    data_name,
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
    group_column,
    number,
    signed_interval,
    slugs,
)
from mlproject.scaling import scale_text

DECIDED, LEVEL = ("better", "worse"), 0.05
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


def ablation_sections(ablation: Ablation) -> Iterator[Section]:
    """Arms, interactions and exponents of arms; nothing without arms."""
    if ablation.tables:
        figures = tuple(_ablation_figures(ablation))
        bullets = tuple(_counts_that_differ(ablation))
        tables = (arms_table(ablation),)
        yield Section(title="Arms", paragraphs=(ARMS,), bullets=bullets, tables=tables, figures=figures)
    if ablation.interactions:
        text = "How the difference between an arm and its baseline changes by each doubling along an axis."
        table = _interactions_table(ablation.interactions)
        yield Section(title="Interactions", paragraphs=(text,), tables=(table,))
    if ablation.exponents:
        text = "Positive differences: the loss of the arm falls faster."
        table = _exponents_table(ablation.exponents)
        yield Section(title="Exponents of arms", paragraphs=(text,), tables=(table,))


def _counts_that_differ(ablation: Ablation) -> Iterator[str]:
    """Arms whose wrong images differ by McNemar's test while their losses are not seen to differ."""
    for table in ablation.tables:
        for row in table.rows:
            test, loss = row.mcnemar, row.loss_difference
            if test is not None and loss is not None and test.p < LEVEL and loss.verdict not in DECIDED:
                yield (
                    f"{table.label}, {row.arm}: McNemar's p = {number(test.p, 2)} does not contradict "
                    f'"{loss.verdict}". It counts the images that only one of the two has wrong, of the '
                    "networks that were trained; the verdict is on the mean loss, over new seeds as well."
                )


def arms_table(ablation: Ablation) -> Table:
    """Every arm of every setting beside its baseline."""
    rows = [_arm_row(table, row) for table in ablation.tables for row in table.rows]
    groups, shared = group_column(table.label for table in ablation.tables)
    formats = {**groups, "arm": as_text("arm"), "seeds": as_count("n_seeds")}
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
    caption = f"Arms against their baseline, {shared}; losses are {kinds}."
    narrow = {"arm": as_text("arm"), "Δ loss": formats["Δ loss"], "loss is": formats["loss is"]}
    return Table(
        name="ablations",
        rows=rows,
        columns=columns,
        formats=formats,
        caption=caption,
        narrow=Table(name="ablations", rows=rows, formats=narrow, caption=f"{caption} 95 % intervals."),
    )


def brief_arm_formats() -> dict[str, Format]:
    """The columns of differences, which a terminal shows too."""
    return {
        "Δ loss": as_signed("loss_difference"),
        "Δ accuracy [points]": as_signed("points", 1),
        "loss is": as_text("loss_difference_verdict", wrap=False),
    }


def _arm_row(table: ArmTable, row: ArmRow) -> dict[str, Any]:
    setting, recipe = table.setting, table.baseline.get("recipe", "")
    values: dict[str, Any] = {"group": table.label, "model": setting["model"]}
    values |= {"data": data_name(str(setting["data"])), "recipe": recipe}
    values |= {"dataset_size": setting["dataset_size"]}
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
    from mlproject.report.figures.comparisons import arms_figure

    labels = [table.label for table in ablation.tables]
    texts = [t.label if labels.count(t.label) == 1 else _whole_name(t) for t in ablation.tables]
    for name, table in zip([f"arms_{name}" for name in slugs(texts)], ablation.tables, strict=True):
        if len(table.rows) >= FEWEST_DRAWN:
            one_seed = " (none with one seed)" if table.over == "images" else ""
            caption = (
                f"{table.label}: arm minus baseline, 95 % intervals over {table.over}; filled where "
                f"p < 0.05 after Holm's correction{one_seed}."
            )
            data = Table(name=name, rows=[_arm_row(table, row) for row in table.rows])
            yield Figure(name=name, draw=partial(arms_figure, table), caption=caption, data=data)
    for axis in AXES.values():
        figures: dict[tuple[str, ...], list[Interaction]] = {}
        for item in ablation.interactions:
            if item.axis == axis.name:
                figures.setdefault(item.protocol, []).append(item)
        arms = [items[0].arm for items in figures.values()]
        texts = [
            arm if arms.count(arm) == 1 else " ".join(key) for arm, key in zip(arms, figures, strict=True)
        ]
        for name, items in zip(slugs(texts), figures.values(), strict=True):
            yield _interaction_figure(f"arm_{name}_by_{axis.slug}", axis, items)


def _whole_name(table: ArmTable) -> str:
    """The name of a table whose label another one has too: with its recipe, its loss and all else."""
    parts = (table.label, table.baseline.get("recipe", ""), table.setting["kind"])
    return " ".join([*map(str, parts), comparison_key(table.setting), comparison_key(table.baseline)])


def _interaction_figure(name: str, axis: Axis, items: Sequence[Interaction]) -> Figure:
    from mlproject.report.figures.comparisons import interaction_figure

    data = data_name(str(items[0].setting["data"]))
    caption = (
        f"{items[0].arm} minus {items[0].against} on {data}: difference of loss along {axis.name}, 95 %."
    )
    rows = [row for item in items for row in _step_rows(item)]
    draw = partial(interaction_figure, items, axis.label)
    return Figure(name=name, draw=draw, caption=caption, data=Table(name=name, rows=rows))


def _step_rows(item: Interaction) -> Iterator[Row]:
    """An arm's difference from the baseline at each scale."""
    setting, kind = item.setting, str(item.setting["kind"])
    head: dict[str, Any] = {"arm": item.arm, "baseline": item.against, "held": item.series}
    head |= {"data": data_name(str(setting["data"])), "recipe": item.recipe, "axis": item.axis, "loss": kind}
    for x, step in zip(item.scales, item.steps, strict=True):
        counts = {"n_seeds": step.n_seeds, "n_images": step.n_images}
        yield head | {"x": x} | ends("difference", step) | counts
