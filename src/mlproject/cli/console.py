"""What a person sees in the terminal: progress bars where there is one, a line per cell elsewhere."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
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
from rich.text import Text

if TYPE_CHECKING:
    from mlproject.cell import Cell
    from mlproject.data import ImageSet
    from mlproject.plans import Plan
    from mlproject.runs.cell_run import CellRun
    from mlproject.tuning.tuner import Chosen

WIDE = 200
"""Columns where no terminal sets a width, so that files and pipes get whole names."""


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDE
    return console


out = _console(stderr=False)
err = _console(stderr=True)

UNITS = {"features": "images", "head": "epochs", "training": "epochs"}
UNITS |= {"regions": "images", "pictures": "images"}
N_NAMED = 3
STYLES = {"done": "green", "was done": "dim", "busy": "yellow", "failed": "red"}


class Trials:
    """Trials of a plan's searches: how many are done, how fast, and what has to be said of the best."""

    def __init__(self, n_trials: int) -> None:
        self.n_trials = n_trials
        self.start = time.monotonic()
        self.warnings: list[str] = []
        self._done: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def count(self, name: str, done: int) -> int:
        """Trials of all studies that are done, now that this one has so many."""
        self._before.setdefault(name, done)
        self._done[name] = done
        return sum(self._done.values())

    @property
    def speed(self) -> str:
        """Trials a second of this process, and the seconds that are left at that speed."""
        done = sum(self._done.values())
        rate = (done - sum(self._before.values())) / max(1e-9, time.monotonic() - self.start)
        left = f", {(self.n_trials - done) / rate:.0f} s left" if rate > 0 and done < self.n_trials else ""
        return f"{rate:.1f} trials/s{left}"


class Bars:
    """Progress of a plan on a terminal: cells done of all, and the stage at work with its speed."""

    def __init__(self, progress: Progress, n_cells: int, n_trials: int = 0) -> None:
        self.progress = progress
        self.trials = Trials(n_trials)
        if n_trials:
            self.tuning = progress.add_task("trials", total=n_trials, unit="trials")
        self.cells = progress.add_task("cells", total=n_cells, unit="cells", visible=n_cells > 0)
        self.work = progress.add_task("", total=None, visible=False, unit="")

    def begin(self, cell: Cell) -> None:
        """Show which cell is at work."""
        self.progress.update(self.cells, description=cell.label)

    def end(self, result: CellRun) -> None:
        """Count the cell; a failure is printed above the bars."""
        self.progress.update(self.work, visible=False)
        self.progress.advance(self.cells)
        if result.status in ("failed", "busy"):
            self.progress.console.print(line(result))

    def tried(self, name: str, done: int, best: float) -> None:
        """Move the bar of the trials."""
        total = self.trials.count(name, done)
        self.progress.update(self.tuning, completed=total, description=f"best {best:.4g} · {name}")

    def found(self, chosen: Chosen) -> None:
        """Print the knobs above the bars."""
        self.trials.warnings += chosen.warnings
        self.progress.console.print(found(chosen))

    def stage(self, name: str, total: int) -> None:
        """Start the second bar anew."""
        self.progress.reset(
            self.work, total=total, description=f"  {name}", visible=total > 0, unit=UNITS.get(name, "")
        )

    def advance(self, count: int) -> None:
        """Move the second bar."""
        self.progress.advance(self.work, count)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Bars show no numbers of training."""


class Lines:
    """Progress where nobody sees bars move: one line for every cell, with its time."""

    def __init__(self, n_cells: int, n_trials: int = 0) -> None:
        self.trials = Trials(n_trials)
        self.n_cells = n_cells
        self.n_done = 0
        self.start = time.monotonic()

    def begin(self, cell: Cell) -> None:
        """Wait for the end of the cell."""

    def end(self, result: CellRun) -> None:
        """One line: how many of how many, what became of it."""
        self.n_done += 1
        if result.status != "was done" or self.n_done == self.n_cells:
            out.print(
                f"[{self.n_done}/{self.n_cells}] {time.monotonic() - self.start:.0f} s",
                line(result),
                soft_wrap=True,
            )

    def tried(self, name: str, done: int, best: float) -> None:
        """Count; what was found is told at the end of each search."""
        self.trials.count(name, done)

    def found(self, chosen: Chosen) -> None:
        """One line: the knobs, and how fast it goes."""
        self.trials.warnings += chosen.warnings
        out.print(found(chosen).append(f"  {self.trials.speed}", "dim"), soft_wrap=True)

    def stage(self, name: str, total: int) -> None:
        """Stages are not shown."""

    def advance(self, count: int) -> None:
        """Stages are not shown."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of training are in the run."""


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
    """One line on a cell: what became of it, its name, its loss or the reason."""
    text = Text.assemble((result.status, STYLES[result.status]), "  ", result.cell.label)
    if result.status == "done":
        text.append(f"  loss {result.loss:.4g}", "cyan")
    return text.append(f"  {result.reason}") if result.reason else text


def found(chosen: Chosen) -> Text:
    """One line on a search: the coordinate, its trials, the best validation loss and its knobs."""
    values = chosen.best.knobs.items()
    knobs = " ".join(f"{n}={v:.4g}" if isinstance(v, float) else f"{n}={v}" for n, v in values)
    text = Text.assemble(("tuned", "magenta"), f"  {chosen.coordinate.label}  {len(chosen.tried)} trials")
    return text.append(f"  validation loss {chosen.best.loss:.4g}", "cyan").append(f"  {knobs}")


def warn(text: str) -> None:
    """Say something on stderr that a reader of the results must know."""
    err.print(Text.assemble(("warning: ", "yellow"), text), soft_wrap=True)


def warn_of(cells: Sequence[Cell]) -> None:
    """Say aloud what a reader of the results must know: random features, in-sample losses."""
    random = sorted({cell.model for cell in cells if cell.random_features})
    if random:
        err.print(
            f"[yellow]note:[/] {', '.join(random)}: declared RANDOM weights, not pretrained ones; runs are"
            " named and tagged so, and never fitted together with pretrained ones"
        )
    if any(cell.in_sample for cell in cells):
        err.print("[yellow]note:[/] in-sample losses, of the training images themselves: none are held out")


def warn_of_tuning(plan: Plan) -> None:
    """Say where the validation images of a tuned plan come from when it has none to spare."""
    if plan.tune:
        from mlproject.tuning.coordinate import BORROWED

        if any(cell.validation_size == 0 for cell in plan.cells):
            err.print(f"[yellow]note:[/] {BORROWED}", soft_wrap=True)


def warn_of_skipped(image_sets: Iterable[ImageSet]) -> None:
    """Count and name what a folder holds that is not learned from."""
    for images in {(images.name, images.skipped): images for images in image_sets}.values():
        if not images.skipped:
            continue
        n_bad = sum(skipped.bad for skipped in images.skipped)
        first = sorted(images.skipped, key=lambda skipped: not skipped.bad)[:N_NAMED]
        named = "; ".join(f"{skipped.id}: {skipped.reason}" for skipped in first)
        more = f"; and {n - N_NAMED} more" if (n := len(images.skipped)) > N_NAMED else ""
        text = (
            f" {images.name}: {n} left out, {n_bad} of them bad ({named}{more}); see skipped.csv of each run"
        )
        err.print(Text.assemble(("note:", "yellow"), text), soft_wrap=True)
