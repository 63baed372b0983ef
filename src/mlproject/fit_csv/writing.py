"""Fits of groups as JSON for programs; what is not finite is null (an interval that the data leave open)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlproject.fit_csv.fits import GroupFit, LawFit
from mlproject.fit_csv.reading import At, Columns, Floats
from mlproject.scaling import Prediction

PREDICTED = ("mean", "low", "high", "new_run_low", "new_run_high")


def as_json(fits: Sequence[GroupFit], columns: Columns, at: At | None = None) -> dict[str, Any]:
    """``{"groups": [{"group", "verdict", "laws", "predictions"}]}``; a prediction for each row of ``at``."""
    return {"groups": [_group(one, columns, at) for one in fits]}


def to_bytes(content: dict[str, Any]) -> bytes:
    """The file's bytes."""
    return (json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def _group(one: GroupFit, columns: Columns, at: At | None) -> dict[str, Any]:
    x = np.empty((0, len(columns.x))) if at is None else at.of(one.key)
    return {
        "group": one.name,
        "verdict": one.verdict,
        "laws": [_law(row) for row in one.laws],
        "predictions": rows_of(one.predict(x), x, columns.x),
    }


def _law(row: LawFit) -> dict[str, Any]:
    parameters = {
        name: {"value": finite(e.value), "low": finite(e.low), "high": finite(e.high)}
        for name, e in row.parameters.items()
    }
    return {"law": row.law, "weight": row.weight, "parameters": parameters}


def rows_of(told: Prediction | None, x: Floats, names: Sequence[str]) -> list[dict[str, float | None]]:
    """One row for each scale: its x by column name, the mean and both intervals."""
    rows: list[dict[str, float | None]] = [dict(zip(names, map(float, at), strict=True)) for at in x]
    for i, row in enumerate(rows):
        row |= {key: None if told is None else finite(getattr(told, key)[i]) for key in PREDICTED}
    return rows


def finite(value: float) -> float | None:
    """The number, or None (null) where it is infinite."""
    return float(value) if math.isfinite(value) else None
