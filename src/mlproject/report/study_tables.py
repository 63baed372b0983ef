"""Tables of curves: exponents, laws, predictions, points; all fits as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mlproject.analysis import HORIZONS, STATISTICS, Curve, Point, Statistic, Study, data_name
from mlproject.report.document import Row, Table
from mlproject.report.formats import (
    FORMULAS,
    SHOWN_WEIGHT,
    as_count,
    as_interval,
    as_text,
    ends,
    family_words,
    range_text,
)
from mlproject.scaling import Estimate, LawFit, Prediction, scale_text

NARROW = "Mean losses at a multiple of the largest scale, averaged over laws, with 95 % intervals."
PARAMETERS = ("alpha", "k", "E")
LIMITS = ("mean", "low", "high", "new_run_low", "new_run_high")
ESTIMATOR = "least squares{space}; bootstrap over images (paired where shared){rest}"
HEAD = ("group", "model", "data", "recipe", "axis", "statistic")
STANDING = (*HEAD, "law", "weight", "prior", "rank_in_sample", "rank_out_of_sample", "score")
PREDICTED = (*HEAD, "x", "horizon", *LIMITS, "x_max", "n_scales", "heaviest_law", "verdict")
LOCAL = (*HEAD, "x", "exponent", "low", "high")
POINTS = (*HEAD, "scale", "x", "loss", "low", "high", "sd", "n_seeds", "n_images")
EXPONENTS = (
    *HEAD, "law", "verdict", "reason", *(f"{p}{end}" for p in PARAMETERS for end in ("", "_low", "_high")),
    "held_out_error", "dof", "n_scales", "x_min", "x_max", "n_seeds", "n_images", "split", "weights",
    "target", "loss", "estimator",
)  # fmt: skip


def exponents_table(study: Study) -> Table:
    """A row for each curve, statistic and law; a parameter that is not identified has limits alone."""
    rows = [
        _exponent_row(curve, statistic, law, study.name_of(curve))
        for curve in study.curves
        for statistic in STATISTICS
        for law in curve.reported_laws(statistic)
    ]
    formats = {"group": as_text("name"), "loss": as_text("statistic")}
    formats |= {"law": as_text("formula", wrap=False), "α [95 %]": as_interval("alpha")}
    formats |= {"E [95 %]": as_interval("E"), "verdict": as_text("verdict"), "scales": as_count("n_scales")}
    formats |= {"seeds": as_text("n_seeds"), "images": as_count("n_images")}
    axes = {f"{curve.axis.symbol} {curve.axis.name}": None for curve in study.assessed}
    caption = f"Exponents α and irreducible losses E, with 95 % intervals; {', '.join(axes)}."
    shared = study.shared_family
    return Table(
        name="exponents",
        rows=rows,
        columns=EXPONENTS,
        formats=formats,
        caption=f"{caption} All groups: {shared}." if shared else caption,
        shown=[row for row in rows if row["fitted"] or row["refused"]],
        narrow=_narrow_exponents(study),
    )


def _narrow_exponents(study: Study) -> Table | None:
    """A row for each fit of a mean loss: α under both laws, the same law in each column; None without."""
    rows: list[Row] = []
    for curve in study.curves:
        row: dict[str, Any] = {"name": study.name_of(curve)}
        for law in curve.fitted_laws("mean"):
            estimate = law.parameters["alpha"]
            row |= ends(law.law, estimate, identified=estimate.identified)
        rows += [row] if len(row) > 1 else []
    if not rows:
        return None
    formats = {"group": as_text("name"), "α, k x^-α": as_interval("power")}
    formats["α, E + k x^-α"] = as_interval("power_floor")
    caption = "Exponents of the mean loss with 95 % intervals; limits alone are all that is determined."
    if study.shared_family:
        caption += f" {family_words(study.shared_family)}."
    return Table(name="exponents", rows=rows, formats=formats, caption=caption)


def _exponent_row(curve: Curve, statistic: Statistic, law: LawFit, name: str) -> dict[str, Any]:
    fit = law.fit
    row: dict[str, Any] = {**head_of(curve), "statistic": statistic}
    row |= {"law": law.law, "verdict": law.verdict, "reason": law.reason}
    for parameter in PARAMETERS:
        estimate = law.parameters.get(parameter) if fit is not None else None
        row |= ends(parameter, estimate, identified=estimate is not None and estimate.identified)
    row |= {"held_out_error": fit.held_out_error if fit else None, "dof": fit.dof if fit else None}
    row |= {"n_scales": curve.n_scales, "x_min": float(curve.x[0]), "x_max": float(curve.x[-1])}
    row |= {"n_seeds": range_text(*curve.n_seeds), "n_images": curve.n_images}
    row |= {"split": curve.split, "weights": curve.fixed["weights_kind"], "target": curve.target}
    space = f" in {fit.space}" if fit else ""
    rest = ", Student's t of the residuals" if curve.n_seeds[0] == 1 else " and seeds"
    row |= {"loss": curve.fixed["kind"], "estimator": ESTIMATOR.format(space=space, rest=rest)}
    formula = FORMULAS[law.law].replace("x", curve.axis.symbol)
    refused = bool(curve.refusal) and statistic == "mean" and law is curve.reported_laws("mean")[0]
    page = {"name": name, "scale": f"{curve.axis.name} {curve.axis.symbol}", "formula": formula}
    return row | page | {"fitted": fit is not None, "refused": refused}


def predictions_table(study: Study) -> Table:
    """Losses beyond the data over all laws; a page shows the mean loss, a row for each curve."""
    rows = [row for curve in study.curves for name in STATISTICS for row in _prediction_rows(curve, name)]
    formats = {"group": as_text("name"), "largest": as_text("largest", wrap=False)}
    formats |= {f"{times:g} × the largest [95 %]": as_interval(f"at_{times:g}") for times in HORIZONS}
    formats |= {"laws by weight": as_text("laws")}
    shown = [
        _page_row(curve, curve.predictions["mean"], study.name_of(curve))
        for curve in study.curves
        if "mean" in curve.predictions
    ]
    caption = (
        "Extrapolated mean losses, averaged over laws by their weights; the intervals allow for every law "
        "being slightly wrong. All weights, and ranks in and out of sample, are in laws.csv."
    )
    narrow = {"group": as_text("name")}
    narrow |= {f"at {times:g} × the largest": as_interval(f"at_{times:g}") for times in HORIZONS}
    table = Table(
        name="predictions", rows=rows, columns=PREDICTED, formats=formats, caption=caption, shown=shown
    )
    return replace(table, narrow=replace(table, formats=narrow, caption=NARROW))


def _prediction_rows(curve: Curve, statistic: Statistic) -> Iterator[Row]:
    predicted, law = curve.predictions.get(statistic), curve.preferred(statistic)
    if predicted is None:
        return
    tail: dict[str, Any] = {"x_max": float(curve.x[-1]), "n_scales": curve.n_scales}
    tail |= {"heaviest_law": curve.assessments[statistic].laws[0].law, "verdict": law.verdict if law else ""}
    for i, times in enumerate(HORIZONS):
        yield {
            **_head(curve, statistic),
            "x": times * float(curve.x[-1]),
            "horizon": times,
            **limits_at(predicted, i),
            **tail,
        }


def _page_row(curve: Curve, predicted: Prediction, name: str) -> Row:
    weights = [law for law in curve.assessments["mean"].laws if law.weight >= SHOWN_WEIGHT]
    largest = float(curve.x[-1])
    row: dict[str, Any] = {"name": name, "largest": f"{curve.axis.symbol} = {scale_text(largest)}"}
    row |= {"x_max": largest, "laws": ", ".join(f"{law.law} {law.weight:.2f}" for law in weights)}
    for i, times in enumerate(HORIZONS):
        names = (f"at_{times:g}", f"at_{times:g}_low", f"at_{times:g}_high")
        row |= dict(zip(names, limits_at(predicted, i).values(), strict=False))
    return row


def limits_at(predicted: Prediction, i: int) -> dict[str, float]:
    """Mean, limits of the mean and limits of a new run of one prediction of several."""
    return {name: float(getattr(predicted, name)[i]) for name in LIMITS}


def data_tables(study: Study) -> tuple[Table, ...]:
    """The tables of laws and slopes that are files only; those of losses are in ``loss_tables``."""
    pairs = [(curve, statistic) for curve in study.curves for statistic in STATISTICS]
    laws = [row for pair in pairs for row in _law_rows(*pair)]
    slopes = [row for pair in pairs for row in _local_rows(*pair)]
    return (
        Table(name="laws", rows=laws, columns=STANDING),
        Table(name="local_exponents", rows=slopes, columns=LOCAL),
    )


def points_table(study: Study) -> Table:
    """Every point of every curve; ``mlproject fit`` reads this file.

    ``sd`` is the noise of each point that the others do not share, by which the laws were fitted.
    """
    pairs = [(curve, statistic) for curve in study.curves for statistic in STATISTICS]
    rows = [row for pair in pairs for row in _point_rows(*pair)]
    return Table(name="points", rows=rows, columns=POINTS)


def _point_rows(curve: Curve, statistic: Statistic) -> Iterator[Row]:
    for point, row in zip(curve.points, curve.csv_points(statistic), strict=True):
        loss = point.losses[statistic]
        counts = {"n_seeds": point.n_seeds, "n_images": point.n_images}
        names = {"scale": point.name, "low": loss.low, "high": loss.high}
        yield _head(curve, statistic) | names | row | counts


def _law_rows(curve: Curve, statistic: Statistic) -> Iterator[Row]:
    """Laws by weight; a rank of 1 is the best, and the two ranks may well disagree."""
    assessment = curve.assessments.get(statistic)
    if assessment is None or assessment.average is None:
        return
    for law in assessment.laws:
        standing = assessment.average.standings.get(law.law)
        if standing is not None:
            row = {"law": law.law, "weight": law.weight, "prior": standing.prior, "score": standing.score}
            ranks = {"rank_in_sample": law.in_sample_rank, "rank_out_of_sample": law.out_of_sample_rank}
            yield _head(curve, statistic) | row | ranks


def _local_rows(curve: Curve, statistic: Statistic) -> Iterator[Row]:
    """The slope between neighbouring scales, half-way between them."""
    slopes = curve.local_exponents.get(statistic)
    if slopes is not None:
        for row in zip(slopes.x, slopes.value, slopes.low, slopes.high, strict=True):
            yield _head(curve, statistic) | dict(zip(LOCAL[len(HEAD) :], map(float, row), strict=True))


def head_of(curve: Curve) -> dict[str, Any]:
    """What a row of a file says of its curve: the whole name, then its parts, empty along which it varies."""
    fixed = curve.fixed
    row: dict[str, Any] = {"group": curve.label, "model": fixed.get("model", "")}
    row |= {"data": data_name(str(fixed["data"])), "recipe": fixed["recipe"], "axis": curve.axis.name}
    return row


def _head(curve: Curve, statistic: Statistic) -> dict[str, Any]:
    return {**head_of(curve), "statistic": statistic}


def curve_json(curve: Curve) -> dict[str, Any]:
    """Everything of a curve but its images; a parameter that is not identified has no value."""
    fits = [_law_json(law, statistic) for statistic in STATISTICS for law in curve.reported_laws(statistic)]
    return {
        "group": curve.label,
        "axis": {"name": curve.axis.name, "symbol": curve.axis.symbol, "unit": curve.axis.unit},
        "split": curve.split,
        "random": curve.random,
        "fixed": dict(curve.fixed),
        "points": [_point_json(point) for point in curve.points],
        "fits": fits,
        "averages": {statistic: _average_json(curve, statistic) for statistic in curve.predictions},
    }


def _point_json(point: Point) -> dict[str, Any]:
    losses = {
        statistic: {
            "value": estimate.value,
            "interval": [estimate.low, estimate.high],
            "seeds": list(point.seeds[statistic]),
        }
        for statistic, estimate in point.losses.items()
    }
    head = {"name": point.name, "x": point.x, "run_ids": list(point.run_ids), "n_images": point.n_images}
    return head | losses | {"distribution": dict(point.distribution)}


def _law_json(law: LawFit, statistic: Statistic) -> dict[str, Any]:
    fit, row = law.fit, {"statistic": statistic, "law": law.law}
    row |= {"verdict": law.verdict, "reason": law.reason}
    if fit is None:
        return row | {"parameters": None}
    rest = {"space": fit.space, "flags": list(fit.flags), "dof": fit.dof, "residuals": fit.residuals.tolist()}
    return row | {"parameters": parameters_json(law), "held_out_error": fit.held_out_error} | rest


def parameters_json(law: LawFit) -> dict[str, dict[str, float | None]]:
    """Value, low and high by parameter; no value for one that is not identified."""
    return {name: estimate_json(estimate) for name, estimate in law.parameters.items()}


def estimate_json(estimate: Estimate) -> dict[str, float | None]:
    """Value, low and high; no value where it is not identified."""
    value = estimate.value if estimate.identified else None
    return {"value": value, "low": estimate.low, "high": estimate.high}


def _average_json(curve: Curve, statistic: Statistic) -> dict[str, Any]:
    predicted, x = curve.predictions[statistic], float(curve.x[-1])
    rows = [{"x": t * x, "horizon": t, **limits_at(predicted, i)} for i, t in enumerate(HORIZONS)]
    held_out = curve.assessments[statistic].held_out
    largest = None if held_out is None else {"x": x, **limits_at(held_out.prediction, 0)}
    assessment = curve.assessments[statistic]
    over_all = {"local": assessment.local, "floor": assessment.floor}
    return {
        "verdict": assessment.verdict,
        "reason": assessment.reason,
        "flags": list(assessment.flags),
        "over_all_laws": {name: estimate_json(e) for name, e in over_all.items() if e is not None},
        "weights": {law.law: law.weight for law in assessment.laws},
        "predictions": rows,
        "held_out": largest,
    }
