"""The work of a plan as jobs of an engine: features that are missing, then the cells that need them.

An engine of several workers gets the features first, in parts of which no two hold the same image; a cell
follows once its features are there, or have failed: then it reports why. This process alone computes features
as the cells ask for them, after those that several backbones share.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, runtime_checkable

from mlproject.cell import Cell
from mlproject.engines import Engine
from mlproject.errors import MLProjectError, is_disk_full, one_line
from mlproject.files import cache_folder, try_locked
from mlproject.losses import Report
from mlproject.plans import Plan
from mlproject.recipes import (
    FrozenBackbone,
    NeededFeatures,
    extract_together,
    missing_parts,
    needed_features,
    scales_of,
)
from mlproject.runs.cell_run import CellRun
from mlproject.runs.dispatch import Dispatcher, Job
from mlproject.runs.tasks import FATAL, CellTask, FeatureTask, Site, TaskResult, Workplace, driving
from mlproject.tracking import Store
from mlproject.tuning import SearchResult

DIVIDED = "divided.lock"
"""Lock in the cache folder, of the plan whose workers share tables: a second one would compute rows again."""


@runtime_checkable
class Watcher(Report, Protocol):
    """Progress callback of a plan, which also receives cells and searches."""

    def expect(self, n_images: int, n_workers: int) -> None:
        """So many images are to be embedded for the whole plan (once per backbone and scale), by so many
        workers, which run its cells too."""

    def begin(self, name: str) -> None:
        """A cell of this name is started."""

    def end(self, result: CellRun) -> None:
        """A cell is done, was done, is run by another process, or failed."""

    def count_trials(self, name: str, done: int, best: float) -> None:
        """``done`` trials of the study ``name`` are finished; ``best`` is the smallest loss so far."""

    def end_search(self, result: SearchResult) -> None:
        """The knobs of a coordinate are tuned."""


@dataclass(kw_only=True)
class _Held:
    """A job that waits for features of so many backbones."""

    job: Job
    n_needed: int


@dataclass(kw_only=True)
class PlanWork:
    """Jobs of one plan on one engine, and the results of its cells by key."""

    plan: Plan
    store: Store
    watcher: Watcher
    site: Site
    workplace: Workplace
    dispatcher: Dispatcher
    results: dict[str, CellRun] = field(default_factory=dict)
    _busy: list[Cell] = field(default_factory=list)
    _n_parts: dict[FrozenBackbone, int] = field(default_factory=dict)
    _held: dict[FrozenBackbone, list[_Held]] = field(default_factory=dict)
    _n_missing: int = 0

    def run(self) -> None:
        """Run all jobs; cells that another process was running are tried once more after them."""
        self.dispatcher.run()
        busy, self._busy = self._busy, []
        self.dispatcher.add(self._cell_job(cell, last=True) for cell in busy)
        self.dispatcher.run()

    def add_cells(
        self, cells: Iterable[Cell], done: Mapping[str, str], *, adopt: bool = False, first: bool = False
    ) -> None:
        """Add the cells that are not ``done`` (run ids by key), before all other jobs where asked for."""
        jobs = []
        for cell in cells:
            if cell.key in done:
                name = self.plan.naming.name(cell)
                self.end(CellRun(cell=cell, name=name, status="was done", run_id=done[cell.key]))
            else:
                jobs.append((cell, self._cell_job(cell, adopt=adopt)))
        if first:
            self.dispatcher.add_first(job for _, job in jobs)
        else:
            for cell, job in jobs:
                self.add_after_features([cell], job)

    def end(self, result: CellRun) -> None:
        """Keep and report the result of a cell."""
        self.results[result.cell.key] = result
        self.watcher.end(result)
        self._show_features()

    @contextlib.contextmanager
    def features_of(self, cells: Sequence[Cell]) -> Iterator[None]:
        """Compute missing features of these cells before the jobs that need them."""
        needed = needed_features(cells, self.plan.images_of)
        if self.dispatcher.engine.in_process:
            self.watcher.expect(sum(features.n_forwards for features in needed), 1)
            extract_together(needed, self.watcher)
            yield
            return
        with try_locked(cache_folder() / DIVIDED) as alone:
            parts = missing_parts(needed, self.dispatcher.engine.n_workers if alone else 1)
            cell_of = {id(self.plan.images_of(cell)): cell for cell in cells}
            for part in parts:
                self._n_parts[part.backbone] = self._n_parts.get(part.backbone, 0) + 1
            self._n_missing = sum(len(part.rows) for part in parts)
            self.watcher.expect(self._n_missing, self.dispatcher.engine.n_workers)
            self._show_features()
            self.dispatcher.add(
                self._feature_job(part, cell_of[id(part.images)], shared=alone) for part in parts
            )
            yield

    def add_after_features(self, cells: Iterable[Cell], job: Job) -> None:
        """Add a job once the features that these cells need are stored, or have failed."""
        needs = {b for cell in cells for b in scales_of(cell) if b in self._n_parts} if self._n_parts else ()
        held = _Held(job=job, n_needed=len(needs))
        for backbone in needs:
            self._held.setdefault(backbone, []).append(held)
        if not needs:
            self.dispatcher.add([job])

    def _feature_job(self, part: NeededFeatures, cell: Cell, *, shared: bool) -> Job:
        task = FeatureTask(
            site=self.site,
            cell=cell,
            reading=self.plan.reading_of(cell),
            backbone=part.backbone,
            rows=part.rows,
            shared=shared,
        )
        return Job(make=lambda: task, take=partial(self._take_features, part))

    def _take_features(self, part: NeededFeatures, result: TaskResult) -> None:
        if isinstance(result.error, FATAL):
            raise result.error
        self._n_missing -= len(part.rows)
        self.watcher.advance(len(part.rows))  # where it failed too: the cells will say why
        self._n_parts[part.backbone] -= 1
        if self._n_parts[part.backbone] == 0:
            del self._n_parts[part.backbone]
            for held in self._held.pop(part.backbone, []):
                held.n_needed -= 1
                if held.n_needed == 0:
                    self.dispatcher.add([held.job])

    def _show_features(self) -> None:
        """Show that features are computed beside the cells."""
        if self._n_missing:
            self.watcher.stage("features", self._n_missing)

    def _cell_job(self, cell: Cell, *, adopt: bool = False, last: bool = False) -> Job:
        name = self.plan.naming.name(cell)

        def make() -> CellTask:
            self.watcher.begin(name)
            return CellTask(
                site=self.site,
                cell=cell,
                reading=self.plan.reading_of(cell),
                name=name,
                sweep="" if adopt else self.plan.name,
                adopt=adopt,
            )

        def take(result: TaskResult) -> None:
            error = result.error
            if error and (adopt or isinstance(error, FATAL) or is_disk_full(error)):
                raise error
            cell_run = result.value if error is None else failed(cell, name, error)
            if cell_run.status == "busy" and not last:
                self._busy.append(cell)
            else:
                self.end(cell_run)

        return Job(make=make, take=take)


@contextlib.contextmanager
def open_work(plan: Plan, store: Store, watcher: Watcher, engine: Engine) -> Iterator[PlanWork]:
    """The work of a plan on an engine; tasks that run in this process use what it has opened."""
    site = Site.of(store)
    workplace = Workplace(
        site=site,
        store=store,
        report=watcher,
        images_of=lambda cell, _: plan.images_of(cell),
        is_driver=True,
    )
    with driving(workplace):
        yield PlanWork(
            plan=plan,
            store=store,
            watcher=watcher,
            site=site,
            workplace=workplace,
            dispatcher=Dispatcher(engine),
        )


def failed(cell: Cell, name: str, error: Exception) -> CellRun:
    """The result of a cell that failed for this reason."""
    reason = str(error) if isinstance(error, MLProjectError) else one_line(error)
    return CellRun(cell=cell, name=name, status="failed", reason=reason)
