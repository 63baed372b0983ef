"""Tasks of a plan: features of a backbone, a cell, a block of trials; frozen values that any process can run.

A process that was not the plan's opens its store and reads its images once, and keeps them for the next task.
A task may run twice: stored features and finished cells are not computed again, trials are pure.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlproject.cell import Cell, Knob
from mlproject.data import ImageSet
from mlproject.errors import MLProjectError, NoRoom, StoreUnreachable, is_disk_full, one_line
from mlproject.files import cache_folder
from mlproject.losses import Report, Silent
from mlproject.plans import images_for
from mlproject.recipes import FrozenBackbone
from mlproject.runs.cell_run import CellRun, run_cell
from mlproject.tracking import Store, open_store, prediction_head
from mlproject.tuning import TrialBlock

if TYPE_CHECKING:
    from mlproject.tuning import DescentCache, TrialLosses
else:
    DescentCache = TrialLosses = Any

FATAL = (StoreUnreachable, NoRoom)
"""Errors that every further task would meet as well."""
PASSED_ON = ("MLFLOW_", "MLPROJECT_", "AWS_", "AZURE_", "GOOGLE_", "HF_", "TORCH_HOME", "XDG_CACHE_HOME")
"""Beginnings of variables that workers get where they lack them: places, settings and credentials."""
OF_PLAN = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME")
OF_MACHINE = ("MLPROJECT_ENGINE", "MLPROJECT_DEVICE", "MLPROJECT_WORKERS", "MLPROJECT_MEMORY")
"""Those of them that are the driver's alone: its launcher's run, its name of the experiment, its machine."""
WORKER_IMPORTS = (
    "torch",
    "onnxruntime",
    "matplotlib.figure",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlproject.features.engines",
    "mlproject.recipes.probe.run",
    "mlproject.report",
    "mlproject.runs.tasks",
    "mlproject.training.heads",
)
"""Modules that worker processes of this machine import once for all."""
Prune = Callable[[int, int, float], bool]


@dataclass(frozen=True, kw_only=True)
class Site:
    """What tasks of one plan share: its driver, its store, and the folder and environment of its process.

    ``head`` names the newest predictions of the experiment, which every run of a cell witnesses.
    """

    driver: str
    uri: str = field(repr=False)  # may hold a password, and engines log the tasks that fail
    experiment_id: str
    folder: str
    environment: Mapping[str, str] = field(repr=False)
    head: str = ""

    @classmethod
    def of(cls, store: Store) -> Site:
        """The site of a plan that this process drives, with its runs in ``store``."""
        passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        passed = {name: value for name, value in passed.items() if name not in (*OF_PLAN, *OF_MACHINE)}
        return cls(
            driver=uuid.uuid4().hex[:16],
            uri=store.uri,
            experiment_id=store.experiment_id,
            folder=os.getcwd(),
            environment=passed | {"MLPROJECT_CACHE": str(cache_folder().absolute())},
            head=prediction_head(store),
        )


@dataclass(frozen=True, kw_only=True)
class CellTask:
    """A cell that is to be run; ``reading`` are the coordinates by which its images are read."""

    site: Site
    cell: Cell
    reading: Mapping[str, Knob]
    name: str
    sweep: str
    adopt: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureTask:
    """Features of a backbone at one scale, of some rows of the images of a cell.

    ``shared``: other workers compute other rows of the same table at the same time.
    """

    site: Site
    cell: Cell
    reading: Mapping[str, Knob]
    backbone: FrozenBackbone
    rows: NDArray[np.int64]
    shared: bool


@dataclass(frozen=True, kw_only=True)
class TrialTask:
    """A block of trials of a coordinate, by its number in the driver."""

    site: Site
    reading: Mapping[str, Knob]
    block: TrialBlock
    number: int = 0

    @property
    def cell(self) -> Cell:
        """A cell that draws from the images of all trials."""
        return self.block.cells[0]


Task = CellTask | FeatureTask | TrialTask


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """What a task gives: its value or an error, and the log records of its worker as name, level and text."""

    value: Any = None
    error: Exception | None = None
    lines: tuple[tuple[str, int, str], ...] = ()


@dataclass(kw_only=True)
class Workplace:
    """What a process keeps between the tasks of a plan: the open store, how images are got, its progress.

    ``prunes`` are those of the blocks of trials that this process runs as their driver, by number.
    """

    site: Site
    store: Store
    report: Report
    images_of: Callable[[Cell, Mapping[str, Knob]], ImageSet] = images_for
    is_driver: bool = False
    prunes: dict[int, Prune] = field(default_factory=dict)
    process: int = field(default_factory=os.getpid)
    descents: DescentCache | None = None


_kept: Workplace | None = None
_passed_on: list[str] = []
"""Variables that this worker has from the driver of its last task."""


@contextlib.contextmanager
def driving(workplace: Workplace) -> Iterator[None]:
    """Let tasks that run in this process use what its plan has opened, and report to its watcher."""
    global _kept
    before, _kept = _kept, workplace
    try:
        yield
    finally:
        _kept = before


def run_task(task: Task) -> TaskResult:
    """Run a task of a plan, in any process. Errors of one cell are its result; others are given back.

    Raises, in the driver's own process: what the task raises.
    """
    if _kept is not None and _kept.is_driver and _is_at(_kept, task.site):
        return TaskResult(value=_run(task, _kept))
    with _collected() as lines:
        try:
            value, error = _run(task, _workplace(task.site)), None
        except Exception as fault:
            value, error = None, _portable(fault)
    return TaskResult(value=value, error=error, lines=tuple(lines))


def _portable(error: Exception) -> MLProjectError:
    """An error that another process can read: one of ours, by its message."""
    if is_disk_full(error) and not isinstance(error, NoRoom):
        return NoRoom(f"no room: {one_line(error)}; free some space")
    return error if isinstance(error, MLProjectError) else MLProjectError(one_line(error))


def _is_at(workplace: Workplace, site: Site) -> bool:
    return workplace.site.driver == site.driver and workplace.process == os.getpid()


def _workplace(site: Site) -> Workplace:
    """The workplace of a worker; it is kept until a task of another plan comes."""
    global _kept
    if _kept is None or not _is_at(_kept, site):
        _kept = None
        for name in _passed_on:
            os.environ.pop(name, None)
        _passed_on[:] = [name for name in site.environment if name not in os.environ]
        os.environ.update({name: site.environment[name] for name in _passed_on})
        if os.path.isdir(site.folder):  # relative paths of data, weights and stores are the driver's
            os.chdir(site.folder)
        # MLflow's environment names the store. A run of a launcher is the driver's alone.
        os.environ.update(MLFLOW_TRACKING_URI=site.uri, MLFLOW_EXPERIMENT_ID=site.experiment_id)
        for name in OF_PLAN:
            os.environ.pop(name, None)
        _kept = Workplace(site=site, store=open_store(create=False), report=Silent())
    return _kept


def _run(task: Task, at: Workplace) -> Any:
    if isinstance(task, CellTask):
        return _run_cell(task, at)
    images = at.images_of(task.cell, task.reading)
    if isinstance(task, FeatureTask):
        task.backbone.features(images, task.rows, at.report, shared=task.shared)
        return len(task.rows)
    return _run_trials(task, images, at)


def _run_cell(task: CellTask, at: Workplace) -> CellRun:
    start = time.monotonic()
    try:
        cell_run = run_cell(
            task.cell,
            lambda: at.images_of(task.cell, task.reading),
            at.store,
            report=at.report,
            name=task.name,
            sweep=task.sweep,
            adopt=task.adopt,
            head=task.site.head,
            task="" if at.is_driver else f"{task.site.driver}-{task.cell.key}",
        )
        return replace(cell_run, seconds=time.monotonic() - start)
    except FATAL:
        raise
    except Exception as error:  # a recipe may raise anything; the other cells go on
        if task.adopt or (isinstance(error, OSError) and is_disk_full(error)):
            raise
        reason = str(error) if isinstance(error, MLProjectError) else one_line(error)
        return CellRun(cell=task.cell, name=task.name, status="failed", reason=reason)


def _run_trials(task: TrialTask, images: ImageSet, at: Workplace) -> TrialLosses:
    from mlproject.tuning import DescentCache, evaluate_block

    at.descents = at.descents or DescentCache()
    return evaluate_block(task.block, images, at.report, at.prunes.get(task.number), at.descents)


class _Lines(logging.Handler):
    """Keeps log records as name, level and text."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.kept.append((record.name, record.levelno, record.getMessage()))


@contextlib.contextmanager
def _collected() -> Iterator[list[tuple[str, int, str]]]:
    """The log records of a worker during a task, which its driver shows."""
    handler, root = _Lines(), logging.getLogger()
    root.addHandler(handler)
    try:
        yield handler.kept
    finally:
        root.removeHandler(handler)
