"""Fill a request for feature rows: read those that are stored, compute the others shard by shard."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlproject.device import find_batch_size, find_device
from mlproject.errors import BadInput
from mlproject.features.extraction import Images
from mlproject.features.table import SHARD_ROWS, FeatureTable
from mlproject.models import Preprocess, normalise, prepare

if TYPE_CHECKING:
    from mlproject.progress import Report
else:
    Report = Any

log = logging.getLogger(__name__)

KEPT = 512 * 224**2
"""Pixels of prepared images kept in memory: 512 images of 224 x 224, 77 MB."""

PREPARED: dict[tuple[Preprocess, str], NDArray[np.uint8]] = {}

Floats = NDArray[np.float32]
Compute = Callable[[list[int]], Floats]
"""From places in the image set to their rows, one batch at a time."""


@dataclass(frozen=True)
class RowRequest:
    """A request for the rows of ``images`` at ``indices``, written to ``out``, [n, width], in this order."""

    images: Images
    indices: NDArray[np.int64]
    out: Floats
    report: Report

    @property
    def digests(self) -> list[str]:
        """SHA-256 of each requested image."""
        return [self.images.digests[int(i)] for i in self.indices]


def complete(table: FeatureTable, request: RowRequest, compute: Compute) -> None:
    """Fill ``request.out``, computing the rows that the table lacks, each image once.

    A shard is written before the next one is started, so that a killed process loses at most one.
    Raises: BadInput when a row is not finite; what ``compute`` raises.
    """
    digests = request.digests
    while True:
        missing = table.missing(digests)
        if missing:
            request.report.stage("features", len(missing))
            with table.writing():
                # Looked up again: another process may have added rows while this one waited.
                _add(table, table.missing(missing), request, compute)
        try:
            return table.read(digests, request.out)
        except KeyError:
            log.info("%s lost rows while it was read; they are computed again", table.folder.name)


def read_inputs(preprocess: Preprocess, images: Images, rows: list[int]) -> Floats:
    """Normalised inputs of some images: [B, 3, S, S]."""
    return normalise(preprocess, np.stack([_prepared(preprocess, images, i) for i in rows]))


def _prepared(preprocess: Preprocess, images: Images, row: int) -> NDArray[np.uint8]:
    """Decoded and resized once for all models of one preprocessing, while the images are few."""
    key = preprocess, images.digests[row]
    if key not in PREPARED:
        while PREPARED and len(PREPARED) >= KEPT // preprocess.crop**2:
            PREPARED.pop(next(iter(PREPARED)))
        PREPARED[key] = prepare(preprocess, images.read(row))
    return PREPARED[key]


def _add(table: FeatureTable, missing: list[str], request: RowRequest, compute: Compute) -> None:
    place = dict(zip(request.digests, (int(i) for i in request.indices), strict=True))
    step = find_batch_size(find_device())
    for start in range(0, len(missing), SHARD_ROWS):
        digests = missing[start : start + SHARD_ROWS]
        blocks = []
        for first in range(0, len(digests), step):
            batch = digests[first : first + step]
            blocks.append(compute([place[digest] for digest in batch]))
            request.report.advance(len(batch))
        matrix = np.concatenate(blocks)
        _require_finite(matrix, digests)
        table.add(digests, matrix)


def _require_finite(matrix: Floats, digests: list[str]) -> None:
    bad = ~np.isfinite(matrix).all(axis=1)
    if bad.any():
        first = digests[int(np.argmax(bad))]
        raise BadInput(f"features of {bad.sum()} images are not finite (first: SHA-256 {first})")
