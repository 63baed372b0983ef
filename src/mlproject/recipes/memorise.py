"""Memorise: every image is a class of its own, and a head on frozen features holds so many bits.

Shi et al. 2024, arXiv 2403.13043, section 4.3, after the instance discrimination of Wu et al. 2018,
arXiv 1805.01978. Two forms:

    linear     a linear head with one output for each image
    instance   features are projected to ``dimensions`` values and normalised; the score of image i is
               v_i · v / temperature, with a memory of every image's last vectors in place of weights

Before training nothing is remembered: all scores are 0 and the loss of n images is exactly ln n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mlproject.cell import Cell
from mlproject.losses import Outcome
from mlproject.recipes.knobs import check_choices, check_descent, require

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.progress import Report
else:
    ImageSet = Report = Any


@dataclass(frozen=True, kw_only=True)
class Memorise:
    """Tell training images apart; the loss of an image is the cross-entropy of itself among all n, in nats.

    Only the images that were trained on have a class, so cells are in-sample. ``momentum`` is the share of
    the old vector in the memory; ``dimensions``, ``temperature`` and ``momentum`` (Wu et al.: 128, 0.07, 0.5)
    are of the instance form only. Inputs are standardised where ``standardize`` says so.

    Raises: WrongUse, naming knob, rule and value.
    """

    reference: ClassVar[str] = (
        "Wu et al. 2018, arXiv 1805.01978; Shi et al. 2024, arXiv 2403.13043, section 4.3"
    )
    version: ClassVar[int] = 1
    validates: ClassVar[bool] = False
    from_scratch: ClassVar[bool] = False
    only_in_sample: ClassVar[bool] = True

    form: Literal["linear", "instance"] = "linear"
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = 1e-3
    steps: int = 400
    batch_size: int = 128
    weight_decay: float = 0.0
    dimensions: int = 128
    temperature: float = 0.07
    momentum: float = 0.5
    standardize: bool = True
    precision: Literal["fp32", "amp"] = "fp32"

    def __post_init__(self) -> None:
        check_choices(self)
        check_descent(self)
        require(self.dimensions >= 1, "dimensions", "must be at least 1", self.dimensions)
        warm = 0 < self.temperature < float("inf")
        require(warm, "temperature", "must be positive and finite", self.temperature)
        require(0 <= self.momentum < 1, "momentum", "must be at least 0 and below 1", self.momentum)

    def run(self, cell: Cell, images: ImageSet, report: Report) -> Outcome:
        """Embed, train, judge. Raises: WrongUse for a cell not in-sample, MLProjectError on divergence."""
        from mlproject.recipes.memorising import run_memorise

        return run_memorise(self, cell, images, report)
