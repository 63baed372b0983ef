"""Settings of a search, from a plan's ``[tune]`` table and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlproject.cell import Knob
from mlproject.errors import WrongUse, unknown
from mlproject.tuning.search.space import Space, default_space, read_space, words_of

SAMPLERS = ("tpe", "random", "gp", "cmaes")
PRUNERS = ("none", "median", "hyperband")
TRUTH = {"true": True, "false": False}
DEFAULT_TRIALS = 50


@dataclass(frozen=True, kw_only=True)
class Tune:
    """How the coordinates of a plan are tuned.

    ``trials`` is the total of a study over all processes; ``timeout`` (seconds, 0 for none) ends a study
    early; ``storage`` is an Optuna URL or a journal file (default: beside the tracking store). ``widen``
    allows wider ranges than earlier trials searched; ``take_over`` fails trials that another machine left
    running; ``log_trials`` logs a tracked run for every trial.
    """

    space: Space = field(default_factory=dict)
    trials: int = DEFAULT_TRIALS
    sampler: str = "tpe"
    pruner: str = "none"
    seed: int = 0
    timeout: float = 0.0
    storage: str = ""
    log_trials: bool = False
    widen: bool = False
    take_over: bool = False

    def __post_init__(self) -> None:
        for name, low in (("trials", 1), ("seed", 0), ("timeout", 0)):
            if getattr(self, name) < low:
                raise WrongUse(f"tune: {name} must be at least {low}, not {getattr(self, name)}")
        for name, known in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)

    def record(self, validation: str) -> dict[str, Knob]:
        """The record of the search in a tuned cell; ``validation`` describes the validation images."""
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
    """Settings from ``[tune]``, overridden by words of the command line.

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
    settings = {WORDS[name]: _read(WORDS[name], value) for name, value in values.items()}
    return Tune(space=read_space(space, defaults), **settings)


WORDS = {
    name: name
    for name in ("trials", "sampler", "pruner", "timeout", "storage", "log_trials", "widen", "take_over")
} | {"tune_seed": "seed", "seed": "seed"}
"""Setting of each key of ``[tune]`` and word of the command line; ``seed`` is a key only."""


def split_words(words: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a command line's words into settings of the search (``tune`` is the space) and all others."""
    known = set(WORDS) - {"seed"}
    settings = {name: value for name, value in words.items() if name in known}
    settings |= {"space": words["tune"]} if words.get("tune") else {}
    return settings, {name: value for name, value in words.items() if name not in known | {"tune"}}


def _read(name: str, value: Any) -> Any:
    kind: Any = type(getattr(Tune(), name))
    if kind is bool:
        known = TRUTH.get(value.lower()) if isinstance(value, str) else value
        if not isinstance(known, bool):
            raise WrongUse(f"tune: {name} must be true or false, not {value!r}")
        return known
    if kind is str:
        return str(value)
    try:
        if isinstance(value, bool) or (kind is int and not float(value).is_integer()):
            raise ValueError
        return kind(float(value))
    except (TypeError, ValueError, OverflowError):
        what = "a whole number" if kind is int else "a number"
        raise WrongUse(f"tune: {name} must be {what}, not {value!r}") from None
