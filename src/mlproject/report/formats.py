"""Numbers, intervals and percentages as text, alike in every table, sentence and figure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

from mlproject.files import sha256
from mlproject.losses import LOSS_KINDS
from mlproject.report.document import Format, Row
from mlproject.scaling import Assessment, interval_text, scale_text

ABSENT = "–"
SYMBOLS = {"alpha": "α", "beta": "β", "gamma": "γ"}
"""Exponents by the name of their parameter."""
FORMULAS = {"power": "k x^-α", "power_floor": "E + k x^-α"}
SHOWN_WEIGHT = 0.1
"""The least weight at which a law is named beside a prediction."""
PROTOCOLS = ("held-out", "in-sample")
UNITS = {"cross_entropy": "nats"}
UNWRITABLE = re.compile(r"[^\x20-\x7e·×]")
"""Characters of which a file name would keep nothing, other than those that separate parts."""
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
    """Significant digits, whole numbers from 1,000 on; infinities as such, nothing known as a dash."""
    if value is None or math.isnan(value):
        return ABSENT
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if 1000.0 <= abs(float(f"{value:.{digits}g}")) < 1e12:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def signed(value: float, decimals: int = 3) -> str:
    """A difference with its sign; one that rounds to zero is positive, an open end is an infinity."""
    if not math.isfinite(value):
        return f"+{number(value)}" if value > 0 else number(value)
    return f"{round(value, decimals) + 0.0:+.{decimals}f}"


def limits(low: float | None, high: float | None) -> str:
    """``[0.51, 0.60]``."""
    return _with_limits(None, low, high)


def interval(estimate: Interval | None, *, identified: bool = True) -> str:
    """``0.55 [0.51, 0.60]``; the limits alone for a parameter that is not identified."""
    if estimate is None:
        return ABSENT
    return interval_text(estimate.value if identified else None, estimate.low, estimate.high)


def signed_interval(estimate: Interval) -> str:
    """``-0.04 [-0.10, +0.02]``."""
    return interval_text(estimate.value, estimate.low, estimate.high, sign=True)


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
    """Text for a file name: lower case letters, digits, dashes and underscores.

    Signs of numbers are kept (``=-1`` as ``minus1``, ``1e+05`` as ``1e05``). Text that is shortened, or that
    holds letters and signs of which nothing would be left, ends with a digest, so that names stay distinct.
    """
    signed = re.sub(r"(?<=\de)\+(?=\d)", "", re.sub(r"(?<![a-z0-9_-])-(?=\.?\d)", "-minus", text.lower()))
    name = re.sub(r"[^a-z0-9_]+", "-", signed).strip("-")
    if len(name) <= longest and not UNWRITABLE.search(text):
        return name
    return _with_digest(name, text, longest)


def slugs(texts: Sequence[str], longest: int = 80) -> list[str]:
    """Distinct file names of distinct texts: those that would be equal end with a digest."""
    names = [slug(text, longest) for text in texts]
    return [
        name if names.count(name) == 1 else _with_digest(name, text, longest)
        for name, text in zip(names, texts, strict=True)
    ]


def _with_digest(name: str, text: str, longest: int) -> str:
    digest = sha256(text.encode("utf-8", "surrogatepass"))[:8]
    return f"{name[: longest - 9].strip('-')}-{digest}".strip("-")


def family_words(family: str) -> str:
    """The family of a curve or grid as a title: ``probe on toys: held-out cross entropy, target labels``.

    Families are ``data · recipe · … · kind of loss · … · protocol``; other text stays as it is.
    """
    parts = family.split(" · ")
    kind = next((part for part in parts[2:-1] if part in LOSS_KINDS), "")
    protocol, _, sizes = parts[-1].partition(" (")
    if not kind or protocol not in PROTOCOLS:
        return family
    rest = [part for part in parts[2:-1] if part != kind] + ([sizes.rstrip(")")] if sizes else [])
    words = f"{parts[1]} on {parts[0]}: {protocol} {kind.replace('_', ' ')}"
    return ", ".join([words, *rest])


def kind_label(kind: str) -> str:
    """``cross entropy [nats]``."""
    unit = f" [{UNITS[kind]}]" if kind in UNITS else ""
    return f"{kind.replace('_', ' ')}{unit}"


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def percent(share: Interval) -> str:
    """``11 [8, 13] %``."""
    return f"{interval_text(100 * share.value, 100 * share.low, 100 * share.high)} %"


def range_text(low: int, high: int) -> str:
    """``3``, or ``1 to 3``."""
    return str(low) if low == high else f"{low} to {high}"


def as_text(name: str, *, wrap: bool = True) -> Format:
    """Column format: words as they are."""
    return Format(write=lambda row: ABSENT if row.get(name) is None else str(row[name]), wrap=wrap)


def apart(labels: Iterable[str]) -> tuple[dict[str, str], str]:
    """Short names of labels, parts between dots: what sets them apart; and what all of them share.

    A single label has an empty name: all of it is shared.
    """
    parts = {label: label.split(" · ") for label in labels}
    first = next(iter(parts.values()), [])
    shared = [part for part in first if all(part in other for other in parts.values())]
    names = {label: " · ".join(p for p in words if p not in shared) for label, words in parts.items()}
    return {label: name or label * (len(parts) > 1) for label, name in names.items()}, " · ".join(shared)


def group_column(labels: Iterable[str]) -> tuple[dict[str, Format], str]:
    """The column ``group`` with what sets groups apart, and what all of them share, for a caption.

    A single group has no column: its name is what is shared.
    """
    names, shared = apart(labels)
    return {"group": Format(write=lambda row: names[row["group"]])} if len(names) > 1 else {}, shared


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
    """Column format: a difference with its interval, where there is one; a browser draws it as a bar."""

    def write(row: Row) -> str:
        if _absent(row, name):
            return ABSENT
        if _absent(row, f"{name}_low"):
            return signed(row[name], decimals)
        return interval_text(row[name], row[f"{name}_low"], row[f"{name}_high"], sign=True)

    return Format(write=write, wrap=False, bar=name)


def as_interval(name: str, low: str = "", high: str = "") -> Format:
    """Column format: a value with its limits, or the limits alone where the value is not identified.

    ``low`` and ``high`` name the columns of the limits where these are not ``name_low`` and ``name_high``.
    """
    ends = (low or f"{name}_low", high or f"{name}_high")

    def write(row: Row) -> str:
        if all(_absent(row, end) for end in ends):
            return number(row.get(name))
        return _with_limits(row.get(name), *(row.get(end) for end in ends))

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


def _with_limits(value: float | None, low: float | None, high: float | None) -> str:
    return interval_text(value, *(math.nan if end is None else end for end in (low, high)))


def _absent(row: Row, name: str) -> str:
    """A dash for a value that is missing or not a number, else nothing."""
    value: Any = row.get(name)
    return ABSENT if value is None or (isinstance(value, float) and math.isnan(value)) else ""
