"""Settings of a search, from a plan's ``[tune]`` table and the command line.

The keys of ``[tune]``, for a reference: ``described(Tune)`` of ``mlproject.recipes`` gives a row for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, SkipValidation

from mlproject.cell import Knob
from mlproject.errors import WrongUse, unknown
from mlproject.recipes import STRICT, validated
from mlproject.tuning.search.space import Space, default_space, read_space, words_of

DEFAULT_TRIALS = 50


class Tune(BaseModel):
    """How every coordinate of a plan is tuned."""

    model_config = STRICT

    space: SkipValidation[Space] = Field(
        default_factory=dict,
        description="Ranges and choices by knob; by default lr a hundredfold up and down, and epochs "
        "(or steps) up to tenfold.",
    )
    trials: Annotated[
        int, Field(ge=1, description="Trials that a study ends with, in all processes together.")
    ] = DEFAULT_TRIALS
    sampler: Annotated[Literal["tpe", "random", "gp", "cmaes"], Field(description="Optuna's sampler.")] = (
        "tpe"
    )
    pruner: Annotated[
        Literal["none", "median", "hyperband"],
        Field(description="Optuna's pruner, which stops trials early."),
    ] = "none"
    seed: Annotated[int, Field(ge=0, description="Seed of the sampler; tune_seed on the command line.")] = 0
    timeout: Annotated[
        float, Field(ge=0, description="Seconds after which a study ends early; 0 for no limit.")
    ] = 0.0
    storage: Annotated[
        str,
        Field(description="An Optuna URL or a journal file; by default a file beside the tracking store."),
    ] = ""
    log_trials: Annotated[bool, Field(description="Keep a tracked run for every trial.")] = False
    widen: Annotated[
        bool, Field(description="Let a range grow beyond the one that earlier trials searched.")
    ] = False
    take_over: Annotated[bool, Field(description="Give up trials that another machine left running.")] = False

    def record(self, validation: str) -> dict[str, Knob]:
        """The search as a tuned cell records it; ``validation`` describes the validation images."""
        space = "; ".join(str(dimension) for dimension in self.space.values())
        limit = {"timeout": self.timeout} if self.timeout else {}
        return {
            "knobs": ",".join(self.space),
            "space": space,
            "trials": self.trials,
            "sampler": self.sampler,
            "pruner": self.pruner,
            "seed": self.seed,
            "validation": validation,
            **limit,
        }


def read_tune(table: Mapping[str, Any], words: Mapping[str, Any], defaults: Mapping[str, Knob]) -> Tune:
    """The settings of ``[tune]``, replaced by those of the command line where both exist.

    Raises: WrongUse naming key, rule and value.
    """
    values = {name: value for name, value in {**table, **words}.items() if value != ""}
    for name in table:
        if name not in (*WORDS, "space"):
            raise unknown("key of [tune]", name, (*WORDS, "space"))
    space = values.pop("space", None) or default_space(defaults)
    space = words_of(space) if isinstance(space, str) else space
    if not isinstance(space, dict):
        raise WrongUse(f"tune: space must be a table of knobs, not {space!r}")
    settings = {WORDS[name]: value for name, value in values.items()}
    settings["space"] = read_space(space, defaults)
    return validated(Tune, settings, kind="key of [tune]", prefix="tune: ")


WORDS = {name: name for name in Tune.model_fields if name != "space"} | {"tune_seed": "seed"}
"""Keys of ``[tune]`` and words of a command line, with the setting of each; ``seed`` in plans only."""


def split_words(words: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The words of a command line that say how to tune (``tune`` is the space), and all others."""
    known = set(WORDS) - {"seed"}
    tuning = {name: value for name, value in words.items() if name in known}
    tuning |= {"space": words["tune"]} if words.get("tune") else {}
    return tuning, {name: value for name, value in words.items() if name not in known | {"tune"}}
