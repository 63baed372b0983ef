"""Features that many cells need: which are missing, what they cost, and decoding once for all backbones."""

from __future__ import annotations

import contextlib
import logging
import math
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
    from mlproject.losses import Report
else:
    ExtractionCost = ImageSet = Report = Any

log = logging.getLogger(__name__)

FROZEN = ("probe", "reconstruct", "memorise")
PART_ROWS = 4096
"""Images of a part that a process computes, at most: what is reported at once, and lost with a process."""
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


def scales_of(cell: Cell) -> list[FrozenBackbone]:
    """The backbones of a cell that learns from frozen features, each at one scale, as parts have them."""
    return [at_scale for backbone in _backbones(cell) for at_scale in backbone.by_scale]


def missing_parts(needed: Iterable[NeededFeatures], n_processes: int) -> list[NeededFeatures]:
    """The features that are not stored, in parts for so many processes: a backbone at one scale each.

    No image is in two parts of a backbone and scale, in whichever sets it is. The most expensive backbone
    comes first, and a part has at most a process's share of the work that is left (guided self-scheduling,
    Polychronopoulos and Kuck 1987, IEEE Trans. Computers 36, 1425): most backbones are loaded by one process,
    and the last ones are divided so that all processes end together. Features that cannot be computed are
    left to their cells, which report why.
    """
    by_scale: dict[FrozenBackbone, list[tuple[ImageSet, Rows]]] = {}
    for features in needed:
        for backbone in features.backbone.by_scale:
            sets = by_scale.setdefault(backbone, [])
            with contextlib.suppress(MLProjectError):
                sets.append((features.images, _missing_rows(backbone, features, sets)))
    costs = {
        backbone: backbone.relative_cost * sum(len(rows) for _, rows in sets)
        for backbone, sets in by_scale.items()
        if sets
    }
    left, parts = sum(costs.values()), []
    for backbone in sorted(costs, key=lambda each: costs[each], reverse=True):
        for images, rows in by_scale[backbone]:
            start = 0
            while start < len(rows):
                part = rows[start : start + _part_size(left / n_processes / backbone.relative_cost)]
                parts.append(NeededFeatures(backbone=backbone, images=images, rows=part))
                left -= backbone.relative_cost * len(part)
                start += len(part)
    return parts


def _missing_rows(
    backbone: FrozenBackbone, features: NeededFeatures, before: Sequence[tuple[ImageSet, Rows]]
) -> Rows:
    """The images without stored features that no set before holds."""
    place: dict[str, int] = {}
    for row in features.rows.tolist():
        place.setdefault(features.images.digests[row], row)
    others = {images.digests[row] for images, rows in before for row in rows.tolist()}
    return np.array([place[d] for d in backbone.missing(list(place)) if d not in others], np.int64)


def _part_size(share: float) -> int:
    """Images of a part: whole shards that hold a process's share, but no more than a part may have."""
    from mlproject.features import SHARD_ROWS

    return min(PART_ROWS, max(1, math.ceil(share / SHARD_ROWS)) * SHARD_ROWS)


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
