"""Terminal output: escaped text, warnings and notes on stderr."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.segment import Segment
from rich.text import Text

from mlproject.errors import printable

if TYPE_CHECKING:
    from mlproject.cell import Cell
    from mlproject.data import ImageSet
    from mlproject.plans import Plan
    from mlproject.tracking import Store

WIDE = 200
"""Columns without a terminal, so that files and pipes get whole names."""


def _console(*, stderr: bool) -> Console:
    # Names of folders and models are printed as they are, [brackets] and :colons: included.
    console = Console(stderr=stderr, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDE
    return console


@dataclass(frozen=True)
class _Escaped:
    """A renderable whose text holds no unprintable character but line ends; Rich's control codes stay."""

    renderable: ConsoleRenderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self.renderable, options):
            text = segment.text if segment.control else printable(segment.text, keep="\n")
            yield segment._replace(text=text)


class _Escaping(RenderHook):
    """Whatever is printed is escaped: names of files, runs and groups could hold codes of the terminal."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Escaped(renderable) for renderable in renderables]


out = _console(stderr=False)
err = _console(stderr=True)
for _each in (out, err):
    _each.push_render_hook(_Escaping())


class _WholeLines(logging.Handler):
    """Prints warnings as whole lines above the bars on ``out``, or to the file that stderr is.

    Rich's own redirection breaks lines, and the commands in them, at the terminal's width.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message of a record."""
        (out if err.is_terminal else err).print(Text(record.getMessage()), soft_wrap=True)


@contextlib.contextmanager
def warnings_above() -> Iterator[None]:
    """While bars are shown, print the warnings of this program and of libraries as whole lines."""
    lines, root = _WholeLines(logging.WARNING), logging.getLogger()
    root.addHandler(lines)
    try:
        yield
    finally:
        root.removeHandler(lines)


N_NAMED = 3
PADDING = 2
"""Columns of the terminal between the cells of a table."""
BLOCK = 1000
"""Rows that are printed at once."""


def print_rows(header: Sequence[str], rows: Sequence[Sequence[str]], *, green: str = "") -> None:
    """Print a table as Rich does, without lines between its cells; the first cells that say ``green`` are.

    Rich takes a millisecond for a row, which makes minutes of the 100,000 cells of a plan.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    longest = [max(map(cell_len, column)) for column in zip(header, *cells, strict=True)]
    widths = _reduced([width + PADDING for width in longest], out.width)
    out.print(Text("\n".join(_lines(header, widths, below=True)), "bold"), soft_wrap=True)
    for start in range(0, len(cells), BLOCK):
        block = Text()
        for row in cells[start : start + BLOCK]:
            first, *rest = _lines(row, widths)
            style = "green" if row[0] == green else None
            block.append(first[: widths[0]], style).append("\n".join([first[widths[0] :], *rest]) + "\n")
        out.print(block, end="", soft_wrap=True)


def _reduced(widths: list[int], most: int) -> list[int]:
    """Widths of columns that take at most ``most`` together: the widest are reduced first."""
    while (excess := sum(widths) - most) > 0:
        widest = max(widths)
        following = max((width for width in widths if width < widest), default=PADDING)
        places = [i for i, width in enumerate(widths) if width == widest]
        most_each = min(excess, widest - max(following, PADDING))
        if most_each <= 0:
            break
        for n_left, i in zip(range(len(places), 0, -1), places, strict=True):
            by = min(most_each, round(excess / n_left))
            widths[i], excess = widths[i] - by, excess - by
    return widths


def _lines(cells: Sequence[str], widths: Sequence[int], *, below: bool = False) -> list[str]:
    """The lines of a row: cells that are too long are wrapped, and others stand at its top, or ``below``."""
    if all(cell_len(cell) <= width - PADDING for cell, width in zip(cells, widths, strict=True)):
        wrapped = [[cell] for cell in cells]
    else:
        wrapped = [
            [line.plain for line in Text(cell).wrap(out, max(1, width - PADDING), overflow="ellipsis")]
            for cell, width in zip(cells, widths, strict=True)
        ]
    height = max(map(len, wrapped))
    wrapped = [[""] * (below * (height - len(lines))) + lines for lines in wrapped]
    return [
        "".join(
            f" {set_cell_size(part, width - PADDING)} " for part, width in zip(parts, widths, strict=True)
        )
        for parts in zip_longest(*wrapped, fillvalue="")
    ]


def warn(text: str) -> None:
    """Print a warning on stderr."""
    err.print(Text.assemble(("warning: ", "yellow"), text), soft_wrap=True)


def note(text: str) -> None:
    """Print a note on stderr."""
    err.print(Text.assemble(("note: ", "yellow"), text), soft_wrap=True)


def warn_of_plan(plan: Plan) -> None:
    """Note reduced sizes and knobs that do not suit their optimiser, and warn of grids that are left out."""
    from mlproject.recipes import optimizer_notes

    knobs = dict.fromkeys(line for cell in plan.cells for line in optimizer_notes(cell))
    for text in (*plan.notes, *knobs):
        note(text)
    for fault in plan.left_out:
        warn(f"left out, the other grids are run: {fault}")


def warn_of_unreadable(store: Store) -> None:
    """Warn of the runs that were left out since they cannot be read."""
    for text in store.unreadable.values():
        warn(text)


def warn_of_cells(cells: Sequence[Cell]) -> None:
    """Note what limits the results of these cells: random features, in-sample losses."""
    random = sorted({cell.model for cell in cells if cell.random_features})
    if random:
        note(
            f"{', '.join(random)}: declared RANDOM weights, not pretrained ones; runs are"
            " named and tagged so, and never fitted together with pretrained ones"
        )
    in_sample = sum(cell.in_sample for cell in cells)
    if in_sample:
        which = "" if in_sample == len(cells) else f"{in_sample} of {len(cells)} cells: "
        note(f"{which}in-sample losses, of the training images themselves: none are held out")


def warn_of_tuning(plan: Plan) -> None:
    """Note where the validation images of a tuned plan come from when the pool has none to spare."""
    if plan.tune:
        from mlproject.tuning import BORROWED

        if any(cell.validation_size == 0 for cell in plan.cells):
            note(BORROWED)


def warn_of_skipped(image_sets: Iterable[ImageSet]) -> None:
    """Note how many files of a folder were left out, and why, and how the others were taken."""
    for images in {(images.name, images.skipped): images for images in image_sets}.values():
        for entry in [skipped for skipped in images.skipped if skipped.note][:N_NAMED]:
            note(f"{images.name} {entry.id}: {entry.reason}")
        left_out = [skipped for skipped in images.skipped if not skipped.note]
        if not left_out:
            continue
        n, n_bad = len(left_out), sum(skipped.bad for skipped in left_out)
        first = sorted(left_out, key=lambda skipped: not skipped.bad)[:N_NAMED]
        named = "; ".join(f"{skipped.id}: {skipped.reason}" for skipped in first)
        more = f"; and {n - N_NAMED} more" if n > N_NAMED else ""
        note(f"{images.name}: {n} left out, {n_bad} of them bad ({named}{more}); see skipped.csv of each run")
