"""All that the golden tests know of ``mlproject.scaling``: calls of version 0.2, results as plain values.

A redesign changes the imports and attributes here, and neither numbers nor tests.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mlproject.scaling import (
    LAWS,
    Cost,
    LawFit,
    acceleration_of,
    average,
    bca,
    compare,
    envelope,
    fit,
    fit_cost,
    frontier,
    image_exponents,
    plan_next,
    t_interval,
)
from mlproject.scaling import measure_information as measure
from mlproject.scaling.assess import combine_verdicts

__all__ = [
    "LAWS", "Cost", "acceleration_of", "average", "bca", "compare", "envelope", "fit", "fit_cost",
    "fit_table", "frontier", "image_exponents", "information", "measure", "overall",
    "plan_next", "t_interval", "told_average", "told_difference", "told_envelope", "told_estimate",
    "told_fit", "told_frontier", "told_images", "told_information", "told_plan", "told_prediction",
]  # fmt: skip

Told = dict[str, Any]


def fit_table(x: Any, y: Any, *, laws: Any, **given: Any) -> dict[str, Any]:
    """Several laws fitted to the same points, by name."""
    return {law: fit(x, y, law=law, **given) for law in laws}


def overall(ranked: Any) -> str:
    """The verdict over laws with their weights, heaviest first."""
    laws = [
        LawFit(law=f.law, weight=w, verdict=f.verdict, reason=f.reason, parameters=f.parameters, fit=f)
        for w, f in ranked
    ]
    return combine_verdicts(laws)[0]


def information(loss: float, constant: float) -> float:
    """Bits about a target, from its loss and that of a constant."""
    return measure(np.array([loss]), np.array([constant])).bits.value


def told_estimate(found: Any) -> list[float]:
    """Value, low, high."""
    return [found.value, found.low, found.high]


def told_prediction(found: Any) -> Told:
    names = ("mean", "low", "high", "new_run_low", "new_run_high", "horizon")
    return {name: getattr(found, name) for name in names}


def told_fit(found: Any, at: Any = None) -> Told:
    """Verdict and numbers of one law, with predictions at scales ``at``; what is a logarithm as a ratio."""
    names = ("law", "verdict", "identified", "n_scales", "dof", "residual_sd", "condition")
    told = {name: getattr(found, name) for name in names} | {"n_flags": len(found.flags)}
    told |= {"robust": dict(found.robust), "observed_over_fitted": np.exp(found.residuals)}
    told |= {"held_out": None if found.held_out_error is None else math.exp(found.held_out_error)}
    told["parameters"] = {name: told_estimate(one) for name, one in found.parameters.items()}
    return told | ({} if at is None else {"predictions": told_prediction(found.predict(at))})


def told_average(found: Any, at: Any) -> Told:
    """Weights, scores and ranks of every law, shared exponents, parameters of each law, predictions."""
    names = ("prior", "weight", "score", "log_evidence", "in_sample_sd")
    ranks = ("in_sample_rank", "out_of_sample_rank")
    standings = {law: {n: getattr(one, n) for n in names + ranks} for law, one in found.standings.items()}
    return {
        "standings": standings,
        "n_cuts": found.n_cuts,
        "n_flags": len(found.flags),
        "parameters": {name: told_estimate(one) for name, one in found.parameters.items()},
        "law_parameters": {
            law: {name: told_estimate(one) for name, one in found.law_parameters(law).items()}
            for law in found.standings
        },
        "predictions": told_prediction(found.predict(at)),
    }


def told_frontier(found: Any) -> Told:
    names = ("compute", "n", "d", "loss", "n_limits", "d_limits", "loss_limits", "beyond")
    return {name: getattr(found, name) for name in names} | _exponents(found)


def told_envelope(found: Any) -> Told:
    names = ("method", "compute", "n", "d", "loss", "n_limits", "d_limits")
    return {name: getattr(found, name) for name in names} | _exponents(found)


def _exponents(found: Any) -> Told:
    return {name: told_estimate(getattr(found, name)) for name in ("n_exponent", "d_exponent")}


def told_plan(found: Any) -> Told:
    cells = [[*cell.x, cell.cost, cell.width_after] for cell in found.cells]
    return {"cells": cells} | {n: getattr(found, n) for n in ("width_before", "width_after", "spent")}


def told_difference(found: Any) -> Told:
    words = {name: getattr(found, name) for name in ("parameter", "paired", "verdict")}
    return words | {"difference": told_estimate(found.difference)}


def told_images(found: Any) -> Told:
    columns = ("exponent", "standard_error", "shrunk", "shrunk_error", "q_value", "scales", "rises", "valid")
    return {name: getattr(found, name) for name in (*columns, "mean", "spread", "dof")}


def told_information(found: Any) -> Told:
    told = {name: getattr(found, name) for name in ("n_images", "loss", "constant")}
    for name in ("bits", "ceiling", "ratio"):
        one = getattr(found, name)
        told[name] = None if one is None else told_estimate(one)
    return told
