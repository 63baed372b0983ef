"""Points of a CSV file by group: roles of columns, names of groups, every fault with its row and column."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlproject.analysis.csv_numbers import column_numbers, decimal_sign
from mlproject.analysis.csv_table import CsvTable, read_table
from mlproject.errors import BadInput, WrongUse, unknown

Floats = NDArray[np.float64]
ALL = "all"
"""The name of the only group where nothing is grouped."""
MOST_AXES = 3
BOUNDS = (1.0, 100.0)
"""Largest accuracies: shares, or per cent."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of the columns of a file: scales, loss, its standard deviation, groups, runs.

    Rows of the same ``run`` share noise, as losses along one training do; it may be a scale, such as the
    size of a model. Blanks and line ends within a name count as one blank. With ``accuracy`` the column ``y``
    holds accuracies; None leaves that open, and it is asked where a column looks so.
    """

    x: tuple[str, ...]
    y: str
    sd: str = ""
    group: tuple[str, ...] = ()
    run: str = ""
    accuracy: bool | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.x) <= MOST_AXES:
            raise WrongUse(f"laws have one to three scales: give --x so often, not {len(self.x)} times")
        for role, names in (("x", self.x), ("group", self.group)):
            object.__setattr__(self, role, tuple(map(_plain_name, names)))
        for role in ("y", "sd", "run"):
            object.__setattr__(self, role, _plain_name(getattr(self, role)))
        named = [*self.numbers, *self.group, *({self.run} & {self.y, self.sd} - {""})]
        twice = next((name for name in named if named.count(name) > 1), None)
        if twice is not None:
            raise WrongUse(f"column {twice!r} is named twice")

    @property
    def numbers(self) -> tuple[str, ...]:
        """The columns of numbers: scales, loss, and its standard deviation where it is known."""
        return (*self.x, self.y, *([self.sd] if self.sd else []))

    def in_header(self, header: Sequence[str]) -> Columns:
        """The columns with every entry of ``group`` as names of the header: a name, or a comma list of names.

        Raises: WrongUse for a name that does not exist, or an entry that is both a name and a list of names.
        """
        return replace(self, group=tuple(name for entry in self.group for name in _listed(entry, header)))


def _plain_name(name: str) -> str:
    return " ".join(name.split())


def _listed(entry: str, header: Sequence[str]) -> list[str]:
    """The names in an entry; quotes keep a comma of a name, as in a CSV."""
    words = next(csv.reader([entry], skipinitialspace=True), [])
    names = [name.strip() for name in words if name.strip()]
    if entry not in header:
        return names
    if len(names) > 1 and set(names) <= set(header):
        raise WrongUse(
            f"--group {entry} may be one column or {len(names)}: write --group '\"{entry}\"' for the one, "
            f"{' '.join(f'--group {name}' for name in names)} for the others"
        )
    return [entry]


@dataclass(frozen=True, kw_only=True)
class CsvGroup:
    """Rows that are assessed together: x [m, axes], y [m], and sd and runs [m] where they were given.

    ``fault`` names the first cell that cannot be used, if there is one; the group then has no rows. ``bound``
    is the largest possible y of accuracies, 1 or 100; laws are then fitted to ``bound`` - y.
    """

    key: tuple[str, ...]
    x: Floats
    y: Floats
    sd: Floats | None
    fault: str = ""
    bound: float | None = None
    runs: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """The value of the group column, or the values of several as a row of a CSV; ``all`` without any."""
        return group_name(self.key)


def group_name(key: Sequence[str]) -> str:
    """The values of group columns as a name that no other values have: several are written as a CSV row."""
    if len(key) < 2:
        return key[0] if key else ALL
    quoted = ['"' + text.replace('"', '""') + '"' if {",", '"'} & set(text) else text for text in key]
    return ",".join(quoted)


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


def read_groups(path: Path, columns: Columns) -> tuple[Columns, list[CsvGroup]]:
    """The columns by the names of the header, and the groups in the order of their first rows.

    A group that cannot be used says why. Raises: WrongUse for a file or column that does not exist; BadInput
    where no group can be used.
    """
    table = read_table(path, columns.numbers)
    columns = columns.in_header(table.header)
    sign = decimal_sign(table, columns.numbers)
    rows: dict[tuple[str, ...], list[int]] = {}
    for i, key in enumerate(table.texts(columns.group)):
        rows.setdefault(key, []).append(i)
    groups = [_group(table, columns, key, places, sign) for key, places in rows.items()]
    if columns.accuracy:
        groups = _bounded(table, columns.y, groups, list(rows.values()))
    if all(group.fault for group in groups):
        raise BadInput(groups[0].fault)
    return columns, groups


def _group(
    table: CsvTable, columns: Columns, key: tuple[str, ...], rows: Sequence[int], sign: str
) -> CsvGroup:
    n = len(columns.x)
    try:
        if key and not any(key):
            where = table.where(rows[0], columns.group[0])
            raise BadInput(f"{where}: empty; write the name of the group in every row")
        runs = _runs(table, columns.run, rows) if columns.run else None
        zero = (columns.y,) if columns.accuracy else ()
        numbers = np.array(column_numbers(table, columns.numbers, rows, sign, zero=zero))
    except BadInput as error:
        return _faulty(key, n, str(error))
    sd = numbers[:, n + 1] if columns.sd else None
    return CsvGroup(key=key, x=numbers[:, :n], y=numbers[:, n], sd=sd, runs=runs)


def _runs(table: CsvTable, column: str, rows: Sequence[int]) -> tuple[str, ...]:
    """The run of every row. Raises: BadInput for a row that names none."""
    names = [table.texts((column,))[i][0] for i in rows]
    if "" in names:
        where = table.where(rows[names.index("")], column)
        raise BadInput(f"{where}: empty; write the name of the run in every row")
    return tuple(names)


def _bounded(
    table: CsvTable, y: str, groups: Sequence[CsvGroup], rows: Sequence[Sequence[int]]
) -> list[CsvGroup]:
    """Groups of accuracies with their bound; an accuracy at the bound, whose error is 0, is a fault."""
    peaks = {i: int(np.argmax(group.y)) for i, group in enumerate(groups) if not group.fault}
    first = max(peaks, key=lambda i: groups[i].y[peaks[i]], default=None)
    if first is None:
        return list(groups)
    highest = groups[first].y[peaks[first]]
    bound = next((bound for bound in BOUNDS if highest <= bound), None)
    if bound is None:
        where = table.where(rows[first][peaks[first]], y)
        raise BadInput(f"{where}: {highest:g} is no accuracy, which lies within 0 and 1 or 0 and 100")
    bounded = [replace(group, bound=bound) for group in groups]
    for i, peak in peaks.items():
        if groups[i].y[peak] == bound:
            where = table.where(rows[i][peak], y)
            fault = f"{where}: an accuracy of {bound:g} leaves no error to fit; delete the row"
            bounded[i] = _faulty(groups[i].key, groups[i].x.shape[1], fault)
    return bounded


def _faulty(key: tuple[str, ...], n_axes: int, fault: str) -> CsvGroup:
    return CsvGroup(key=key, x=np.empty((0, n_axes)), y=np.empty(0), sd=None, fault=fault)


def read_at(path: Path, columns: Columns, groups: Sequence[CsvGroup]) -> PredictionScales:
    """The scales to predict at; a row that states its group belongs to that one, else to every group."""
    table = read_table(path, columns.x)
    places = tuple(i for i, name in enumerate(columns.group) if name in table.header)
    keys = table.texts([columns.group[i] for i in places])
    known = {tuple(group.key[i] for i in places) for group in groups}
    for i, key in enumerate(keys):
        if key not in known:
            hint = unknown("group", group_name(key), map(group_name, known))
            raise BadInput(f"{table.where(i, columns.group[places[0]])}: {hint}")
    sign = decimal_sign(table, columns.x)
    scales = column_numbers(table, columns.x, range(len(table.rows)), sign)
    return PredictionScales(x=np.array(scales), places=places, keys=tuple(keys))
