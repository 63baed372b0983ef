"""Rows as CSV and values as strict JSON: what is missing or not finite is an empty cell, or null."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlproject.report.escape import csv_cell

Row = Mapping[str, object]


def to_csv(rows: Iterable[Row], columns: Sequence[str] = ()) -> bytes:
    """Rows as CSV in UTF-8; a missing or non-finite number is an empty cell."""
    listed = list(rows)
    header = list(columns) or list(dict.fromkeys(name for row in listed for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(row.get(name)) for name in header] for row in listed)
    return text.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else ""
    return csv_cell(value) if isinstance(value, str) else value


def finite(value: Any) -> Any:
    """A value for JSON, every number that is not finite as None."""
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
