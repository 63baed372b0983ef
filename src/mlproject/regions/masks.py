"""Masks and regions: measures of a mask, COCO's run-length code, and the region of an image with its objects.

Source: COCO's ``maskApi`` (Lin et al. 2014, arXiv 1405.0312): runs down the columns, of zeros first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from mlproject.regions.blobs import border

Mask = NDArray[np.bool_]
Fact = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class MaskShape:
    """Measures of a mask, in pixels; ``fraction`` is of the image.

    The box x, y, width, height counts its pixels: a mask of 3 x 2 pixels has width 3 and height 2.
    ``components`` are 8-connected; ``holes`` are parts of the background that a component surrounds.
    """

    area: int
    fraction: float
    x: int
    y: int
    width: int
    height: int
    components: int
    holes: int
    touches_border: bool

    def to_dict(self) -> dict[str, int | float | bool]:
        """Plain JSON values, as columns."""
        return asdict(self)


def measure(mask: Mask) -> MaskShape:
    """Measures of a mask, [H, W]; all zero for an empty one."""
    as_bytes = mask.view(np.uint8)
    area = cv2.countNonZero(as_bytes)
    x, y, width, height = cv2.boundingRect(as_bytes) if area else (0, 0, 0, 0)
    _, hierarchy = cv2.findContours(as_bytes, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    inner = int((hierarchy[0, :, 3] >= 0).sum()) if hierarchy is not None else 0
    return MaskShape(
        area=area,
        fraction=area / mask.size,
        x=x,
        y=y,
        width=width,
        height=height,
        components=(len(hierarchy[0]) if hierarchy is not None else 0) - inner,
        holes=inner,
        touches_border=bool(border(mask).any()),
    )


def encode(mask: Mask) -> str:
    """COCO's compressed run-length code of a mask, [H, W], as text."""
    return str(coco.encode(np.asfortranarray(mask.view(np.uint8)))["counts"].decode("ascii"))


def decode(counts: str, size: tuple[int, int]) -> Mask:
    """The mask, [H, W], that ``encode`` was given; ``size`` is (H, W)."""
    plain = coco.decode({"size": list(size), "counts": counts.encode("ascii")})
    return np.ascontiguousarray(plain).astype(np.bool_)


def overlap(first: Mask, second: Mask) -> float | None:
    """Intersection over union of two masks, [H, W]; None where both are empty."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else None


@dataclass(frozen=True, kw_only=True)
class RegionObject:
    """An object of a region: its prompt, its mask as run-length code, its measures, SAM's scores.

    ``scores`` are predicted IoUs of all candidates (``chosen`` is the one taken); empty without SAM.
    """

    source: str
    point: tuple[int, int]
    counts: str
    shape: MaskShape
    scores: tuple[float, ...] = ()
    chosen: int = 0
    stability: float | None = None
    logits_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class RegionResult:
    """The region of an image: ``counts`` is the run-length code of its mask for a ``size`` (H, W).

    ``prompts`` are all points (x, y) with their source, ``facts`` the row of ``regions.csv``.
    """

    size: tuple[int, int]
    counts: str
    prompts: tuple[tuple[str, int, int], ...]
    objects: tuple[RegionObject, ...]
    facts: Mapping[str, Fact]

    @property
    def mask(self) -> Mask:
        """The region's pixels, [H, W]."""
        return decode(self.counts, self.size)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``from_dict`` gives the same value back."""
        return {**asdict(self), "facts": dict(self.facts)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RegionResult:
        """The value that ``to_dict`` was called on."""
        height, width = values["size"]
        return cls(
            size=(height, width),
            counts=values["counts"],
            prompts=tuple((source, x, y) for source, x, y in values["prompts"]),
            objects=tuple(_object(row) for row in values["objects"]),
            facts=values["facts"],
        )


def _object(row: Mapping[str, Any]) -> RegionObject:
    x, y = row["point"]
    fields = {**row, "point": (x, y), "scores": tuple(row["scores"]), "shape": MaskShape(**row["shape"])}
    return RegionObject(**fields)
