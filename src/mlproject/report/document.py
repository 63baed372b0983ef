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
    from bokeh.models import LayoutDOM
    from pandas import DataFrame, Series

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a column is written: the text of a row, whether it is aligned right, whether it may be wrapped.

    A browser also draws ``bar``, the name of an estimate whose limits are the columns ``<bar>_low`` and
    ``<bar>_high``, and follows ``link`` to the address of a row (none where it is empty).
    """

    write: Callable[[Row], str]
    right: bool = False
    wrap: bool = True
    bar: str = ""
    link: Callable[[Row], str] | None = None


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

    @cached_property
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
class Interactive:
    """A figure for a browser: a model of Bokeh, and switches of what it shows.

    ``switches`` are options by what they choose, the first one chosen at first. A part of the model has a
    dictionary among its tags, of the option or options with which it is shown. ``caption`` says what is seen.
    """

    model: LayoutDOM
    caption: str = ""
    switches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Figure:
    """A picture: how it is drawn, a caption that says what is seen, and the table of the data behind it.

    A browser shows ``interactive`` in its place, where there is one, and the picture on paper.
    """

    name: str
    draw: Callable[[], matplotlib.figure.Figure]
    caption: str
    data: Table | None = None
    interactive: Callable[[], Interactive] | None = None

    @property
    def about(self) -> dict[str, str]:
        """Metadata of the file: its caption, and where the data behind it lie."""
        behind = {} if self.data is None else {"Subject": f"Data: {self.name}.csv, in the same folder"}
        return {"Title": self.caption, **behind}


@dataclass(frozen=True, kw_only=True, eq=False)
class Gallery:
    """Images that a browser sorts, filters and compares; other renderers leave it out.

    ``content`` are JSON values that ``renderers/page.js`` reads: images, series of losses, and how images can
    be sorted. ``pictures`` are small WebP files by image. ``scatter`` and ``trend`` draw the losses of all
    images in two runs, and those of one image against scale.
    """

    name: str
    caption: str
    content: Mapping[str, Any]
    pictures: Mapping[str, bytes]
    scatter: Callable[[], Interactive]
    trend: Callable[[], Interactive]


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """A part of a report: paragraphs, a bullet list, terms with what they mean, figures, tables, images."""

    title: str
    paragraphs: tuple[str, ...] = ()
    bullets: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    terms: tuple[tuple[str, str], ...] = ()
    gallery: Gallery | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a report says first, in sentences: the result, what may not be concluded, the next scale."""

    result: tuple[str, ...] = ()
    not_concluded: tuple[str, ...] = ()
    next_scale: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The parts that say something, each with its heading, in the order in which they are read."""
        parts = (
            ("Answer", self.result),
            ("What may not be concluded", self.not_concluded),
            ("The next scale", self.next_scale),
        )
        return tuple(part for part in parts if part[1])

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences of all parts."""
        return tuple(sentence for _, sentences in self.parts for sentence in sentences)


@dataclass(frozen=True, kw_only=True, eq=False)
class Document:
    """A whole report. ``answer`` comes first; ``brief`` is what a terminal shows of it.

    Without ``brief`` a terminal shows the tables and lists of all sections. ``question`` is what was asked.
    """

    title: str
    answer: Answer
    sections: tuple[Section, ...]
    brief: Section | None = None
    question: str = ""

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables, section by section."""
        return tuple(table for section in self.sections for table in section.tables)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All figures, section by section."""
        return tuple(figure for section in self.sections for figure in section.figures)

    @property
    def galleries(self) -> tuple[Gallery, ...]:
        """All galleries, section by section."""
        return tuple(section.gallery for section in self.sections if section.gallery is not None)


def _series(values: list[Any]) -> Series[Any]:
    import pandas as pd

    known = [value for value in values if value is not None]
    if known and len(known) < len(values) and all(type(value) is int for value in known):
        return pd.Series(values, dtype="Int64")
    return pd.Series(values, dtype=object if not known else None)
