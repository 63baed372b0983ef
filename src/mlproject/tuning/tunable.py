"""Knobs that a search may tune: those of the recipe, within bounds that it accepts, and the image scales."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlproject.cell import Knob
from mlproject.errors import WrongUse, unknown
from mlproject.recipes import RECIPES, build_recipe, full_knobs
from mlproject.tuning.search import Tune, read_tune

SCALES = "image_scales"
"""The only coordinate that may be tuned like a knob: at which sizes the network sees the same images."""
LENGTHS = ("steps", "epochs")
"""Knobs that say how long a training is."""
NOT_FOR_RIDGE = (*LENGTHS, "lr", "optimizer", "batch_size", "shuffle")


def reads_length(recipe: str) -> bool:
    """Whether one training gives the losses of all shorter ones: its learning rate is constant."""
    return recipe == "probe"


def tune_of(
    table: Mapping[str, Any] | None, words: Mapping[str, Any], values: Mapping[str, Any]
) -> Tune | None:
    """How cells are tuned: by a plan's ``[tune]``, a command line's words, or not at all (``trials=0``).

    ``values`` are what a grid gives, its table of knobs included. Raises: WrongUse.
    """
    if (table is None and not words) or str(words.get("trials", "")) == "0":
        return None
    kind = RECIPES.get(str(values["recipe"]))
    if kind is None:
        raise unknown("recipe", values["recipe"], RECIPES)
    knobs = values.get("knobs")
    values = {**values, **(knobs if isinstance(knobs, dict) else {})}
    names = kind.model_fields
    single = {n: v for n, v in values.items() if n in names and not isinstance(v, list)}
    recipe = build_recipe(str(values["recipe"]), single)
    return read_tune(table or {}, words, full_knobs(recipe) | {SCALES: "1"})


def check_tunable(name: str, knobs: Mapping[str, Knob], tune: Tune) -> None:
    """Refuse a space with a bound or choice that breaks a rule of the recipe, or a knob that has no effect.

    Raises: WrongUse naming knob, rule and value.
    """
    solver = tune.space["solver"].ends if "solver" in tune.space else (knobs.get("solver"),)
    for knob, dimension in tune.space.items():
        if solver == ("ridge",) and knob in NOT_FOR_RIDGE:
            raise WrongUse(f"tune: {knob} changes nothing for solver='ridge', which takes no steps")
        if knob == "epochs" and (knobs.get("steps") or "steps" in tune.space):
            raise WrongUse("tune: epochs changes nothing where steps are given; tune steps instead")
        if knob == SCALES:
            continue
        for value in dimension.ends:
            try:
                build_recipe(name, {**knobs, knob: value})
            except WrongUse as fault:
                raise WrongUse(f"tune: {dimension}: {fault}") from None
