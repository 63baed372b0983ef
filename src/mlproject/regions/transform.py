"""Replace the background, or the object, of every image of an ImageSet by a constant colour."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from mlproject.cell import Region
from mlproject.data import ImageSet
from mlproject.errors import unknown
from mlproject.regions.settings import RegionSettings, find_settings

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

FILL = np.array([124, 116, 104], np.uint8)
"""Colour of replaced pixels: ImageNet's mean, a constant, so that only the outline of what was removed is
left."""


def settings_of(region: str, checkpoint: str = "") -> RegionSettings | None:
    """Settings for a cell's region; None for ``full``. A background is the complement of SAM's region where a
    checkpoint is given, else of the blobs.

    Raises: WrongUse for an unknown region, and what finding the checkpoint raises.
    """
    if region not in get_args(Region):
        raise unknown("region", region, get_args(Region))
    if region == "full":
        return None
    by_sam = region == "sam" or (region == "background" and bool(checkpoint))
    return find_settings("sam" if by_sam else "blobs", checkpoint=checkpoint)


def masked(images: ImageSet, region: str, settings: RegionSettings | None, root: Path) -> ImageSet:
    """The same images with only the region left; ids, labels, split and draws stay.

    An image in which nothing was found counts as all object. Blobs are found again at each reading (they
    cost less than a file); regions that need a network are stored below ``root``.
    """
    if settings is None:
        return images
    from mlproject.regions.finder import RegionStore

    store = RegionStore(root, settings)

    def read(index: int) -> Pixels:
        image = images.read(index)
        if settings.checkpoint is None:
            region_of_image = store.finder.find(image)
        else:
            region_of_image = store.region(images.digests[index], lambda: image)
        return keep(image, region_of_image.mask, background=region == "background")

    return replace(
        images,
        digests=tuple(_digest(digest, region, settings) for digest in images.digests),
        ranks=images.ranks or images.digests,
        read=read,
    )


def keep(image: Pixels, mask: Mask, *, background: bool) -> Pixels:
    """The image, [H, W, 3], with ``FILL`` where it is not object (or, for the background, where it is)."""
    objects = mask if mask.any() else np.ones_like(mask)
    kept: Pixels = np.where((objects ^ background)[..., None], image, FILL)
    return kept


def _digest(digest: str, region: str, settings: RegionSettings) -> str:
    return hashlib.sha256(f"{digest}:{region}:{settings.digest}".encode()).hexdigest()
