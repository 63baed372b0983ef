"""Frozen features of a cell's images: the backbone, its image scales, and what an image costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from mlproject.cell import Cell, LargeImages
from mlproject.errors import DigestMismatch, WrongUse

if TYPE_CHECKING:
    from torch import Tensor

    from mlproject.data import ImageSet
    from mlproject.features import ExtractionCost, Features
    from mlproject.losses import Report
    from mlproject.models import Model, Preprocess, Weights
else:
    ExtractionCost = Features = ImageSet = Model = Preprocess = Report = Tensor = Weights = Any

GIGA_MAC = 2e9
"""Operations of a thousand million multiply-adds."""


@dataclass(frozen=True, kw_only=True)
class FrozenBackbone:
    """A backbone with the weights that were planned, at its image scales."""

    model: str
    weights: str
    weights_digest: str
    image_scales: tuple[float, ...] = (1.0,)
    large_images: str = "interpolated"
    precision: str = "fp32"
    model_digest: str = ""
    layer: str = "auto"
    pool: str = "auto"

    @classmethod
    def of(cls, cell: Cell, *, precision: str) -> FrozenBackbone:
        """The backbone of a cell."""
        return cls(
            model=cell.model,
            weights=cell.weights,
            weights_digest=cell.weights_digest,
            model_digest=cell.model_digest,
            image_scales=cell.image_scales,
            large_images=cell.large_images,
            precision=precision,
            layer=str(cell.knobs.get("layer", "auto")),
            pool=str(cell.knobs.get("pool", "auto")),
        )

    @classmethod
    def of_role(cls, role: str, cell: Cell) -> FrozenBackbone:
        """The backbone of the ``target`` or the ``reference`` of a cell that reconstructs, at scale 1."""
        model, weights, digests = (
            str(cell.knobs[f"{role}_{part}"]) for part in ("model", "weights", "digest")
        )
        weights_digest, _, model_digest = digests.partition(" ")
        return cls(
            model=model,
            weights=weights,
            weights_digest=weights_digest,
            model_digest=model_digest,
            precision=str(cell.knobs["precision"]),
        )

    @property
    def preprocess(self) -> Preprocess:
        """How images are decoded for the model, whatever they are normalised by afterwards."""
        from mlproject.models import find_model, geometry

        return geometry(find_model(self.model, self.weights).preprocess)

    @property
    def n_decodings(self) -> int:
        """How often an image is decoded in this way: once for each scale that is not of native pixels."""
        return len([s for s in self.image_scales if s == 1.0 or self.large_images == "interpolated"])

    @property
    def by_scale(self) -> tuple[FrozenBackbone, ...]:
        """The backbone at each of its scales alone, whose features are stored apart."""
        return tuple(
            replace(self, image_scales=(s,), large_images="interpolated" if s == 1.0 else self.large_images)
            for s in self.image_scales
        )

    @property
    def relative_cost(self) -> float:
        """Parameters times input pixels of an image, at all scales: about proportional to its operations."""
        from mlproject.models import find_model

        model = find_model(self.model, self.weights)
        return max(1, model.n_params_body) * sum((model.side * scale) ** 2 for scale in self.image_scales)

    def _described(self) -> tuple[Model, Weights]:
        """Model and weights as far as the tables say: no file is read."""
        from mlproject.models import Weights, find_model

        model = find_model(self.model, self.weights)
        if (self.layer, self.pool) != ("auto", "auto"):
            from mlproject.models import at_depth  # which needs torch

            model = at_depth(model, self.layer, self.pool)
        return model, Weights("file", self.weights, self.weights_digest)

    def cost(self, digests: Sequence[str]) -> ExtractionCost:
        """The cost of features that are not stored yet. Raises: WrongUse, BadInput as ``features`` would."""
        from mlproject.features import extraction_cost

        return extraction_cost(
            *self._described(),
            digests,
            image_scales=self.image_scales,
            large_images=cast("LargeImages", self.large_images),
            precision=self.precision,
        )

    def missing(self, digests: Sequence[str]) -> list[str]:
        """Digests of images without stored features at the first scale, each once; raises as ``cost``."""
        from mlproject.features import missing_digests

        return missing_digests(
            *self._described(),
            digests,
            image_scale=self.image_scales[0],
            large_images=cast("LargeImages", self.large_images),
            precision=self.precision,
        )

    def features(
        self, images: ImageSet, rows: NDArray[np.int64], report: Report, *, shared: bool = False
    ) -> Features:
        """Features of these images, computed once; ``shared``: other processes compute others meanwhile.

        Raises: DigestMismatch when the weights are no longer those that were planned, WrongUse for a
        model whose output is a map.
        """
        from mlproject.features import FeatureStore
        from mlproject.models import at_depth, find_weights

        planned = planned_model(self.model, self.weights, self.model_digest)
        model = at_depth(planned, self.layer, self.pool)
        if model.maps:
            raise WrongUse(f"model must give one feature row an image, not maps as {model.name!r} does")
        weights = find_weights(model, self.weights, fetch=True)
        if weights.digest != self.weights_digest:
            raise DigestMismatch(f"weights {self.weights} changed after the cell was planned; start again")
        return FeatureStore(shared=shared).features(
            model,
            weights,
            images,
            rows,
            image_scales=self.image_scales,
            large_images=cast("LargeImages", self.large_images),
            precision=self.precision,
            report=report,
        )


def planned_model(name: str, weights: str, digest: str) -> Model:
    """The model that was planned. Raises: DigestMismatch where ``models.toml`` or timm changed since."""
    from mlproject.models import find_model

    model = find_model(name, weights)
    if model.digest != digest:
        what = f"network or preprocessing of {name} ({model.source})"
        raise DigestMismatch(f"{what} changed after the cell was planned; start again")
    return model


def feature_tensor(features: Features) -> Tensor:
    """The features [n, d] on the device that heads are trained on."""
    import torch

    return torch.from_numpy(features.matrix).to(head_device())


def head_device() -> str:
    """The device that heads are trained on: cuda where there is one, else the CPU."""
    from mlproject.device import find_device

    return "cuda" if find_device() == "cuda" else "cpu"  # losses are float64, which mps lacks


def standardized(inputs: Tensor, n_train: int, *, apply: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs [n, d] standardised by statistics of the first ``n_train``, and mean and deviation [d].

    Without ``apply`` the inputs stay as they are, with mean 0 and deviation 1.
    """
    import torch

    from mlproject.training import statistics

    if not apply:
        return inputs, torch.zeros_like(inputs[0]), torch.ones_like(inputs[0])
    mean, std = statistics(inputs[:n_train])
    return (inputs - mean).div_(std), mean, std


def feature_cost(features: Features) -> dict[str, float]:
    """Cost of an image in the backbone over all scales: crops, and GMAC (a multiply-add counts as one)."""
    return {
        "crops_per_image": float(features.crops_per_image),
        "gmac_per_image": features.flops_per_image / GIGA_MAC,
    }
