"""Log a finished search as a tracked run: its trials, plots, best knobs, and how flat the optimum is."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from mlproject.files import sha256, temporary_folder, try_locked, write_rows
from mlproject.tracking import Store
from mlproject.tuning.coordinate import BORROWED
from mlproject.tuning.tuner import SearchResult

if TYPE_CHECKING:
    from mlproject.report import TrialColumns
    from mlproject.tuning.search.study import FinishedTrial
else:
    FinishedTrial = TrialColumns = Any

KIND = "study"
TRIALS = "trials.csv"


def log_search(result: SearchResult, store: Store, *, sweep: str, parent: str) -> str:
    """Log a finished search as a child run of ``parent``; an earlier run of the same trials is returned.

    With ``log_trials`` every trial is a child run of it.
    """
    from mlproject.report import draw_trials

    rows = _rows(result)
    digest = sha256(json.dumps([result.coordinate.name, rows]).encode())[:16]
    lock = f"study-run-{digest}"
    with try_locked(store.lock_path(lock)) as ours:
        earlier = store.finished(kind=KIND, tags={"study.digest": digest}, reads=TRIALS)
        if earlier or not ours:
            return earlier or ""
        tags = {"study": result.coordinate.name, "study.digest": digest, "sweep": sweep}
        tags |= {"mlflow.parentRunId": parent} if parent else {}
        with store.run(kind=KIND, name=f"{result.coordinate.label} · trials", tags=tags) as run:
            warnings = [*result.warnings, *([BORROWED] if result.coordinate.borrowed else [])]
            noted = {"warning": "\n".join(warnings)} if warnings else {}
            run.log(params=_params(result), metrics=_metrics(result), tags=noted, history=_history(result))
            with temporary_folder() as folder:
                write_rows(folder / TRIALS, _columns(result), rows)
                draw_trials(_trial_columns(result), folder / "trials.png")
                run.log_files(folder)
            if result.coordinate.tune.log_trials:
                store.log_children(run.run_id, kind="trial", rows=[_child(t, result) for t in result.trials])
    return run.run_id


def _columns(result: SearchResult) -> list[str]:
    return ["index", "trial", "state", "validation_loss", *result.coordinate.tune.space, "reason"]


def _rows(result: SearchResult) -> list[list[object]]:
    return [
        [t.index, t.number, t.state, "" if t.loss is None else t.loss]
        + [t.knobs.get(name, "") for name in result.coordinate.tune.space]
        + [t.reason]
        for t in result.trials
    ]


def _params(result: SearchResult) -> dict[str, str]:
    """The coordinate, the sizes and seed of its trials, and the best knobs."""
    coordinate = result.coordinate
    tuned = {f"cell.knobs.{name}" for name in coordinate.tune.space}
    cell = {n: v for n, v in result.cells[0].to_params().items() if n not in {*tuned, "cell.seed"}}
    best = {f"best.{name}": str(value) for name, value in result.best.knobs.items()}
    trial = coordinate.trial
    images = {"trial.dataset_size": trial.dataset_size, "trial.validation_size": trial.validation_size}
    return (
        cell | best | {name: str(value) for name, value in images.items()} | {"trial.seed": str(trial.seed)}
    )


def _metrics(result: SearchResult) -> dict[str, float]:
    values = {"trials": float(len(result.trials)), "dataset_size": float(result.cells[0].dataset_size)}
    for state in ("complete", "pruned"):
        values[f"trials.{state}"] = float(sum(t.state == state for t in result.trials))
    if result.best.loss is not None:
        values["validation.loss"] = result.best.loss
    values |= {f"validation.loss_{name}": loss for name, loss in result.flatness.items()}
    again = result.flatness.get("best_lr", 0.0)
    if again > 0:
        beside = [loss for name, loss in result.flatness.items() if name != "best_lr"]
        values["flatness"] = max(beside, default=again) / again - 1
    return values | {f"importance.{name}": share for name, share in result.importances.items()}


def _history(result: SearchResult) -> list[tuple[int, dict[str, float]]]:
    points, least = [], math.inf
    for trial in result.trials:
        if trial.loss is not None and trial.state == "complete":
            least = min(least, trial.loss)
            points.append((trial.index, {"trial.loss": trial.loss, "trial.best": least}))
    return points


def _trial_columns(result: SearchResult) -> TrialColumns:
    from mlproject.report import TrialColumns

    finished = [t for t in result.trials if t.state == "complete" and t.loss is not None]
    space = result.coordinate.tune.space
    return TrialColumns(
        title=result.coordinate.label,
        indices=tuple(t.index for t in finished),
        losses=tuple(float(t.loss or 0.0) for t in finished),
        knobs={name: tuple(t.knobs[name] for t in finished) for name in space},
        log=frozenset(name for name, dimension in space.items() if getattr(dimension, "log", False)),
        importances=result.importances,
    )


def _child(trial: FinishedTrial, result: SearchResult) -> dict[str, object]:
    """A trial's run; number and knobs are parameters, since charts cannot have tags as axes."""
    params = {"trial": trial.number, "index": trial.index, "study": result.coordinate.name, **trial.knobs}
    return {
        "name": f"trial {trial.index} · {result.coordinate.label}",
        "status": "FINISHED" if trial.state == "complete" else "KILLED",
        "params": {name: str(value) for name, value in params.items()},
        "metrics": {} if trial.loss is None else {"validation.loss": trial.loss},
        "tags": {"reason": trial.reason} if trial.reason else {},
    }
