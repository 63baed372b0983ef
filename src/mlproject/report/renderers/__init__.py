"""Documents as text: terminal, Markdown and LaTeX, and their tables and values as CSV and strict JSON.

Renderers only arrange and escape; every number and sentence comes with the document.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from mlproject.report.document import Table

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
"""Control characters, line separators and marks that turn the direction of text."""


def plain(text: str) -> str:
    """Text on one line, without control characters."""
    return CONTROL.sub(" ", text)


def csv_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe before ``= + - @``.

    Line breaks are line feeds: a bare carriage return ends a row for many readers and is not quoted.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "'" + text if text.startswith(FORMULA) else text


def to_csv(table: Table) -> bytes:
    """A table as CSV in UTF-8; a missing or non-finite number is an empty cell."""
    frame = table.frame.map(_csv_value)
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text.encode()


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


def _csv_value(value: Any) -> Any:
    if isinstance(value, str):
        return csv_cell(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
