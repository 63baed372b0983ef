"""Scratch: a classifier trained from random weights.

Cross-entropy on the logits of a linear head, all weights drawn from the cell's seed. With several
``image_scales`` the network sees every scale during training: S2 in pre-training (arXiv 2403.13043,
section 4.3). Adding S2 to a trained network is ``probe`` on its weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from mlproject.cell import Cell
from mlproject.losses import Outcome
from mlproject.recipes.knobs import Needs
from mlproject.training import Settings

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.losses import Report
else:
    ImageSet = Report = Any


class Scratch(Settings):
    """Train a whole network; losses are those of the epoch with the least validation loss."""

    reference: ClassVar[str] = "He et al. 2015, arXiv 1512.03385"
    version: ClassVar[int] = 1
    validates: ClassVar[bool] = True
    from_scratch: ClassVar[bool] = True
    only_in_sample: ClassVar[bool] = False
    needs: ClassVar[Needs] = "classes"

    side: Annotated[int, Field(ge=1, description="Side of the input in pixels.")] = 32
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, description="Share of each target that is spread evenly over all classes.")
    ] = 0.0

    def run(self, cell: Cell, images: ImageSet, report: Report) -> Outcome:
        """Draw, train, evaluate. Raises: WrongUse, MLProjectError where training fails."""
        from mlproject.recipes.scratch.run import run_scratch

        return run_scratch(self, cell, images, report)
