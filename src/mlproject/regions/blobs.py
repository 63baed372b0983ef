"""Blobs: regions segmented by brightness (Otsu) or colour (HSV), and a prompt point on each.

The pipeline of the seed study: grey -> Otsu's threshold -> open, close -> outer contours -> area and
circularity -> centroids; HSV -> saturated and bright -> open -> outer contours -> area -> centroids.
Four things are added. Polarity: the class that holds most of the image's border is background, so bright
objects are found as well as dark ones (on a tie the object is the dark class, as in the seed). A blob that
holds more than half of the border is background whatever its source. A centroid that falls off its own blob
is replaced by the peak of the blob's distance transform. And colour is used only where grey gives no blob:
this is the path ``grey-first`` of 0.2. ``choice.py`` has the others.

Source: Otsu 1979, IEEE Trans. SMC 9, 62; contours: Suzuki and Abe 1985, CVGIP 30, 32, as in OpenCV.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mlproject.errors import BadInput
from mlproject.regions.settings import MOST_BLOBS, BlobLimits

Source = Literal["otsu", "hsv", "saliency", "fallback"]
Fallback = Literal["none", "shape", "centre"]
Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

OTSU_STEPS, HSV_STEPS = 2, 1
HSV_GATE = (np.array([0, 50, 50], np.uint8), np.array([179, 255, 255], np.uint8))
"""Any hue, saturation and value of at least 50: saturated and bright, which no grey is."""
SQUARE = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A blob: its prompt point (x, y) in pixels, and which label of ``labels`` [H, W] its pixels carry.

    A fallback without a region (label 0) has no pixels.
    """

    source: Source
    point: tuple[int, int]
    polygon_area: float
    labels: NDArray[np.int32]
    label: int

    @property
    def mask(self) -> Mask:
        """Its pixels, [H, W]."""
        return np.zeros(self.labels.shape, np.bool_) if self.label == 0 else self.labels == self.label


@dataclass(frozen=True, kw_only=True)
class Blobs:
    """The blobs of an image. ``funnel`` counts contours before and after every filter.

    ``polarity`` says whether the object is brighter or darker than its background, ``border_share`` how much
    of the border the background's class holds. ``fallback`` is ``none``; ``shape`` where the largest contour
    failed on circularity only, and is taken; ``centre`` where there was no contour to take.
    ``grey`` and ``colour`` are the blobs of each method alone, largest first, ``otsu`` and ``hsv`` the masks
    of all that passed; ``mask`` is the union of ``blobs``. ``spare`` is taken where a method has no blob.
    ``path`` says which of them ``blobs`` are, ``scores`` how candidates scored where they were compared.
    Shapes: masks are [H, W].
    """

    blobs: tuple[Blob, ...]
    funnel: dict[str, int]
    otsu_threshold: int
    polarity: Literal["bright", "dark"]
    border_share: float
    fallback: Fallback
    otsu: Mask
    hsv: Mask
    mask: Mask
    grey: tuple[Blob, ...]
    colour: tuple[Blob, ...]
    spare: Blob
    path: str
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TracedContours:
    """Contours of one method: those that passed all filters, those too long or jagged only, and counts."""

    source: Source
    labels: NDArray[np.int32]
    kept: list[Blob]
    refused_shapes: list[Blob]
    counts: dict[str, int]

    @property
    def largest(self) -> tuple[Blob, ...]:
        """The blobs that passed all filters, largest first, at most ``MOST_BLOBS``."""
        return tuple(sorted(self.kept, key=lambda blob: -blob.polygon_area)[:MOST_BLOBS])


def union(blobs: Sequence[Blob], size: tuple[int, int]) -> Mask:
    """The pixels of all blobs of an image of ``size`` (H, W)."""
    mask = np.zeros(size, np.bool_)
    for labels in {id(blob.labels): blob.labels for blob in blobs}.values():
        chosen = np.zeros(int(labels.max(initial=0)) + 1, np.bool_)
        chosen[[blob.label for blob in blobs if blob.labels is labels]] = True
        chosen[0] = False
        mask |= chosen[labels]
    return mask


def find_blobs(image: NDArray[Any], limits: BlobLimits) -> Blobs:
    """Blobs of an RGB image, [H, W, 3] uint8, largest first, with at least one prompt point.

    Raises: BadInput for anything but uint8 RGB: a float image would be misread silently.
    """
    require_rgb(image)
    size = (image.shape[0], image.shape[1])
    thresholded, threshold, bright, share = _otsu_class(image)
    otsu = trace("otsu", _opened(thresholded, limits, OTSU_STEPS, close=True), limits)
    hsv = trace("hsv", _opened(_hsv_class(image), limits, HSV_STEPS, close=False), limits)
    spare = _fallback(otsu)
    blobs = otsu.largest or hsv.largest or (spare,)
    return Blobs(
        blobs=blobs,
        funnel={**otsu.counts, **hsv.counts, "points": len(blobs)},
        otsu_threshold=threshold,
        polarity="bright" if bright else "dark",
        border_share=share,
        fallback=fallback_of(blobs),
        otsu=union(otsu.kept, size),
        hsv=union(hsv.kept, size),
        mask=union(blobs, size),
        grey=otsu.largest,
        colour=hsv.largest,
        spare=spare,
        path="grey-first",
    )


def fallback_of(blobs: Sequence[Blob]) -> Fallback:
    """Which fallback the blobs of an image are, if any."""
    if blobs[0].source != "fallback":
        return "none"
    return "shape" if blobs[0].label else "centre"


def require_rgb(image: NDArray[Any]) -> None:
    """Raise BadInput unless the image is uint8 [H, W, 3] with at least one pixel."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise BadInput(f"an image must be uint8 RGB [height, width, 3], not {image.dtype} {image.shape}")


def border(values: NDArray[Any]) -> NDArray[Any]:
    """The values [H, W] along the image's border, each pixel once."""
    if min(values.shape) <= 2:
        return values.ravel()
    return np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])


def _otsu_class(image: Pixels) -> tuple[Pixels, int, bool, float]:
    """The object's class (not 0), the threshold, whether it is bright, the background's border share."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    threshold, classes = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    lit = classes > 0
    share = float(border(lit).mean())
    bright = share < 0.5
    object_class = (lit if bright else ~lit).view(np.uint8)
    return object_class, int(threshold), bright, max(share, 1 - share)


def _hsv_class(image: Pixels) -> Pixels:
    gated = cv2.inRange(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), *HSV_GATE)
    return gated.astype(np.uint8, copy=False)


def _opened(mask: Pixels, limits: BlobLimits, seed_steps: int, *, close: bool) -> Pixels:
    steps = limits.steps(seed_steps, min(mask.shape))
    if steps == 0:
        return mask
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, SQUARE, iterations=steps)
    if close:
        opened = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, SQUARE, iterations=steps)
    return opened.astype(np.uint8, copy=False)


def trace(source: Source, mask: Pixels, limits: BlobLimits) -> TracedContours:
    """Apply all filters to the outer contours; regions inside a hole of another one are not traced."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    least, most = limits.area_bounds(mask.size)
    lines = [np.asarray(contour, np.int32) for contour in contours]
    sized = [(area, line) for line in lines if least < (area := cv2.contourArea(line)) < most]
    counts = {f"{source}_contours": len(contours), f"{source}_in_area": len(sized)}
    labels = np.zeros(mask.shape, np.int32)
    if sized:
        cv2.connectedComponents(mask, labels=labels, connectivity=8)
    on_border = np.bincount(border(labels))
    half = on_border.sum() / 2
    inside = [(area, line) for area, line in sized if _count(on_border, _label(labels, line)) <= half]
    counts[f"{source}_off_border"] = len(inside)
    low, high = limits.circularity if source == "otsu" else (-1.0, np.inf)
    kept: list[Blob] = []
    refused: list[Blob] = []
    for area, line in inside:
        blob = _blob(source, labels, line, area)
        (kept if low < circularity(line) < high else refused).append(blob)
    if source == "otsu":
        counts["otsu_round"] = len(kept)
    return TracedContours(source, labels, kept, refused, counts)


def circularity(contour: NDArray[np.int32]) -> float:
    """4 pi area / perimeter^2: 1 for a circle, pi / 4 for a square, towards 0 for what is long or jagged."""
    return float(4 * np.pi * cv2.contourArea(contour) / (cv2.arcLength(contour, True) ** 2 + 1e-6))


def _count(counts: NDArray[np.intp], label: int) -> int:
    return int(counts[label]) if label < len(counts) else 0


def _label(labels: NDArray[np.int32], contour: NDArray[np.int32]) -> int:
    x, y = contour[0, 0]
    return int(labels[y, x])


def _blob(source: Source, labels: NDArray[np.int32], contour: NDArray[np.int32], area: float) -> Blob:
    label = _label(labels, contour)
    moments = cv2.moments(contour)
    x, y = int(moments["m10"] / moments["m00"]), int(moments["m01"] / moments["m00"])
    if labels[y, x] != label:
        x, y = _deepest(labels, label, contour)
    return Blob(source=source, point=(x, y), polygon_area=area, labels=labels, label=label)


def _deepest(labels: NDArray[np.int32], label: int, contour: NDArray[np.int32]) -> tuple[int, int]:
    """The deepest pixel of a region whose outer contour is known."""
    x, y, width, height = cv2.boundingRect(contour)
    column, row = deepest(labels[y : y + height, x : x + width] == label)
    return x + column, y + row


def deepest(mask: Mask) -> tuple[int, int]:
    """The pixel (x, y) of a mask farthest from its outside (other pixels, and the image's border)."""
    padded = np.pad(mask, 1).astype(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return int(column) - 1, int(row) - 1


def _fallback(otsu: TracedContours) -> Blob:
    """The largest region that failed on circularity only, else the image's centre."""
    largest = max(otsu.refused_shapes, key=lambda blob: blob.polygon_area, default=None)
    if largest is not None:
        return Blob(
            source="fallback",
            point=largest.point,
            polygon_area=largest.polygon_area,
            labels=largest.labels,
            label=largest.label,
        )
    height, width = otsu.labels.shape
    centre = ((width - 1) // 2, (height - 1) // 2)
    return Blob(source="fallback", point=centre, polygon_area=0.0, labels=otsu.labels, label=0)
