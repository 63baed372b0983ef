"""Tables of joint laws: cells, laws by weight, predictions, and how a budget splits, as CSV and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mlproject.analysis.joint import Joint, JointLaws
from mlproject.analysis.study import Study
from mlproject.report.rows import Row, to_csv
from mlproject.report.words import entry
from mlproject.scaling import Envelope, Frontier, Prediction

SHOWN = ("alpha", "beta", "E")
LIMITS = ("mean", "low", "high", "new_run_low", "new_run_high")
CELLS = (
    "group", "model", "N", "D", "n_seeds", "n_images", "loss", "low", "high", "compute",
    "held_out_mean", "held_out_low", "held_out_high",
)  # fmt: skip
LAWS = (
    "group", "law", "weight", "prior", "rank_in_sample", "rank_out_of_sample", "score", "verdict", "reason",
    *(f"{name}{end}" for name in SHOWN for end in ("", "_low", "_high")),
)  # fmt: skip
PREDICTED = ("group", "N", "D", "horizon", *LIMITS, "N_max", "D_max", "heaviest_law", "verdict")
ENDS = ("", "_low", "_high")
SPLIT = (
    "group", "method", "compute", "unit", *(f"{name}{end}" for name in ("N", "D", "loss") for end in ENDS),
    "beyond", *(f"{name}_exponent{end}" for name in "ND" for end in ENDS),
)  # fmt: skip


def joint_tables(study: Study) -> dict[str, bytes]:
    """The tables, by file name; without grids they hold their headers."""
    kinds = {"cells": (_cells, CELLS), "laws": (_laws, LAWS), "predictions": (_predicted, PREDICTED)}
    tables = {
        f"joint_{name}.csv": to_csv((row for joint in study.joints for row in rows(joint)), columns)
        for name, (rows, columns) in kinds.items()
    }
    return tables | {"frontier.csv": to_csv((r for joint in study.joints for r in _splits(joint)), SPLIT)}


def _cells(joint: Joint) -> Iterator[Row]:
    held = _held_out(joint)
    for i, point in enumerate(joint.points):
        low, high = point.interval("mean")
        yield {
            "group": joint.label,
            "model": joint.models[i],
            "N": float(joint.x[i, 0]),
            "D": float(joint.x[i, 1]),
            "n_seeds": point.n_seeds,
            "n_images": point.n_images,
            "loss": point.value("mean"),
            "low": low,
            "high": high,
            "compute": float(joint.compute[i]),
            **held.get(i, {}),
        }


def _held_out(joint: Joint) -> dict[int, dict[str, float]]:
    """What was predicted of each cell that was held out, by its place."""
    if joint.laws is None or joint.laws.held_out is None:
        return {}
    held = joint.laws.held_out
    places = np.flatnonzero(held.rows).tolist()
    return {
        place: {f"held_out_{name}": float(getattr(held.told, name)[i]) for name in ("mean", "low", "high")}
        for i, place in enumerate(places)
    }


def _laws(joint: Joint) -> Iterator[Row]:
    """Laws by weight; a rank of 1 is the best, and the two ranks may well disagree."""
    if joint.laws is None:
        yield {"group": joint.label, "verdict": "not identifiable", "reason": joint.refusal}
        return
    standings = joint.laws.average.standings
    for law, one in sorted(standings.items(), key=lambda item: -item[1].weight):
        fit = joint.laws.fits.get(law)
        row: dict[str, object] = {
            "group": joint.label,
            "law": law,
            "weight": one.weight,
            "prior": one.prior,
            "rank_in_sample": one.in_sample_rank,
            "rank_out_of_sample": one.out_of_sample_rank,
            "score": one.score,
        }
        if fit is not None:
            row |= {"verdict": fit.verdict, "reason": fit.reason}
            for name in SHOWN:
                if name in fit.parameters:
                    told = entry(fit.parameters[name], known=name in fit.identified)
                    row |= {name: told["value"], f"{name}_low": told["low"], f"{name}_high": told["high"]}
        yield row


def _predicted(joint: Joint) -> Iterator[Row]:
    if joint.laws is None:
        return
    told, (n_max, d_max) = joint.laws.average.predict(joint.beyond), joint.x.max(axis=0).tolist()
    for row in prediction_rows(joint, told):
        tail = {"N_max": n_max, "D_max": d_max, "heaviest_law": joint.laws.heaviest}
        yield {"group": joint.label, **row, **tail, "verdict": joint.laws.verdict}


def prediction_rows(joint: Joint, told: Prediction) -> Iterator[dict[str, float]]:
    """Scales beyond the data with their horizon and limits."""
    for i, (n, d) in enumerate(joint.beyond.tolist()):
        limits = {name: float(getattr(told, name)[i]) for name in LIMITS}
        yield {"N": n, "D": d, "horizon": float(told.horizon[i]), **limits}


def _splits(joint: Joint) -> Iterator[Row]:
    if joint.laws is None:
        return
    split = joint.laws.allocation
    found: list[tuple[str, Frontier | Envelope]] = [(one.method, one) for one in split.envelopes]
    if split.frontier is not None:
        found.insert(0, (f"closed form of {split.law}", split.frontier))
    for method, one in found:
        for row in split_rows(one):
            yield {"group": joint.label, "method": method, "unit": split.spending.unit, **row}


def split_rows(one: Frontier | Envelope) -> Iterator[dict[str, Any]]:
    """A row for each budget: N, D, loss and their limits, and the exponents of N* and D*."""
    exponents = {
        f"{name}_exponent{end}": getattr(e, {"": "value", "_low": "low", "_high": "high"}[end])
        for name, e in (("N", one.n_exponent), ("D", one.d_exponent))
        for end in ENDS
    }
    for k in range(len(one.compute)):
        row = {"compute": float(one.compute[k]), "N": float(one.n[k]), "D": float(one.d[k])}
        row |= {"N_low": float(one.n_limits[0, k]), "N_high": float(one.n_limits[1, k])}
        row |= {"D_low": float(one.d_limits[0, k]), "D_high": float(one.d_limits[1, k])}
        row["loss"] = float(one.loss[k])
        extra: dict[str, Any] = {}
        if isinstance(one, Frontier):
            low, high = one.loss_limits[:, k].tolist()
            extra = {"loss_low": low, "loss_high": high, "beyond": bool(one.beyond[k])}
        yield row | extra | exponents


def joint_json(joint: Joint) -> dict[str, Any]:
    """Everything of a grid but its images."""
    head: dict[str, Any] = {"group": joint.label, "fixed": dict(joint.fixed), "refusal": joint.refusal}
    head["cells"] = [dict(row) for row in _cells(joint)]
    return head if joint.laws is None else head | _laws_json(joint, joint.laws)


def _laws_json(joint: Joint, laws: JointLaws) -> dict[str, Any]:
    split = laws.allocation
    cost = split.spending.cost
    fits = {
        name: {
            "verdict": fit.verdict,
            "reason": fit.reason,
            "flags": list(fit.flags),
            "parameters": {n: entry(e, known=n in fit.identified) for n, e in fit.parameters.items()},
        }
        for name, fit in laws.fits.items()
    }
    powers = {"coefficient": cost.coefficient, "N_power": cost.n_power, "D_power": cost.d_power}
    spending = {**powers, "unit": split.spending.unit, "measured": split.spending.measured}
    return {
        "verdict": laws.verdict,
        "reason": laws.reason,
        "weights": laws.average.weights,
        "laws": fits,
        "predictions": list(prediction_rows(joint, laws.average.predict(joint.beyond))),
        "cost": {**spending, "worst_log_error": split.spending.error},
        "frontier": [dict(row) for row in _splits(joint)],
        "frontier_refusals": list(split.refusals),
    }
