"""Recipes: pure functions from a cell and its images to per-image losses, a folder each.

``NAME/knobs.py`` declares a recipe: a frozen pydantic model whose fields are its knobs, with types, bounds,
defaults and descriptions. ``NAME/run.py`` runs it. Building a recipe needs no torch.

The knobs of every recipe, for a reference: ``described(RECIPES["probe"])`` gives a row for each field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from mlproject.cell import Cell, Knob
from mlproject.errors import unknown
from mlproject.losses import Outcome
from mlproject.recipes.finetune import Finetune
from mlproject.recipes.knobs import FieldRow, described, require, validated
from mlproject.recipes.memorise import Memorise
from mlproject.recipes.probe import Probe
from mlproject.recipes.reconstruct import Reconstruct
from mlproject.recipes.scratch import Scratch
from mlproject.recipes.segment import Segment
from mlproject.training import STRICT

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.progress import Report
    from mlproject.recipes.probe.run import ProbeExamples, initial_probe_head, probe_examples, solve_ridge
else:
    ImageSet = Report = Any

__all__ = [
    "RECIPES",
    "STRICT",
    "FieldRow",
    "Probe",
    "ProbeExamples",
    "Recipe",
    "build_recipe",
    "described",
    "full_knobs",
    "initial_probe_head",
    "probe_examples",
    "require",
    "solve_ridge",
    "validated",
]


@runtime_checkable
class Recipe(Protocol):
    """A way to turn a cell and its images into losses; the same cell gives the same losses.

    ``reference`` cites the method. ``version`` increases whenever its numbers change. ``validates``: it
    selects something by validation images, so its cells have some by default. ``from_scratch``: it draws all
    weights from the cell's seed, so its cells have ``weights=scratch``. ``only_in_sample``: it can evaluate
    no images but its training images.
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
    recipe: Recipe = validated(RECIPES[name], knobs, kind=f"knob of {name}")
    return recipe


def full_knobs(recipe: Recipe) -> dict[str, Knob]:
    """Every knob with the value that the recipe runs with, none left at ``auto``: the knobs of its cell."""
    return {name: getattr(recipe, name) for name in type(recipe).model_fields}  # type: ignore[attr-defined]


def __getattr__(name: str) -> Any:
    """Load what trials of probes need, and with it torch, on first use (PEP 562)."""
    if name in ("ProbeExamples", "initial_probe_head", "probe_examples", "solve_ridge"):
        from mlproject.recipes.probe import run

        return getattr(run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
