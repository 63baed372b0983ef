"""Probe: a linear head trained on the features of a frozen backbone.

Linear probes: Alain & Bengio 2016, arXiv 1610.01644. ``target`` is what the head predicts:

    features   its input: an identity map d -> d (the seed's model study). The optimum is 0 at every size,
               so its curve against size reflects the number of optimiser steps
    pixels     the first 512 values of the normalised input, head d -> 512 (the seed's dataset study)
    labels     the class, by cross-entropy or by mse on one-hot vectors
    self       its own output, criterion(out, out.detach()) (the seed's printed listing): loss and gradient
               are exactly zero for every model, so it is refused without ``allow_degenerate``
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

from mlproject.cell import Cell
from mlproject.losses import Outcome
from mlproject.recipes.knobs import LayerName, Needs, PoolName, require
from mlproject.training import (
    STRICT,
    BatchSize,
    Epochs,
    LearningRate,
    OptimizerName,
    PrecisionName,
    Steps,
    WeightDecay,
)

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.losses import Report
else:
    ImageSet = Report = Any

SELF_EXPLAINED = (
    "target='self' compares the head's output with itself, criterion(out, out.detach()): its loss and "
    "gradient are exactly zero for every model and no exponent can come from it; use target=features "
    "(the seed's identity map), pixels or labels, or allow_degenerate=true to see the zeros"
)


class Probe(BaseModel):
    """Train a linear head on frozen features; losses are per image, after training.

    ``loss`` and ``standardize`` are never ``auto`` once the recipe is built.
    """

    model_config = STRICT

    reference: ClassVar[str] = "Alain & Bengio 2016, arXiv 1610.01644"
    version: ClassVar[int] = 1
    validates: ClassVar[bool] = False
    from_scratch: ClassVar[bool] = False
    only_in_sample: ClassVar[bool] = False

    target: Annotated[
        Literal["features", "pixels", "labels", "self"],
        Field(description="What the head predicts: its input features, pixels, labels, or its own output."),
    ] = "features"
    loss: Annotated[
        Literal["auto", "mse", "mae", "huber", "cross_entropy"],
        Field(description="Training loss; auto is cross_entropy for labels and mse for other targets."),
    ] = "auto"
    solver: Annotated[
        Literal["gradient", "ridge"],
        Field(
            description="Gradient steps, or ridge regression in closed form with the penalty of least "
            "leave-one-out error, which uses no knob of the gradient."
        ),
    ] = "gradient"
    optimizer: OptimizerName = "adam"
    lr: LearningRate = 1e-3
    epochs: Epochs = 5
    steps: Steps = 0
    batch_size: BatchSize = 32
    weight_decay: WeightDecay = 0.0
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="Probability that an input of the head is set to 0.")
    ] = 0.0
    shuffle: Annotated[
        bool,
        Field(description="Shuffle each epoch; false keeps the images' order (the seed's dataset study)."),
    ] = True
    standardize: Annotated[
        bool | Literal["auto"],
        Field(
            description="Standardise inputs by training statistics, with a floor on the deviation; auto is "
            "true for labels and false for other targets."
        ),
    ] = "auto"
    online_losses: Annotated[
        bool, Field(description="Also keep each training image's loss just before its last step.")
    ] = False
    allow_degenerate: Annotated[
        bool, Field(description="Run although loss or gradient are exactly zero.")
    ] = False
    precision: PrecisionName = "fp32"
    layer: LayerName = "auto"
    pool: PoolName = "auto"

    @model_validator(mode="after")
    def _resolve(self) -> Probe:
        labels = self.target == "labels"
        resolved = {
            "loss": ("cross_entropy" if labels else "mse") if self.loss == "auto" else self.loss,
            "standardize": labels if self.standardize == "auto" else self.standardize,
            "epochs": 0 if self.steps > 0 else self.epochs,
        }
        for name, value in resolved.items():
            object.__setattr__(self, name, value)
        require(self.epochs >= 1 or self.steps > 0, "epochs", "must be at least 1", self.epochs)
        self._check_combinations()
        return self

    @property
    def needs(self) -> Needs:
        """Classes where they are the target."""
        return "classes" if self.target == "labels" else "pixels"

    def run(self, cell: Cell, images: ImageSet, report: Report) -> Outcome:
        """Draw, embed, train, evaluate. Raises: WrongUse, MLProjectError where losses would mean nothing."""
        from mlproject.recipes.probe.run import run_probe

        return run_probe(self, cell, images, report)

    def _check_combinations(self) -> None:
        if self.target == "self" and not self.allow_degenerate:
            raise ValueError(SELF_EXPLAINED)
        on_labels = self.target == "labels"
        classes = self.loss == "cross_entropy"
        require(on_labels or not classes, "target", "must be labels for loss='cross_entropy'", self.target)
        known = not on_labels or self.loss in ("cross_entropy", "mse")
        require(known, "loss", "must be cross_entropy or mse for target='labels'", self.loss)
        if self.solver == "ridge":
            require(self.loss == "mse", "loss", "must be mse for solver='ridge'", self.loss)
            require(self.target != "self", "target", "must not be self for solver='ridge'", self.target)
            decay, online = self.weight_decay, self.online_losses
            require(decay == 0, "weight_decay", "must be 0: ridge finds its own penalty", decay)
            require(self.dropout == 0, "dropout", "must be 0 for solver='ridge'", self.dropout)
            require(not online, "online_losses", "must be false: ridge takes no steps", online)
