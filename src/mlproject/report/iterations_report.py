"""The iteration ledger as a document: every network beside its parent, every run, training histories."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

from mlproject.analysis import (
    BUDGETS,
    QUANTITIES,
    IterationArm,
    IterationFamily,
    IterationLedger,
    IterationRun,
)
from mlproject.report.document import Answer, Document, Figure, Format, Row, Section, Table
from mlproject.report.formats import (
    as_count,
    as_fixed,
    as_limits,
    as_number,
    as_signed,
    as_text,
    slug,
)

MOST_ARMS = 6
"""Arms that a figure holds before the next one begins."""
WHOLE = ("parameters", "epochs", "samples", "best_epoch", "n_correct", "n_total", "out_of_memory")
METRICS = ("miou", "majority_accuracy", "out_of_memory")
LEGEND = (
    "Accuracy (mean ± standard deviation over seeds) at the epoch of the least validation loss; its interval "
    "is Wilson's 95 % over the evaluated images (pixels: the number of independent trials that they equal), "
    "averaged over seeds. Majority baseline: the accuracy of guessing the most common class everywhere, "
    "against which an accuracy has to be read. mIoU: mean intersection over union of the classes. Gain: over "
    "the parent, by shared seeds, with a 95 % t interval. Equal epochs, samples and seconds: the largest "
    "amount that all arms of the same dataset size reached. Every run is in ledger.csv."
)


def iterations_document(ledger: IterationLedger) -> Document:
    """A section for each family of arms, notes, and the tables of all arms and runs."""
    runs = [_run_row(f, arm, run) for f in ledger.families for arm in f.arms for run in arm.runs]
    arms = [_arm_row(family, arm) for family in ledger.families for arm in family.arms]
    sections = [Section(title="How to read this", paragraphs=(LEGEND,))]
    sections += [_family(family) for family in ledger.families]
    sections.append(Section(title="Notes", bullets=ledger.notes))
    shown = ("accuracy_cell_low", "accuracy_cell_high", "final_mean")
    columns = tuple(name for name in arms[0] if name not in shown)
    tables = (Table(name="ledger", rows=runs), Table(name="ledger_arms", rows=arms, columns=columns))
    sections.append(Section(title="Runs", tables=tables))
    return Document(title="Iteration ledger", answer=Answer(), sections=tuple(sections))


def _family(family: IterationFamily) -> Section:
    amounts = [
        f"{size:,} images: {_amounts(family, size)}" for size in sorted({s for s, _ in family.budgets})
    ]
    formats = {"arm": as_text("arm"), "from": as_text("parent"), "difference": as_text("difference")}
    formats |= {
        "parameters": as_count("parameters"),
        "GMAC": as_number("gmac", 4),
        "seeds": as_count("seeds"),
    }
    formats |= {
        "accuracy": Format(write=_accuracy),
        "interval": as_limits("accuracy_cell_low", "accuracy_cell_high"),
    }
    if any(not math.isnan(arm.mean_sd("miou")[0]) for arm in family.arms):
        formats |= {"mIoU": as_fixed("miou_mean", 3)}
    if any(not math.isnan(arm.baseline) for arm in family.arms):
        formats |= {"majority baseline": as_fixed("majority_accuracy", 3)}
    formats |= {"final": as_fixed("final_mean", 3), "gain": as_signed("gain")}
    for budget, name in zip(BUDGETS, ("epochs", "samples", "seconds"), strict=True):
        formats[f"equal {name}"] = as_fixed(f"accuracy_at_equal_{budget}", 3)
    rows = [_arm_row(family, arm) for arm in family.arms]
    table = Table(name=f"ledger_{slug(family.name)}", rows=rows, formats=formats)
    return Section(
        title=family.name,
        paragraphs=(f"Equal amounts. {'; '.join(amounts)}.",),
        tables=(table,),
        figures=tuple(_figures(family)),
    )


def _amounts(family: IterationFamily, size: int) -> str:
    epochs, samples, seconds = (family.budgets[size, budget] for budget in BUDGETS)
    return f"{epochs:,.0f} epochs, {samples:,.0f} samples, {seconds:,.3g} s"


def _accuracy(row: Row) -> str:
    sd = row["accuracy_sd"]
    return f"{row['accuracy_mean']:.3f}" + ("" if math.isnan(sd) else f" ± {sd:.3f}")


def _run_row(family: IterationFamily, arm: IterationArm, run: IterationRun) -> Row:
    row: dict[str, Any] = {"family": family.name, "arm": arm.label, "parent": arm.parent}
    row |= {"difference": arm.difference, "seed": run.cell.seed, "parameters": run.metric("params")}
    row |= {"gmac": run.gmac, "epochs": run.metric("epochs"), "samples": run.metric("samples")}
    row |= {"seconds": run.metric("seconds_trained"), "device": run.device}
    row |= {"best_epoch": run.metric("best_epoch"), "loss_best": run.metric(f"{run.split}.loss")}
    accuracy, final = run.metric("accuracy"), run.metric("accuracy_final")
    row |= {"loss_final": run.metric("eval_loss_final"), "accuracy_best": accuracy}
    row |= dict(zip(("low", "high"), run.interval, strict=True))
    row |= {"accuracy_final": final, "gap": accuracy - final}
    row |= {"accuracy_validation": run.validation_accuracy, "accuracy_peak": run.peak_accuracy}
    row |= {name: run.metric(name) for name in ("n_correct", "n_total", *METRICS)}
    whole = {name: int(v) for name, v in row.items() if name in WHOLE and float(v).is_integer()}
    return row | whole | {"run_id": run.observation.run_id}


def _arm_row(family: IterationFamily, arm: IterationArm) -> dict[str, Any]:
    row: dict[str, Any] = {"family": family.name, "arm": arm.label, "parent": arm.parent}
    row |= {"difference": arm.difference, "seeds": len(arm.runs)}
    row |= {"parameters": arm.mean_sd("params")[0], "gmac": arm.runs[0].gmac}
    for name, metric in (("accuracy", "accuracy"), ("loss", f"{arm.runs[0].split}.loss")):
        row[f"{name}_mean"], row[f"{name}_sd"] = arm.mean_sd(metric)
    row |= dict(zip(("gain", "gain_low", "gain_high"), arm.gain, strict=True))
    row |= dict(zip(("accuracy_cell_low", "accuracy_cell_high"), arm.interval, strict=True))
    row["miou_mean"], row["miou_sd"] = arm.mean_sd("miou")
    row["majority_accuracy"] = arm.baseline
    row["final_mean"] = arm.mean_sd("accuracy_final")[0]
    size = arm.runs[0].cell.dataset_size
    for budget in BUDGETS:
        row[f"equal_{budget}"] = family.budgets[size, budget]
        row |= {f"{name}_at_equal_{budget}": arm.equal[budget, name] for name in QUANTITIES}
    return row


def _figures(family: IterationFamily) -> Iterator[Figure]:
    from mlproject.report.figures.comparisons import history_figure

    for size in sorted({arm.runs[0].cell.dataset_size for arm in family.arms}):
        arms = [arm for arm in family.arms if arm.runs[0].cell.dataset_size == size]
        heading = f"{family.name} · {size:,} images"
        for page in range(-(-len(arms) // MOST_ARMS)):
            ending = f"_page{page + 1}" if len(arms) > MOST_ARMS else ""
            name = slug(f"epochs_{family.name}_{size}_images") + ending
            part = arms[page * MOST_ARMS :][:MOST_ARMS]
            caption = f"{heading}: loss and accuracy by epoch and training time."
            rows = [row for arm in part for row in _history_rows(arm)]
            draw, data = partial(history_figure, heading, part), Table(name=name, rows=rows)
            yield Figure(name=name, draw=draw, caption=caption, data=data)


def _history_rows(arm: IterationArm) -> Iterator[Row]:
    """A row for each seed and epoch."""
    for run in arm.runs:
        for i in range(len(run.history["epoch"])):
            values = {name: float(column[i]) for name, column in run.history.items()}
            yield {"arm": arm.label, "seed": run.cell.seed, **values}
