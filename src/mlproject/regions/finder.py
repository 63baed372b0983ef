"""Find the region of an image, and cache regions by image and settings.

    <root>/regions-<method>-<settings>/<image>.json   the region of one image, with a SHA-256 of its content

Files appear whole or not at all, so a killed process loses only the image it was working on. A damaged file
is reported, and its region found again. The folder may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from mlproject.data import ImageSet
from mlproject.device import find_device
from mlproject.errors import one_line
from mlproject.files import STUB_SUFFIX, delete_stub, locked, read_signed, write_signed
from mlproject.regions.blobs import Blobs, Mask, Pixels, deepest, find_blobs
from mlproject.regions.choice import choose, grabcut
from mlproject.regions.masks import Fact, RegionObject, RegionResult, encode, measure, overlap, score
from mlproject.regions.settings import RegionSettings, keep

if TYPE_CHECKING:
    from mlproject.regions.sam import Sam
else:
    Sam = Any

log = logging.getLogger(__name__)

DIGITS = 6
"""Decimals of stored facts."""
REGIONS, EMBEDDINGS = "regions-", "sam-embeddings-"
"""Beginnings of the names of folders of the cache."""
UNUSABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError)
"""Errors of a file that is damaged."""


@dataclass
class RegionFinder:
    """Finds regions under one set of settings; what a network computes of an image is kept below ``root``.

    ``n_found`` counts the images searched.
    """

    settings: RegionSettings
    root: Path
    n_found: int = 0
    _sam: Sam | None = None

    def find(self, image: NDArray[Any]) -> RegionResult:
        """The region of an RGB image, [H, W, 3] uint8. Raises: BadInput for any other array."""
        start = time.monotonic()
        limits = self.settings.limits
        blobs = choose(image, find_blobs(image, limits), limits, self.settings.paths)
        if self.settings.checkpoint is not None:
            mask, objects = self._from_sam(image, blobs)
        elif self.settings.refine == "grabcut":
            mask = grabcut(image, blobs.mask, limits)
            objects = _components(mask)
        else:
            mask, objects = blobs.mask, _from_blobs(blobs)
        facts = _facts(blobs, mask, objects, self.settings) | _quality(image, mask, blobs)
        self.n_found += 1
        return RegionResult(
            size=(mask.shape[0], mask.shape[1]),
            counts=encode(mask),
            prompts=tuple((blob.source, *blob.point) for blob in blobs.blobs),
            objects=objects,
            facts={**facts, "seconds": round(time.monotonic() - start, DIGITS)},
        )

    def _from_sam(self, image: Pixels, blobs: Blobs) -> tuple[Mask, tuple[RegionObject, ...]]:
        from mlproject.regions.sam import Sam

        checkpoint = self.settings.checkpoint
        assert checkpoint is not None
        self._sam = self._sam or Sam(checkpoint=checkpoint, root=self.root)
        masks_of = self._sam.masks if self.settings.method == "sam" else self._sam.proposals
        mask, objects = np.zeros(image.shape[:2], np.bool_), []
        for result in masks_of(image, [blob.point for blob in blobs.blobs]):
            blob = blobs.blobs[result.prompt]
            mask |= result.mask
            objects.append(
                RegionObject(
                    source=blob.source,
                    point=blob.point,
                    counts=encode(result.mask),
                    shape=measure(result.mask),
                    scores=tuple(round(score, DIGITS) for score in result.scores),
                    chosen=result.chosen,
                    stability=None if result.stability is None else round(result.stability, DIGITS),
                    logits_sha256=result.logits_sha256,
                )
            )
        return mask, tuple(objects)


def _from_blobs(blobs: Blobs) -> tuple[RegionObject, ...]:
    objects = []
    for blob in blobs.blobs:
        pixels = blob.mask
        if pixels.any():
            objects.append(
                RegionObject(
                    source=blob.source, point=blob.point, counts=encode(pixels), shape=measure(pixels)
                )
            )
    return tuple(objects)


def _components(mask: Mask) -> tuple[RegionObject, ...]:
    """The connected parts of a refined mask, largest first, each with its deepest point."""
    n_labels, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    parts = sorted((labels == label for label in range(1, n_labels)), key=lambda part: -int(part.sum()))
    return tuple(
        RegionObject(source="grabcut", point=deepest(part), counts=encode(part), shape=measure(part))
        for part in parts
    )


def _quality(image: Pixels, mask: Mask, blobs: Blobs) -> dict[str, Fact]:
    """The path taken, the scores of all that were compared, the score of the mask and its parts."""
    rated = score(image, mask)
    return {
        "path": blobs.path,
        **{f"score_{name}": round(value, DIGITS) for name, value in blobs.scores.items()},
        "iou_refined": _agreement(blobs.mask, mask),
        **{name: round(value, DIGITS) for name, value in asdict(rated).items()},
        "score": round(rated.value, DIGITS),
    }


def _facts(
    blobs: Blobs, mask: Mask, objects: Sequence[RegionObject], settings: RegionSettings
) -> dict[str, Fact]:
    """The row of ``regions.csv``; values that do not exist are empty text."""
    shape = measure(mask)
    scores = [item.scores[item.chosen] for item in objects if item.scores]
    stability = [item.stability for item in objects if item.stability is not None]
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
    share = None if second is None else overlap(first, second)
    return "" if share is None else round(share, DIGITS)


def is_region_folder(folder: Path) -> bool:
    """Whether a folder of the cache holds regions, or what SAM computed of images."""
    return folder.name.startswith((REGIONS, EMBEDDINGS))


def region_faults(folder: Path) -> Iterator[tuple[Path, str]]:
    """The damaged files of a folder of regions or embeddings, each with its fault; all are read."""
    for path in sorted(folder.glob("*")):
        try:
            if path.suffix == ".json":
                RegionResult.from_dict(read_signed(path))
            elif path.suffix == ".safetensors":
                from mlproject.regions.sam import read_embedding

                read_embedding(path)
        except FileNotFoundError:
            continue
        except UNUSABLE as error:
            yield path, f"is damaged ({one_line(error)})"


class RegionStore:
    """Regions by image digest under one set of settings; ``root`` is the folder of the feature cache."""

    def __init__(self, root: Path, settings: RegionSettings) -> None:
        self.settings = settings
        self.folder = root / f"{REGIONS}{settings.method}-{settings.digest[:16]}"
        self.finder = RegionFinder(settings=settings, root=root)

    def region(self, digest: str, read: Callable[[], Pixels]) -> RegionResult:
        """The region of the image with this SHA-256, which is read only where no region is stored.

        Raises: BadInput, NoRoom, and what ``read`` raises.
        """
        kept = self.kept(digest)
        if kept is None:
            kept = self.finder.find(read())
            write_signed(self._path(digest), kept.to_dict(), place=self._place(digest))
        return kept

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Lock the folder against pruning and other processes; removes files that were half written."""
        with locked(self.folder.with_name(self.folder.name + ".lock")):
            for stub in self.folder.glob(f"*{STUB_SUFFIX}"):
                delete_stub(stub)
            yield

    def kept(self, digest: str) -> RegionResult | None:
        """The stored region of an image; None where there is none, or it is damaged, which is reported."""
        path = self._path(digest)
        try:
            region = RegionResult.from_dict(read_signed(path, place=self._place(digest)))
        except FileNotFoundError:
            return None
        except UNUSABLE as error:
            log.warning("%s is damaged (%s); the region is found again", path, one_line(error))
            return None
        return region if "score" in region.facts else None  # 0.2 stored no score

    def _place(self, digest: str) -> str:
        """What a stored region belongs to, so that it counts for no other image and no other settings."""
        return f"{self.folder.name} {digest} "

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskedImages:
    """Reads images of which only the region is left; see ``masked``."""

    images: ImageSet
    region: str
    settings: RegionSettings
    root: Path

    def __call__(self, index: int) -> Pixels:
        """The image, [height, width, 3], with ``FILL`` outside of the region."""
        image, store = self.images.read(index), _region_store(self.root, self.settings)
        if self.settings.is_stored:
            region_of_image = store.region(self.images.digests[index], lambda: image)
        else:
            region_of_image = store.finder.find(image)
        return keep(image, region_of_image.mask, background=self.region == "background")


@lru_cache(maxsize=1)
def _region_store(root: Path, settings: RegionSettings) -> RegionStore:
    """The store of regions of this process, which holds SAM's network once it was needed."""
    return RegionStore(root, settings)
