"""Fine-tuning: a pretrained network, its classifier replaced by dropout and a linear layer, trained further.

The seed study: Adam at 3e-5, batches of 64, 50 epochs, dropout 0.7, the epoch of the best validation. Its
ablations are knobs here, and each has its control: a contrastive term that cannot be minimised by
collapse (``hinged``, ``supcon``), an encoding whose larger head can be had without it (``copies``).
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
class Finetune:
    """Train a pretrained network on classes; losses are those of the epoch with the least validation loss.

    ``side`` is the input's, in pixels. ``trained_stages`` are the last stages of the body that are trained:
    -1 all of it, 0 the head alone. ``norms`` frozen keeps the weights and the statistics of every BatchNorm
    as pretrained. ``augmentation``, ``mixup`` and ``cutmix`` are those of ``training.augment``, ``contrast``
    (times ``contrast_weight``, with its ``margin`` or ``temperature``) those of ``training.contrast``.
    ``encoding``, of ``frequencies`` frequencies, stands before the head: Fourier features of the
    ``features``, or as many ``copies`` of them, the same head without the encoding; or it is added to the
    input: of the coordinates of ``pixels``. ``steps`` above 0 replaces ``epochs``. ``momentum`` is that of
    sgd. The other knobs are those of ``training.Settings``.

    Raises: WrongUse, naming knob, rule and value.
    """

    reference: ClassVar[str] = "Yosinski et al. 2014, arXiv 1411.1792"
    version: ClassVar[int] = 1
    validates: ClassVar[bool] = True
    from_scratch: ClassVar[bool] = False
    only_in_sample: ClassVar[bool] = False

    side: int = 224
    trained_stages: int = -1
    norms: Literal["trained", "frozen"] = "trained"
    dropout: float = 0.2
    augmentation: Literal["none", "seed", "modern"] = "none"
    mixup: float = 0.0
    cutmix: float = 0.0
    label_smoothing: float = 0.0
    contrast: Literal["none", "signed", "hinged", "supcon"] = "none"
    contrast_weight: float = 1.0
    margin: float = 0.0
    temperature: float = 0.1
    encoding: Literal["none", "features", "copies", "pixels"] = "none"
    frequencies: int = 3
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    lr: float = 3e-4
    momentum: float = 0.9
    weight_decay: float = 0.05
    batch_size: int = 32
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
        self._check_ranges()
        mixes = self.mixup > 0 or self.cutmix > 0
        plain = self.contrast == "none" or not mixes
        require(plain, "contrast", "must be none with mixup or cutmix: a mixture has no class", self.contrast)

    def run(self, cell: Cell, images: ImageSet, report: Report) -> Outcome:
        """Draw, train, judge. Raises: WrongUse, BadInput, MLProjectError where training fails."""
        from mlproject.recipes.finetuning import run_finetune

        return run_finetune(self, cell, images, report)

    def _check_ranges(self) -> None:
        k = self.trained_stages
        require(k >= -1, "trained_stages", "must be -1 (all), 0 (the head alone) or more", k)
        for name in ("dropout", "label_smoothing"):
            value = getattr(self, name)
            require(0 <= value < 1, name, "must be at least 0 and below 1", value)
        for name in ("mixup", "cutmix", "contrast_weight"):
            value = getattr(self, name)
            require(0 <= value < float("inf"), name, "must be 0 or more and finite", value)
        require(-1 <= self.margin < 1, "margin", "must be at least -1 and below 1", self.margin)
        require(self.temperature > 0, "temperature", "must be positive", self.temperature)
        require(1 <= self.frequencies <= 16, "frequencies", "must be 1 to 16", self.frequencies)
