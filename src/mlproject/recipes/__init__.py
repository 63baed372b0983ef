"""Recipes: how a cell becomes per-image losses, one file each; the list of all of them is here.

A recipe is a frozen dataclass whose fields are its knobs, with defaults. Building one needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from mlproject.cell import Cell, Knob
from mlproject.errors import unknown
from mlproject.losses import Outcome
from mlproject.recipes.finetune import Finetune
from mlproject.recipes.knobs import parsed
from mlproject.recipes.memorise import Memorise
from mlproject.recipes.probe import Probe
from mlproject.recipes.reconstruct import Reconstruct
from mlproject.recipes.scratch import Scratch
from mlproject.recipes.segment import Segment

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.progress import Report
else:
    ImageSet = Report = Any

__all__ = ["RECIPES", "Recipe", "build_recipe", "full_knobs"]


@runtime_checkable
class Recipe(Protocol):
    """A way to turn a cell and its images into losses; the same cell gives the same losses.

    ``reference`` says where the method comes from; ``version`` rises whenever its numbers change;
    ``validates`` says that it chooses something by validation images and wants some by default;
    ``from_scratch`` that it draws all weights from the cell's seed: its cells say ``weights=scratch``, no
    others do; ``only_in_sample`` that it can judge no images but those it trained on: no other has a class.
    """

    reference: ClassVar[str]
    version: ClassVar[int]
    validates: ClassVar[bool]
    from_scratch: ClassVar[bool]
    only_in_sample: ClassVar[bool]

    def run(self, cell: Cell, images: ImageSet, report: Report) -> Outcome:
        """Run the cell. Raises: MLProjectError when its losses would mean nothing."""


RECIPES: dict[str, type[Any]] = {
    "probe": Probe,
    "finetune": Finetune,
    "reconstruct": Reconstruct,
    "memorise": Memorise,
    "scratch": Scratch,
    "segment": Segment,
}


def build_recipe(name: str, knobs: Mapping[str, Knob]) -> Recipe:
    """The named recipe with these knobs; text values are read as the knob's type.

    Raises: WrongUse for an unknown recipe or knob (with near matches), or a value that breaks a rule.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name](**parsed(RECIPES[name], knobs))  # type: ignore[no-any-return]


def full_knobs(recipe: Recipe) -> dict[str, Knob]:
    """Every knob with the value that it is run with, none left at ``auto``; goes into ``Cell.knobs``."""
    return asdict(recipe)  # type: ignore[call-overload, no-any-return]
