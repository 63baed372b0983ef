"""Knobs of a recipe: read from text, checked against the type of the field that holds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mlproject.cell import Knob
from mlproject.errors import WrongUse, unknown

TRUTH = {"true": True, "false": False}


def parsed(recipe: type[Any], knobs: Mapping[str, Knob]) -> dict[str, Knob]:
    """Every knob as its field's type; text (``'1e-3'``, ``'true'``) is read as a value.

    Raises: WrongUse for a knob that does not exist (with near matches) or cannot be read.
    """
    kind: Any = recipe
    hints = {f.name: _hints(kind)[f.name] for f in fields(kind)}
    for name in knobs:
        if name not in hints:
            raise unknown(f"knob of {recipe.__name__.lower()}", name, hints)
    return {name: _parse(name, hints[name], value) for name, value in knobs.items()}


def check_choices(recipe: Any) -> None:
    """Refuse a field whose value is not one of the names that its type lists."""
    kind: Any = type(recipe)
    for name, hint in _hints(kind).items():
        if get_origin(hint) is Literal:
            _choice(name, hint, getattr(recipe, name))


@cache
def _hints(recipe: Any) -> dict[str, Any]:
    return get_type_hints(recipe)  # half a millisecond, and a search builds a recipe for every trial


def check_descent(recipe: Any) -> None:
    """Refuse rates, steps and batches that no gradient can be followed with."""
    require(0 < recipe.lr < float("inf"), "lr", "must be positive and finite", recipe.lr)
    require(recipe.steps >= 1, "steps", "must be at least 1", recipe.steps)
    require(recipe.batch_size >= 1, "batch_size", "must be at least 1", recipe.batch_size)
    decay = recipe.weight_decay
    require(0 <= decay < float("inf"), "weight_decay", "must be 0 or more and finite", decay)


def require(holds: bool, name: str, rule: str, value: object) -> None:
    """Refuse a knob, saying its name, the rule that it breaks and its value."""
    if not holds:
        raise WrongUse(f"{name} {rule}, not {value!r}")


def check_training(recipe: Any) -> None:
    """Refuse values of the knobs of the training loop (``training.Settings``) that break a rule."""
    knobs = {f.name: getattr(recipe, f.name) for f in fields(recipe)}
    positive = "must be positive and finite"
    require(0 < knobs["lr"] < float("inf"), "lr", positive, knobs["lr"])
    require(knobs["steps"] >= 0, "steps", "must be 0 (use epochs) or more", knobs["steps"])
    enough = knobs["epochs"] >= 1 or knobs["steps"] > 0
    require(enough, "epochs", "must be at least 1", knobs["epochs"])
    for name in ("batch_size", "accumulate", "judged_epochs", "side"):
        require(knobs[name] >= 1, name, "must be at least 1", knobs[name])
    decay = knobs["weight_decay"]
    require(0 <= decay < float("inf"), "weight_decay", "must be 0 or more and finite", decay)
    for name in ("momentum", "warmup", "ema"):
        require(0 <= knobs[name] < 1, name, "must be at least 0 and below 1", knobs[name])
    pieces = knobs["accumulate"]
    require(pieces <= knobs["batch_size"], "accumulate", "must be at most batch_size", pieces)


def _parse(name: str, hint: Any, value: Knob) -> Knob:
    if get_origin(hint) is Literal:
        return _choice(name, hint, value)
    if hint == bool | Literal["auto"]:
        return value if value == "auto" else _truth(name, value, "must be auto, true or false")
    return _READERS[hint](name, value)


def _choice(name: str, hint: Any, value: Knob) -> Knob:
    if value not in get_args(hint):
        raise unknown(name, value, get_args(hint))
    return value


def _truth(name: str, value: Knob, rule: str = "must be true or false") -> bool:
    known = TRUTH.get(value.lower()) if isinstance(value, str) else value
    require(isinstance(known, bool), name, rule, value)
    return bool(known)


def _whole(name: str, value: Knob) -> int:
    number = _number(name, value, "must be a whole number")
    require(number.is_integer(), name, "must be a whole number", value)
    return int(number)


def _real(name: str, value: Knob) -> float:
    return _number(name, value, "must be a number")


def _number(name: str, value: Knob, rule: str) -> float:
    try:
        require(not isinstance(value, bool), name, rule, value)
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise WrongUse(f"{name} {rule}, not {value!r}") from None


def _name(name: str, value: Knob) -> str:
    require(isinstance(value, str), name, "must be text", value)
    return str(value)


_READERS: dict[Any, Callable[[str, Knob], Knob]] = {bool: _truth, int: _whole, float: _real, str: _name}
