"""Frozen features of a cell's images: which backbone, at which scales, and what an image costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from mlproject.cell import Cell
from mlproject.errors import DigestMismatch, WrongUse

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.features import Features
    from mlproject.features.extraction import LargeImages
    from mlproject.progress import Report
else:
    Features = ImageSet = Report = Any

GIGA_MAC = 2e9
"""Operations of a thousand million multiply-adds."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A backbone with the weights that were planned, at its image scales."""

    model: str
    weights: str
    weights_digest: str
    image_scales: tuple[float, ...] = (1.0,)
    large_images: str = "interpolated"
    precision: str = "fp32"

    @classmethod
    def of(cls, cell: Cell, *, precision: str) -> Source:
        """The backbone of a cell."""
        return cls(
            model=cell.model,
            weights=cell.weights,
            weights_digest=cell.weights_digest,
            image_scales=cell.image_scales,
            large_images=cell.large_images,
            precision=precision,
        )

    def features(self, images: ImageSet, rows: NDArray[np.int64], report: Report) -> Features:
        """Pooled features of some images, computed once.

        Raises: DigestMismatch when the weights are no longer those that were planned, WrongUse for a
        model of maps.
        """
        from mlproject.features import FeatureStore
        from mlproject.models import find_model, find_weights

        model = find_model(self.model)
        if model.maps:
            raise WrongUse(f"model must give one feature row an image, not maps as {model.name!r} does")
        weights = find_weights(model, self.weights, fetch=True)
        if weights.digest != self.weights_digest:
            raise DigestMismatch(f"weights {self.weights} changed after the cell was planned; start again")
        return FeatureStore().features(
            model,
            weights,
            images,
            rows,
            image_scales=self.image_scales,
            large_images=cast("LargeImages", self.large_images),
            precision=self.precision,
            report=report,
        )


def spent(features: Features) -> dict[str, float]:
    """What one image costs the backbone over all scales: crops, and GMAC (a multiply-add is one)."""
    return {
        "crops_per_image": float(features.crops_per_image),
        "gmac_per_image": features.flops_per_image / GIGA_MAC,
    }
