"""Segment: a class for every pixel, by an encoder-decoder trained from random weights.

Cross-entropy averaged over the pixels of an image that have a class. Models are the iterations of
``models/segmenter.py``; label maps come with the data (a folder of images and labels, VOC, Pets, scenes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mlproject.cell import Cell
from mlproject.losses import Outcome
from mlproject.recipes.knobs import check_choices, check_training, require

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.progress import Report
else:
    ImageSet = Report = Any


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Train all of a segmenter; losses are those of the epoch with the least validation loss.

    ``side`` is the input's, in pixels, divisible by 4; label maps are brought to it by their nearest pixels.
    The other knobs are those of ``scratch``.

    Raises: WrongUse, naming knob, rule and value.
    """

    reference: ClassVar[str] = "Ronneberger et al. 2015, arXiv 1505.04597"
    version: ClassVar[int] = 1
    validates: ClassVar[bool] = True
    from_scratch: ClassVar[bool] = True
    only_in_sample: ClassVar[bool] = False

    side: int = 32
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    lr: float = 3e-3
    momentum: float = 0.9
    weight_decay: float = 0.05
    batch_size: int = 64
    epochs: int = 10
    steps: int = 0
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup: float = 0.1
    ema: float = 0.0
    accumulate: int = 1
    judged_epochs: int = 50
    precision: Literal["fp32", "amp"] = "fp32"
    compile: bool = False
    deterministic: bool = False

    def __post_init__(self) -> None:
        check_choices(self)
        if self.steps > 0:
            object.__setattr__(self, "epochs", 0)
        check_training(self)
        require(self.side % 4 == 0, "side", "must be divisible by 4", self.side)

    def run(self, cell: Cell, images: ImageSet, report: Report) -> Outcome:
        """Draw, train, judge. Raises: WrongUse, BadInput, MLProjectError where training fails."""
        from mlproject.recipes.segmenting import run_segment

        return run_segment(self, cell, images, report)
