"""A plan run to its end: every cell that is not done yet, then one aggregation of all of them."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, get_args, runtime_checkable

from mlproject import __version__, table
from mlproject.aggregate import Study, aggregate
from mlproject.cell import Cell
from mlproject.errors import BadInput, NoRoom, Problem, StoreAway, is_disk_full, one_line
from mlproject.files import try_locked
from mlproject.plan import Plan
from mlproject.progress import Report
from mlproject.report import write_report
from mlproject.report.terminal import as_text
from mlproject.report.words import preferred
from mlproject.run import CellRun, Status, run_cell
from mlproject.tracking import Run, Store

TEXT = "exponents.txt"
NOTE_LENGTH = 7900
FATAL = (StoreAway, NoRoom)
"""Failures that the next cell would only repeat."""


@runtime_checkable
class Watcher(Report, Protocol):
    """Progress of a plan: a report that is also told where one cell ends and the next begins."""

    def begin(self, cell: Cell) -> None:
        """Work on a cell begins."""

    def end(self, result: CellRun) -> None:
        """A cell is done, was done, is busy elsewhere, or failed."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The tracked run that holds a study, its table for a terminal, and where its artifacts lie."""

    run_id: str
    text: str
    where: str


def run_plan(plan: Plan, store: Store, watcher: Watcher, *, summary: bool = True) -> list[CellRun]:
    """Run what is missing of a plan; a failed cell is recorded and the others go on.

    With ``summary`` a run of kind ``sweep`` (the launcher's own, under ``mlflow run``) lists what became
    of each cell; without it a single cell's run takes the launcher's place.
    Raises: StoreAway, NoRoom and signals, at once; nothing that is computed is lost.
    """
    store.reconcile()
    done = store.done([cell.key for cell in plan.cells])
    to_do = len(plan.cells) - len(done)
    if (to_do and not summary) or not (to_do or store.launcher_run):
        return _run_cells(plan, store, watcher, done, adopt=not summary)
    lock = f"sweep-{hashlib.sha256(''.join(c.key for c in plan.cells).encode()).hexdigest()[:16]}"
    name, tags = f"sweep · {plan.name}", {"sweep": plan.name}
    with (
        try_locked(store.lock_path(lock)),
        store.run(kind="sweep", name=name, lock=lock, tags=tags, adopt=True) as run,
    ):
        results = _run_cells(plan, store, watcher, done, adopt=False)
        _log_summary(run, results)
    return results


def fit_study(store: Store, *, name: str, keys: Sequence[str] | None = None, where: str = "") -> Fitted:
    """Aggregate finished cells (of ``keys``, or all that match ``where``) as a tracked run of kind ``fit``.

    The same losses are not fitted twice: an earlier run of the same content is given back.
    """
    observations = list(store.observations(keys=keys, where=where))
    if not observations:
        raise BadInput("nothing to aggregate: the experiment holds no finished cell; run some cells first")
    rows = sorted([seen.cell.key, seen.losses_digest, seen.run_id] for seen in observations)
    content = repr(([row[:2] for row in rows], __version__))
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    earlier = store.finished(kind="fit", tags={"fit.key": digest})
    if earlier and not store.launcher_run:
        text = store.artifact(earlier, TEXT).read_text("utf-8")
        return Fitted(run_id=earlier, text=text, where=store.artifact_uri(earlier))
    lock = f"fit-{digest}"
    with (
        try_locked(store.lock_path(lock)),
        store.run(kind="fit", name=f"fit · {name}", lock=lock, tags={"fit.key": digest}, adopt=True) as run,
        tempfile.TemporaryDirectory(prefix="mlproject-") as folder,
    ):
        study = aggregate(observations)
        summary, *_ = write_report(study, Path(folder))
        text = as_text(study)
        (Path(folder) / TEXT).write_text(text, "utf-8")
        table.write_rows(Path(folder) / "runs.csv", ["cell", "losses_digest", "run_id"], rows)
        note = summary.read_text("utf-8")[:NOTE_LENGTH]
        run.log(metrics=_fit_metrics(study) | {"runs": len(rows)}, tags={"mlflow.note.content": note})
        run.log_files(Path(folder))
    return Fitted(run_id=run.run_id, text=text, where=store.artifact_uri(run.run_id))


def _fit_metrics(study: Study) -> dict[str, float]:
    """The exponents of the mean loss that were identified, for sorting in the UI."""
    found = {}
    for curve in study.curves:
        verdict = preferred(curve, "mean")
        if verdict and verdict.fit and verdict.verdict == "scaling":
            name = re.sub(r"[^\w./ -]", "", f"alpha.{curve.axis.name}.{curve.series}")
            found[name] = verdict.fit.parameters["alpha"].value
    return found


def _run_cells(
    plan: Plan, store: Store, watcher: Watcher, done: Mapping[str, str], *, adopt: bool
) -> list[CellRun]:
    """What became of each cell, in order; one that was busy is tried once more after all others."""
    results: dict[str, CellRun] = {}
    for patient in (False, True):
        for cell in plan.cells:
            if cell.key in results:
                continue
            if cell.key in done:
                result = CellRun(cell=cell, status="was done", run_id=done[cell.key])
            else:
                watcher.begin(cell)
                result = _run_one(cell, plan, store, watcher, adopt=adopt)
            if patient or result.status != "busy":
                results[cell.key] = result
                watcher.end(result)
    return [results[cell.key] for cell in plan.cells]


def _run_one(cell: Cell, plan: Plan, store: Store, watcher: Watcher, *, adopt: bool) -> CellRun:
    try:
        return run_cell(
            cell, plan.images_of(cell), store, report=watcher, sweep="" if adopt else plan.name, adopt=adopt
        )
    except FATAL:
        raise
    except OSError as error:
        if adopt or is_disk_full(error):
            raise
        return CellRun(cell=cell, status="failed", reason=one_line(error))
    except Problem as problem:
        if adopt:
            raise
        return CellRun(cell=cell, status="failed", reason=str(problem))
    except Exception as error:  # a recipe may raise anything; the other cells must not pay for it
        if adopt:
            raise
        return CellRun(cell=cell, status="failed", reason=one_line(error))


def _log_summary(run: Run, results: Sequence[CellRun]) -> None:
    counts = {status: sum(r.status == status for r in results) for status in get_args(Status)}
    run.log(metrics={f"cells.{status.replace(' ', '_')}": n for status, n in counts.items()})
    with tempfile.TemporaryDirectory(prefix="mlproject-") as folder:
        rows = [[r.cell.label, r.cell.key, r.status, r.run_id, r.reason] for r in results]
        table.write_rows(Path(folder) / "cells.csv", ["name", "cell", "status", "run_id", "reason"], rows)
        run.log_files(Path(folder))
