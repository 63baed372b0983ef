"""Settings: the knobs of training, each declared once with its type, bounds, default and description.

Recipes that train whole networks extend ``Settings``, and its fields become knobs of their cells; recipes
that train linear heads share its types. Nothing here needs torch, so that plans are built without it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mlproject.errors import WrongUse

if TYPE_CHECKING:
    from mlproject.training.schedule import Schedule
else:
    Schedule = Any

STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)
"""Configuration of every validated model: frozen, no unknown names, no conversions, finite numbers only."""

OptimizerName = Annotated[Literal["adam", "adamw", "sgd"], Field(description="Optimiser.")]
LearningRate = Annotated[float, Field(gt=0, description="Learning rate (the largest, where it varies).")]
WeightDecay = Annotated[
    float, Field(ge=0, description="Weight decay: decoupled with adamw, else an L2 term of the gradient.")
]
MOST_STEPS = 10_000_000
"""Steps of a training, at most; as many epochs, images in a batch, or passes of any kind."""
BatchSize = Annotated[int, Field(ge=1, le=MOST_STEPS, description="Images per optimiser step.")]
Epochs = Annotated[
    int,
    Field(
        ge=0,
        le=MOST_STEPS,
        description="Passes over the training images; 0 where steps are given.",
        json_schema_extra={"rule": "must be at least 1"},
    ),
]
Steps = Annotated[
    int,
    Field(
        ge=0,
        le=MOST_STEPS,
        description="Optimiser steps, whatever the number of images; 0 trains for epochs.",
        json_schema_extra={"rule": "must be 0 (use epochs) or more"},
    ),
]
PrecisionName = Annotated[
    Literal["fp32", "amp"],
    Field(description="Arithmetic of the network: 32 bits, or automatic mixed precision."),
]


class Settings(BaseModel):
    """How a network is trained, whatever it learns.

    The defaults are those of AdamW. Its weight decay does not go into Adam by default: there it would be an
    L2 term of a gradient that is divided by its own size, so that it is no decay of the weights any more
    (Loshchilov & Hutter 2017, arXiv 1711.05101, section 2).
    """

    model_config = STRICT

    optimizer: OptimizerName = "adamw"
    lr: LearningRate = 3e-3
    momentum: Annotated[float, Field(ge=0, lt=1, description="Momentum of sgd; of no other optimiser.")] = 0.9
    weight_decay: Annotated[
        float,
        Field(
            ge=0,
            description="Weight decay: decoupled with adamw, else an L2 term of the gradient. "
            "adam has 0 where it is not given.",
        ),
    ] = 0.05
    batch_size: BatchSize = 64
    epochs: Epochs = 10
    steps: Steps = 0
    schedule: Annotated[
        Literal["constant", "cosine"],
        Field(
            description="Learning rate after the warm-up: constant, or falling to 0 as half a cosine "
            "(Loshchilov & Hutter 2016, arXiv 1608.03983, without restarts)."
        ),
    ] = "cosine"
    warmup: Annotated[
        float, Field(ge=0, lt=1, description="Share of all steps in which the rate rises linearly to lr.")
    ] = 0.1
    ema: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="Decay per step of the moving average of the weights that is evaluated; "
            "0 evaluates the weights themselves.",
        ),
    ] = 0.0
    accumulate: Annotated[
        int,
        Field(
            ge=1,
            le=MOST_STEPS,
            description="Pieces that a batch is computed in (BatchNorm then sees pieces; fewer pieces where "
            "it would see one value per channel).",
        ),
    ] = 1
    judged_epochs: Annotated[
        int,
        Field(
            ge=1,
            le=MOST_STEPS,
            description="Epochs to evaluate after, at most: spread evenly, and always the last.",
        ),
    ] = 50
    precision: PrecisionName = "fp32"
    compile: Annotated[bool, Field(description="Compile the network with torch.compile.")] = False
    deterministic: Annotated[
        bool, Field(description="Use deterministic algorithms only; slower on a GPU.")
    ] = False

    @model_validator(mode="after")
    def _resolve_decay(self) -> Settings:
        if self.optimizer == "adam" and "weight_decay" not in self.model_fields_set:
            object.__setattr__(self, "weight_decay", 0.0)
        return self

    @model_validator(mode="after")
    def _resolve_length(self) -> Settings:
        if self.steps > 0:
            object.__setattr__(self, "epochs", 0)
        elif self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, not {self.epochs}")
        if self.accumulate > self.batch_size:
            raise ValueError(f"accumulate must be at most batch_size, not {self.accumulate}")
        return self

    def plan(self, n_images: int, fewest: int = 1) -> Schedule:
        """The schedule of batches, of at least ``fewest`` images each, for so many images.

        Raises: WrongUse where there are fewer images, or a batch has fewer.
        """
        from mlproject.training.schedule import Schedule

        for name, value in (("dataset_size", n_images), ("batch_size", self.batch_size)):
            if value < fewest:
                raise WrongUse(
                    f"{name} must be at least {fewest} for this network, not {value}: its BatchNorm would "
                    "see one value per channel, which has no variance; a larger side gives it more"
                )
        lengths = {"epochs": self.epochs, "steps": self.steps}
        return Schedule(n_images=n_images, batch_size=self.batch_size, fewest=fewest, **lengths)

    def rate(self, step: int, n_steps: int) -> float:
        """The learning rate of a step (from 0) of ``n_steps``."""
        rising = round(self.warmup * n_steps)
        if step < rising:
            return self.lr * (step + 1) / rising
        if self.schedule == "constant":
            return self.lr
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, n_steps - rising)))

    def evaluates(self, epoch: int, n_epochs: int) -> bool:
        """Whether the network is evaluated after an epoch (from 1)."""
        return epoch % math.ceil(n_epochs / self.judged_epochs) == 0 or epoch == n_epochs
