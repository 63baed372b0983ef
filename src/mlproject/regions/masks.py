"""Masks: what is measured of one, its run-length code as COCO writes it, and how far two agree.

Source: COCO's ``maskApi`` (Lin et al. 2014, arXiv 1405.0312): runs down the columns, of zeros first.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from mlproject.regions.blobs import border

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Shape:
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


def measure(mask: Mask) -> Shape:
    """The shape of a mask, [H, W]; all zero for an empty one."""
    as_bytes = mask.view(np.uint8)
    area = cv2.countNonZero(as_bytes)
    x, y, width, height = cv2.boundingRect(as_bytes) if area else (0, 0, 0, 0)
    _, hierarchy = cv2.findContours(as_bytes, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    inner = int((hierarchy[0, :, 3] >= 0).sum()) if hierarchy is not None else 0
    return Shape(
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
