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
from mlproject.recipes.extractions import (
    FROZEN,
    NeededFeatures,
    extract_together,
    missing_parts,
    needed_features,
    scales_of,
)
from mlproject.recipes.finetune import Finetune
from mlproject.recipes.frozen import FrozenBackbone
from mlproject.recipes.knobs import LATER_KNOBS, FieldRow, Needs, described, require, validated
from mlproject.recipes.memorise import Memorise
from mlproject.recipes.probe import Probe
from mlproject.recipes.reconstruct import Reconstruct
from mlproject.recipes.scratch import Scratch
from mlproject.recipes.segment import Segment
from mlproject.training import STRICT, Settings

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.losses import Report
    from mlproject.recipes.probe.run import ProbeExamples, initial_probe_head, probe_examples, solve_ridge
else:
    ImageSet = Report = Any

__all__ = [
    "FROZEN",
    "LATER_KNOBS",
    "RECIPES",
    "STRICT",
    "FieldRow",
    "FrozenBackbone",
    "NeededFeatures",
    "Probe",
    "ProbeExamples",
    "Recipe",
    "build_recipe",
    "described",
    "extract_together",
    "full_knobs",
    "initial_probe_head",
    "missing_parts",
    "needed_features",
    "optimizer_notes",
    "probe_examples",
    "require",
    "scales_of",
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

    @property
    def needs(self) -> Needs:
        """What its images must have: at least two classes, label maps, or nothing but pixels."""

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
    """Every knob with the value that the recipe runs with: the knobs of its cell.

    Knobs of ``LATER_KNOBS`` are left out at their default, so that keys of released cells stay.
    """
    fields: Mapping[str, Any] = type(recipe).model_fields  # type: ignore[attr-defined]
    values = {name: getattr(recipe, name) for name in fields}
    return {name: v for name, v in values.items() if name not in LATER_KNOBS or v != LATER_KNOBS[name]}


def optimizer_notes(cell: Cell) -> list[str]:
    """What to know about knobs of a cell that do not suit its optimiser, a line each; none where all do."""
    knobs, optimizer = cell.knobs, cell.knobs.get("optimizer")
    decay, momentum = knobs.get("weight_decay"), knobs.get("momentum")
    notes = []
    if optimizer == "adam" and decay and knobs.get("solver") != "ridge":
        notes.append(
            f"weight_decay={decay} goes into Adam as an L2 term of the gradient, which Adam divides by the"
            " gradient's size; optimizer=adamw decays the weights themselves"
        )
    fields = RECIPES[cell.recipe].model_fields
    if not issubclass(RECIPES[cell.recipe], Settings):  # the momentum of memorise is that of its memory
        return notes
    if optimizer != "sgd" and momentum != fields["momentum"].default:
        notes.append(f"momentum={momentum} changes nothing: optimizer={optimizer} has none, sgd has")
    if optimizer == "sgd" and knobs["lr"] == fields["lr"].default:
        notes.append(
            f"lr={knobs['lr']} is the default for adamw; sgd usually needs ten times as much or more"
        )
    return notes


def __getattr__(name: str) -> Any:
    """Load what trials of probes need, and with it torch, on first use (PEP 562)."""
    if name in ("ProbeExamples", "initial_probe_head", "probe_examples", "solve_ridge"):
        from mlproject.recipes.probe import run

        return getattr(run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
