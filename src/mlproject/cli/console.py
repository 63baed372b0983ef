"""Terminal output: progress bars on a terminal, one line per cell elsewhere, warnings on stderr."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text

from mlproject.errors import printable

if TYPE_CHECKING:
    from mlproject.cell import Cell
    from mlproject.data import ImageSet
    from mlproject.plans import Plan
    from mlproject.runs import CellRun
    from mlproject.tracking import Store
    from mlproject.tuning import SearchResult

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

UNITS = {"features": "images", "head": "epochs", "training": "epochs"}
UNITS |= {"regions": "images", "pictures": "images"}
N_NAMED = 3
STYLES = {"done": "green", "was done": "dim", "busy": "yellow", "failed": "red"}


class Trials:
    """Trials of a plan's searches: number, speed, and warnings about the results."""

    def __init__(self, n_trials: int) -> None:
        self.n_trials = n_trials
        self.start = time.monotonic()
        self.warnings: list[str] = []
        self._done: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def count(self, name: str, done: int) -> int:
        """Finished trials of all studies, given those of the study ``name``."""
        self._before.setdefault(name, done)
        self._done[name] = done
        return sum(self._done.values())

    @property
    def speed(self) -> str:
        """Trials per second of this process, and the remaining seconds at that speed."""
        done = sum(self._done.values())
        rate = (done - sum(self._before.values())) / max(1e-9, time.monotonic() - self.start)
        left = f", {(self.n_trials - done) / rate:.0f} s left" if rate > 0 and done < self.n_trials else ""
        return f"{rate:.1f} trials/s{left}"


class Bars:
    """Progress bars of a plan on a terminal: trials, cells, and the current stage with its speed."""

    def __init__(self, progress: Progress, n_cells: int, n_trials: int = 0) -> None:
        self.progress = progress
        self.trials = Trials(n_trials)
        if n_trials:
            self.tuning = progress.add_task("trials", total=n_trials, unit="trials")
        self.cells = progress.add_task("cells", total=n_cells, unit="cells", visible=n_cells > 0)
        self.current = progress.add_task("", total=None, visible=False, unit="")

    def begin(self, name: str) -> None:
        """Show the running cell."""
        self.progress.update(self.cells, description=name)

    def end(self, result: CellRun) -> None:
        """Count the cell; a failure is printed above the bars."""
        self.progress.update(self.current, visible=False)
        self.progress.advance(self.cells)
        if result.status in ("failed", "busy"):
            self.progress.console.print(line(result))

    def count_trials(self, name: str, done: int, best: float) -> None:
        """Move the bar of the trials."""
        total = self.trials.count(name, done)
        self.progress.update(self.tuning, completed=total, description=f"best {best:.4g} · {name}")

    def end_search(self, result: SearchResult) -> None:
        """Print the tuned knobs above the bars."""
        self.trials.warnings += result.warnings
        self.progress.console.print(search_line(result))

    def stage(self, name: str, total: int) -> None:
        """Reset the bar of the stage."""
        self.progress.reset(
            self.current, total=total, description=f"  {name}", visible=total > 0, unit=UNITS.get(name, "")
        )

    def advance(self, count: int) -> None:
        """Move the bar of the stage."""
        self.progress.advance(self.current, count)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Bars show no metrics."""


class Lines:
    """Progress without a terminal: one line for every cell, with its time."""

    def __init__(self, n_cells: int, n_trials: int = 0) -> None:
        self.trials = Trials(n_trials)
        self.n_cells = n_cells
        self.n_done = 0
        self.start = time.monotonic()

    def begin(self, name: str) -> None:
        """Nothing is printed before the end of the cell."""

    def end(self, result: CellRun) -> None:
        """Print the number of finished cells and the result."""
        self.n_done += 1
        if result.status != "was done" or self.n_done == self.n_cells:
            out.print(
                f"[{self.n_done}/{self.n_cells}] {time.monotonic() - self.start:.0f} s",
                line(result),
                soft_wrap=True,
            )

    def count_trials(self, name: str, done: int, best: float) -> None:
        """Count; the result is printed at the end of each search."""
        self.trials.count(name, done)

    def end_search(self, result: SearchResult) -> None:
        """Print the tuned knobs and the speed of the search."""
        self.trials.warnings += result.warnings
        out.print(search_line(result).append(f"  {self.trials.speed}", "dim"), soft_wrap=True)

    def stage(self, name: str, total: int) -> None:
        """Stages are not shown."""

    def advance(self, count: int) -> None:
        """Stages are not shown."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Metrics are in the tracked run."""


@contextlib.contextmanager
def watching(n_cells: int, n_trials: int = 0) -> Iterator[Bars | Lines]:
    """Bars on a terminal, lines elsewhere."""
    if not out.is_terminal:
        yield Lines(n_cells, n_trials)
        return
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=out,
        transient=True,
    ) as progress:
        yield Bars(progress, n_cells, n_trials)


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        unit = task.fields.get("unit", "")
        return Text(f"{task.speed:.1f} {unit}/s" if task.speed else unit, style="cyan")


def line(result: CellRun) -> Text:
    """One line on a cell: status, name, loss and accuracy, or the reason of a failure."""
    text = Text.assemble((result.status, STYLES[result.status]), "  ", result.name)
    if result.status == "done":
        text.append(f"  loss {result.loss:.4g}", "cyan")
    if not math.isnan(result.accuracy):
        text.append(f"  accuracy {result.accuracy:.1%}", "cyan")
    return text.append(f"  {result.reason}") if result.reason else text


def search_line(result: SearchResult) -> Text:
    """One line on a search: coordinate, number of trials, best validation loss and its knobs."""
    values = result.best.knobs.items()
    knobs = " ".join(f"{n}={v:.4g}" if isinstance(v, float) else f"{n}={v}" for n, v in values)
    text = Text.assemble(("tuned", "magenta"), f"  {result.coordinate.label}  {len(result.trials)} trials")
    return text.append(f"  validation loss {result.best.loss:.4g}", "cyan").append(f"  {knobs}")


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
