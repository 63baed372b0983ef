"""Segment: semantic segmentation by an encoder-decoder trained from random weights.

Cross-entropy averaged over the labelled pixels of an image. Models are the segmenters of ``models/``; label
maps come with the data (a folder of images and labels, VOC, Pets, scenes).
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


class Segment(Settings):
    """Train a whole segmenter; losses are those of the epoch with the least validation loss."""

    reference: ClassVar[str] = "Ronneberger et al. 2015, arXiv 1505.04597"
    version: ClassVar[int] = 1
    validates: ClassVar[bool] = True
    from_scratch: ClassVar[bool] = True
    only_in_sample: ClassVar[bool] = False
    needs: ClassVar[Needs] = "label maps"

    side: Annotated[
        int,
        Field(
            ge=1,
            multiple_of=4,
            description="Side of the input in pixels; label maps are resized to it by nearest neighbour.",
        ),
    ] = 32

    def run(self, cell: Cell, images: ImageSet, report: Report) -> Outcome:
        """Draw, train, evaluate. Raises: WrongUse, BadInput, MLProjectError where training fails."""
        from mlproject.recipes.segment.run import run_segment

        return run_segment(self, cell, images, report)
