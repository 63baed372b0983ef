"""Searches of a tuned plan as jobs of an engine: blocks of trials, then the cells with the best knobs.

Trials are asked for and reported by this process alone, one block of a coordinate after another, so that a
search finds the same knobs on every engine; searches of several coordinates run side by side.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlproject.errors import WrongUse, is_disk_full
from mlproject.runs.cell_run import CellRun
from mlproject.runs.dispatch import Job
from mlproject.runs.plan_work import PlanWork, failed
from mlproject.runs.tasks import FATAL, Prune, TaskResult, TrialTask
from mlproject.tuning import Claim, Coordinate, TrialBlock, Tuner, log_search

if TYPE_CHECKING:
    from mlproject.tuning import TrialLosses
else:
    TrialLosses = Any

WAIT_SECONDS = 0.5
NUMBERS = itertools.count(1)
"""Numbers of the blocks that this process drives."""


def run_searches(searched: Sequence[Coordinate], work: PlanWork, tuner: Tuner, parent: str) -> list[CellRun]:
    """Run each coordinate's search, then its cells with the best knobs; busy searches are tried again.

    ``parent`` is the run under which searches are logged. Returns the results of the cells, in order.
    """
    searches = [_Search(coordinate=each, work=work, tuner=tuner, parent=parent) for each in searched]
    waiting = searches
    try:
        while waiting:
            for search in waiting:
                work.add_after_features([search.coordinate.cells[0]], search.job)
            work.run()
            waiting = [search for search in searches if search.is_busy]
            if waiting:
                time.sleep(WAIT_SECONDS)
    except BaseException:
        tuner.give_up()
        raise
    return [work.results[key] for search in searches for key in search.keys]


@dataclass(kw_only=True)
class _Search:
    """The search of a coordinate: its next block is claimed when a worker is near.

    ``is_busy``: other processes run its last trials. ``keys`` are those of its cells, once they are known.
    """

    coordinate: Coordinate
    work: PlanWork
    tuner: Tuner
    parent: str
    is_busy: bool = False
    keys: list[str] = field(default_factory=list)
    _claim: Claim | None = None
    _number: int = 0

    @property
    def job(self) -> Job:
        """The job of what is next: a block of trials, or the check of the optimum."""
        return Job(make=self._make, take=self._take)

    def _make(self) -> TrialTask | None:
        self.is_busy = False
        with self._failing():
            self._claim = self.tuner.claim(self.coordinate)
            if self._claim:
                return self._task(self._claim.block, self._claim.prune)
            checks = self.tuner.checks(self.coordinate)
            if checks is None:
                self.is_busy = True
            elif checks.cells:
                return self._task(checks)
            else:
                self._end(None)
        return None

    def _task(self, block: TrialBlock, prune: Prune | None = None) -> TrialTask:
        self._number = next(NUMBERS)
        if prune is not None:
            self.work.workplace.prunes[self._number] = prune
        reading = self.work.plan.reading_of(self.coordinate.cells[0])
        return TrialTask(site=self.work.site, reading=reading, block=block, number=self._number)

    def _take(self, result: TaskResult) -> None:
        self.work.workplace.prunes.pop(self._number, None)
        with self._failing():
            if result.error is not None:
                raise result.error
            if self._claim is None:
                self._end(result.value)
                return
            self.tuner.finish(self._claim, result.value)
            self._claim = None
            self.work.dispatcher.add_first([self.job])

    def _end(self, checked: TrialLosses | None) -> None:
        """Log the search and add the coordinate's cells with the best knobs."""
        result, work = self.tuner.result(self.coordinate, checked), self.work
        log_search(result, work.store, sweep=work.plan.name, parent=self.parent)
        work.watcher.end_search(result)
        self.keys = [cell.key for cell in result.cells]
        work.add_cells(result.cells, work.store.done(self.keys), first=True)

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Let a search that fails fail its cells; the other coordinates go on."""
        try:
            yield
        except (*FATAL, WrongUse):
            raise
        except Exception as error:
            if is_disk_full(error):
                raise
            if self._claim is not None:
                self.tuner.give_up(self._claim)
                self._claim = None
            self.keys = [cell.key for cell in self.coordinate.cells]
            for cell in self.coordinate.cells:
                self.work.end(failed(cell, self.work.plan.naming.name(cell), error))
