"""Memorise: every image is a class, and the loss gives the bits that a head on frozen features stores.

Shi et al. 2024, arXiv 2403.13043, section 4.3, after the instance discrimination of Wu et al. 2018,
arXiv 1805.01978. Two forms:

    linear     a linear head with one output for each image
    instance   features are projected to ``dimensions`` values and normalised; the score of image i is
               v_i · v / temperature, with a memory of every image's last vectors in place of weights

Before training, all scores are 0 and the loss of n images is exactly ln n.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field

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


class Memorise(BaseModel):
    """Tell training images apart; an image's loss is its cross-entropy among all n images, in nats.

    Only training images have a class, so cells are in-sample.
    """

    model_config = STRICT

    reference: ClassVar[str] = (
        "Wu et al. 2018, arXiv 1805.01978; Shi et al. 2024, arXiv 2403.13043, section 4.3"
    )
    version: ClassVar[int] = 1
    validates: ClassVar[bool] = False
    from_scratch: ClassVar[bool] = False
    only_in_sample: ClassVar[bool] = True
    needs: ClassVar[Needs] = "pixels"

    form: Annotated[
        Literal["linear", "instance"],
        Field(description="A linear head with an output per image, or instance discrimination."),
    ] = "linear"
    optimizer: OptimizerName = "adam"
    lr: LearningRate = 1e-3
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS, description="Optimiser steps.")] = 400
    batch_size: BatchSize = 128
    weight_decay: WeightDecay = 0.0
    dimensions: Annotated[
        int, Field(ge=1, le=65_536, description="Length of the normalised vectors (instance form only).")
    ] = 128
    temperature: Annotated[float, Field(gt=0, description="Divisor of the scores (instance form only).")] = (
        0.07
    )
    momentum: Annotated[
        float, Field(ge=0, lt=1, description="Share of the old vector in the memory (instance form only).")
    ] = 0.5
    standardize: Annotated[bool, Field(description="Standardise inputs by training statistics.")] = True
    precision: PrecisionName = "fp32"
    layer: LayerName = "auto"
    pool: PoolName = "auto"

    def run(self, cell: Cell, images: ImageSet, report: Report) -> Outcome:
        """Embed, train, evaluate. Raises: WrongUse (cell not in-sample), MLProjectError on divergence."""
        from mlproject.recipes.memorise.run import run_memorise

        return run_memorise(self, cell, images, report)
