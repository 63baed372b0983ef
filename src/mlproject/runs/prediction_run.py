"""Seal what larger cells of a plan will give before they run, and read what came of all that was sealed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mlproject.analysis import (
    PlannedCells,
    PredictedLoss,
    PredictionRecord,
    SealedPrediction,
    TargetRun,
    content_key,
    file_content,
    intact_runs,
    key_of_curve,
    predict_losses,
    read_sealed,
    score_predictions,
)
from mlproject.cell import Cell
from mlproject.errors import BadInput, WrongUse
from mlproject.losses import Observation
from mlproject.plans import Plan
from mlproject.runs.kept_results import kept_path, source_digest
from mlproject.runs.next_experiments import cells_as_run
from mlproject.tracking import (
    CellAttempt,
    LoggedPrediction,
    Named,
    Store,
    attempts_at_size,
    code_version,
    read_predictions,
    seal_prediction,
)


@dataclass(frozen=True, kw_only=True)
class SealedRun:
    """A prediction that is sealed: its run, number, seal and losses.

    ``is_new`` is False where the same prediction was made before; ``unpredicted`` names the cells whose
    curves carry no prediction.
    """

    run_id: str
    number: int
    seal: str
    losses: tuple[PredictedLoss, ...]
    is_new: bool
    is_deleted: bool
    unpredicted: tuple[str, ...]
    where: str


def predict_plan(store: Store, plan: Plan, sizes: Sequence[int]) -> SealedRun:
    """Predict the cells of a plan's curves at larger sizes from its finished cells, and seal the prediction.

    The same prediction is sealed once. Raises: WrongUse where cells of such a size exist in any state, or the
    images do not suffice for them; BadInput where no curve carries a prediction.
    """
    store.reconcile()
    planned = planned_cells(plan, sizes)
    _refuse_existing(store, planned)
    curves = {key_of_curve(each.cell) for each in planned}
    observations = intact_runs(run for run in store.observations() if key_of_curve(run.cell) in curves)
    _refuse_smaller(observations, planned)
    losses = predict_losses(observations, planned) if observations else []
    if not losses:
        raise BadInput(
            f"no curve of {plan.name} carries a prediction: three finished sizes with its knobs and"
            " data are needed; run smaller cells first"
        )
    run, is_new = _seal(store, plan.name, losses, observations)
    predicted = {each.cell.key for each in losses}
    return SealedRun(
        run_id=run.run_id,
        number=run.named.number,
        seal=run.named.seal,
        losses=tuple(losses),
        is_new=is_new,
        is_deleted=run.deleted,
        unpredicted=tuple(each.cell.label for each in planned if each.cell.key not in predicted),
        where=store.artifact_uri(run.run_id),
    )


def _seal(
    store: Store, plan: str, losses: Sequence[PredictedLoss], observations: Sequence[Observation]
) -> tuple[LoggedPrediction, bool]:
    """Seal predictions that were made from these runs, unless they are already; and whether they were not."""
    fitted = _digest_of(observations)
    about = {
        "plan": plan,
        "code": code_version() | {"source": source_digest()},
        "fitted": {"runs": len(observations), "sha256": fitted},
    }

    def write(number: int, names: Sequence[Named]) -> bytes:
        before = [(each.number, each.seal) for each in names]
        return file_content(losses, number=number, names=before, sealed=time.time(), about=about)

    return seal_prediction(
        store, key=content_key(losses, fitted), name=plan, n_losses=len(losses), write=write
    )


def planned_cells(plan: Plan, sizes: Sequence[int]) -> list[PlannedCells]:
    """The cells of every curve of a plan at each size: with the plan's seeds there, or at its largest size.

    Raises: WrongUse where the images of a curve do not suffice.
    """
    curves: dict[str, list[tuple[Cell, Cell]]] = {}
    for cell, run_as in cells_as_run(plan):
        curves.setdefault(key_of_curve(run_as), []).append((cell, run_as))
    planned = []
    for pairs in curves.values():
        cell, run_as = pairs[0]
        n_pool = plan.images_of(cell).n_pool(in_sample=cell.in_sample) - run_as.validation_size
        for size in sizes:
            if size > n_pool:
                name = replace(run_as, dataset_size=size).label
                raise WrongUse(f"{name}: {n_pool:,} images can be trained on; name smaller sizes (--at)")
            largest = max(each.dataset_size for each, _ in pairs)
            at = size if any(each.dataset_size == size for each, _ in pairs) else largest
            seeds = sorted({each.seed for each, _ in pairs if each.dataset_size == at})
            planned.append(
                PlannedCells(cell=replace(run_as, dataset_size=size, seed=seeds[0]), seeds=tuple(seeds))
            )
    return planned


def _refuse_existing(store: Store, planned: Sequence[PlannedCells]) -> None:
    """Raises: WrongUse where a cell is finished, running, deleted with its loss, or waits to be logged.

    In any experiment of the store.
    """
    asked = {(key_of_curve(each.cell), each.cell.dataset_size) for each in planned}
    for size in sorted({size for _, size in asked}):
        for attempt in attempts_at_size(store, size, everywhere=True):
            state = _state(attempt)
            if state and (key_of_curve(attempt.cell), size) in asked:
                raise WrongUse(
                    f"{attempt.cell.label} {state} (run {attempt.run_id}): what exists cannot be predicted;"
                    " name sizes that were not run (--at)"
                )
    for each in planned:
        for cell in (replace(each.cell, seed=seed) for seed in each.seeds):
            if kept_path(store, cell).exists():
                raise WrongUse(
                    f"{cell.label} is computed and waits to be logged ({kept_path(store, cell)}): what exists"
                    " cannot be predicted"
                )


def _refuse_smaller(observations: Sequence[Observation], planned: Sequence[PlannedCells]) -> None:
    """Raises: WrongUse for a size that is not larger than all finished ones, which needs no prediction."""
    largest: dict[str, int] = {}
    for run in observations:
        key = key_of_curve(run.cell)
        largest[key] = max(largest.get(key, 0), run.cell.dataset_size)
    for each in planned:
        finished = largest.get(key_of_curve(each.cell), 0)
        if each.cell.dataset_size <= finished:
            raise WrongUse(
                f"{each.cell.label}: cells of {finished:,} images are finished; name larger sizes (--at)"
            )


def _state(attempt: CellAttempt) -> str:
    """What a run of a cell has of it; empty where it ended without a loss."""
    if attempt.status == "RUNNING":
        return "is running"
    if attempt.loss is None and not attempt.complete:
        return ""
    return "was run and deleted" if attempt.deleted else "was run"


def _digest_of(observations: Iterable[Observation]) -> str:
    """SHA-256 of the losses that a prediction was made from, by cell."""
    rows = sorted({(run.cell.key, run.losses_digest) for run in observations})
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def prediction_record(store: Store) -> PredictionRecord | None:
    """What came of the sealed predictions of an experiment; None where there was never any."""
    logged = read_predictions(store)
    if not logged.runs and not logged.witnessed:
        return None
    sealed = [_sealed(run) for run in logged.runs]
    sizes = {each.cell.dataset_size for prediction in sealed for each in prediction.losses}
    runs = [
        _target_run(attempt)
        for size in sorted(sizes)
        for attempt in attempts_at_size(store, size)
        if attempt.complete and attempt.loss is not None
    ]
    witnessed = {(each.number, each.seal): each.n_losses for each in sorted(logged.witnessed)}
    return score_predictions(sealed, witnessed, runs)


def find_prediction(store: Store, name: str) -> SealedPrediction | None:
    """The sealed prediction whose run's id begins with a name; None where none or several do."""
    runs = [run for run in read_predictions(store).runs if run.run_id.startswith(name)]
    return _sealed(runs[0]) if len(runs) == 1 else None


def _sealed(run: LoggedPrediction) -> SealedPrediction:
    return read_sealed(
        run.content,
        number=run.named.number,
        seal=run.named.seal,
        run_id=run.run_id,
        n_losses=run.named.n_losses,
        deleted=run.deleted,
    )


def _target_run(attempt: CellAttempt) -> TargetRun:
    assert attempt.loss is not None
    return TargetRun(
        cell=attempt.cell,
        run_id=attempt.run_id,
        loss=attempt.loss,
        begun=attempt.begun / 1000,
        ended=attempt.ended / 1000,
        names=tuple((each.number, each.seal) for each in attempt.head),
        deleted=attempt.deleted,
    )
