"""Dispatch: tasks are submitted to an engine, few at a time, and each result is taken as it comes."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any

from mlproject.engines import Engine
from mlproject.runs.tasks import Task, TaskResult, run_task

AHEAD = 2
"""Tasks that are submitted for each worker: one runs, one waits."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Work of a plan: ``make`` gives its task once a worker is near, or None; ``take`` gets the result."""

    make: Callable[[], Task | None]
    take: Callable[[TaskResult], None]


class Dispatcher:
    """Runs jobs on an engine, in the order in which they were added as far as its workers allow.

    ``take`` may add jobs. Log lines of workers are logged here, each once: workers repeat one another.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._waiting: deque[Job] = deque()
        self._running: dict[Future[Any], Job] = {}
        self._logged: set[tuple[str, int, str]] = set()

    def add(self, jobs: Iterable[Job]) -> None:
        """Add jobs after all others."""
        self._waiting.extend(jobs)

    def add_first(self, jobs: Iterable[Job]) -> None:
        """Add jobs, in this order, before all others that wait."""
        self._waiting.extendleft(reversed(list(jobs)))

    def run(self) -> None:
        """Run all jobs, and those that they add. Raises: what a job raises; those that wait are cancelled."""
        try:
            while self._waiting or self._running:
                self._submit()
                self._take()
        except BaseException:
            for future in self._running:
                future.cancel()
            self._running.clear()
            raise

    def _submit(self) -> None:
        """Submit jobs until there are enough for all workers, or one is finished already."""
        while self._waiting and len(self._running) < AHEAD * self.engine.n_workers:
            job = self._waiting.popleft()
            task = job.make()
            if task is None:
                continue
            future = self.engine.executor.submit(run_task, task)
            self._running[future] = job
            if future.done():
                return

    def _take(self) -> None:
        done = wait(self._running, return_when=FIRST_COMPLETED).done if self._running else set()
        for future in [each for each in self._running if each in done]:  # in the order of their submission
            self._running.pop(future).take(self._result(future))

    def _result(self, future: Future[Any]) -> TaskResult:
        try:
            result: TaskResult = future.result()
        except Exception as error:
            return TaskResult(error=error)
        for line in result.lines:
            if line not in self._logged:
                self._logged.add(line)
                name, level, text = line
                logging.getLogger(name).log(level, "%s", text)
        return result
