"""Search spaces: a range or choices for each tuned knob, from a plan or a command line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlproject.cell import Knob
from mlproject.errors import WrongUse, unknown

DECADE = 10.0
EDGE = 0.02
"""Share of a range (of its logarithm for a logarithmic one) that counts as its edge."""
KEYS = ("low", "high", "log")


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
        if len(set(map(str, self.values))) != len(self.values) or len(self.values) < 2:
            raise WrongUse(f"tune: {self.name} must have two or more different choices, not {self.values}")

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
        raise WrongUse("nothing to tune: the recipe has neither lr nor epochs; name ranges in [tune.space]")
    return space


def words_of(text: str) -> dict[str, Any]:
    """Read a space of the command line: ``lr=1e-5..1e-1,optimizer=adam|sgd``."""
    space: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise WrongUse(f"tune must read like lr=1e-5..1e-1,optimizer=adam|sgd, not {text!r}")
        name, value = name.strip(), value.strip()
        space[name] = value if ".." in value else [word.strip() for word in value.split("|")]
    return space


def _dimension(name: str, value: Any, default: Knob) -> Dimension:
    numeric = isinstance(default, (int, float)) and not isinstance(default, bool)
    if isinstance(value, list):
        return Choices(name=name, values=tuple(value))
    if isinstance(value, str) and ".." in value:
        first, _, last = value.partition("..")
        value = {"low": first, "high": last}
    if not isinstance(value, dict):
        rule = 'must be {low = …, high = …}, "low..high" or a list of choices'
        raise WrongUse(f"tune: {name} {rule}, not {value!r}")
    if not numeric:
        raise WrongUse(f"tune: {name} is no number; give a list of choices")
    for key in value:
        if key not in KEYS:
            raise unknown(f"key of the range of {name}", key, KEYS)
    low, high = (_bound(name, key, value) for key in ("low", "high"))
    log = value.get("log", low > 0 and high / low >= DECADE)
    if not isinstance(log, bool):
        raise WrongUse(f"tune: log of {name} must be true or false, not {log!r}")
    return Range(name=name, low=low, high=high, log=log, whole=isinstance(default, int))


def _bound(name: str, key: str, table: Mapping[str, Any]) -> float:
    if key not in table:
        raise WrongUse(f"tune: {name} has no {key}; write {{low = …, high = …}}")
    try:
        if isinstance(table[key], bool):
            raise ValueError
        return float(table[key])
    except (TypeError, ValueError):
        raise WrongUse(f"tune: {key} of {name} must be a number, not {table[key]!r}") from None
