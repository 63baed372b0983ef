"""Knobs: recipes, plan keys and tuning keys as pydantic models, and their faults as one-line messages.

A model declares each knob once, at its field: type, bounds, default and description. ``validated`` builds a
model from names and values of a plan or a command line; ``described`` lists the fields for the reference.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from mlproject.errors import WrongUse, shown, unknown

Needs = Literal["pixels", "classes", "label maps"]
"""What a recipe needs of its images: nothing but pixels, at least two classes, or a class for every pixel."""
TRUTH = {"true": True, "false": False}
TYPES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "a table",
    Mapping: "a table",
    list: "a list",
    tuple: "numbers",
}
LARGEST = 2**63 - 1
"""The largest whole number of any field: what stores and random generators hold."""
CAP = 1_000_000
"""Upper bounds from here on only stop slips of the hand: a message names them where they are broken."""
LayerName = Annotated[
    str, Field(description="Layer of the backbone whose output is read; auto are its own features.")
]
PoolName = Annotated[
    Literal["auto", "cls", "mean", "max"],
    Field(
        description="Pool over the layer's positions; auto is the class token where the network reads it, "
        "else the mean."
    ),
]
LATER_KNOBS: dict[str, str] = {"layer": "auto", "pool": "auto"}
"""Knobs added after the first release, with their defaults: in a cell only where they differ."""
Validated = TypeVar("Validated", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class FieldRow:
    """A field of a model in words: a row of the reference of knobs, plan keys or tuning keys."""

    name: str
    type: str
    default: str
    rule: str
    description: str


def described(model: type[BaseModel]) -> list[FieldRow]:
    """The fields of a model in the order of their declaration."""
    return [
        FieldRow(
            name=name,
            type=", ".join(_types(field)),
            default="" if field.is_required() else str(field.get_default(call_default_factory=True)),
            rule=_with_cap(field),
            description=field.description or "",
        )
        for name, field in model.model_fields.items()
    ]


def validated(model: type[Validated], values: Mapping[str, Any], *, kind: str, prefix: str = "") -> Validated:
    """The model with these values; text (``'1e-3'``, ``'true'``) is read as the field's type.

    ``kind`` is what a name is called in messages (``knob of probe``); messages begin with ``prefix``.
    Raises: WrongUse for a name that does not exist (with near matches) or a value that breaks a rule.
    """
    fields = model.model_fields
    for name in values:
        if name not in fields:
            raise WrongUse(f"{prefix}{unknown(kind, name, fields)}")
    read = {name: _read(fields[name].annotation, value) for name, value in values.items()}
    for name, value in read.items():
        if isinstance(value, int) and abs(value) > LARGEST:
            raise WrongUse(f"{prefix}{name} must be at most {LARGEST:,}, not {shown(value)}")
    try:
        return model.model_validate(read)
    except ValidationError as error:
        raise WrongUse(prefix + _message(fields, values, read, error)) from None


def require(holds: bool, name: str, rule: str, value: object) -> None:
    """Check a rule between fields. Raises: ValueError naming field, rule and value, as pydantic expects."""
    if not holds:
        raise ValueError(f"{name} {rule}, not {shown(value)}")


def rule_of(field: FieldInfo) -> str:
    """The bounds of a field in words, empty without bounds."""
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "rule" in extra:
        return str(extra["rule"])
    bounds = {name: bound for item in field.metadata for name, bound in _bounds(item)}
    if bounds.get("le", 0) >= CAP:
        del bounds["le"]
    rule = _bounds_in_words(bounds)
    open_ended = float in _kinds(field.annotation) and not {"lt", "le"} & set(bounds)
    if open_ended:
        rule = f"{rule} and finite" if rule else "must be finite"
    return rule


def _with_cap(field: FieldInfo) -> str:
    """The bounds of a field in words, with a cap that ``rule_of`` leaves out."""
    caps = [bound for item in field.metadata for name, bound in _bounds(item) if name == "le"]
    words = [rule_of(field), *(f"at most {cap:,}" for cap in caps if cap >= CAP)]
    return ", ".join(word for word in words if word)


def _bounds(item: object) -> Iterator[tuple[str, float]]:
    for name in ("gt", "ge", "lt", "le", "multiple_of"):
        bound = getattr(item, name, None)
        if bound is not None:
            yield name, bound


def _bounds_in_words(bounds: Mapping[str, float]) -> str:
    match bounds:
        case {"ge": low, "le": high}:
            rule = f"must be {low} to {high}"
        case {"ge": low, "lt": high}:
            rule = f"must be at least {low} and below {high}"
        case {"ge": low, "multiple_of": factor}:
            rule = f"must be at least {low} and divisible by {factor}"
        case {"ge": 0}:
            rule = "must be 0 or more"
        case {"ge": low}:
            rule = f"must be at least {low}"
        case {"gt": 0}:
            rule = "must be positive"
        case _:
            rule = ""
    return rule


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The types that an annotation allows and the names that it lists: ``(bool, 'auto')``."""
    return _cached_kinds(annotation)


@functools.cache
def _cached_kinds(annotation: Any) -> tuple[Any, ...]:
    origin = get_origin(annotation)
    if origin is Literal:
        return get_args(annotation)
    if origin in (Union, UnionType):
        return tuple(kind for member in get_args(annotation) for kind in _kinds(member))
    return () if annotation is NoneType else (origin or annotation,)


def _types(field: FieldInfo) -> list[str]:
    kinds = _kinds(field.annotation)
    names = [str(kind) for kind in kinds if isinstance(kind, str)]
    return names + [TYPES.get(kind, str(kind)) for kind in kinds if not isinstance(kind, str)]


def _read(annotation: Any, value: Any) -> Any:
    """Text as the value it spells; a number as an integer or a float, as the field needs."""
    kinds = _kinds(annotation)
    if isinstance(value, str) and bool in kinds:
        return TRUTH.get(value.lower(), value)
    if isinstance(value, bool) or not {int, float} & set(kinds) or (isinstance(value, int) and int in kinds):
        return value
    try:
        if int in kinds and isinstance(value, str) and value.strip().lstrip("+-").isdecimal():
            return int(value)
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return value
    if float in kinds:
        return number
    return int(number) if number.is_integer() and not isinstance(value, int) else value


def _message(
    fields: Mapping[str, FieldInfo], given: Mapping[str, Any], read: Mapping[str, Any], error: ValidationError
) -> str:
    """The first fault that pydantic found: field, rule and value. Bounds show the value as it was read."""
    fault = error.errors(include_url=False)[0]
    if not fault["loc"]:  # a rule between fields, see ``require``
        return str(fault["ctx"]["error"])
    name = str(fault["loc"][0])
    field, value = fields[name], given.get(name)
    match fault["type"]:
        case "missing":
            return f"{name} is missing" + (f"; it {rule_of(field)}" if rule_of(field) else "")
        case "literal_error" if all(isinstance(kind, str) for kind in _kinds(field.annotation)):
            return str(unknown(name, value, _kinds(field.annotation)))
        case "value_error":
            rule = str(fault["ctx"]["error"])
        case "string_too_long":
            rule = f"must have at most {fault['ctx']['max_length']} characters"
        case "multiple_of":
            rule, value = f"must be divisible by {fault['ctx']['multiple_of']}", read[name]
        case "finite_number" | "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            cap = fault.get("ctx", {}).get("le", 0)
            rule, value = f"must be at most {cap:,}" if cap >= CAP else rule_of(field), read[name]
        case _:
            rule = rule_of(field) if list in _kinds(field.annotation) else _type_rule(field)
    return f"{name} {rule}, not {shown(value)}"


def _type_rule(field: FieldInfo) -> str:
    *others, last = _types(field)
    joined = f"{', '.join(others)}{', ' if ' or ' in last else ' or '}{last}" if others else last
    return f"must be {joined}"
