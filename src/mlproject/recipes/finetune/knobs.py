"""Fine-tuning: a pretrained network, its classifier replaced by dropout and a linear layer, trained further.

The seed study: Adam at 3e-5, batches of 64, 50 epochs, dropout 0.7, the epoch of the best validation loss.
Its ablations are knobs here, each with a control: contrastive terms that collapse cannot minimise
(``hinged``, ``supcon``), and a head of the same size without the encoding (``copies``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from mlproject.cell import Cell
from mlproject.losses import Outcome
from mlproject.recipes.knobs import Needs, require
from mlproject.training import BatchSize, LearningRate, Settings

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.losses import Report
else:
    ImageSet = Report = Any


class Finetune(Settings):
    """Train a pretrained network on classes; losses are those of the epoch with the least validation loss."""

    reference: ClassVar[str] = "Yosinski et al. 2014, arXiv 1411.1792"
    version: ClassVar[int] = 1
    validates: ClassVar[bool] = True
    from_scratch: ClassVar[bool] = False
    only_in_sample: ClassVar[bool] = False
    needs: ClassVar[Needs] = "classes"

    lr: LearningRate = 3e-4
    batch_size: BatchSize = 32
    side: Annotated[int, Field(ge=1, le=8_192, description="Side of the input in pixels.")] = 224
    trained_stages: Annotated[
        int,
        Field(
            ge=-1,
            description="Last stages of the backbone that are trained: -1 all of it, 0 the head alone.",
            json_schema_extra={"rule": "must be -1 (all), 0 (the head alone) or more"},
        ),
    ] = -1
    norms: Annotated[
        Literal["trained", "frozen"],
        Field(description="BatchNorm layers: trained, or weights and statistics frozen as pretrained."),
    ] = "trained"
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="Probability that an input of the head is set to 0.")
    ] = 0.2
    augmentation: Annotated[
        Literal["none", "seed", "modern"],
        Field(
            description="Augmentation of each image. seed: both flips, rotation up to 50 degrees, colour "
            "jitter, sharpness; modern: random resized crop, horizontal flip, TrivialAugment."
        ),
    ] = "none"
    mixup: Annotated[
        float, Field(ge=0, description="Alpha of mixup (Zhang et al. 2017, arXiv 1710.09412); 0 for none.")
    ] = 0.0
    cutmix: Annotated[
        float, Field(ge=0, description="Alpha of CutMix (Yun et al. 2019, arXiv 1905.04899); 0 for none.")
    ] = 0.0
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, description="Share of each target that is spread evenly over all classes.")
    ] = 0.0
    contrast: Annotated[
        Literal["none", "signed", "hinged", "supcon"],
        Field(description="Contrastive term that is added to the loss."),
    ] = "none"
    contrast_weight: Annotated[float, Field(ge=0, description="Weight of the contrastive term.")] = 1.0
    margin: Annotated[
        float, Field(ge=-1, lt=1, description="Cosine from which the hinged term repels images.")
    ] = 0.0
    temperature: Annotated[float, Field(gt=0, description="Temperature of the supcon term.")] = 0.1
    encoding: Annotated[
        Literal["none", "features", "copies", "pixels"],
        Field(
            description="Fourier encoding: of the features before the head, as many copies of them (the "
            "control of the same size), or of the pixels' coordinates, added to the input."
        ),
    ] = "none"
    frequencies: Annotated[int, Field(ge=1, le=16, description="Frequencies of the encoding.")] = 3

    @model_validator(mode="after")
    def _check_targets(self) -> Finetune:
        mixes = self.mixup > 0 or self.cutmix > 0
        defined = self.contrast == "none" or not mixes
        require(
            defined, "contrast", "must be none with mixup or cutmix: a mixture has no class", self.contrast
        )
        return self

    def run(self, cell: Cell, images: ImageSet, report: Report) -> Outcome:
        """Draw, train, evaluate. Raises: WrongUse, BadInput, MLProjectError where training fails."""
        from mlproject.recipes.finetune.run import run_finetune

        return run_finetune(self, cell, images, report)
