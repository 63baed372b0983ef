"""A report as a value: title, answer, and sections of paragraphs, tables and figures, for any renderer.

Text is plain everywhere; a renderer escapes it for its own format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import matplotlib.figure
    from pandas import DataFrame, Series

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a column is written: the text of a row, whether it is aligned right, whether it may be wrapped."""

    write: Callable[[Row], str]
    right: bool = False
    wrap: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Rows with the columns of a file, and the formats (by heading) of those that pages show.

    ``shown`` are the rows of pages where these are not all; a table without formats is a file only. Rows may
    hold values that only formats read. ``narrow`` is the same content for a column of a paper, where the
    table is too wide for one.
    """

    name: str
    rows: Sequence[Row]
    columns: tuple[str, ...] = ()
    formats: Mapping[str, Format] = field(default_factory=dict)
    caption: str = ""
    shown: Sequence[Row] | None = None
    narrow: Table | None = None

    @property
    def header(self) -> tuple[str, ...]:
        """The columns of a file: those that are named, or all that occur in rows."""
        return self.columns or tuple(dict.fromkeys(name for row in self.rows for name in row))

    @cached_property
    def frame(self) -> DataFrame:
        """The whole table as a DataFrame; whole numbers stay whole where some are missing."""
        import pandas as pd

        data = {name: _series([row.get(name) for row in self.rows]) for name in self.header}
        return pd.DataFrame(data, columns=list(self.header))

    @property
    def texts(self) -> list[tuple[str, ...]]:
        """The rows of a page, each cell written by its column's format."""
        rows = self.rows if self.shown is None else self.shown
        return [tuple(column.write(row) for column in self.formats.values()) for row in rows]


@dataclass(frozen=True, kw_only=True, eq=False)
class Figure:
    """A picture: how it is drawn, a caption that says what is seen, and the table of the data behind it."""

    name: str
    draw: Callable[[], matplotlib.figure.Figure]
    caption: str
    data: Table | None = None

    @property
    def about(self) -> dict[str, str]:
        """Metadata of the file: its caption, and where the data behind it lie."""
        behind = {} if self.data is None else {"Subject": f"Data: {self.name}.csv, in the same folder"}
        return {"Title": self.caption, **behind}


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """A part of a report: paragraphs, then a bullet list, tables and figures."""

    title: str
    paragraphs: tuple[str, ...] = ()
    bullets: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Document:
    """A whole report. ``answer`` states the result in sentences; ``brief`` is what a terminal shows of it.

    Without ``brief`` a terminal shows the tables and lists of all sections.
    """

    title: str
    answer: tuple[str, ...]
    sections: tuple[Section, ...]
    brief: Section | None = None

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables, section by section."""
        return tuple(table for section in self.sections for table in section.tables)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All figures, section by section."""
        return tuple(figure for section in self.sections for figure in section.figures)


def _series(values: list[Any]) -> Series[Any]:
    import pandas as pd

    known = [value for value in values if value is not None]
    if known and len(known) < len(values) and all(type(value) is int for value in known):
        return pd.Series(values, dtype="Int64")
    return pd.Series(values, dtype=object if not known else None)
