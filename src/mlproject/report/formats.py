"""Numbers, intervals and percentages as text, alike in every table, sentence and figure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from mlproject.report.document import Format, Row
from mlproject.scaling import Assessment, scale_text

ABSENT = "–"
SYMBOLS = {"alpha": "α", "beta": "β", "gamma": "γ"}
"""Exponents by the name of their parameter."""
FORMULAS = {"power": "k x^-α", "power_floor": "E + k x^-α"}
SHOWN_WEIGHT = 0.1
"""The least weight at which a law is named beside a prediction."""
UNITS = {"cross_entropy": "nats"}
ENDS = ("", "_low", "_high")


@runtime_checkable
class Interval(Protocol):
    """A value with its 95 % limits."""

    @property
    def value(self) -> float:
        """The estimate."""

    @property
    def low(self) -> float:
        """The lower limit."""

    @property
    def high(self) -> float:
        """The upper limit."""


def number(value: float | None, digits: int = 3) -> str:
    """Significant digits; open ends of intervals as infinities, nothing known as a dash."""
    if value is None or math.isnan(value):
        return ABSENT
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.{digits}g}"


def signed(value: float, decimals: int = 3) -> str:
    """A difference with its sign; one that rounds to zero is positive, an open end is an infinity."""
    if not math.isfinite(value):
        return f"+{number(value)}" if value > 0 else number(value)
    return f"{round(value, decimals) + 0.0:+.{decimals}f}"


def limits(low: float | None, high: float | None) -> str:
    """``[0.51, 0.6]``."""
    return f"[{number(low)}, {number(high)}]"


def interval(estimate: Interval | None, *, identified: bool = True) -> str:
    """``0.55 [0.51, 0.6]``; the limits alone for a parameter that is not identified."""
    if estimate is None:
        return ABSENT
    span = limits(estimate.low, estimate.high)
    return f"{number(estimate.value)} {span}" if identified else span


def signed_interval(estimate: Interval, decimals: int = 3) -> str:
    """``-0.041 [-0.100, +0.018]``."""
    value, low, high = (signed(x, decimals) for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def ends(name: str, estimate: Interval | None, *, identified: bool = True) -> dict[str, float | None]:
    """Columns ``name``, ``name_low`` and ``name_high`` of a table; no value where it is not identified."""
    if estimate is None:
        return dict.fromkeys(f"{name}{end}" for end in ENDS)
    value = estimate.value if identified else None
    return dict(zip((f"{name}{end}" for end in ENDS), (value, estimate.low, estimate.high), strict=True))


def sentence(text: str) -> str:
    """A clause as a sentence: a capital at its beginning and a full stop at its end."""
    plain = text.strip().rstrip(".")
    return f"{plain[0].upper()}{plain[1:]}." if plain else ""


def assessment_text(assessment: Assessment) -> str:
    """The answer of a set of points, the same words wherever it is given: verdict, reason and warnings."""
    flags = " ".join(sentence(flag) for flag in assessment.flags)
    return f"{assessment.verdict}. {sentence(assessment.reason)} {flags}".rstrip()


def slug(text: str, longest: int = 80) -> str:
    """Text for a file name: lower case letters, digits, dashes and underscores."""
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")[:longest].strip("-")


def kind_label(kind: str) -> str:
    """``cross entropy [nats]``."""
    unit = f" [{UNITS[kind]}]" if kind in UNITS else ""
    return f"{kind.replace('_', ' ')}{unit}"


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def percent_range(shares: Sequence[float]) -> str:
    """``11 %``, or ``11 to 13 %``."""
    ends = dict.fromkeys(f"{100 * share:.2g}" for share in (min(shares), max(shares)))
    return f"{' to '.join(ends)} %"


def range_text(low: int, high: int) -> str:
    """``3``, or ``1 to 3``."""
    return str(low) if low == high else f"{low} to {high}"


def as_text(name: str, *, wrap: bool = True) -> Format:
    """Column format: words as they are."""
    return Format(write=lambda row: ABSENT if row.get(name) is None else str(row[name]), wrap=wrap)


def as_number(name: str, digits: int = 3) -> Format:
    """Column format: significant digits."""
    return Format(write=lambda row: number(row.get(name), digits), right=True, wrap=False)


def as_count(name: str) -> Format:
    """Column format: a whole number with thousands separated."""
    return Format(write=lambda row: _absent(row, name) or f"{row[name]:,.0f}", right=True, wrap=False)


def as_scale(name: str) -> Format:
    """Column format: a scale such as images or parameters, with thousands separated."""
    return Format(write=lambda row: _absent(row, name) or scale_text(row[name]), right=True, wrap=False)


def as_fixed(name: str, decimals: int = 2) -> Format:
    """Column format: a fixed number of decimals."""
    return Format(write=lambda row: _absent(row, name) or f"{row[name]:.{decimals}f}", right=True, wrap=False)


def as_signed(name: str, decimals: int = 3) -> Format:
    """Column format: a difference with its interval, where there is one."""

    def write(row: Row) -> str:
        if _absent(row, name):
            return ABSENT
        value = signed(row[name], decimals)
        if _absent(row, f"{name}_low"):
            return value
        return f"{value} [{signed(row[f'{name}_low'], decimals)}, {signed(row[f'{name}_high'], decimals)}]"

    return Format(write=write, wrap=False)


def as_interval(name: str) -> Format:
    """Column format: a value with its limits, or the limits alone where the value is not identified."""

    def write(row: Row) -> str:
        low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
        if _absent(row, f"{name}_low") and _absent(row, f"{name}_high"):
            return number(row.get(name))
        return limits(low, high) if _absent(row, name) else f"{number(row[name])} {limits(low, high)}"

    return Format(write=write)


def as_limits(low: str, high: str) -> Format:
    """Column format: the limits of an interval alone."""
    return Format(write=lambda row: _absent(row, low) or limits(row[low], row[high]))


def as_times(name: str) -> Format:
    """Column format: how many times beyond the data a scale lies."""
    return Format(
        write=lambda row: _absent(row, name) or ("inside" if row[name] <= 1.0 else f"{row[name]:.3g} ×"),
        right=True, wrap=False,
    )  # fmt: skip


def _absent(row: Row, name: str) -> str:
    """A dash for a value that is missing or not a number, else nothing."""
    value: Any = row.get(name)
    return ABSENT if value is None or (isinstance(value, float) and math.isnan(value)) else ""
