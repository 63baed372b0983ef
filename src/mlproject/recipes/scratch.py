"""Scratch: a small network trained from random weights to tell classes apart.

Cross-entropy on the logits of a linear head, all weights drawn from the cell's seed. With several
``image_scales`` the network sees every scale while it learns: S2 in pre-training (arXiv 2403.13043,
section 4.3), where adding S2 to a trained network is ``probe`` on its weights.
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
class Scratch:
    """Train all of a network; losses are those of the epoch with the least validation loss.

    ``side`` is the input's, in pixels. ``steps`` above 0 replaces ``epochs``. ``momentum`` is that of sgd.
    The other knobs are those of ``training.Settings``.

    Raises: WrongUse, naming knob, rule and value.
    """

    reference: ClassVar[str] = "He et al. 2015, arXiv 1512.03385"
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
    label_smoothing: float = 0.0
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
        smoothing = self.label_smoothing
        require(0 <= smoothing < 1, "label_smoothing", "must be at least 0 and below 1", smoothing)

    def run(self, cell: Cell, images: ImageSet, report: Report) -> Outcome:
        """Draw, train, judge. Raises: WrongUse, MLProjectError where training fails."""
        from mlproject.recipes.scratching import run_scratch

        return run_scratch(self, cell, images, report)
