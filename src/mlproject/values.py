"""Values as plans and command lines write them: lists and comma lists, whole numbers, image scales."""

from __future__ import annotations

from typing import Any

from mlproject.errors import WrongUse
from mlproject.multiscale import layouts

LISTS = ("model", "dataset_size", "seed")
"""Coordinates for which a command line may give a comma list."""
LARGEST_MULTIPLE = 16
"""An image scale above this is a side in pixels, below it a multiple of the model's input side."""


def read_scales(value: Any, side: int) -> tuple[float, ...]:
    """Multiples of the input side; sides in pixels are divided by it."""
    words = value.split(",") if isinstance(value, str) else value
    words = words if isinstance(words, (list, tuple)) else [words]
    try:
        numbers = [float(word) for word in words]
    except (TypeError, ValueError):
        raise WrongUse(f"image_scales must be numbers such as 1,2 or 224,448, not {value!r}") from None
    multiples = tuple(n / side if n > LARGEST_MULTIPLE else n for n in numbers)
    if max(multiples, default=0) > LARGEST_MULTIPLE:
        raise WrongUse(f"image_scales must be at most {LARGEST_MULTIPLE} ({LARGEST_MULTIPLE * side} pixels)")
    layouts(side, side, multiples)  # says at once what cannot be cut
    return multiples


def listed(name: str, value: Any) -> list[Any]:
    """The values a coordinate or knob takes: a TOML list, a comma list where allowed, or one value."""
    if name == "image_scales":
        nested = isinstance(value, list) and any(isinstance(v, (list, str)) for v in value)
        return value if nested else [value]
    if isinstance(value, str) and name in LISTS:
        value = [word.strip() for word in value.split(",")]
        if not all(value):
            raise WrongUse(f"{name} has an empty item in its list")
    values = value if isinstance(value, list) else [value]
    if not values:
        raise WrongUse(f"{name} must not be an empty list")
    for one in values:
        if not isinstance(one, (str, int, float)):
            raise WrongUse(f"{name} must be text, a number or a truth value, not {one!r}")
    return values


def whole(name: str, value: Any) -> int:
    """A whole number, or text that reads as one. Raises: WrongUse."""
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int):
        raise WrongUse(f"{name} must be a whole number, not {value!r}")
    return number
