"""Runs: what an aggregation keeps of each observation while it reads them one by one.

Of a run it keeps the judged split's losses, one float64 per image, and a shared tuple of ids. Runs that
judged the same images are brought into one order, so that all that follows can be paired.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlproject.cell import Cell
from mlproject.errors import BadInput, DigestMismatch
from mlproject.losses import Observation

Floats = NDArray[np.float64]
NEEDED = (
    "nothing to aggregate: no finished cell was found; run some cells first "
    "(a plan with at least two dataset sizes or two models gives a curve)"
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One cell's judged losses. ``rows`` [images] says where each image stands in its pool's ids."""

    observation: Observation
    kind: str
    split: str
    image_ids: tuple[str, ...]
    losses: Floats
    rows: NDArray[np.intp]

    @property
    def cell(self) -> Cell:
        """The cell that was run."""
        return self.observation.cell


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Runs that judged images of one set, and the ids (sorted) that their ``rows`` point into.

    ``aligned`` says that every run holds exactly these images in this order.
    """

    image_ids: tuple[str, ...]
    runs: tuple[Run, ...]
    aligned: bool
    note: str = ""


def read(observations: Iterable[Observation]) -> tuple[list[Run], int]:
    """One run for each cell, and how many were left out because they repeat another exactly.

    Raises: BadInput when there is none, DigestMismatch when two runs of a cell differ.
    """
    kept: dict[str, Run] = {}
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    left_out = 0
    for observation in observations:
        first = kept.get(observation.cell.key)
        if first is None:
            kept[observation.cell.key] = _judged(observation, shared)
            continue
        left_out += 1
        _require_same(first.observation, observation)
    if not kept:
        raise BadInput(NEEDED)
    return sorted(kept.values(), key=lambda run: run.cell.key), left_out


def _judged(observation: Observation, shared: dict[tuple[str, ...], tuple[str, ...]]) -> Run:
    """The judged split of a run; ids that were seen before are held once."""
    losses = observation.load_losses()
    judged = losses.select(losses.judged_split)
    if not judged.image_ids:
        raise BadInput(f"run {observation.run_id} holds no losses of its {losses.judged_split} split")
    ids = shared.setdefault(judged.image_ids, judged.image_ids)
    return Run(
        observation=observation,
        kind=judged.kind,
        split=losses.judged_split,
        image_ids=ids,
        losses=np.array(judged.loss, dtype=np.float64),
        rows=np.arange(len(ids)),
    )


def _require_same(first: Observation, second: Observation) -> None:
    if first.losses_digest != second.losses_digest:
        raise DigestMismatch(
            f"runs {first.run_id} and {second.run_id} are the same cell ({first.cell.label}) with different "
            "losses; delete the one that is wrong, then aggregate again"
        )


def pools(runs: Sequence[Run]) -> list[Pool]:
    """Runs by the set of images that judged them, in one order of images each."""
    by_set: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        cell = run.cell
        by_set.setdefault((run.split, cell.data_digest, cell.eval_size, cell.draw), []).append(run)
    return [_pool(by_set[key]) for key in sorted(by_set)]


def _pool(runs: list[Run]) -> Pool:
    """Held-out runs on the images they share; in-sample runs each on its own images.

    When the shared images would be fewer than half of the smallest run's, each keeps its own.
    """
    sets = {run.image_ids: frozenset(run.image_ids) for run in runs}
    common, union = frozenset.intersection(*sets.values()), frozenset.union(*sets.values())
    if common == union:
        return _place(runs, common, aligned=True)
    if runs[0].split == "train":
        return _place(runs, union, aligned=False)
    smallest = min(len(ids) for ids in sets.values())
    if 2 * len(common) < smallest:
        note = f"runs judged different images and share {len(common)}: intervals pair only those"
        return _place(runs, union, aligned=False, note=note)
    note = (
        f"runs judged different images: all is computed on the {len(common)} of {len(union)} that they share"
    )
    return _place(runs, common, aligned=True, note=note)


def _place(runs: list[Run], ids: frozenset[str], *, aligned: bool, note: str = "") -> Pool:
    order = tuple(sorted(ids))
    position = {image: i for i, image in enumerate(order)}
    rows = {own: _rows(own, position) for own in {run.image_ids for run in runs}}
    return Pool(
        image_ids=order,
        runs=tuple(_sorted(run, rows[run.image_ids]) for run in runs),
        aligned=aligned,
        note=note,
    )


def _rows(ids: tuple[str, ...], position: dict[str, int]) -> NDArray[np.intp]:
    return np.array([position.get(image, -1) for image in ids], dtype=np.intp)


def _sorted(run: Run, rows: NDArray[np.intp]) -> Run:
    """The run's images that the pool knows, in the pool's order."""
    order = np.argsort(rows, kind="stable")
    order = order[rows[order] >= 0]
    return replace(run, losses=run.losses[order], rows=rows[order])
