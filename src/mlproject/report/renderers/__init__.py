"""Documents as text: terminal, Markdown and LaTeX, and their tables and values as CSV and strict JSON.

Renderers only arrange and escape; every number and sentence comes with the document.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from mlproject.files import csv_bytes
from mlproject.report.document import Table

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
"""Control characters, line separators and marks that turn the direction of text."""


def plain(text: str) -> str:
    """Text on one line, without control characters."""
    return CONTROL.sub(" ", text)


def to_csv(table: Table) -> bytes:
    """A table as CSV in UTF-8; a missing or non-finite number is an empty cell."""
    rows = ([_finite_or_none(row.get(name)) for name in table.header] for row in table.rows)
    return csv_bytes(table.header, rows)


def to_json(content: Any) -> bytes:
    """Values as strict JSON; a number that is not finite is null."""
    return (json.dumps(finite(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def finite(value: Any) -> Any:
    """A value for JSON, every number that is not finite as None."""
    if isinstance(value, Mapping):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
