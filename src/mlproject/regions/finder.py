"""Finder: an image in, its region out, with the time that this took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlproject.device import find_device
from mlproject.regions.blobs import Blobs, Mask, Pixels, find_blobs
from mlproject.regions.found import Fact, Found, Object
from mlproject.regions.masks import encode, measure, overlap
from mlproject.regions.settings import Settings

if TYPE_CHECKING:
    from mlproject.regions.sam import Sam
else:
    Sam = Any

DIGITS = 6
"""Decimals that facts are kept with."""


@dataclass
class Finder:
    """Finds regions under one set of settings; what a network computes of an image is kept below ``root``.

    ``n_found`` counts the images that were worked on.
    """

    settings: Settings
    root: Path
    n_found: int = 0
    _sam: Sam | None = None

    def find(self, image: NDArray[Any]) -> Found:
        """The region of an RGB image, [H, W, 3] uint8. Raises: BadInput for any other array."""
        start = time.monotonic()
        blobs = find_blobs(image, self.settings.limits)
        mask, objects = _of_blobs(blobs) if self.settings.checkpoint is None else self._of_sam(image, blobs)
        facts = _facts(blobs, mask, objects, self.settings)
        self.n_found += 1
        return Found(
            size=(mask.shape[0], mask.shape[1]),
            counts=encode(mask),
            prompts=tuple((blob.source, *blob.point) for blob in blobs.blobs),
            objects=objects,
            facts={**facts, "seconds": round(time.monotonic() - start, DIGITS)},
        )

    def _of_sam(self, image: Pixels, blobs: Blobs) -> tuple[Mask, tuple[Object, ...]]:
        from mlproject.regions.sam import Sam

        checkpoint = self.settings.checkpoint
        assert checkpoint is not None
        self._sam = self._sam or Sam(checkpoint=checkpoint, root=self.root)
        ask = self._sam.masks if self.settings.method == "sam" else self._sam.proposals
        mask, objects = np.zeros(image.shape[:2], np.bool_), []
        for answer in ask(image, [blob.point for blob in blobs.blobs]):
            blob = blobs.blobs[answer.prompt]
            mask |= answer.mask
            objects.append(
                Object(
                    source=blob.source,
                    point=blob.point,
                    counts=encode(answer.mask),
                    shape=measure(answer.mask),
                    scores=tuple(round(score, DIGITS) for score in answer.scores),
                    chosen=answer.chosen,
                    stability=None if answer.stability is None else round(answer.stability, DIGITS),
                    logits_sha256=answer.logits_sha256,
                )
            )
        return mask, tuple(objects)


def _of_blobs(blobs: Blobs) -> tuple[Mask, tuple[Object, ...]]:
    objects = []
    for blob in blobs.blobs:
        own = blob.mask
        if own.any():
            objects.append(
                Object(source=blob.source, point=blob.point, counts=encode(own), shape=measure(own))
            )
    return blobs.mask, tuple(objects)


def _facts(blobs: Blobs, mask: Mask, objects: Sequence[Object], settings: Settings) -> dict[str, Fact]:
    """The columns of ``regions.csv`` that a mask decides; what there is none of is empty text."""
    shape = measure(mask)
    scores = [one.scores[one.chosen] for one in objects if one.scores]
    stability = [one.stability for one in objects if one.stability is not None]
    by_sam = mask if settings.checkpoint else None
    checkpoint = settings.checkpoint
    return {
        "sources": " ".join(blob.source for blob in blobs.blobs),
        "points": " ".join(f"{blob.point[0]},{blob.point[1]}" for blob in blobs.blobs),
        **{f"n_{name}": count for name, count in blobs.funnel.items()},
        "fallback": blobs.fallback,
        "otsu_threshold": blobs.otsu_threshold,
        "polarity": blobs.polarity,
        "border_share": round(blobs.border_share, DIGITS),
        **shape.to_dict(),
        "fraction": round(shape.fraction, DIGITS),
        "empty": shape.area == 0,
        "predicted_iou": round(float(np.mean(scores)), DIGITS) if scores else "",
        "stability_score": round(float(np.mean(stability)), DIGITS) if stability else "",
        "iou_otsu_hsv": _agreement(blobs.otsu, blobs.hsv),
        "iou_otsu_sam": _agreement(blobs.otsu, by_sam),
        "iou_hsv_sam": _agreement(blobs.hsv, by_sam),
        "method": settings.label,
        "checkpoint_sha256": checkpoint.sha256 if checkpoint else "",
        "device": find_device() if checkpoint else "cpu",
    }


def _agreement(first: Mask, second: Mask | None) -> float | str:
    """Intersection over union; empty text where there is no second mask, or both are empty."""
    found = None if second is None else overlap(first, second)
    return "" if found is None else round(found, DIGITS)
