"""Numbers in the cells of a CSV, whose decimal sign and separators of thousands the file itself must show.

``1,5`` makes the comma the decimal sign of the whole file, and ``1.500`` in it one and a half thousand;
``1,234,567`` or ``0.75`` make it a separator of thousands. Where no cell decides, ``1,500`` is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from mlproject.analysis.csv_table import CsvTable
from mlproject.errors import BadInput, printable

DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+(?P<rest>\.[0-9]*)?")
"""Thousands separated by commas; a single comma may also be a decimal sign."""
NEVER_DECIMAL = re.compile(r"(?<=[0-9])[\u00a0\u202f'’_](?=[0-9]{3}(?![0-9]))")
"""Separators of thousands that are never decimal signs: no-break blanks, apostrophes, underscores."""
UNIT = re.compile(r"[+-]?[0-9.,]+\s*(?:[^\W\d_]|%)")
SWAPPED = str.maketrans(",.", ".,")
ABSENT = ("nan", "na", "n/a", "none", "null", "-", "?")
"""What programs write for a value that is missing."""
SHOWN = 60
"""Characters of a cell that a message shows at most."""


def column_numbers(
    table: CsvTable, columns: Sequence[str], rows: Sequence[int], sign: str, *, zero: Sequence[str] = ()
) -> list[list[float]]:
    """The numbers of some columns in some rows, each finite and above zero (zero itself in columns ``zero``).

    Raises: BadInput, naming row and column, with what is wrong with the cell and what to write.
    """
    places = [(table.place(column), column, column in zero) for column in columns]
    return [[_number(table, i, place, column, sign, zero) for place, column, zero in places] for i in rows]


def _number(table: CsvTable, i: int, place: int, column: str, sign: str, zero: bool) -> float:
    text = table.rows[i][2][place].strip()
    try:
        value = read_number(text, sign)
        if value < 0 or (value == 0 and not zero):
            raise ValueError("is not a number above zero" if not zero else "is below zero")
    except ValueError as error:
        shown = repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")
        note = f"(the header is row {table.header_row})"
        raise BadInput(f"{table.where(i, column)}: {printable(shown)} {error} {note}") from None
    return value


def decimal_sign(table: CsvTable, columns: Sequence[str]) -> str:
    """The decimal sign of the numbers in these columns, or "" where none shows it: then it is a point.

    Raises: BadInput, with both cells, where some show a comma and some a point.
    """
    places = [(table.place(column), column) for column in columns]
    if not any(
        "," in row[place] or row[place].count(".") > 1 for *_, row in table.rows for place, _ in places
    ):
        return ""
    seen: dict[str, str] = {}
    for i, (*_, row) in enumerate(table.rows):
        for place, column in places:
            sign = sign_shown(row[place].strip())
            if sign and sign not in seen:
                seen[sign] = f"{table.where(i, column)} ({row[place].strip()!r})"
    if len(seen) > 1:
        raise BadInput(f"a decimal comma in {seen[',']}, a decimal point in {seen['.']}: write points only")
    return next(iter(seen), "")


def sign_shown(text: str) -> str:
    """The decimal sign that a number shows, "," or "."; "" where it shows none, as ``1,500`` does."""
    text = NEVER_DECIMAL.sub("", text)
    point, comma = _needs_point(text), _needs_point(text.translate(SWAPPED))
    return "" if point == comma else "." if point else ","


def _needs_point(text: str) -> bool:
    """Whether a text is a number only with a decimal point: it has such a point, or several thousands."""
    grouped = THOUSANDS.fullmatch(text)
    if grouped:
        return grouped["rest"] is not None or text.count(",") > 1
    maybe_grouped = THOUSANDS.fullmatch(text.translate(SWAPPED))
    return "." in text and DECIMAL.fullmatch(text) is not None and not maybe_grouped


def read_number(text: str, sign: str) -> float:
    """The finite number of a cell in a file whose decimal sign is ``sign`` ("" where no number shows it).

    Raises: ValueError that continues a sentence beginning with the cell.
    """
    if sign != "," and DECIMAL.fullmatch(text):
        return _finite(text)
    bare = NEVER_DECIMAL.sub("", text)
    point = bare.translate(SWAPPED) if sign == "," else bare
    if THOUSANDS.fullmatch(point):
        if not sign:
            meant = f"{float(bare.replace(',', '.')):g} or {float(bare.replace(',', '')):g}"
            raise ValueError(
                f"may be {meant}: write it with a decimal point and without thousands separators"
            )
        point = point.replace(",", "")
    if not DECIMAL.fullmatch(point):
        raise ValueError(_fault(text))
    return _finite(point)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("is beyond the numbers of double precision")
    return value


def _fault(text: str) -> str:
    """Why a text is no number, and what to do."""
    if not text or text.lower() in ABSENT:
        return f"is {'empty' if not text else 'not a number'}: write a number above zero, or delete the row"
    if "\n" in text or "\r" in text:
        return "is not a number above zero: the cell holds a line end"
    if UNIT.match(text):
        return "is not a number above zero: write it out, without a unit"
    return "is not a number above zero"
