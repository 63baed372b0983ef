"""The iteration ledger as files: a row a run, a row an arm, a page to read, curves by epoch and by time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlproject.analysis.iterations import BUDGETS, Iteration
from mlproject.analysis.ledger import WHATS, Arm, Family, Ledger
from mlproject.files import write_atomic
from mlproject.report.escape import figure_text, markdown, slug
from mlproject.report.rows import to_csv
from mlproject.report.style import MARKERS, PAGE, PALETTE, RC, encode, faint_grid, log_axis

Row = dict[str, object]

MOST = 6
"""Arms that a figure holds before the next one begins."""
WHOLE = ("parameters", "epochs", "samples", "best_epoch", "n_correct", "n_total", "out_of_memory")
METRICS = ("miou", "majority_accuracy", "out_of_memory")


def write_ledger(ledger: Ledger, folder: Path) -> list[Path]:
    """Write ``ledger.csv``, ``ledger_arms.csv``, ``ledger.md`` and figures; returns their paths."""
    arms = [(family, arm) for family in ledger.families for arm in family.arms]
    contents = {
        "ledger.md": _page(ledger).encode(),
        "ledger.csv": to_csv(_run_row(f, arm, run) for f, arm in arms for run in arm.runs),
        "ledger_arms.csv": to_csv(_arm_row(f, arm) for f, arm in arms),
    }
    contents |= dict(_figures(ledger))
    for name, content in contents.items():
        write_atomic(folder / name, content)
    return [folder / name for name in contents]


def _run_row(family: Family, arm: Arm, run: Iteration) -> Row:
    low, high = run.interval
    best = run.history["epoch"] == run.metric("best_epoch")
    chosen = run.history.get("validation_accuracy")
    peak = run.history.get(f"{run.split}_accuracy", np.array([math.nan]))
    final, loss = run.metric("accuracy_final"), run.metric(f"{run.split}.loss")
    row: Row = {"family": family.name, "arm": arm.label, "parent": arm.parent, "difference": arm.difference}
    row |= {"seed": run.cell.seed, "parameters": run.metric("params"), "gmac": run.gmac}
    row |= {"epochs": run.metric("epochs"), "samples": run.metric("samples")}
    row |= {"seconds": run.metric("seconds_trained"), "device": run.device}
    row |= {"best_epoch": run.metric("best_epoch"), "loss_best": loss}
    row |= {"loss_final": run.metric("eval_loss_final"), "accuracy_best": run.metric("accuracy")}
    row |= {"low": low, "high": high, "accuracy_final": final, "gap": run.metric("accuracy") - final}
    row |= {"accuracy_validation": float(chosen[best][0]) if chosen is not None and best.any() else math.nan}
    row |= {"accuracy_peak": float(np.max(peak)), "n_correct": run.metric("n_correct")}
    row |= {"n_total": run.metric("n_total")} | {name: run.metric(name) for name in METRICS}
    whole = {
        name: int(v) for name, v in row.items() if isinstance(v, float) and v.is_integer() and name in WHOLE
    }
    return row | whole | {"run_id": run.observation.run_id}


def _arm_row(family: Family, arm: Arm) -> Row:
    row: Row = {"family": family.name, "arm": arm.label, "parent": arm.parent, "difference": arm.difference}
    row |= {"seeds": len(arm.runs), "parameters": arm.mean_sd("params")[0], "gmac": arm.runs[0].gmac}
    for name, metric in (("accuracy", "accuracy"), ("loss", f"{arm.runs[0].split}.loss")):
        row[f"{name}_mean"], row[f"{name}_sd"] = arm.mean_sd(metric)
    row |= dict(zip(("gain", "gain_low", "gain_high"), arm.gain, strict=True))
    size = arm.runs[0].cell.dataset_size
    for budget in BUDGETS:
        row[f"equal_{budget}"] = family.budgets[size, budget]
        row |= {f"{what}_at_equal_{budget}": arm.equal[budget, what] for what in WHATS}
    return row


def _page(ledger: Ledger) -> str:
    parts = ["# Iteration ledger", _legend()]
    parts += [_table(family) for family in ledger.families]
    if ledger.notes:
        parts.append(
            "## Read with this in mind\n\n" + "\n".join(f"- {markdown(note)}" for note in ledger.notes)
        )
    return "\n\n".join(parts) + "\n"


def _legend() -> str:
    return (
        "Accuracy (mean ± sd over seeds) at the epoch of the least validation loss; its interval is Wilson's "
        "95 % over the judged images (of pixels: what they are worth), averaged over seeds. Gain: over the "
        "parent, by shared seeds, with a 95 % t interval. Equal epochs, samples and seconds: the largest "
        "amount that all arms of the same dataset size reached. Every run is in ledger.csv."
    )


def _table(family: Family) -> str:
    head = ["arm", "from", "difference", "parameters", "GMAC", "seeds", "accuracy", "interval", "final"]
    head += ["gain", *(f"equal {budget}" for budget in ("epochs", "samples", "seconds"))]
    rows = [_cells(arm) for arm in family.arms]
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    sizes = sorted({size for size, _ in family.budgets})
    equal = [f"{size:,} images: " + _amounts(family, size) for size in sizes]
    return f"## {markdown(family.name)}\n\n" + "\n".join(lines) + f"\n\nEqual amounts. {'; '.join(equal)}."


def _amounts(family: Family, size: int) -> str:
    epochs, samples, seconds = (family.budgets[size, budget] for budget in BUDGETS)
    return f"{epochs:,.0f} epochs, {samples:,.0f} samples, {seconds:,.3g} s"


def _cells(arm: Arm) -> list[str]:
    mean, sd = arm.mean_sd("accuracy")
    low, high = np.mean([run.interval for run in arm.runs], axis=0)
    gain, gain_low, gain_high = arm.gain
    span = f" [{gain_low:+.3f}, {gain_high:+.3f}]" if not math.isnan(gain_low) else ""
    words = [markdown(arm.label), markdown(arm.parent), markdown(arm.difference)]
    words += [f"{arm.mean_sd('params')[0]:,.0f}", f"{arm.runs[0].gmac:.4g}", str(len(arm.runs))]
    words += [f"{mean:.3f}" + ("" if math.isnan(sd) else f" ± {sd:.3f}"), f"[{low:.3f}, {high:.3f}]"]
    words += [f"{arm.mean_sd('accuracy_final')[0]:.3f}", "" if math.isnan(gain) else f"{gain:+.3f}{span}"]
    return words + [_or_none(arm.equal[budget, "accuracy"]) for budget in BUDGETS]


def _or_none(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3f}"


def _figures(ledger: Ledger) -> Iterator[tuple[str, bytes]]:
    with matplotlib.rc_context(RC):
        for family in ledger.families:
            for size in sorted({arm.runs[0].cell.dataset_size for arm in family.arms}):
                arms = [arm for arm in family.arms if arm.runs[0].cell.dataset_size == size]
                for page in range(-(-len(arms) // MOST)):
                    ending = f"_page{page + 1}" if len(arms) > MOST else ""
                    name = slug(f"epochs_{family.name}_{size}_images") + ending
                    figure = curves_figure(f"{family.name} · {size:,} images", arms[page * MOST :][:MOST])
                    for kind in ("png", "pdf"):
                        yield f"{name}.{kind}", encode(figure, kind)


def curves_figure(title: str, arms: Sequence[Arm]) -> Figure:
    """Loss and accuracy (rows) by epoch and time (columns): judged solid, training dashed, a line a seed."""
    figure = Figure(figsize=(PAGE, 4.6), layout="constrained")
    grid = figure.subplots(2, 2, sharey="row", sharex="col")
    for row, what in enumerate(("loss", "accuracy")):
        for column, budget in enumerate(("epoch", "seconds")):
            ax = grid[row, column]
            for i, arm in enumerate(arms):
                _draw(ax, arm, what, budget, PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)])
            faint_grid(ax)
            if row:
                ax.set_xlabel("epoch" if budget == "epoch" else "seconds of training")
            if budget == "seconds":
                ax.set_xscale("log")
                log_axis(ax.xaxis, *ax.get_xlim())
            if what == "loss":
                ax.set_yscale("log")
                log_axis(ax.yaxis, *ax.get_ylim())
            if not column:
                ax.set_ylabel(what)
    figure.suptitle(
        figure_text(title, 90) + "  (solid: judged, dashed: training)", fontsize=7, x=0.02, ha="left"
    )
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(arms)))
    return figure


def _draw(ax: Axes, arm: Arm, what: str, budget: str, color: str, marker: str) -> None:
    for i, run in enumerate(arm.runs):
        x = run.history[budget]
        look: dict[str, Any] = {
            "color": color,
            "linewidth": 1.0 if not i else 0.5,
            "alpha": 0.9 if not i else 0.5,
        }
        label = figure_text(arm.label, 44) if not i else None
        if (judged := run.history.get(f"{run.split}_{what}")) is not None:
            ax.plot(x, judged, label=label, marker="" if i else marker, markersize=2.5, **look)
        ax.plot(x, run.history[f"train_{what}"], linestyle="--", **look | {"linewidth": 0.6})
