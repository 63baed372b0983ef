"""Extraction, the key of a feature row, and Features, the result of a request for features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mlproject import multiscale
from mlproject.errors import BadInput
from mlproject.models import PREPROCESS_VERSION, RANDOM_VERSION, Model, Preprocess, Weights

LAYER = "pooled"
LargeImages = Literal["interpolated", "native"]


@runtime_checkable
class Images(Protocol):
    """Images as the store needs them: a digest of each, and its pixels."""

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
            "layer": LAYER,
            "random_version": RANDOM_VERSION,
        }


def preprocess_values(preprocess: Preprocess) -> dict[str, Any]:
    """A preprocessing as JSON values, with the version of the code that carries it out."""
    return {**asdict(preprocess), "version": PREPROCESS_VERSION}


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
