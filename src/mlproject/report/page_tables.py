"""Tables of the page of a study: laws side by side, differences of models, the largest scale, setup, runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from mlproject.analysis import Curve, Explorer, ModelDifference, Study, shared_by_cells
from mlproject.report.document import Format, Row, Table
from mlproject.report.formats import (
    ENDS,
    FORMULAS,
    as_count,
    as_fixed,
    as_interval,
    as_number,
    as_scale,
    as_signed,
    as_text,
    ends,
    range_text,
)

LAWS = (
    "group", "axis", "statistic",
    *(f"{name}{end}" for name in ("power_alpha", "power_floor_alpha", "power_floor_E") for end in ENDS),
    "verdict", "n_seeds",
)  # fmt: skip
HELD_OUT = (
    "group", "axis", "x", *(f"{name}{end}" for name in ("observed", "predicted") for end in ENDS), "inside",
)  # fmt: skip
MOST_VALUES = 8
"""Values of a setting that are listed; of more, the first and last are."""


def laws_table(study: Study) -> Table:
    """Every curve under one law a column, mean and median loss, so that rows compare."""
    rows = [
        _laws_row(study, curve, statistic)
        for curve in study.curves
        for statistic in ("mean", "median")
        if statistic in curve.assessments
    ]
    shown = [row for row in rows if row["statistic"] == "mean" and row["fitted"]]
    formats: dict[str, Format] = {"group": as_text("name")}
    if len({row["axis"] for row in shown}) > 1:
        formats["axis"] = as_text("axis")
    for law, formula in FORMULAS.items():
        formats[f"α under {formula}"] = replace(as_interval(f"{law}_alpha"), bar=f"{law}_alpha")
    formats |= {"E": as_interval("power_floor_E"), "verdict": as_text("verdict"), "seeds": as_text("n_seeds")}
    caption = (
        "Exponents of the mean loss with 95 % intervals, one law a column. The bar is the interval, the mark "
        "its value; all bars of a column have one scale, the grey line is 0. Limits alone are all that the "
        "data determine."
    )
    return Table(
        name="exponents_by_law", rows=rows, columns=LAWS, formats=formats, caption=caption, shown=shown
    )


def _laws_row(study: Study, curve: Curve, statistic: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"group": curve.label, "axis": curve.axis.name, "statistic": statistic}
    row |= {"name": study.name_of(curve), "fitted": bool(curve.fitted_laws(statistic))}
    for law in FORMULAS:
        fitted = curve.law(statistic, law)
        parameters = fitted.parameters if fitted is not None and fitted.fit is not None else {}
        for name in ("alpha", "E") if law == "power_floor" else ("alpha",):
            estimate = parameters.get(name)
            known = estimate is not None and estimate.identified
            row |= ends(f"{law}_{name}", estimate, identified=known)
    assessment = curve.assessments[statistic]
    return row | {"verdict": assessment.verdict, "n_seeds": range_text(*curve.n_seeds)}


def differences_table(known: Sequence[Explorer]) -> Table:
    """Models against the best one of their family, image by image."""
    rows = [_difference_row(explorer, d) for explorer in known for d in explorer.differences]
    formats = {"model": as_text("model"), "minus": as_text("reference"), "images": as_scale("size")}
    formats |= {"loss": as_number("loss")}
    formats["Δ loss"] = as_signed("difference")
    formats |= {"loss is": as_text("verdict"), "p (Holm)": as_number("p_holm", 2)}
    formats["seeds"] = as_count("n_seeds")
    if len({row["family"] for row in rows}) > 1:
        formats = {**formats, "group": as_text("family")}
    return Table(name="model_differences", rows=rows, formats=formats)


def _difference_row(explorer: Explorer, compared: ModelDifference) -> Row:
    difference = compared.difference
    row: dict[str, Any] = {"family": explorer.family, "model": compared.name, "reference": compared.reference}
    row |= {"size": compared.size, "loss": compared.loss, "reference_loss": compared.reference_loss}
    row |= ends("difference", difference.effect) | {"verdict": difference.verdict}
    return row | {
        "p_holm": difference.holm, "n_seeds": difference.effect.n_seeds,
        "n_images": difference.effect.n_images,
    }  # fmt: skip


def held_out_table(study: Study) -> Table:
    """The loss at the largest scale of each curve, and what the smaller scales predicted."""
    rows = []
    for curve in study.curves:
        held_out = curve.assessments["mean"].held_out if "mean" in curve.assessments else None
        if held_out is None:
            continue
        losses, predicted = curve.points[-1].losses["mean"], held_out.prediction
        row: dict[str, Any] = {"group": curve.label, "name": study.name_of(curve), "axis": curve.axis.name}
        row |= {"x": float(curve.x[-1])} | ends("observed", losses)
        row |= {"predicted": float(predicted.mean[0]), "predicted_low": float(predicted.low[0])}
        row["predicted_high"] = float(predicted.high[0])
        inside = row["predicted_low"] <= losses.value <= row["predicted_high"]
        rows.append(row | {"inside": "yes" if inside else "no"})
    formats = {"group": as_text("name"), "axis": as_text("axis"), "scale": as_scale("x")}
    formats |= {"observed": as_interval("observed"), "predicted": as_interval("predicted")}
    formats["observed lies inside"] = as_text("inside")
    return Table(
        name="held_out", rows=rows, columns=HELD_OUT, formats=formats,
        caption="Mean losses at the largest scale, observed, and predicted from the others by all laws.",
    )  # fmt: skip


def setup_table(study: Study) -> Table:
    """Every coordinate and knob of the cells, with the values that it takes."""
    values: dict[str, dict[str, None]] = {}
    for run in study.runs:
        for name, value in _settings(run.cell).items():
            values.setdefault(name, {})[value] = None
    rows = [
        {"setting": name, "n_values": len(given), "values": _listed(list(given))}
        for name, given in values.items()
    ]
    formats = {"setting": as_text("setting", wrap=False), "values": as_text("values")}
    caption = "What the cells are: every coordinate and knob, with all its values."
    return Table(name="setup", rows=rows, formats=formats, caption=caption)


def _settings(cell: Any) -> dict[str, str]:
    """A cell's coordinates and knobs as text; digests by their beginning."""
    shared = shared_by_cells(cell)
    plain = {name: value for name, value in cell.coordinates.items() if name not in ("recipe_version",)}
    texts = {name: _setting(name, value) for name, value in plain.items() if value not in ("", None)}
    tuned = set(cell.tuned)
    texts |= {
        f"knob {name}": f"{value} (chosen by a search)" if name in tuned else str(value)
        for name, value in cell.knobs.items()
    }
    status = ", ".join(f"{k} {v}" for k, v in cell.tuning.items()) or "no knob was tuned"
    return texts | {"kind of weights": str(shared["weights_kind"]), "tuning": status}


def _setting(name: str, value: Any) -> str:
    if name.endswith("digest"):
        return str(value)[:16]
    if isinstance(value, list):
        return ",".join(f"{item:g}" for item in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _listed(values: list[str]) -> str:
    numbers = all(re.fullmatch(r"[\d,]+", value) for value in values)
    ordered = sorted(values, key=lambda v: int(v.replace(",", ""))) if numbers else sorted(values)
    if len(ordered) > MOST_VALUES:
        return f"{len(ordered)} values: {', '.join(ordered[:3])} … {ordered[-1]}"
    return "; ".join(ordered)


def runs_table(study: Study, run_page: Callable[[str], str] | None) -> Table:
    """Every run that was used, with its digest and, in a tracking server, the address of its page."""
    rows = [
        {
            "run": run.run_id,
            "cell": run.cell.key,
            "model": run.cell.model,
            "weights": run.cell.weights,
            "images": run.cell.dataset_size,
            "seed": run.cell.seed,
            "region": run.cell.region,
            "loss": float(run.losses.mean()),
            "params": run.observation.metrics.get("params"),
            "accuracy": run.observation.metrics.get("accuracy"),
            "losses_digest": run.observation.losses_digest,
        }
        for run in study.runs
    ]
    rows.sort(key=lambda row: (row["model"], row["images"], row["seed"], row["cell"]))
    link = (lambda row: run_page(row["run"])) if run_page else None
    formats = {"run": replace(as_text("run", wrap=False), link=link), "model": as_text("model", wrap=False)}
    formats |= {"images": as_count("images"), "seed": as_count("seed"), "loss": as_fixed("loss", 4)}
    formats |= {"parameters": as_scale("params"), "cell": as_text("cell", wrap=False)}
    formats["digest of the losses"] = as_text("losses_digest")
    return Table(name="runs", rows=rows, formats=formats, caption="The runs behind every number.")
