"""Found: the region of one image, the objects that it is made of, and everything that is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mlproject.regions.masks import Mask, Shape, decode

Fact = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Object:
    """One object: the prompt that it comes from, its mask as run-length code, its shape, SAM's word on it.

    ``scores`` are predicted IoUs of all candidates (``chosen`` is the one taken); empty without SAM.
    """

    source: str
    point: tuple[int, int]
    counts: str
    shape: Shape
    scores: tuple[float, ...] = ()
    chosen: int = 0
    stability: float | None = None
    logits_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """``counts`` is the region's run-length code for an image of ``size`` (H, W): the union of its objects.

    ``prompts`` are all points (x, y) with their source, ``facts`` the row of ``regions.csv``.
    """

    size: tuple[int, int]
    counts: str
    prompts: tuple[tuple[str, int, int], ...]
    objects: tuple[Object, ...]
    facts: Mapping[str, Fact]

    @property
    def mask(self) -> Mask:
        """The region's pixels, [H, W]."""
        return decode(self.counts, self.size)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``from_dict`` gives the same value back."""
        return {**asdict(self), "facts": dict(self.facts)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Found:
        """The value that ``to_dict`` was called on."""
        height, width = values["size"]
        return cls(
            size=(height, width),
            counts=values["counts"],
            prompts=tuple((source, x, y) for source, x, y in values["prompts"]),
            objects=tuple(_object(row) for row in values["objects"]),
            facts=values["facts"],
        )


def _object(row: Mapping[str, Any]) -> Object:
    x, y = row["point"]
    own = {**row, "point": (x, y), "scores": tuple(row["scores"]), "shape": Shape(**row["shape"])}
    return Object(**own)
