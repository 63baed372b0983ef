"""Features that many cells need: which are missing, what they cost, and decoding once for all backbones."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlproject.cell import Cell
from mlproject.data import SplitIndices, split_indices
from mlproject.device import available_memory
from mlproject.errors import MLProjectError, NoRoom, one_line
from mlproject.recipes.frozen import FrozenBackbone

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.features import ExtractionCost
    from mlproject.progress import Report
else:
    ExtractionCost = ImageSet = Report = Any

log = logging.getLogger(__name__)

FROZEN = ("probe", "reconstruct", "memorise")
SHARE_OF_MEMORY = 10
"""Prepared images of several backbones fill at most a tenth of the available memory."""

Rows = NDArray[np.int64]
Kind = tuple[Any, ...]
"""What decides a draw but its size."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NeededFeatures:
    """A backbone and the images [n] of a set that it has to see for some cells."""

    backbone: FrozenBackbone
    images: ImageSet
    rows: Rows

    @property
    def cost(self) -> ExtractionCost:
        """The cost of what is not stored yet. Raises: WrongUse, BadInput as the extraction would."""
        return self.backbone.cost([self.images.digests[i] for i in self.rows.tolist()])

    @property
    def is_busy(self) -> bool:
        """Whether another process computes some of them at the moment."""
        with contextlib.suppress(MLProjectError):
            return self.cost.is_busy
        return False

    @property
    def n_forwards(self) -> int:
        """Images that are not stored yet, once per scale; 0 where the cells will report a fault."""
        with contextlib.suppress(MLProjectError):
            return self.cost.n_forwards
        return 0


def needed_features(cells: Iterable[Cell], images_of: Callable[[Cell], ImageSet]) -> list[NeededFeatures]:
    """The features of cells that learn from frozen ones, in the order in which the cells need them."""
    needed: dict[tuple[FrozenBackbone, int], dict[Kind, Cell]] = {}
    image_sets: dict[int, ImageSet] = {}
    largest: dict[Kind, Cell] = {}
    for cell in cells:
        images = images_of(cell)
        image_sets[id(images)] = images
        kind = (id(images), cell.seed, cell.draw, cell.in_sample, cell.validation_size)
        for backbone in _backbones(cell):
            kinds = needed.setdefault((backbone, id(images)), {})
            kinds[kind] = _larger(cell, kinds.get(kind, cell))
            largest[kind] = _larger(cell, largest.get(kind, cell))
    # Draws are nested, so that the largest of each kind begins with all others.
    drawn = {kind: split_indices(cell, image_sets[kind[0]]) for kind, cell in largest.items()}
    return [
        NeededFeatures(backbone=backbone, images=image_sets[number], rows=_rows(kinds, drawn))
        for (backbone, number), kinds in needed.items()
    ]


def _larger(cell: Cell, other: Cell) -> Cell:
    """The cell with the larger sizes of both."""
    size = max(cell.dataset_size, other.dataset_size)
    return replace(cell, dataset_size=size, eval_size=max(cell.eval_size, other.eval_size))


def _rows(cells: dict[Kind, Cell], drawn: dict[Kind, SplitIndices]) -> Rows:
    """The images of the largest cells of each kind, in the order of their first use."""
    splits = [(drawn[kind], cell) for kind, cell in cells.items()]
    return _distinct([
        part
        for rows, cell in splits
        for part in (rows.train[: cell.dataset_size], rows.validation, rows.eval[: cell.eval_size])
    ])  # fmt: skip


def _distinct(parts: Sequence[Rows]) -> Rows:
    return np.array(list(dict.fromkeys(np.concatenate(parts).tolist())), np.int64)


def _backbones(cell: Cell) -> Iterator[FrozenBackbone]:
    if cell.recipe not in FROZEN:
        return
    precision = str(cell.knobs["precision"])
    yield FrozenBackbone.of(cell, precision=precision)
    for role in ("target", "reference"):
        if cell.recipe == "reconstruct" and cell.knobs[f"{role}_model"]:
            yield FrozenBackbone.of_role(role, cell)


def extract_together(needed: Sequence[NeededFeatures], report: Report) -> None:
    """Compute missing features of backbones that share their preprocessing, decoding each image once.

    Done where a set is too large for its prepared images to be kept for the next backbone: all backbones see
    a part of the images before any of them sees the next part. What fails here is left to the cells, which
    report it; what another process computes is left to that process. Raises: NoRoom.
    """
    from mlproject.features import KEPT

    groups: dict[Kind, list[NeededFeatures]] = {}
    for features in needed:
        groups.setdefault((id(features.images), features.backbone.preprocess), []).append(features)
    for (_, preprocess), group in groups.items():
        rows = _distinct([features.rows for features in group])
        if len(rows) > KEPT.room(preprocess) and _n_decodings(group) > 1:
            with KEPT.enlarged(available_memory() // SHARE_OF_MEMORY):
                n_parts = -(-len(rows) // max(1, KEPT.room(preprocess)))
                _extract_by_parts(group, np.array_split(rows, n_parts), report)


def _n_decodings(group: Sequence[NeededFeatures]) -> int:
    """How often an image would be decoded if every backbone did so by itself."""
    return sum(features.backbone.n_decodings for features in group if features.n_forwards)


def _extract_by_parts(group: Sequence[NeededFeatures], parts: Sequence[Rows], report: Report) -> None:
    failed: set[FrozenBackbone] = set()
    for part in parts:
        for features in group:
            if features.backbone in failed or features.is_busy:
                continue
            try:
                wanted = part[np.isin(part, features.rows)]
                features.backbone.features(features.images, wanted, report)
            except NoRoom:
                raise
            except Exception as error:
                failed.add(features.backbone)
                reason = str(error) if isinstance(error, MLProjectError) else one_line(error)
                log.info("%s is left to its cells: %s", features.backbone.model, reason)
