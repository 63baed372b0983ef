"""Reconstruct: predict a target backbone's features by a linear map of (multi-scale) source features.

Shi et al. 2024, arXiv 2403.13043, section 4.2, who publish tables and no code. The source is the cell's model
at the cell's image scales; target and reference are backbones at scale 1. Features are pooled, one vector an
image, where the paper averages over tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

from mlproject.cell import Cell
from mlproject.losses import Outcome
from mlproject.recipes.knobs import LayerName, Needs, PoolName
from mlproject.training import (
    MOST_STEPS,
    STRICT,
    BatchSize,
    LearningRate,
    OptimizerName,
    PrecisionName,
    WeightDecay,
)

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.losses import Report
else:
    ImageSet = Report = Any


class Reconstruct(BaseModel):
    """Predict the target's features by a linear map of the source's; losses are squared errors per image.

    Digests of weights are looked up when the recipe is built and belong to the cell's identity.
    """

    model_config = STRICT

    reference: ClassVar[str] = "Shi et al. 2024, arXiv 2403.13043, section 4.2"
    version: ClassVar[int] = 1
    validates: ClassVar[bool] = False
    from_scratch: ClassVar[bool] = False
    only_in_sample: ClassVar[bool] = False
    needs: ClassVar[Needs] = "pixels"

    target_model: Annotated[str, Field(description="Model whose features are predicted.")] = (
        "efficientnet_lite2"
    )
    target_weights: Annotated[str, Field(description="Weights of the target model.")] = "imagenet"
    target_digest: Annotated[
        str, Field(description="Digest of these weights; looked up, and checked when they are loaded.")
    ] = ""
    reference_model: Annotated[
        str, Field(description="Very large model that gives I* and the ratio r; empty for none.")
    ] = ""
    reference_weights: Annotated[str, Field(description="Weights of the reference model.")] = "imagenet"
    reference_digest: Annotated[
        str, Field(description="Digest of these weights; looked up, and checked when they are loaded.")
    ] = ""
    solver: Annotated[
        Literal["ridge", "gradient"],
        Field(
            description="Ridge regression in closed form with the penalty of least leave-one-out error, "
            "which uses no knob of the gradient; or gradient steps from the best constant."
        ),
    ] = "ridge"
    optimizer: OptimizerName = "adam"
    lr: LearningRate = 1e-3
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS, description="Optimiser steps.")] = 1000
    batch_size: BatchSize = 128
    weight_decay: WeightDecay = 0.0
    standardize: Annotated[
        bool, Field(description="Standardise inputs by training statistics (targets never are).")
    ] = True
    precision: PrecisionName = "fp32"
    layer: LayerName = "auto"
    pool: PoolName = "auto"

    @model_validator(mode="after")
    def _identify_weights(self) -> Reconstruct:
        self._identify("target")
        if self.reference_model:
            self._identify("reference")
        return self

    def run(self, cell: Cell, images: ImageSet, report: Report) -> Outcome:
        """Embed, map, evaluate. Raises: MLProjectError if the target does not vary or training diverges."""
        from mlproject.recipes.reconstruct.run import run_reconstruct

        return run_reconstruct(self, cell, images, report)

    def _identify(self, role: str) -> None:
        """Set model, weights and digest of a backbone to their full names, unless a digest is given."""
        if getattr(self, f"{role}_digest"):
            return
        from mlproject.models import find_model, find_weights

        spec = getattr(self, f"{role}_weights")
        model = find_model(getattr(self, f"{role}_model"), spec)
        weights = find_weights(model, spec)
        digest = " ".join(part for part in (weights.digest, model.digest) if part)
        for name, value in (("model", model.name), ("weights", weights.label), ("digest", digest)):
            object.__setattr__(self, f"{role}_{name}", value)
