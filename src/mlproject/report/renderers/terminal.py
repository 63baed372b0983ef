"""A document for a terminal: the answer, brief tables, and notes as bullets."""

from __future__ import annotations

from io import StringIO

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from mlproject.report.document import Document, Table
from mlproject.report.renderers import plain

STYLES = {
    "scaling": "green", "flat": "yellow", "not identifiable": "magenta",
    "better": "green", "worse": "red", "no difference seen": "dim",
}  # fmt: skip
"""Colours of verdicts, wherever a cell holds one."""


def render_terminal(document: Document) -> Group:
    """The answer by its parts, the tables with rows, then the lists, a bullet each."""
    sections = document.sections if document.brief is None else (document.brief,)
    answer: list[RenderableType] = []
    for heading, sentences in document.answer.parts:
        answer += [Text(heading, style="bold"), *(Text(f"  {plain(line)}") for line in sentences), Text()]
    tables: list[RenderableType] = []
    for section in sections:
        tables += [_grid(table) for table in section.tables if table.formats and table.texts]
        tables += [Text(plain(paragraph)) for paragraph in section.paragraphs]
    lines = [line for section in sections for line in section.bullets]
    return Group(*answer, *tables, *(Text(f"• {plain(line)}") for line in lines))


def terminal_text(document: Document, *, width: int = 120) -> str:
    """The same as plain text, as it is kept beside the fit."""
    stream = StringIO()
    Console(file=stream, width=width).print(render_terminal(document))
    return stream.getvalue()


def _grid(table: Table) -> Grid:
    """A Rich table of plain text; a first cell that repeats the one above it is left blank."""
    title = Text("\n".join(map(plain, table.caption.split("\n"))))
    grid = Grid(title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    for i, (head, column) in enumerate(table.formats.items()):
        grid.add_column(
            Text(plain(head)),
            justify="right" if column.right else "left",
            overflow="fold",
            no_wrap=i > 0 and not column.wrap,
        )
    rows = table.texts
    for i, row in enumerate(rows):
        first = "" if i and rows[i - 1][0] == row[0] else row[0]
        last = i + 1 == len(rows) or rows[i + 1][0] != row[0]
        cells = [Text(plain(text), style=STYLES.get(text, "")) for text in (first, *row[1:])]
        grid.add_row(*cells, end_section=last)
    return grid
