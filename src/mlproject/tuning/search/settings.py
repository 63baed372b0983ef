"""Search spaces and settings of a search, from a plan's ``[tune]`` table and the command line.

A space has a range or choices for each tuned knob. The keys of ``[tune]``, for a reference:
``described(Tune)`` of ``mlproject.recipes`` gives a row for each.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, SkipValidation

from mlproject.cell import Knob
from mlproject.errors import WrongUse, shown, unknown
from mlproject.recipes import STRICT, validated

DECADE = 10.0
EDGE = 0.02
"""Share of a range (of its logarithm for a logarithmic one) that counts as its edge."""
KEYS = ("low", "high", "log")
MOST_CHOICES = 100


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; ``log`` samples their logarithm uniformly.

    Raises: WrongUse when the bounds are not finite, not ascending, or not positive where ``log``.
    """

    name: str
    low: float
    high: float
    log: bool
    whole: bool

    def __post_init__(self) -> None:
        for bound in (self.low, self.high):
            if not math.isfinite(bound):
                raise WrongUse(f"tune: {self.name} must have finite bounds, not {bound}")
            if self.whole and not float(bound).is_integer():
                raise WrongUse(f"tune: {self.name} must have whole numbers as bounds, not {bound}")
        if self.low >= self.high:
            raise WrongUse(f"tune: {self.name} must have low < high, not {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            rule = "must have a positive low where log is true"
            raise WrongUse(f"tune: {self.name} {rule}, not {self.low:g}; use log = false or a larger low")

    @property
    def ends(self) -> tuple[Knob, Knob]:
        """The bounds as values of the knob."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    def holds(self, value: object) -> bool:
        """Whether a value lies in the range."""
        return (
            isinstance(value, (int, float)) and not isinstance(value, bool) and self.low <= value <= self.high
        )

    def widens(self, other: Dimension) -> bool:
        """Whether the range holds every value of ``other``, on the same scale."""
        same = isinstance(other, Range) and (self.log, self.whole) == (other.log, other.whole)
        return same and isinstance(other, Range) and self.low <= other.low and other.high <= self.high

    def edge(self, value: float) -> str:
        """``low`` or ``high`` where the value lies at that bound, else empty."""
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        share = (at - low) / (high - low)
        return "low" if share <= EDGE else "high" if share >= 1 - EDGE else ""

    def __str__(self) -> str:
        return f"{self.name} {self.low:g}..{self.high:g}{' log' if self.log else ''}"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """A categorical knob. Raises: WrongUse when there are fewer than two values or one is repeated."""

    name: str
    values: tuple[Knob, ...]

    def __post_init__(self) -> None:
        n = len(self.values)
        if n < 2 or n > MOST_CHOICES or len(set(map(shown, self.values))) < n:
            rule = f"must have two or more different choices (at most {MOST_CHOICES})"
            raise WrongUse(f"tune: {self.name} {rule}, not {shown(self.values)}")

    @property
    def ends(self) -> tuple[Knob, ...]:
        """All choices."""
        return self.values

    def holds(self, value: object) -> bool:
        """Whether a value is one of them."""
        return value in self.values

    def widens(self, other: Dimension) -> bool:
        """Whether the choices are the same: storages refuse a change."""
        return self == other

    def edge(self, value: object) -> str:
        """Choices have no edge."""
        return ""

    def __str__(self) -> str:
        return f"{self.name} {'|'.join(map(str, self.values))}"


Dimension = Range | Choices
Space = Mapping[str, Dimension]


def read_space(table: Mapping[str, Any], defaults: Mapping[str, Knob]) -> dict[str, Dimension]:
    """Read a space from a table of ``{low, high, log}``, ``"1e-5..1e-1"`` or lists of choices.

    ``defaults`` are the recipe's knobs; ``log`` is true by default for ranges of a decade or more.
    Raises: WrongUse naming knob, rule and value.
    """
    space: dict[str, Dimension] = {}
    for name, value in table.items():
        if name not in defaults:
            raise unknown("knob to tune", name, defaults)
        space[name] = _dimension(name, value, defaults[name])
    return dict(sorted(space.items()))


def default_space(defaults: Mapping[str, Knob]) -> dict[str, Any]:
    """The default space: lr a hundredfold up and down, epochs (or steps) up to tenfold."""
    space: dict[str, Any] = {}
    if "lr" in defaults:
        lr = float(defaults["lr"])
        space["lr"] = {"low": lr / 100, "high": lr * 100}
    length = "steps" if defaults.get("steps") else "epochs"
    if length in defaults:
        space[length] = {"low": 1, "high": max(10, 10 * int(defaults[length]))}
    if not space:
        raise WrongUse(
            "nothing to tune: the recipe has neither lr nor epochs; name ranges in [tune.space] or --tune"
        )
    return space


def words_of(text: str) -> dict[str, Any]:
    """Read a space of the command line: ``lr=1e-5..1e-1,optimizer=adam|sgd``."""
    space: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise WrongUse(f"tune must read like lr=1e-5..1e-1,optimizer=adam|sgd, not {shown(text)}")
        name, value = name.strip(), value.strip()
        space[name] = value if ".." in value else [word.strip() for word in value.split("|")]
    return space


def _dimension(name: str, value: Any, default: Knob) -> Dimension:
    numeric = isinstance(default, (int, float)) and not isinstance(default, bool)
    if isinstance(value, list):
        return Choices(name=name, values=tuple(_choice(item, default) for item in value))
    if isinstance(value, str) and ".." in value:
        first, _, last = value.partition("..")
        value = {"low": first, "high": last}
    if not isinstance(value, dict):
        rule = 'must be {low = …, high = …}, "low..high" or a list of choices'
        raise WrongUse(f"tune: {name} {rule}, not {shown(value)}")
    if not numeric:
        raise WrongUse(f"tune: {name} is no number; give a list of choices")
    for key in value:
        if key not in KEYS:
            raise unknown(f"key of the range of {name}", key, KEYS)
    low, high = (_bound(name, key, value) for key in ("low", "high"))
    log = value.get("log", low > 0 and high / low >= DECADE)
    if not isinstance(log, bool):
        raise WrongUse(f"tune: log of {name} must be true or false, not {shown(log)}")
    return Range(name=name, low=low, high=high, log=log, whole=isinstance(default, int))


def _choice(value: Any, default: Knob) -> Any:
    """A choice as a plan would give it: text of a knob that is a number or a truth value is read as such."""
    if not isinstance(value, str) or isinstance(default, str):
        return value
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return read if isinstance(read, (bool, int, float)) else value


def _bound(name: str, key: str, table: Mapping[str, Any]) -> float:
    if key not in table:
        raise WrongUse(f"tune: {name} has no {key}; write {{low = …, high = …}}")
    try:
        if isinstance(table[key], bool):
            raise ValueError
        return float(table[key])
    except (TypeError, ValueError, OverflowError):
        raise WrongUse(f"tune: {key} of {name} must be a number, not {shown(table[key])}") from None


DEFAULT_TRIALS, MOST_TRIALS = 50, 1_000_000


class Tune(BaseModel):
    """How every coordinate of a plan is tuned."""

    model_config = STRICT

    space: SkipValidation[Space] = Field(
        default_factory=dict,
        description="Ranges and choices by knob; by default lr a hundredfold up and down, and epochs "
        "(or steps) up to tenfold.",
    )
    trials: Annotated[
        int,
        Field(ge=1, le=MOST_TRIALS, description="Trials that a study ends with, in all processes together."),
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
        float, Field(ge=0, le=1e9, description="Seconds after which a study ends early; 0 for no limit.")
    ] = 0.0
    storage: Annotated[
        str,
        Field(description="An Optuna URL or a journal file; by default a file beside the tracking store."),
    ] = ""
    log_trials: Annotated[bool, Field(description="Keep a tracked run for every trial.")] = False
    widen: Annotated[
        bool, Field(description="Let a range grow beyond the one that earlier trials searched.")
    ] = False

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
        raise WrongUse(f"tune: space must be a table of knobs, not {shown(space)}")
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
