"""A finished search as a tracked run: trials as a table, plots, the best knobs, how flat the optimum is."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mlproject.files import sha256, try_locked
from mlproject.losses import write_rows
from mlproject.tracking import Store
from mlproject.tuning.coordinate import BORROWED
from mlproject.tuning.search.study import Tried
from mlproject.tuning.tuner import Chosen

if TYPE_CHECKING:
    from mlproject.report import TrialColumns

KIND = "study"


def record(chosen: Chosen, store: Store, *, sweep: str, parent: str) -> str:
    """The run that holds a finished search (an earlier one of the same trials is given back).

    It is a child of the run ``parent`` where there is one; with ``log_trials`` every trial is a child of it.
    """
    from mlproject.report import draw_trials

    rows = _rows(chosen)
    digest = sha256(json.dumps([chosen.coordinate.name, rows]).encode())[:16]
    lock = f"study-run-{digest}"
    with try_locked(store.lock_path(lock)) as ours:
        earlier = store.finished(kind=KIND, tags={"study.digest": digest})
        if earlier or not ours:
            return earlier or ""
        tags = {"study": chosen.coordinate.name, "study.digest": digest, "sweep": sweep}
        tags |= {"mlflow.parentRunId": parent} if parent else {}
        with store.run(kind=KIND, name=f"{chosen.coordinate.label} · trials", lock=lock, tags=tags) as run:
            warnings = [*chosen.warnings, *([BORROWED] if chosen.coordinate.borrowed else [])]
            said = {"warning": "\n".join(warnings)} if warnings else {}
            run.log(params=_params(chosen), metrics=_metrics(chosen), tags=said, history=_history(chosen))
            with tempfile.TemporaryDirectory(prefix="mlproject-") as folder:
                write_rows(Path(folder) / "trials.csv", _columns(chosen), rows)
                draw_trials(_trial_columns(chosen), Path(folder) / "trials.png")
                run.log_files(Path(folder))
            if chosen.coordinate.tune.log_trials:
                store.log_children(run.run_id, kind="trial", rows=[_child(t, chosen) for t in chosen.tried])
    return run.run_id


def _columns(chosen: Chosen) -> list[str]:
    return ["index", "trial", "state", "validation_loss", *chosen.coordinate.tune.space, "reason"]


def _rows(chosen: Chosen) -> list[list[object]]:
    return [
        [t.index, t.number, t.state, "" if t.loss is None else t.loss]
        + [t.knobs.get(name, "") for name in chosen.coordinate.tune.space]
        + [t.reason]
        for t in chosen.tried
    ]


def _params(chosen: Chosen) -> dict[str, str]:
    """The coordinate, the protocol of the search, and what it found."""
    coordinate = chosen.coordinate
    tuned = {f"cell.knobs.{name}" for name in coordinate.tune.space}
    cell = {n: v for n, v in chosen.cells[0].to_params().items() if n not in {*tuned, "cell.seed"}}
    best = {f"best.{name}": str(value) for name, value in chosen.best.knobs.items()}
    trial = coordinate.trial
    images = {"trial.dataset_size": trial.dataset_size, "trial.validation_size": trial.validation_size}
    return (
        cell | best | {name: str(value) for name, value in images.items()} | {"trial.seed": str(trial.seed)}
    )


def _metrics(chosen: Chosen) -> dict[str, float]:
    values = {"trials": float(len(chosen.tried)), "dataset_size": float(chosen.cells[0].dataset_size)}
    for state in ("complete", "pruned"):
        values[f"trials.{state}"] = float(sum(t.state == state for t in chosen.tried))
    if chosen.best.loss is not None:
        values["validation.loss"] = chosen.best.loss
    values |= {f"validation.loss_{name}": loss for name, loss in chosen.flatness.items()}
    again = chosen.flatness.get("best_lr", 0.0)
    if again > 0:
        beside = [loss for name, loss in chosen.flatness.items() if name != "best_lr"]
        values["flatness"] = max(beside, default=again) / again - 1
    return values | {f"importance.{name}": share for name, share in chosen.importances.items()}


def _history(chosen: Chosen) -> list[tuple[int, dict[str, float]]]:
    points, least = [], math.inf
    for trial in chosen.tried:
        if trial.loss is not None and trial.state == "complete":
            least = min(least, trial.loss)
            points.append((trial.index, {"trial.loss": trial.loss, "trial.best": least}))
    return points


def _trial_columns(chosen: Chosen) -> TrialColumns:
    from mlproject.report import TrialColumns

    finished = [t for t in chosen.tried if t.state == "complete" and t.loss is not None]
    space = chosen.coordinate.tune.space
    return TrialColumns(
        title=chosen.coordinate.label,
        indices=tuple(t.index for t in finished),
        losses=tuple(float(t.loss or 0.0) for t in finished),
        knobs={name: tuple(t.knobs[name] for t in finished) for name in space},
        log=frozenset(name for name, dimension in space.items() if getattr(dimension, "log", False)),
        importances=chosen.importances,
    )


def _child(trial: Tried, chosen: Chosen) -> dict[str, object]:
    """A trial's run: number and knobs as parameters, since charts have no tags for axes."""
    params = {"trial": trial.number, "index": trial.index, "study": chosen.coordinate.name, **trial.knobs}
    return {
        "name": f"trial {trial.index} · {chosen.coordinate.label}",
        "status": "FINISHED" if trial.state == "complete" else "KILLED",
        "params": {name: str(value) for name, value in params.items()},
        "metrics": {} if trial.loss is None else {"validation.loss": trial.loss},
        "tags": {"reason": trial.reason} if trial.reason else {},
    }
