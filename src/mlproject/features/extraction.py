"""Extraction, the key of a feature row; Features, the result of a request; and the filling of requests.

Rows that are stored are read; the others are computed shard by shard.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mlproject import multiscale
from mlproject.device import find_batch_size, find_device, runs_ahead
from mlproject.errors import BadInput
from mlproject.features.pixels import PixelReader
from mlproject.features.prepared import KEPT, Decoder, Pixels
from mlproject.features.table import SHARD_ROWS, FeatureTable
from mlproject.models import (
    PREPROCESS_VERSION,
    RANDOM_VERSION,
    Model,
    Preprocess,
    Weights,
)

if TYPE_CHECKING:
    from mlproject.losses import Report
else:
    Report = Any


LargeImages = Literal["interpolated", "native"]


@runtime_checkable
class Images(Protocol):
    """Images as the store needs them: an id and a digest of each, and its pixels."""

    @property
    def ids(self) -> Sequence[str]:
        """The name of each image in messages."""

    @property
    def digests(self) -> Sequence[str]:
        """SHA-256 of each image."""

    def read(self, i: int, /) -> NDArray[np.uint8]:
        """Pixels of one image, [H, W, 3]."""


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """One backbone at one scale: everything that changes a feature, and nothing else.

    ``large_images``: larger scales are interpolated from the image at scale 1, or cut from the picture.

    Raises: BadInput when the scale does not divide, or the model takes no other input side.
    """

    model: Model
    weights: Weights
    precision: str
    engine: str
    image_scale: float = 1.0
    large_images: LargeImages = "interpolated"

    def __post_init__(self) -> None:
        if self.model.fixed_side and self.crop_side != self.model.side:
            raise BadInput(
                f"{self.model.name} takes {self.model.side} pixels only, and image scale "
                f"{self.image_scale:g} gives crops of {self.crop_side}; use whole scales"
            )

    @property
    def crop_side(self) -> int:
        """Pixels a side that the backbone sees."""
        return multiscale.crop_side(self.model.side, self.image_scale)

    @property
    def n_crops(self) -> int:
        """Backbone passes for one image."""
        return multiscale.n_crops(self.model.side, (self.image_scale,))

    @property
    def native(self) -> bool:
        """Whether the scale is resized from the picture's own pixels; scale 1 always is."""
        return self.large_images == "native" and self.image_scale != 1.0

    @property
    def preprocess(self) -> Preprocess:
        """Preprocessing before the cut into crops; for native pixels, the same view at the scale's side."""
        base = self.model.preprocess
        if not self.native:
            return base
        side = multiscale.scaled_side(base.crop, self.image_scale)
        return replace(base, resize=max(side, round(base.resize * self.image_scale)), crop=side)

    @property
    def key(self) -> dict[str, Any]:
        """The ingredients of the cache key, as JSON values."""
        native = {"large_images": "native"} if self.native else {}
        return native | {
            "model": self.model.name,
            "weights": self.weights.digest,
            "preprocess": preprocess_values(self.model.preprocess),
            "image_scale": self.image_scale,
            "precision": self.precision,
            "engine": self.engine,
            "layer": self.model.output,
            "random_version": RANDOM_VERSION,
        }


def preprocess_values(preprocess: Preprocess) -> dict[str, Any]:
    """A preprocessing as JSON values, with the version of the code that carries it out.

    ``fit``, added later, is left out at its default, so that stored rows keep their key.
    """
    values = {**asdict(preprocess), "version": PREPROCESS_VERSION}
    return {name: value for name, value in values.items() if (name, value) != ("fit", "shorter side")}


@dataclass(frozen=True, kw_only=True)
class Features:
    """Frozen features of some images and what they cost.

    Shapes: ``matrix`` is [n, width * number of scales], float32, rows in the order of the request.
    Units: ``flops_per_image`` of one forward pass over all scales and crops (a multiply-add is two);
    ``n_forwards`` images were embedded for this request (per scale), in ``n_crops`` backbone passes;
    ``crops_per_image`` is the sum of k^2 over scales, whether computed now or before.
    """

    matrix: NDArray[np.float32]
    n_params: int
    flops_per_image: float
    provenance: dict[str, str]
    n_forwards: int
    n_crops: int
    crops_per_image: int


log = logging.getLogger(__name__)

LOADED = 64
"""Images that come from a worker at once, at least: each message costs a millisecond."""

Floats = NDArray[np.float32]
Finish = Callable[[], Floats]
"""Waits for the rows of a batch that was sent to a device."""
Compute = Callable[[Pixels], Finish]
"""From prepared images [B, S, S, 3] to their rows, [B, width]."""


@dataclass(frozen=True)
class RowRequest:
    """A request for the rows of ``images`` at ``indices``, written to ``out``, [n, width], in this order.

    ``shared``: other processes add other rows to the table at the same time.
    """

    images: Images
    indices: NDArray[np.int64]
    out: Floats
    report: Report
    shared: bool = False

    @property
    def digests(self) -> list[str]:
        """SHA-256 of each requested image."""
        return [self.images.digests[int(i)] for i in self.indices]


def complete(table: FeatureTable, request: RowRequest, preprocess: Preprocess, compute: Compute) -> None:
    """Fill ``request.out``, computing the rows that the table lacks, each image once.

    A shard is written before the next one is started, so that a killed process loses at most one; beside a
    GPU, while the next one is computed, so that it loses at most two.
    Raises: BadInput when a row is not finite; what reading and ``compute`` raise.
    """
    digests = request.digests
    while True:
        missing = table.missing(digests)
        if missing:
            request.report.stage("features", len(missing))
            with table.writing(shared=request.shared):
                # Looked up again: another process may have added rows while this one waited.
                _add(table, table.missing(missing), request, preprocess, compute)
        try:
            return table.read(digests, request.out)
        except KeyError:
            log.info("%s lost rows while it was read; they are computed again", table.folder.name)


def _add(
    table: FeatureTable, missing: list[str], request: RowRequest, preprocess: Preprocess, compute: Compute
) -> None:
    images, device = request.images, find_device()
    place = dict(zip(request.digests, (int(i) for i in request.indices), strict=True))
    step = max(LOADED, find_batch_size(device))
    shards = [missing[start : start + SHARD_ROWS] for start in range(0, len(missing), SHARD_ROWS)]
    batches = [shard[start : start + step] for shard in shards for start in range(0, len(shard), step)]
    places = [[place[digest] for digest in batch] for batch in batches]
    decoder = Decoder(images.read, preprocess)
    waiting: deque[tuple[list[str], list[Finish]]] = deque()
    with PixelReader(decoder, images.ids, images.digests, device, kept=KEPT) as reader:
        decoded = reader.batches(places)
        try:
            for shard in shards:
                rows = []
                for start in range(0, len(shard), step):
                    rows.append(compute(next(decoded)[0]))
                    request.report.advance(len(shard[start : start + step]))
                waiting.append((shard, rows))
                if len(waiting) > runs_ahead(device):
                    _write(table, *waiting.popleft())
        finally:
            while waiting:
                _write(table, *waiting.popleft())


def _write(table: FeatureTable, digests: list[str], rows: list[Finish]) -> None:
    matrix = np.concatenate([finish() for finish in rows])
    _require_finite(matrix, digests)
    table.add(digests, matrix)


def _require_finite(matrix: Floats, digests: list[str]) -> None:
    bad = ~np.isfinite(matrix).all(axis=1)
    if bad.any():
        first = digests[int(np.argmax(bad))]
        raise BadInput(f"features of {bad.sum()} images are not finite (first: SHA-256 {first})")
