"""Read points from a CSV file: roles of columns, rows by group, every fault with its row and column."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlproject.errors import BadInput, WrongUse, unknown

Floats = NDArray[np.float64]
ALL = "all"
"""The name of the only group where nothing is grouped."""
MOST_AXES = 3


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of the columns of a file: scales, loss, its standard deviation, groups."""

    x: tuple[str, ...]
    y: str
    sd: str = ""
    group: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.x) <= MOST_AXES:
            raise WrongUse(f"laws have one to three scales: give --x so often, not {len(self.x)} times")
        named = [*self.x, self.y, *([self.sd] if self.sd else []), *self.group]
        twice = next((name for name in named if named.count(name) > 1), None)
        if twice is not None:
            raise WrongUse(f"column {twice!r} is named twice")


@dataclass(frozen=True, kw_only=True)
class CsvGroup:
    """Rows that are assessed together: x [m, axes], y [m], and sd [m] where it was given.

    ``fault`` names the first cell that cannot be used, if there is one; the group then has no rows.
    """

    key: tuple[str, ...]
    x: Floats
    y: Floats
    sd: Floats | None
    fault: str = ""

    @property
    def name(self) -> str:
        """The values of the group columns, joined by commas; ``all`` where nothing is grouped."""
        return ",".join(self.key) or ALL


@dataclass(frozen=True, kw_only=True)
class PredictionScales:
    """Scales x [n, axes] to predict at, and the group values that each row states (by place in the key)."""

    x: Floats
    places: tuple[int, ...] = ()
    keys: tuple[tuple[str, ...], ...] = ()

    def of(self, key: Sequence[str]) -> Floats:
        """The rows that belong to a group: all, where the file has no group column."""
        if not self.places:
            return self.x
        values = tuple(key[place] for place in self.places)
        return self.x[[stated == values for stated in self.keys]]


def read_groups(path: Path, columns: Columns) -> list[CsvGroup]:
    """The groups of a file in the order of their first rows; one that cannot be used says why.

    Raises: WrongUse for a file or column that does not exist; BadInput where no group can be used.
    """
    table = _read(path)
    rows: dict[tuple[str, ...], list[int]] = {}
    for i, key in enumerate(table.texts(columns.group)):
        rows.setdefault(key, []).append(i)
    groups = [_group(table, columns, key, places) for key, places in rows.items()]
    if all(group.fault for group in groups):
        raise BadInput(groups[0].fault)
    return groups


def _group(table: CsvTable, columns: Columns, key: tuple[str, ...], rows: Sequence[int]) -> CsvGroup:
    names = (*columns.x, columns.y, *([columns.sd] if columns.sd else []))
    try:
        numbers = table.numbers(names, rows)
    except BadInput as error:
        return CsvGroup(key=key, x=np.empty((0, len(columns.x))), y=np.empty(0), sd=None, fault=str(error))
    n = len(columns.x)
    return CsvGroup(key=key, x=numbers[:, :n], y=numbers[:, n], sd=numbers[:, n + 1] if columns.sd else None)


def read_at(path: Path, columns: Columns, groups: Sequence[CsvGroup]) -> PredictionScales:
    """The scales to predict at; a row that states its group belongs to that one, else to every group."""
    table = _read(path)
    places = tuple(i for i, name in enumerate(columns.group) if name in table.header)
    keys = table.texts([columns.group[i] for i in places])
    known = {tuple(group.key[i] for i in places) for group in groups}
    for (line, _), key in zip(table.rows, keys, strict=True):
        if key not in known:
            hint = unknown("group", ",".join(key), [",".join(name) for name in known])
            raise BadInput(f"{path.name}, row {line}: {hint}")
    return PredictionScales(x=table.numbers(columns.x), places=places, keys=tuple(keys))


@dataclass(frozen=True, kw_only=True)
class CsvTable:
    """Header and rows, each with the number that a spreadsheet gives it (the header is row 1)."""

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[int, list[str]], ...]

    def place(self, column: str) -> int:
        """Where a column is; raises WrongUse with near matches."""
        if column not in self.header:
            raise WrongUse(f"{self.name}: {unknown('column', column, self.header)}")
        return self.header.index(column)

    def texts(self, columns: Sequence[str]) -> list[tuple[str, ...]]:
        """The words of some columns, row by row."""
        places = [self.place(column) for column in columns]
        return [tuple(row[i].strip() for i in places) for _, row in self.rows]

    def numbers(self, columns: Sequence[str], rows: Sequence[int] | None = None) -> Floats:
        """The numbers of some columns [rows, columns], each above zero and finite; of all rows or some."""
        places = [self.place(column) for column in columns]
        chosen = self.rows if rows is None else [self.rows[i] for i in rows]
        return np.array([[self._number(line, row, i) for i in places] for line, row in chosen])

    def _number(self, line: int, row: list[str], place: int) -> float:
        try:
            value = float(row[place])
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            where = f"{self.name}, row {line}, column {self.header[place]!r}"
            raise BadInput(f"{where}: {row[place]!r} is not a number above zero (the header is row 1)")
        return value


def _read(path: Path) -> CsvTable:
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise WrongUse(f"no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read as a CSV in UTF-8: {error}") from error
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise BadInput(f"{path.name}, row {reader.line_num}: not a CSV: {error}") from error
    return _checked(path.name, rows)


def _checked(name: str, rows: list[tuple[int, list[str]]]) -> CsvTable:
    if len(rows) < 2:
        raise BadInput(f"{name}: a header and at least one row are needed")
    header = tuple(cell.strip() for cell in rows[0][1])
    twice = next((column for column in header if column and header.count(column) > 1), None)
    if twice is not None:
        raise BadInput(f"{name}: column {twice!r} stands in the header twice")
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise BadInput(f"{name}, row {line}: {len(row)} cells under a header of {len(header)}")
    return CsvTable(name=name, header=header, rows=tuple(rows[1:]))
