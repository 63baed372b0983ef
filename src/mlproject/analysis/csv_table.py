"""Read a CSV of any usual dialect as a table of text, refusing what is ambiguous by row.

The csv module parses. Which delimiter a file has is decided by the columns that are asked for: they must
stand in its header. (``csv.Sniffer`` guesses from frequencies of characters and is wrong on files as short as
a scaling curve, so it is asked only when no delimiter gives the columns, for a message.)
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import itertools
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from mlproject.errors import BadInput, WrongUse, printable, unknown
from mlproject.files import unescape_formula

MOST_BYTES = 64 << 20
"""A larger file is refused: a study has thousands of points, and this holds a million."""
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SEP_LINE = re.compile(r'"?sep=(.)"?[ \t]*(?:\r\n|\r|\n|\Z)', re.IGNORECASE)
"""The first line by which spreadsheets state the delimiter; they do not count it as a row."""
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",  # its mark also begins that of UTF-32
    codecs.BOM_UTF16_BE: "utf-16-be",
}


@dataclass(frozen=True, kw_only=True)
class CsvTable:
    """Names of columns, and rows as (row, line, cells): numbers in a spreadsheet and in an editor."""

    name: str
    header: tuple[str, ...]
    header_row: int
    rows: tuple[tuple[int, int, tuple[str, ...]], ...]

    def place(self, column: str) -> int:
        """Where a column is. Raises: WrongUse with near matches, BadInput for a name that occurs twice."""
        if column not in self.header:
            known = unknown("column", column, filter(None, self.header))
            raise WrongUse(f"{self.name}: {known}{_header_hint(self.header)}")
        if self.header.count(column) > 1:
            raise BadInput(f"{self.name}: column {column!r} stands in the header twice; rename one of them")
        return self.header.index(column)

    def where(self, i: int, column: str) -> str:
        """A cell for messages: its file, row and column, and its line where that differs."""
        row, line, _ = self.rows[i]
        at = f"row {row}" if row == line else f"row {row} (line {line} of the file)"
        return f"{self.name}, {at}, column {column!r}"

    def texts(self, columns: Sequence[str]) -> list[tuple[str, ...]]:
        """The words of some columns, row by row."""
        places = [self.place(column) for column in columns]
        return [tuple(unescape_formula(row[i].strip()) for i in places) for *_, row in self.rows]


def read_table(path: Path, columns: Sequence[str]) -> CsvTable:
    """The table of a file in whose header these columns are expected.

    Raises: WrongUse for a file or column that does not exist, BadInput for what is no table.
    """
    text = _decode(path.name, _read(path))
    stated = SEP_LINE.match(text)
    if stated and stated[1] not in DELIMITERS:
        raise BadInput(f"{path.name}: sep={stated[1]} is not comma, semicolon, tab or bar")
    rest, delimiters = (text[stated.end() :], stated[1]) if stated else (text, "".join(DELIMITERS))
    files = [
        _CsvText(path.name, rest, delimiter, tuple(columns), lines_before=int(stated is not None))
        for delimiter in delimiters
    ]
    # Several delimiters fit only a header that is one column, in which no other name stands.
    fitting = next((file for file in files if file.fits), None)
    sniffed = next((file for file in files if file.delimiter == _sniffed(text)), files[0])
    return (fitting or sniffed).table()


def _sniffed(text: str) -> str:
    try:
        return csv.Sniffer().sniff(text[:4096], "".join(DELIMITERS)).delimiter
    except csv.Error:
        return ","


def _read(path: Path) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise BadInput(f"{path} cannot be read as a CSV: it is a folder")
        if not stat.S_ISREG(status.st_mode):
            raise BadInput(
                f"{path} cannot be read as a CSV: it is a device or pipe; save its content to a file"
            )
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise WrongUse(f"no file {path}") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read as a CSV: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise BadInput(
            f"{path} is larger than {MOST_BYTES >> 20} MiB: give a table of points, a row for each loss"
        )
    return content


def _decode(name: str, content: bytes) -> str:
    mark, encoding = next(((m, e) for m, e in MARKS.items() if content.startswith(m)), (b"", "utf-8"))
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadInput(f"{name}, line {line}: not {encoding.upper()}; save it as CSV in UTF-8") from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise BadInput(f"{name}, line {line}: holds NUL characters; save it as CSV in UTF-8")
    return text


def _names(cells: Sequence[str]) -> tuple[str, ...]:
    """Names of columns: blanks and line ends within one are one blank, empty ones at the end are none."""
    names = [" ".join(unescape_formula(cell.strip()).split()) for cell in cells]
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def _header_hint(header: Sequence[str]) -> str:
    """What is probably wrong with a header that lacks a column."""
    filled = [name for name in header if name]
    if filled and all(re.fullmatch(r"[-+0-9.,eE]+", name) for name in filled):
        return "; the first row holds numbers: write a header above it"
    if any(re.fullmatch("'.*'", name) for name in filled):
        return '; names stand in double quotes ("), not in single ones'
    if len(header) == 1 and re.search(r"[^\w-]", header[0]):
        return "; the header is read as one column: separate columns by commas, semicolons, tabs or bars"
    return ""


@dataclass(frozen=True)
class _Record:
    """A row that is not empty: numbered as in a spreadsheet and in an editor; a comment has no cells."""

    row: int
    line: int
    cells: Sequence[str]
    comment: str


@dataclass(frozen=True)
class _CsvText:
    """The text of a file, to be parsed with a delimiter; ``columns`` are those its header should have."""

    name: str
    text: str
    delimiter: str
    columns: tuple[str, ...]
    lines_before: int

    @cached_property
    def header(self) -> _Record:
        """The first row with its names, or a comment above it where only that holds the columns."""
        commented: list[_Record] = []
        for record in self._records():
            if not record.comment:
                named = replace(record, cells=_names(record.cells))
                return named if self._holds(named) or not commented else commented[-1]
            for start in (record.comment, record.comment.strip()[1:]):
                named = replace(record, cells=_names(self._split(start)))
                commented += [named] if self._holds(named) else []
        raise BadInput(f"{self.name}: a header and at least one row are needed")

    @property
    def fits(self) -> bool:
        """Whether the header has all columns when it is parsed with this delimiter."""
        try:
            return self._holds(self.header)
        except BadInput:
            return False

    def table(self) -> CsvTable:
        """All rows below the header, each as wide as it; empty ones and comments are left out."""
        names = tuple(self.header.cells)
        empty = CsvTable(name=self.name, header=names, header_row=self.header.row, rows=())
        for column in self.columns:
            empty.place(column)
        rows = []
        for record in self._records():
            if record.row > self.header.row and record.comment:
                self._check_comment(record, names)
            elif record.row > self.header.row:
                rows.append((record.row, record.line, self._fitted(record, len(names))))
        if not rows:
            raise BadInput(f"{self.name}: a header and at least one row are needed")
        return replace(empty, rows=tuple(rows))

    def _holds(self, header: _Record) -> bool:
        return set(self.columns) <= set(header.cells)

    def _fitted(self, record: _Record, width: int) -> tuple[str, ...]:
        """The cells under the header, without empty ones beyond it."""
        filled = len(record.cells)
        while filled > width and not record.cells[filled - 1].strip():
            filled -= 1
        if filled != width:
            hint = f"; a cell that holds a {DELIMITERS[self.delimiter]} must stand in quotes"
            text = f"{self.name}, row {record.row}: {filled} cells under a header of {width}"
            raise BadInput(text + hint * (filled > width))
        return tuple(record.cells[:width])

    def _check_comment(self, record: _Record, header: tuple[str, ...]) -> None:
        """Raise BadInput for a row that may be a comment or data: #1 may be a name."""
        cells = self._split(record.comment)
        if len(cells) != len(header) or header[0] in self.columns:
            return
        if all(re.fullmatch(r"[-+0-9.,eE ]+", cells[header.index(column)]) for column in self.columns):
            raise BadInput(
                f"{self.name}, row {record.row}: begins with # as a comment does, and holds numbers as data "
                "do; put its first cell in quotes, or delete the row"
            )

    def _records(self) -> Iterator[_Record]:
        comment, begins, n_lines = "", True, self.lines_before

        def lines() -> Iterator[str]:
            nonlocal comment, begins, n_lines
            for text in io.StringIO(self._tidied, newline=""):
                comment = text if begins and text.lstrip(" ").startswith("#") else ""
                begins, n_lines = False, n_lines + 1
                yield "\n" if comment else text

        reader = csv.reader(lines(), delimiter=self.delimiter, skipinitialspace=True, strict=True)
        for row in itertools.count(1):
            begins, line = True, n_lines + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                where = f"{self.name}, row {row} (line {line} of the file)"
                raise BadInput(f"{where}: {printable(str(error))}") from error
            if comment or any(cell.strip() for cell in cells):
                yield _Record(row, line, cells, comment)

    def _split(self, line: str) -> list[str]:
        with contextlib.suppress(csv.Error):
            return next(csv.reader([line], delimiter=self.delimiter, skipinitialspace=True), [])
        return []

    @cached_property
    def _tidied(self) -> str:
        """The text without blanks between a closing quote and a delimiter, which the csv module refuses."""
        if '"' not in self.text:
            return self.text
        blank = " " if self.delimiter == "\t" else "[ \t]"
        end = rf"{re.escape(self.delimiter)}|[\r\n]|\Z"
        return re.sub(rf'("[^"]*+(?:""[^"]*+)*+")(?:{blank}+(?={end}))?', r"\1", self.text)
