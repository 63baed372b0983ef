"""Tables as CSV and JSON: losses, exponents, correlations, distributions, exponents per image."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from mlproject.analysis.axes import AXES
from mlproject.analysis.local import local_exponents
from mlproject.analysis.study import HORIZONS, STATISTICS, Curve, Point, Statistic, Study, Verdict
from mlproject.report.joint_tables import joint_json, joint_tables
from mlproject.report.rows import Row, finite, to_csv
from mlproject.report.words import entry, heaviest, parameter, preferred

PARAMETERS = ("alpha", "k", "E")
ENDS = {"": "value", "_low": "low", "_high": "high"}
ESTIMATOR = "least squares; bootstrap over images (paired where shared) and seeds"


def tables(study: Study) -> dict[str, bytes]:
    """All tables of a study, by file name."""
    sizes, models = study.along("images"), study.along("params")
    return {
        "losses_by_size.csv": losses_csv(sizes),
        "losses_by_model.csv": losses_csv(models),
        "exponents.csv": to_csv(exponent_rows(study)),
        "exponents_by_region.csv": to_csv(_contrast_rows(study), CONTRAST),
        "laws.csv": to_csv(_law_rows(study), STANDING),
        "predictions.csv": to_csv(prediction_rows(study), PREDICTED),
        "local_exponents.csv": to_csv(_local_rows(study), LOCAL),
        "correlations_by_size.csv": to_csv(_correlation_rows(sizes), CORRELATION),
        "correlations_by_model.csv": to_csv(_correlation_rows(models), CORRELATION),
        "distributions.csv": to_csv(_distribution_rows(study.curves)),
        "image_exponents.csv": to_csv(_image_rows(sizes), IMAGES),
        **joint_tables(study),
        "fits.json": fits_json(study),
    }


def losses_csv(curves: Sequence[Curve]) -> bytes:
    """One row for each group and image; one column ``loss_<size or model>`` for each scale, ascending."""
    scales = {point.name: point.x for curve in curves for point in curve.points}
    columns = [
        "image_name",
        "group",
        *(f"loss_{name}" for name in sorted(scales, key=lambda n: (scales[n], n))),
    ]
    return to_csv((row for curve in curves for row in _loss_rows(curve)), columns)


def _loss_rows(curve: Curve) -> Iterable[Row]:
    columns = [f"loss_{point.name}" for point in curve.points]
    for image, losses in zip(curve.image_ids, curve.losses.tolist(), strict=True):
        if not all(math.isnan(loss) for loss in losses):
            yield {"image_name": image, "group": curve.label, **dict(zip(columns, losses, strict=True))}


def exponent_rows(study: Study) -> list[dict[str, object]]:
    """One row for each group, statistic and law; a parameter that is not identified has limits alone."""
    return [_exponent_row(curve, verdict) for curve in study.curves for verdict in curve.verdicts]


def _contrast_rows(study: Study) -> Iterable[Row]:
    """One row for each pair of regions, statistic and law: the difference of their exponents."""
    for one in study.contrasts:
        yield {"group": one.first.series, "axis": one.first.axis.name, "statistic": one.statistic} | {
            "law": one.law,
            "first": one.regions[0],
            "second": one.regions[1],
            "difference": one.difference.difference.value,
            "low": one.difference.difference.low,
            "high": one.difference.difference.high,
            "paired": one.difference.paired,
            "identified": one.identified,
            "verdict": one.difference.verdict,
            "scale": one.scale,
            "loss_ratio": one.loss_ratio.value,
            "loss_ratio_low": one.loss_ratio.low,
            "loss_ratio_high": one.loss_ratio.high,
        }


def _exponent_row(curve: Curve, verdict: Verdict) -> dict[str, object]:
    fit = verdict.fit
    row: dict[str, object] = {"group": curve.label, "axis": curve.axis.name, "statistic": verdict.statistic}
    row |= {"law": verdict.law, "verdict": verdict.verdict, "reason": verdict.reason}
    for name in PARAMETERS:
        found = parameter(verdict, name)
        told = {} if found is None else entry(found, known=name in verdict.identified)
        row |= {f"{name}{end}": told.get(key) for end, key in ENDS.items()}
    row |= {
        "held_out_error": None if fit is None else fit.held_out_error,
        "dof": None if fit is None else fit.dof,
    }
    row |= {"n_scales": curve.n_scales, "x_min": float(curve.x[0]), "x_max": float(curve.x[-1])}
    row |= {"n_seeds": seeds(curve), "n_images": max(point.n_images for point in curve.points)}
    row |= {"split": curve.split, "weights": curve.fixed["weights_kind"], "target": curve.target}
    space = "" if fit is None else f" in {fit.space}"
    return row | {"loss": curve.fixed["kind"], "estimator": ESTIMATOR.replace(";", f"{space};", 1)}


def seeds(curve: Curve) -> str:
    """How many seeds the points have: ``3``, or ``1 to 3``."""
    low, high = curve.n_seeds
    return str(low) if low == high else f"{low} to {high}"


STANDING = (
    "group", "axis", "statistic", "law", "weight", "prior", "rank_in_sample", "rank_out_of_sample", "score"
)  # fmt: skip
LIMITS = ("mean", "low", "high", "new_run_low", "new_run_high")
PREDICTED = (
    "group",
    "axis",
    "statistic",
    "x",
    "horizon",
    *LIMITS,
    "x_max",
    "n_scales",
    "heaviest_law",
    "verdict",
)


def _law_rows(study: Study) -> Iterable[Row]:
    """Laws by weight; a rank of 1 is the best, and the two ranks may well disagree."""
    for curve in study.curves:
        for statistic, found in curve.averages.items():
            head = {"group": curve.label, "axis": curve.axis.name, "statistic": statistic}
            for law, one in sorted(found.standings.items(), key=lambda item: -item[1].weight):
                ranks = {"rank_in_sample": one.in_sample_rank, "rank_out_of_sample": one.out_of_sample_rank}
                yield head | {
                    "law": law,
                    "weight": one.weight,
                    "prior": one.prior,
                    **ranks,
                    "score": one.score,
                }


def prediction_rows(study: Study) -> Iterable[Row]:
    """One row for each group, statistic and horizon."""
    for curve in study.curves:
        for statistic, found in curve.averages.items():
            told, verdict = curve.beyond(statistic), preferred(curve, statistic)
            assert told is not None
            head = {"group": curve.label, "axis": curve.axis.name, "statistic": statistic}
            tail = {
                "x_max": float(curve.x[-1]),
                "n_scales": curve.n_scales,
                "heaviest_law": heaviest(found)[0],
            }
            tail |= {"verdict": "" if verdict is None else verdict.verdict}
            for i, times in enumerate(HORIZONS):
                limits = {name: float(getattr(told, name)[i]) for name in LIMITS}
                yield head | {"x": times * float(curve.x[-1]), "horizon": times, **limits, **tail}


CONTRAST = (
    *("group", "axis", "statistic", "law", "first", "second", "difference", "low", "high", "paired"),
    *("identified", "verdict", "scale", "loss_ratio", "loss_ratio_low", "loss_ratio_high"),
)
LOCAL = ("group", "axis", "statistic", "x", "exponent", "low", "high")


def _local_rows(study: Study) -> Iterable[Row]:
    """The slope between neighbouring scales, half-way between them."""
    for curve in study.curves:
        for statistic in STATISTICS:
            found = local_exponents(curve, statistic)
            head = {"group": curve.label, "axis": curve.axis.name, "statistic": statistic}
            for row in () if found is None else zip(found.x, found.value, found.low, found.high, strict=True):
                yield head | dict(zip(LOCAL[3:], map(float, row), strict=True))


CORRELATION = ("group", "first", "second", "n_images", "pearson", "spearman")
IMAGES = ("image_name", "group", "exponent", "standard_error", "shrunk", "q_value", "scales", "rises")


def _correlation_rows(curves: Sequence[Curve]) -> Iterable[Row]:
    for curve in curves:
        for pair in curve.correlations:
            yield {"group": curve.label, **{name: getattr(pair, name) for name in CORRELATION[1:]}}


def _distribution_rows(curves: Sequence[Curve]) -> Iterable[Row]:
    for curve in curves:
        if curve.axis is not AXES["flops"]:
            for point in curve.points:
                counts = {"n_images": point.n_images, "n_seeds": point.n_seeds}
                row: dict[str, object] = {"group": curve.label, "axis": curve.axis.name, "scale": point.name}
                yield row | {"x": point.x} | counts | dict(point.distribution)


def _image_rows(curves: Sequence[Curve]) -> Iterable[Row]:
    """Images that every size judged with a positive loss; the others have no exponent."""
    for curve in curves:
        found = curve.image_exponents
        if found is not None:
            columns = {name: getattr(found, name).tolist() for name in IMAGES[2:]}
            for i in found.valid.nonzero()[0].tolist():
                row: dict[str, object] = {"image_name": curve.image_ids[i], "group": curve.label}
                yield row | {name: values[i] for name, values in columns.items()}


def fits_json(study: Study) -> bytes:
    """Everything but the images, for programs; a number that is not finite, or not identified, is null."""
    content = {
        "n_runs": len(study.run_ids),
        "n_left_out": study.n_left_out,
        "n_draws": study.n_draws,
        "notes": list(study.notes),
        "curves": [_curve_json(curve) for curve in study.curves],
        "joints": [joint_json(joint) for joint in study.joints],
    }
    return (json.dumps(finite(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def _curve_json(curve: Curve) -> dict[str, Any]:
    return {
        "group": curve.label,
        "axis": {"name": curve.axis.name, "symbol": curve.axis.symbol, "unit": curve.axis.unit},
        "split": curve.split,
        "random": curve.random,
        "fixed": dict(curve.fixed),
        "points": [_point_json(point) for point in curve.points],
        "fits": [_verdict_json(verdict) for verdict in curve.verdicts],
        "averages": {statistic: _average_json(curve, statistic) for statistic in curve.averages},
    }


def _point_json(point: Point) -> dict[str, Any]:
    losses = {
        statistic: {
            "value": point.value(statistic),
            "interval": list(point.interval(statistic)),
            "seeds": list(point.seeds[statistic]),
        }
        for statistic in STATISTICS
    }
    head = {"name": point.name, "x": point.x, "run_ids": list(point.run_ids), "n_images": point.n_images}
    return head | losses | {"distribution": dict(point.distribution)}


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    fit = verdict.fit
    said = {
        "statistic": verdict.statistic,
        "law": verdict.law,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
    }
    if fit is None:
        return said | {"parameters": None}
    parameters = {n: entry(e, known=n in verdict.identified) for n, e in fit.parameters.items()}
    rest = {"space": fit.space, "flags": list(fit.flags), "dof": fit.dof, "residuals": fit.residuals.tolist()}
    return said | {"parameters": parameters, "held_out_error": fit.held_out_error} | rest


def _average_json(curve: Curve, statistic: Statistic) -> dict[str, Any]:
    told, x = curve.beyond(statistic), curve.x[-1]
    rows = [
        {"x": times * float(x), "horizon": times} | {name: float(getattr(told, name)[i]) for name in LIMITS}
        for i, times in enumerate(HORIZONS)
    ]
    held = curve.held_out.get(statistic)
    told_there = {} if held is None else {name: float(getattr(held, name)[0]) for name in LIMITS}
    return {
        "weights": curve.averages[statistic].weights,
        "predictions": rows,
        "held_out": {"x": float(x), **told_there} if told_there else None,
    }
