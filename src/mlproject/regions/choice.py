"""Paths to the object of a photograph: grey, colour, both or saliency, chosen by a score, refined by GrabCut.

    grey: Otsu · colour: HSV · both: their union · saliency: colours unlike those of the border

``best`` takes the path whose mask scores highest (``masks.score``). Sources: saliency from the border's
colours, Wei et al. 2012, ECCV (the boundary prior), with the Mahalanobis distance; GrabCut: Rother et al.
2004, ACM Trans. Graphics 23, 309, as in OpenCV.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mlproject.regions.blobs import Blob, Blobs, Mask, Pixels, fallback_of, trace, union
from mlproject.regions.masks import eccentricity, score, shrink, shrink_mask
from mlproject.regions.settings import MOST_BLOBS, BlobLimits

FRAME = 0.06
"""Share of the short side that counts as border: width of the frame whose colours are background."""
SPREAD = 25.0
"""Added to the variance of the border's colours (CIE Lab units, squared), so that a plain border has one."""
CENTRE = 0.6
"""Standard deviation of the weight of the centre, where the image reaches from -1 to 1."""
CLEARLY_BACKGROUND = 0.05
"""Share of each side, along the border, that GrabCut takes for background whatever the start is."""
ITERATIONS = 5
WORSE = 0.5
"""A refined mask that scores less than this share of its start is not taken."""


def choose(image: Pixels, blobs: Blobs, limits: BlobLimits, paths: str) -> Blobs:
    """The blobs of an RGB image [H, W, 3] by one of ``settings.Paths``; the fallback where it has none."""
    if paths == "grey-first":
        return blobs
    candidates: dict[str, tuple[Blob, ...]] = {"grey": blobs.grey, "colour": blobs.colour}
    candidates["both"] = _largest([*blobs.grey, *blobs.colour])
    if paths != "best":
        return _taken(blobs, paths, candidates[paths], {})
    candidates["saliency"] = trace("saliency", _salient(image), limits).largest
    size = blobs.mask.shape
    scores = {
        name: score(image, union(traced, size)).value if traced else 0.0
        for name, traced in candidates.items()
    }
    best = max(scores, key=lambda name: scores[name])
    return _taken(blobs, best, candidates[best], scores)


def _largest(blobs: Sequence[Blob]) -> tuple[Blob, ...]:
    return tuple(sorted(blobs, key=lambda blob: -blob.polygon_area)[:MOST_BLOBS])


def _taken(blobs: Blobs, path: str, traced: tuple[Blob, ...], scores: Mapping[str, float]) -> Blobs:
    chosen = traced or (blobs.spare,)
    return replace(
        blobs,
        blobs=chosen,
        funnel={**blobs.funnel, "points": len(chosen)},
        fallback=fallback_of(chosen),
        mask=union(chosen, blobs.mask.shape),
        path=path,
        scores=scores,
    )


def saliency(image: Pixels) -> NDArray[np.float64]:
    """How unlike the border's colours every pixel is, and how central; [h, w] at the working side, 0 to 1."""
    small = shrink(image)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab = cv2.GaussianBlur(lab, (0, 0), 1).astype(np.float64)
    height, width = small.shape[:2]
    frame = _frame(height, width, max(1, round(FRAME * min(height, width))))
    colours = lab[frame]
    centred = colours - colours.mean(0)
    spread = centred.T @ centred / len(colours) + SPREAD * np.eye(3)
    away = lab - colours.mean(0)
    distance = np.sqrt(np.einsum("hwi,ij,hwj->hw", away, np.linalg.inv(spread), away))
    weighted = distance * np.exp(-((eccentricity((height, width)) / CENTRE) ** 2))
    most = weighted.max()
    salient: NDArray[np.float64] = weighted / most if most > 0 else weighted
    return salient


def _salient(image: Pixels) -> Pixels:
    """The class above Otsu's threshold of the saliency, [H, W], as 0 and 1."""
    levels = (255 * saliency(image)).astype(np.uint8)
    _, classes = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return _enlarge(classes > 0, image.shape[:2]).view(np.uint8)


def _frame(height: int, width: int, thick: int) -> Mask:
    frame = np.ones((height, width), np.bool_)
    frame[thick : height - thick, thick : width - thick] = False
    return frame


def _enlarge(mask: Mask, size: tuple[int, int]) -> Mask:
    if mask.shape == size:
        return mask
    shares = cv2.resize(mask.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    enlarged: Mask = shares > 0.5
    return enlarged


def grabcut(image: Pixels, start: Mask, limits: BlobLimits) -> Mask:
    """A mask [H, W] refined by GrabCut; the same input gives the same mask.

    The start is probably object, the rest probably background, a frame of 5 % of each side certainly
    background. Where the start is empty, everything inside the frame is probably object. Parts below the
    least area of ``limits`` are dropped. The start itself is returned where one of the two has no pixel, or
    where the refined mask scores less than half of it.
    """
    small, probable = shrink(image), shrink_mask(start)
    height, width = probable.shape
    rows, columns = round(CLEARLY_BACKGROUND * height), round(CLEARLY_BACKGROUND * width)
    inside = np.zeros_like(probable)
    inside[rows : height - rows, columns : width - columns] = True
    probable = (probable if probable.any() else np.ones_like(probable)) & inside
    if not probable.any() or probable.all():
        return start
    labels = np.where(probable, cv2.GC_PR_FGD, np.where(inside, cv2.GC_PR_BGD, cv2.GC_BGD)).astype(np.uint8)
    cv2.setRNGSeed(0)
    nowhere = (0, 0, 0, 0)  # the labels are the start, not a rectangle
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, labels, nowhere, *models, iterCount=ITERATIONS, mode=cv2.GC_INIT_WITH_MASK)
    is_object = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    refined = _without_specks(_enlarge(is_object, start.shape), limits)
    return refined if score(image, refined).value >= WORSE * score(image, start).value else start


def _without_specks(mask: Mask, limits: BlobLimits) -> Mask:
    n_labels, labels, facts, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    kept = facts[:n_labels, cv2.CC_STAT_AREA] > limits.area_bounds(mask.size)[0]
    kept[0] = False
    cleaned: Mask = kept[labels]
    return cleaned
