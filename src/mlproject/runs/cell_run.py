"""Run one cell as a tracked run."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from mlproject.cell import Cell
from mlproject.data import ImageSet
from mlproject.errors import NoRoom, StoreUnreachable, printable
from mlproject.features import unfinished_folder
from mlproject.files import temporary_folder, try_locked, write_rows
from mlproject.losses import PREDICTIONS, Outcome, Report, write_losses, write_table
from mlproject.recipes import build_recipe
from mlproject.runs.kept_results import CellRecord, discard_result, keep_result, kept_path, read_result
from mlproject.tracking import (
    ENGINE_TASK,
    LOGGED_TABLES,
    LOSSES_DIGEST,
    PREDICTION_HEAD,
    RUN_COLOUR,
    Store,
    look_up_cell,
    model_colour,
)

log = logging.getLogger(__name__)

Status = Literal["done", "was done", "busy", "failed"]

COMPARED, N_COMPARED = "losses_compared.json", 1000
"""Artifact with the losses of so many evaluated images at most, the same in every run of these images."""


@dataclass(frozen=True, kw_only=True)
class CellRun:
    """The result of a cell: its run, or that another process runs it, or why it failed.

    ``name`` is that of its run; ``accuracy`` is a share of the evaluated images, NaN where there is none;
    ``seconds`` is how long its task took.
    """

    cell: Cell
    name: str
    status: Status
    run_id: str = ""
    reason: str = ""
    loss: float = float("nan")
    accuracy: float = float("nan")
    seconds: float = 0.0


def run_cell(
    cell: Cell,
    read: Callable[[], ImageSet],
    store: Store,
    *,
    report: Report,
    name: str = "",
    sweep: str = "",
    adopt: bool = False,
    task: str = "",
    head: str = "",
) -> CellRun:
    """Run a cell under its lock, unless it is done already or another process, here or elsewhere, runs it.

    ``read`` gives its images, within the run: images that are refused fail it with the reason. ``name`` is
    that of its run (default: the cell's label); ``task`` that of an engine's task, which may run
    again: its runs that say RUNNING are closed. The run names the newest predictions, ``head``. The same cell
    gives the same losses. Raises what the recipe raises, after the run was marked FAILED or KILLED. A result
    that is computed and cannot be logged, for whatever reason, is kept for the next start.
    """
    name = name or cell.label
    with (
        try_locked(store.lock_path(cell.key)) as ours,
        temporary_folder() as folder,
    ):
        if not ours:
            return CellRun(cell=cell, name=name, status="busy", reason="another process is running it")
        state = look_up_cell(store, cell.key, task)
        if state.done:
            discard_result(kept_path(store, cell))
            return CellRun(cell=cell, name=name, status="was done", run_id=state.done)
        if state.elsewhere:
            return CellRun(cell=cell, name=name, status="busy", reason=state.elsewhere)
        tags = _tags(cell, sweep, head, store) | ({ENGINE_TASK: task} if task else {})
        run_id, record = _log_cell(cell, read, store, folder, report, name, tags, adopt)
        shutil.rmtree(unfinished_folder(cell.key), ignore_errors=True)
    return CellRun(
        cell=cell, name=name, status="done", run_id=run_id, loss=record.loss, accuracy=record.accuracy
    )


def _log_cell(
    cell: Cell,
    read: Callable[[], ImageSet],
    store: Store,
    artifacts: Path,
    report: Report,
    name: str,
    tags: Mapping[str, str],
    adopt: bool,
) -> tuple[str, CellRecord]:
    """Track a cell: the result that an earlier start could not log, or a new one; its run and its record."""
    kept = kept_path(store, cell)
    record = read_result(kept, cell, artifacts)
    try:
        with store.run(kind="cell", name=name, tags=tags, adopt=adopt) as run:
            record = record or _compute(cell, read(), artifacts, report, name)
            record.log(run, artifacts)
    except BaseException as error:  # a signal, too
        if record is None:
            raise
        text = f"{printable(name)} is computed, {keep_result(kept, cell, record, artifacts)}"
        if isinstance(error, (StoreUnreachable, NoRoom)):
            raise type(error)(f"{error}; {text}") from error
        log.warning("%s", text)
        raise
    discard_result(kept)
    return run.run_id, record


def _compute(cell: Cell, images: ImageSet, artifacts: Path, report: Report, name: str) -> CellRecord:
    """Run a cell's recipe and write its artifacts into a folder; what there is to log."""
    timed = _Timer(report)
    outcome = build_recipe(cell.recipe, cell.knobs).run(cell, images, timed)
    timed.stop()
    _write_artifacts(artifacts, cell, outcome, name)
    if images.skipped:
        rows = [[skipped.id, skipped.reason, str(skipped.bad).lower()] for skipped in images.skipped]
        write_rows(artifacts / "skipped.csv", ["id", "reason", "bad"], rows)
    losses = outcome.losses
    provenance = {f"provenance.{name}": value for name, value in outcome.provenance.items()}
    context = "+".join(dict.fromkeys(losses.splits))
    return CellRecord(
        params=cell.to_params(),
        metrics=_metrics(cell, outcome, timed.seconds),
        tags=provenance
        | {LOSSES_DIGEST: losses.digest, "losses.rows": str(len(losses.image_ids))}
        | {LOGGED_TABLES: json.dumps([{"path": COMPARED, "type": "table"}])},
        history=timed.history,
        dataset={
            "name": images.name,
            "digest": images.digest,
            "source": images.source,
            "context": context,
        },
        loss=_loss(outcome),
        accuracy=float(outcome.facts.get("accuracy", "nan")),
    )


@dataclass
class _Timer:
    """Progress callback that forwards progress, keeps the history of metrics, and times each stage."""

    report: Report
    history: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"features": 0.0, "head": 0.0})
    _stage: tuple[str, float] | None = None

    def stage(self, name: str, total: int) -> None:
        self.stop()
        self._stage = (name, time.monotonic())
        self.report.stage(name, total)

    def advance(self, count: int) -> None:
        self.report.advance(count)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.history.append((step, dict(values)))
        self.report.metrics(step, values)

    def stop(self) -> None:
        if self._stage:
            name, start = self._stage
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start
            self._stage = None


def _tags(cell: Cell, sweep: str, head: str, store: Store) -> dict[str, str]:
    colour = model_colour(store, cell.model, control=cell.random_features)
    tags = {"cell.key": cell.key, "cell.json": json.dumps(cell.to_dict(), allow_nan=False), "sweep": sweep}
    if cell.random_features:
        tags["features"] = "random"
    if cell.in_sample:
        tags["protocol"] = "in-sample"
    tags |= {"tuned": ",".join(cell.tuned), RUN_COLOUR: colour, PREDICTION_HEAD: head}
    return {name: value for name, value in tags.items() if value}


def _metrics(cell: Cell, outcome: Outcome, seconds: Mapping[str, float]) -> dict[str, float]:
    """Metrics of the run; sizes are among them, since parameters are text and cannot be sorted as numbers."""
    values: dict[str, float] = {}
    for split in sorted(set(outcome.losses.splits)):
        losses = outcome.losses.select(split).loss
        values |= {
            f"{split}.loss_final" if split == "train" else f"{split}.loss": float(losses.mean()),
            f"{split}.loss_median": float(np.median(losses)),
            f"{split}.loss_max": float(losses.max()),
        }
    values |= {
        "params": outcome.n_params,
        "params_trained": outcome.n_params_trained,
        "flops": outcome.flops_total,
        "flops_per_image": outcome.flops_per_image,
        "dataset_size": cell.dataset_size,
        "log10.dataset_size": float(np.log10(cell.dataset_size)),
        "log10.params": float(np.log10(outcome.n_params)),
    }
    if (loss := _loss(outcome)) > 0:
        values["log10.loss"] = float(np.log10(loss))
    values |= {f"seconds.{name}": duration for name, duration in seconds.items()}
    return values | {name: float(value) for name, value in outcome.facts.items()}


def _write_artifacts(folder: Path, cell: Cell, outcome: Outcome, title: str) -> None:
    write_losses(outcome.losses, folder)
    content = json.dumps(cell.to_dict(), indent=2, allow_nan=False)
    (folder / "cell.json").write_text(content + "\n", "utf-8")
    if outcome.tensors:
        from safetensors.numpy import save

        # safetensors writes memory in its physical order: channels-last weights would be read back scrambled.
        tensors = {name: np.array(tensor, order="C") for name, tensor in outcome.tensors.items()}
        # Written here: safetensors' own files are closed to other users, whatever the umask.
        (folder / "head.safetensors").write_bytes(save(tensors, {"cell": cell.key}))
    for name, columns in outcome.tables.items():
        write_table(folder, name, columns)
    _write_compared(folder, outcome)
    from mlproject.report import draw_histogram

    draw_histogram(outcome.losses, title, folder / "losses.png")


def _write_compared(folder: Path, outcome: Outcome) -> None:
    """Write the losses of the first evaluated images as a table that MLflow's UI shows beside other runs'."""
    losses = outcome.losses
    places = [i for i, split in enumerate(losses.splits) if split == losses.evaluated_split][:N_COMPARED]
    # By default the UI groups by the first column and compares the second.
    columns = {"image_name": losses.image_ids, "loss": losses.loss.tolist()}
    columns |= outcome.tables.get(PREDICTIONS, {})
    columns.pop("split", None)
    rows = [[column[i] for column in columns.values()] for i in places]
    (folder / COMPARED).write_text(json.dumps({"columns": list(columns), "data": rows}), "utf-8")


def _loss(outcome: Outcome) -> float:
    return float(outcome.losses.select(outcome.losses.evaluated_split).loss.mean())
