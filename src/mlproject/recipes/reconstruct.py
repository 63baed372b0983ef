"""Reconstruct: how much of a target backbone's features is a linear map of a (multi-scale) source's.

Shi et al. 2024, arXiv 2403.13043, section 4.2, who publish tables and no code. The source is the cell's model
at the cell's image scales; target and reference are backbones at scale 1. Features are pooled, one vector an
image, where the paper averages over tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mlproject.cell import Cell
from mlproject.losses import Outcome
from mlproject.recipes.knobs import check_choices, check_descent

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.progress import Report
else:
    ImageSet = Report = Any


@dataclass(frozen=True, kw_only=True)
class Reconstruct:
    """Predict the target's features by a linear map of the source's; losses are squared errors per image.

    ``reference_model`` (a giant; none by default) gives I* and with it the ratio r. Digests are found when
    built and belong to the cell's identity. ``solver`` ridge takes the closed form with the penalty of least
    leave-one-out error, and uses no knob of the gradient; gradient starts at the best constant. Inputs are
    standardised by training statistics where ``standardize`` says so; targets never are.

    Raises: WrongUse, naming knob, rule and value.
    """

    reference: ClassVar[str] = "Shi et al. 2024, arXiv 2403.13043, section 4.2"
    version: ClassVar[int] = 1
    validates: ClassVar[bool] = False
    from_scratch: ClassVar[bool] = False
    only_in_sample: ClassVar[bool] = False

    target_model: str = "efficientnet_lite2"
    target_weights: str = "imagenet"
    target_digest: str = ""
    reference_model: str = ""
    reference_weights: str = "imagenet"
    reference_digest: str = ""
    solver: Literal["ridge", "gradient"] = "ridge"
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = 1e-3
    steps: int = 1000
    batch_size: int = 128
    weight_decay: float = 0.0
    standardize: bool = True
    precision: Literal["fp32", "amp"] = "fp32"

    def __post_init__(self) -> None:
        check_choices(self)
        check_descent(self)
        self._identify("target")
        if self.reference_model:
            self._identify("reference")

    def run(self, cell: Cell, images: ImageSet, report: Report) -> Outcome:
        """Embed, map, judge. Raises: MLProjectError where the target does not vary or training diverges."""
        from mlproject.recipes.reconstructing import run_reconstruct

        return run_reconstruct(self, cell, images, report)

    def _identify(self, role: str) -> None:
        """Fill in the digest of a backbone's weights; one that is given is verified when they are loaded."""
        if getattr(self, f"{role}_digest"):
            return
        from mlproject.models import find_model, find_weights

        model = find_model(getattr(self, f"{role}_model"))
        weights = find_weights(model, getattr(self, f"{role}_weights"))
        for name, value in (("model", model.name), ("weights", weights.label), ("digest", weights.digest)):
            object.__setattr__(self, f"{role}_{name}", value)
