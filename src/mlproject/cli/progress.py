"""Progress of a running plan: bars on a terminal, lines elsewhere; its speed and the time left."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

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

from mlproject.cli.console import err, out, warnings_above
from mlproject.device import gpu_use

if TYPE_CHECKING:
    from mlproject.runs import CellRun
    from mlproject.tuning import SearchResult

UNITS = {"features": "images", "head": "epochs", "training": "epochs"}
UNITS |= {"regions": "images", "pictures": "images", "import": "cells"}
STYLES = {"done": "green", "was done": "dim", "busy": "yellow", "failed": "red"}
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


class Pace:
    """Times the images that are embedded and the cells that end; ``expect`` says how many images there are.

    The time left is that of the images at the speed since the start, and that of the other cells at their
    mean time without embedding: the first cell of a backbone embeds the images of all its later cells.
    Workers run cells side by side, and the time before the first cell began, in which they start, is no
    cell's.
    """

    def __init__(self, n_cells: int) -> None:
        self.n_cells, self.n_ended, self.n_run = n_cells, 0, 0
        self.n_expected = self.n_embedded = 0
        self.n_workers = 1
        self.seconds = {"features": 0.0, "": 0.0}
        self._stage, self._since = "", time.monotonic()

    def expect(self, n_images: int, n_workers: int) -> None:
        """So many images are to be embedded for the whole plan, by so many workers."""
        self.n_expected, self.n_workers = n_images, n_workers

    def stage(self, name: str) -> None:
        """Another stage begins."""
        now = time.monotonic()
        self.seconds[self._stage] += now - self._since
        self._stage, self._since = "features" if name == "features" else "", now

    def advance(self, count: int) -> None:
        """So many units of the stage are finished."""
        if self._stage == "features":
            self.n_embedded += count

    def end(self, result: CellRun) -> None:
        """A cell ends."""
        self.stage("")
        if result.status == "done" and not self.n_run:
            self.seconds[""] = min(self.seconds[""], result.seconds)
        self.n_ended += 1
        self.n_run += result.status == "done"

    @property
    def speed(self) -> float:
        """Images embedded a second; 0 before the first."""
        now = time.monotonic() - self._since if self._stage == "features" else 0.0
        return self.n_embedded / max(1e-9, self.seconds["features"] + now)

    @property
    def text(self) -> str:
        """Speed, time left and use of the GPU, as far as they are known."""
        parts = [f"{self.speed:,.0f} images/s"] if self.n_embedded and self._stage == "features" else []
        images_left = max(0, self.n_expected - self.n_embedded)
        cells_left = self.n_cells - self.n_ended
        if cells_left and (self.n_run or self.n_embedded):
            left = images_left / self.speed if self.n_embedded else 0.0
            if self.n_run:  # at first each worker is about to end its first cell
                left += cells_left * self.seconds[""] / max(self.n_run, min(self.n_workers, self.n_cells))
            is_known = self.n_run > 0 and (self.n_embedded > 0 or not images_left)
            if is_known or left >= 1:
                parts.append(f"{'' if is_known else 'more than '}{duration(left)} left")
        return ", ".join([*parts, *filter(None, [gpu_use()])])


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
        self.pace, self.shown = Pace(n_cells), 0.0

    def expect(self, n_images: int, n_workers: int) -> None:
        """Take the number of images and of workers into the time left."""
        self.pace.expect(n_images, n_workers)

    def begin(self, name: str) -> None:
        """Show the running cell."""
        self.progress.update(self.cells, description=name)

    def end(self, result: CellRun) -> None:
        """Count the cell; a failure is printed above the bars."""
        self.progress.update(self.current, visible=False)
        self.pace.end(result)
        self.progress.update(self.cells, advance=1, left=self.pace.text)
        if result.status in ("failed", "busy"):
            self.progress.console.print(line(result), soft_wrap=True)

    def count_trials(self, name: str, done: int, best: float) -> None:
        """Move the bar of the trials."""
        total = self.trials.count(name, done)
        self.progress.update(self.tuning, completed=total, description=f"best {best:.4g} · {name}")

    def end_search(self, result: SearchResult) -> None:
        """Print the tuned knobs above the bars."""
        self.trials.warnings += result.warnings
        self.progress.console.print(search_line(result), soft_wrap=True)

    def stage(self, name: str, total: int) -> None:
        """Reset the bar of the stage."""
        self.pace.stage(name)
        self.progress.reset(
            self.current, total=total, description=f"  {name}", visible=total > 0, unit=UNITS.get(name, "")
        )

    def advance(self, count: int) -> None:
        """Move the bar of the stage; each second, renew what is known of the plan."""
        self.progress.advance(self.current, count)
        self.pace.advance(count)
        if time.monotonic() - self.shown >= 1:
            self.shown = time.monotonic()
            self.progress.update(self.cells, left=self.pace.text)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Bars show no metrics."""


class Lines:
    """Progress without a terminal: one line for every cell, with its time."""

    def __init__(self, n_cells: int, n_trials: int = 0) -> None:
        self.trials = Trials(n_trials)
        self.n_cells = n_cells
        self.n_done = 0
        self.start = self.shown = time.monotonic()
        self.pace = Pace(n_cells)

    def expect(self, n_images: int, n_workers: int) -> None:
        """Take the number of images and of workers into the time left."""
        self.pace.expect(n_images, n_workers)

    def begin(self, name: str) -> None:
        """Nothing is printed before the end of the cell."""

    def end(self, result: CellRun) -> None:
        """Print the number of finished cells and the result."""
        self.n_done += 1
        self.pace.end(result)
        if result.status != "was done" or self.n_done == self.n_cells:
            out.print(
                f"[{self.n_done}/{self.n_cells}] {time.monotonic() - self.start:.0f} s",
                line(result).append(f"  {self.pace.text}" if self.pace.text else "", "dim"),
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
        self.pace.stage(name)

    def advance(self, count: int) -> None:
        """Once a minute, print how far the features are."""
        self.pace.advance(count)
        if time.monotonic() - self.shown >= MINUTE and self.pace.n_embedded:
            self.shown = time.monotonic()
            out.print(f"features of {self.pace.n_embedded:,} images: {self.pace.text}", soft_wrap=True)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Metrics are in the tracked run."""


@contextlib.contextmanager
def watching(n_cells: int, n_trials: int = 0) -> Iterator[Bars | Lines]:
    """Bars on a terminal, lines elsewhere."""
    if not out.is_terminal:
        yield Lines(n_cells, n_trials)
        return
    with (
        Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _Speed(),
            TimeElapsedColumn(),
            _Left(),
            console=out,
            transient=True,
            redirect_stderr=err.is_terminal,
        ) as progress,
        warnings_above(),
    ):
        yield Bars(progress, n_cells, n_trials)


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        unit = task.fields.get("unit", "")
        return Text(f"{task.speed:.1f} {unit}/s" if task.speed else unit, style="cyan")


class _Left(TimeRemainingColumn):
    """The time left for the plan, where the bar has it; else that of the bar."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["left"], style="cyan") if task.fields.get("left") else super().render(task)


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


def duration(seconds: float) -> str:
    """A time in its largest unit.

    >>> print(duration(40), duration(300), duration(9000), duration(2e5))
    40 s 5 min 2.5 h 2.3 days
    """
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / HOUR:.1f} h" if seconds < 2 * DAY else f"{seconds / DAY:.1f} days"
