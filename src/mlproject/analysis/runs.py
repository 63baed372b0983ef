"""Read runs: one for each cell, the losses of every image loaded once, images in one order.

Runs that evaluated the same images form a pool, in which all that follows can be paired image by image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlproject.cell import Cell
from mlproject.errors import BadInput, DigestMismatch, command
from mlproject.losses import LOSS_KINDS, PREDICTIONS, Observation, PerImageLosses

Floats = NDArray[np.float64]
Names = NDArray[Any]
"""Names of classes."""
Column = NDArray[Any]
"""Values of images: float64, or truth values where all are 0 or 1."""
ERROR = "error"
N_NAMED = 5
NOTHING = (
    "nothing to aggregate: no finished cell was found; run some cells first "
    "(a plan with at least two dataset sizes or two models gives a curve)"
)


@dataclass(frozen=True, kw_only=True)
class EvaluatedRun:
    """A run with the losses of its evaluated split. ``rows`` [images] are places in the ids of its pool.

    ``image_ids`` and ``losses`` are in one order; in a pool they are the images that the pool holds.
    ``columns`` holds further values of the same images, and ``validation`` those of the validation images in
    the order of their ids, both by name: the loss, ``error``, and either under the last weights as
    ``final_<name>``; ``columns`` has the other kinds of loss (``LOSS_KINDS``) too. ``weights_mixed``: weights
    of any training are compared along models.
    """

    observation: Observation
    kind: str
    split: str
    image_ids: tuple[str, ...]
    losses: Floats
    rows: NDArray[np.intp]
    columns: Mapping[str, Column]
    validation: Mapping[str, Column]
    weights_mixed: bool = False

    @property
    def cell(self) -> Cell:
        """The cell that was run."""
        return self.observation.cell

    @property
    def run_id(self) -> str:
        """The id of the tracked run."""
        return self.observation.run_id

    @cached_property
    def predictions(self) -> Predictions | None:
        """Labels and predictions, read once; see ``predictions``."""
        return predictions(self)

    def placed(self, name: str, n_images: int) -> Floats | None:
        """A column in the order of the pool's images [n_images], NaN where it has none."""
        values = self.losses if name == self.kind else self.columns.get(name)
        if values is None:
            return None
        column = np.full(n_images, np.nan)
        column[self.rows] = values
        return column


@dataclass(frozen=True, kw_only=True)
class ImagePool:
    """Runs that evaluated images of one set, and the ids (sorted) that their ``rows`` point into.

    ``aligned`` is whether every run holds exactly these images in this order.
    """

    image_ids: tuple[str, ...]
    runs: tuple[EvaluatedRun, ...]
    aligned: bool
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Label and predicted label of every evaluated image of a run, in the order of its losses.

    Shapes: ``labels`` and ``predicted`` [images] are names of classes, each name held once. What ``memorise``
    predicts is the class of the image that ranks first. ``confidence`` [images] is the probability of what is
    predicted; None where outputs are no probabilities, and for runs that did not log it.
    """

    labels: Names
    predicted: Names
    confidence: Floats | None = None


def predictions(run: EvaluatedRun) -> Predictions | None:
    """Read the labels and predictions of a run; None for recipes without classes and runs before version 0.3.

    Every call reads the run's table. Raises: DigestMismatch, StoreUnreachable, BadInput where an image of the
    losses is missing.
    """
    table = run.observation.load_table(PREDICTIONS)
    if not table:
        return None
    places = {image: place for place, image in enumerate(table["image_name"])}
    missing = [image for image in run.image_ids if image not in places]
    if missing:
        raise BadInput(f"run {run.run_id} has a loss and no prediction of {missing[0]}; run its cell again")
    rows = [places[image] for image in run.image_ids]
    known = table.get("confidence")
    return Predictions(
        labels=_names(table["label"])[rows],
        predicted=_names(table["predicted"])[rows],
        confidence=None if known is None else np.array(known, dtype=np.float64)[rows],
    )


def _names(texts: Sequence[str]) -> Names:
    """Names [images] of a few classes: equal ones are one object, so that runs of many images stay small."""
    known: dict[str, str] = {}
    return np.array([known.setdefault(text, text) for text in texts], dtype=object)


def intact_runs(observations: Iterable[Observation]) -> list[Observation]:
    """The runs whose losses are in place; a damaged run is passed over where its cell has an intact one.

    Raises: DigestMismatch, which names the damaged runs of the other cells.
    """
    runs = list(observations)
    intact = {run.cell.key for run in runs if not run.damage}
    damaged: dict[str, Observation] = {}
    for run in runs:
        if run.cell.key not in intact:
            damaged.setdefault(run.cell.key, run)
    if damaged:
        named = [f"run {run.run_id} ({run.damage})" for run in damaged.values()]
        more = f" and {len(named) - N_NAMED} more" if len(named) > N_NAMED else ""
        raise DigestMismatch(
            f"damaged: {', '.join(named[:N_NAMED])}{more}; the next sweep of their plan runs their "
            "cells again, or leave each out: mlflow runs delete --run-id ID"
        )
    return [run for run in runs if not run.damage]


def read_runs(
    observations: Iterable[Observation], *, mix_weights: bool = False
) -> tuple[list[EvaluatedRun], int]:
    """One run for each cell, and how many were left out because they repeat another exactly.

    Raises: BadInput when there is none, DigestMismatch when two runs of a cell differ, or losses cannot be
    used: it names all such runs.
    """
    kept: dict[str, EvaluatedRun] = {}
    known_ids: dict[tuple[str, ...], tuple[str, ...]] = {}
    damaged: list[DigestMismatch] = []
    left_out = 0
    for observation in intact_runs(observations):
        first = kept.get(observation.cell.key)
        if first is None:
            try:
                kept[observation.cell.key] = _load(observation, known_ids)
            except DigestMismatch as error:
                damaged.append(error)
            continue
        left_out += 1
        _require_same(first.observation, observation)
    if damaged:
        more = f" (the first of {len(damaged)}; `mlproject ls` names all)" if len(damaged) > 1 else ""
        raise DigestMismatch(f"{damaged[0]}{more}") from damaged[0]
    if not kept:
        raise BadInput(NOTHING)
    runs = sorted(kept.values(), key=lambda run: run.cell.key)
    return [replace(run, weights_mixed=mix_weights) for run in runs], left_out


def _load(observation: Observation, known_ids: dict[tuple[str, ...], tuple[str, ...]]) -> EvaluatedRun:
    """The run with its losses; equal tuples of ids are held in memory once."""
    losses = observation.load_losses()
    evaluated = losses.select(losses.evaluated_split)
    if not evaluated.image_ids:
        raise BadInput(f"run {observation.run_id} holds no losses of its {losses.evaluated_split} split")
    ids = known_ids.setdefault(evaluated.image_ids, evaluated.image_ids)
    further = {ERROR, f"final_{evaluated.kind}", f"final_{ERROR}", *LOSS_KINDS} - {evaluated.kind}
    validation = {} if observation.cell.in_sample else _sorted_columns(losses.select("validation"))
    return EvaluatedRun(
        observation=observation,
        kind=evaluated.kind,
        split=losses.evaluated_split,
        image_ids=ids,
        losses=np.array(evaluated.loss, dtype=np.float64),
        rows=np.arange(len(ids)),
        columns={name: _compact(v) for name, v in evaluated.values.items() if name in further},
        validation=validation,
    )


def _sorted_columns(validation: PerImageLosses) -> dict[str, Column]:
    if not validation.image_ids:
        return {}
    order = np.argsort(np.array(validation.image_ids), kind="stable")
    names = [name for name in (validation.kind, ERROR) if name in validation.values]
    return {name: _compact(validation.values[name][order]) for name in names}


def _compact(values: Floats) -> Column:
    """A copy of values, an eighth of the size where all of them are 0 or 1."""
    binary = bool(np.isin(values, (0.0, 1.0)).all())
    return values.astype(np.bool_) if binary else np.array(values, dtype=np.float64)


def _require_same(first: Observation, second: Observation) -> None:
    if first.losses_digest != second.losses_digest:
        delete = command("mlflow", "runs", "delete", "--run-id", "ID")
        raise DigestMismatch(
            f"runs {first.run_id} and {second.run_id} are the same cell ({first.cell.label}) with different "
            f"losses; remove the one that is wrong ({delete}), then aggregate again"
        )


def image_pools(runs: Sequence[EvaluatedRun]) -> list[ImagePool]:
    """Runs by the set of images that they evaluated, in one order of images each."""
    by_set: dict[tuple[Any, ...], list[EvaluatedRun]] = {}
    for run in runs:
        cell = run.cell
        by_set.setdefault((run.split, cell.data_digest, cell.eval_size, cell.draw), []).append(run)
    return [_pool(by_set[key]) for key in sorted(by_set)]


def _pool(runs: list[EvaluatedRun]) -> ImagePool:
    """Held-out runs on the images they share; in-sample runs each on the images it trained on.

    When the shared images would be fewer than half of the smallest run's, each run keeps all of its images.
    """
    sets = {run.image_ids: frozenset(run.image_ids) for run in runs}
    common, union = frozenset.intersection(*sets.values()), frozenset.union(*sets.values())
    if common == union:
        return _place(runs, common, aligned=True)
    if runs[0].split == "train":
        return _place(runs, union, aligned=False)
    smallest = min(len(ids) for ids in sets.values())
    if 2 * len(common) < smallest:
        note = f"runs evaluated different images and share {len(common)}: intervals pair only those"
        return _place(runs, union, aligned=False, note=note)
    note = (
        f"runs evaluated different images: everything is computed on the {len(common)} of {len(union)} "
        "that they share"
    )
    return _place(runs, common, aligned=True, note=note)


def _place(runs: list[EvaluatedRun], ids: frozenset[str], *, aligned: bool, note: str = "") -> ImagePool:
    order = tuple(sorted(ids))
    position = {image: i for i, image in enumerate(order)}
    orders = {ids_of_run: _order(ids_of_run, position) for ids_of_run in {run.image_ids for run in runs}}
    return ImagePool(
        image_ids=order,
        runs=tuple(_in_order(run, *orders[run.image_ids]) for run in runs),
        aligned=aligned,
        note=note,
    )


def same_images(runs: Sequence[EvaluatedRun]) -> list[tuple[NDArray[np.intp], list[int]]]:
    """Runs of a pool by the images that they hold: the places of these in the pool, and of the runs here."""
    by_ids: dict[tuple[str, ...], list[int]] = {}
    for place, run in enumerate(runs):
        by_ids.setdefault(run.image_ids, []).append(place)
    return [(runs[places[0]].rows, places) for places in by_ids.values()]


def _order(
    ids: tuple[str, ...], position: dict[str, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp], tuple[str, ...]]:
    """A run's images that a pool holds, in its order: places in the run, places in the pool, and ids."""
    rows = np.array([position.get(image, -1) for image in ids], dtype=np.intp)
    order = np.argsort(rows, kind="stable")
    order = order[rows[order] >= 0]
    return order, rows[order], tuple(ids[i] for i in order)


def _in_order(
    run: EvaluatedRun, order: NDArray[np.intp], rows: NDArray[np.intp], ids: tuple[str, ...]
) -> EvaluatedRun:
    columns = {name: values[order] for name, values in run.columns.items()}
    return replace(run, image_ids=ids, losses=run.losses[order], rows=rows, columns=columns)
