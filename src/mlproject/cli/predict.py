"""Seal predictions of a plan's larger cells before they run, and print them with their seal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from mlproject.cli import console
from mlproject.errors import WrongUse, command, shown

if TYPE_CHECKING:
    from mlproject.analysis import PredictedLoss, SealedPrediction
    from mlproject.runs import SealedRun
    from mlproject.tracking import Store

EXAMPLE = "mlproject predict sweeps/embedded.toml --at 2000"


def predict_sizes(plan: str, knobs: list[str], at: str, experiment: str) -> None:
    """Predict the cells of a plan at these sizes and seal the prediction. Raises: WrongUse, BadInput."""
    from mlproject.cli.session import undeclared
    from mlproject.plans import read_plan
    from mlproject.runs import predict_plan
    from mlproject.tracking import open_store

    if not plan:
        raise WrongUse(f"name the plan whose cells are predicted: {EXAMPLE}")
    sizes = read_sizes(at)
    given = read_plan(Path(plan), undeclared(knobs))
    store = open_store(experiment, create=False)
    sealed = predict_plan(store, given, sizes)
    console.warn_of_plan(given)
    _print_losses(sealed.losses)
    for name in sealed.unpredicted:
        console.warn(f"{name}: not predicted, as its curve carries no law")
    if sealed.is_deleted:
        console.warn(f"prediction {sealed.number} was deleted; it is in the record all the same")
    _print_seal(sealed, experiment)
    console.warn_of_unreadable(store)


def read_sizes(at: str) -> list[int]:
    """Sizes such as ``2000,4000``, ascending. Raises: WrongUse."""
    words = [word.strip().replace("_", "") for word in at.split(",")]
    if not all(word.isdecimal() and 0 < int(word) < 10**15 for word in words):
        raise WrongUse(f"--at takes numbers of training images, such as 2000,4000, not {shown(at)}")
    return sorted({int(word) for word in words})


def print_prediction(prediction: SealedPrediction, store: Store) -> None:
    """A prediction that was sealed: when, what it says, its seal, and whether its file still has it."""
    day = datetime.fromtimestamp(prediction.sealed, UTC) if math.isfinite(prediction.sealed) else None
    time = f"  sealed {day:%Y-%m-%d %H:%M} UTC" if day else ""
    title = Text.assemble((f"prediction {prediction.number}", "bold"), f"{time}  run {prediction.run_id}")
    console.out.print(title)
    _print_losses(prediction.losses)
    seal = f"Seal: {prediction.seal}" + (f"; {prediction.fault}" if prediction.fault else "")
    for line in (seal, f"Artifacts: {store.artifact_uri(prediction.run_id)}"):
        console.out.print(line, soft_wrap=True, markup=False, highlight=False)


def _print_losses(losses: Sequence[PredictedLoss]) -> None:
    from mlproject.scaling import interval_text

    rows = []
    for each in losses:
        power = each.power
        texts = ["-" if it is None else interval_text(it.value, it.low, it.high) for it in (each.loss, power)]
        rows.append((each.curve, f"{each.cell.dataset_size:,}", ",".join(map(str, each.seeds)), *texts))
    console.print_rows(("curve", "images", "seeds", "mean loss, 95 % interval", "power law alone"), rows)


def _print_seal(sealed: SealedRun, experiment: str) -> None:
    kept = "Sealed as" if sealed.is_new else "Sealed before, as"
    fit = command("mlproject", "aggregate", *(("--experiment", experiment) if experiment else ()))
    lines = (
        f"{kept} prediction {sealed.number} (run {sealed.run_id}): {sealed.where}",
        f"Seal: {sealed.seal}",
        "Publish the seal where you cannot change it (a commit, a message, a registration): only that shows"
        " a change by someone who can rewrite the whole store.",
        f"Then run these cells; the next fit ({fit}) scores the prediction.",
    )
    for line in lines:
        console.out.print(line, soft_wrap=True, markup=False, highlight=False)
