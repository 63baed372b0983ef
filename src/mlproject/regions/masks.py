"""Masks and regions: measures and score of a mask, COCO's run-length code, a region with its objects.

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


@dataclass(frozen=True, kw_only=True)
class RegionScore:
    """How much a mask looks like the object of a photograph; every part lies between 0 and 1.

    ``contrast``: Hellinger distance between the colours (RGB, 8 x 8 x 8 bins) of the mask and of as many
    pixels nearest to it. ``centrality``: 1 minus the mean distance of its pixels from the image's centre,
    where a corner has distance 1. ``compactness``: its area over that of its convex hull.
    ``border_contact``: its share of the image's border. ``extent``: its area over a tenth of the image, at
    most 1.
    """

    contrast: float
    centrality: float
    compactness: float
    border_contact: float
    extent: float

    @property
    def value(self) -> float:
        """The product contrast x centrality x compactness x (1 - border contact) x extent."""
        inside = self.contrast * self.centrality * self.compactness * self.extent
        return inside * (1 - self.border_contact)


NO_SCORE = RegionScore(contrast=0.0, centrality=0.0, compactness=0.0, border_contact=0.0, extent=0.0)
"""Of a mask without pixels, or without surroundings."""
WORKING_SIDE = 192
"""Longest side in pixels at which scores, saliency and GrabCut are computed."""
BINS = 8


def score(image: NDArray[np.uint8], mask: Mask) -> RegionScore:
    """The score of a mask [H, W] of an RGB image [H, W, 3], at ``WORKING_SIDE``."""
    image, mask = shrink(image), shrink_mask(mask)
    count = cv2.countNonZero(mask.view(np.uint8))
    if count in (0, mask.size):
        return NO_SCORE
    return RegionScore(
        contrast=_contrast(image, mask),
        centrality=1 - float(eccentricity(mask.shape)[mask].mean()),
        compactness=min(1.0, count / _hull_area(mask)),
        border_contact=float(border(mask).mean()),
        extent=min(1.0, 10 * count / mask.size),
    )


def eccentricity(size: tuple[int, int]) -> NDArray[np.float64]:
    """Distance of every pixel of an image of ``size`` (H, W) from its centre; a corner has distance 1."""
    y, x = ((2 * np.arange(n) + 1) / n - 1 for n in size)
    distance: NDArray[np.float64] = np.sqrt((y[:, None] ** 2 + x[None, :] ** 2) / 2)
    return distance


def _hull_area(mask: Mask) -> float:
    """Pixels within the convex hull of a mask's pixels, each of them a unit square."""
    lines, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    points = np.concatenate(lines).reshape(-1, 2)
    corners = np.concatenate([points + step for step in ((0, 0), (1, 0), (0, 1), (1, 1))])
    return float(cv2.contourArea(cv2.convexHull(corners.astype(np.int32))))


def shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image [H, W, 3] reduced to ``WORKING_SIDE``; smaller ones stay as they are."""
    size = _working_size(image.shape[0], image.shape[1])
    if size is None:
        return np.ascontiguousarray(image)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def shrink_mask(mask: Mask) -> Mask:
    """A mask [H, W] reduced in the same way."""
    size = _working_size(mask.shape[0], mask.shape[1])
    if size is None:
        return np.ascontiguousarray(mask)
    return cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(np.bool_)


def _working_size(height: int, width: int) -> tuple[int, int] | None:
    """Width and height at the working side; None where the image is small enough."""
    factor = WORKING_SIDE / max(height, width)
    return None if factor >= 1 else (max(1, round(width * factor)), max(1, round(height * factor)))


def _contrast(image: NDArray[np.uint8], mask: Mask) -> float:
    outside = ~mask
    distance = cv2.distanceTransform(outside.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    away = distance[outside]
    nearest = min(away.size, mask.size - away.size) - 1
    around = outside & (distance <= np.partition(away, nearest)[nearest])
    levels = (image // (256 // BINS)).astype(np.int32)
    colours = (levels[..., 0] * BINS + levels[..., 1]) * BINS + levels[..., 2]
    first, second = (np.bincount(colours[part], minlength=BINS**3) / part.sum() for part in (mask, around))
    return float(np.sqrt(max(0.0, 1 - np.sqrt(first * second).sum())))


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
