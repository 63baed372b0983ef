"""ImageSet -> ImageSet: the object kept and its background replaced, or the other way round."""

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
from mlproject.regions.settings import Settings, find_settings

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

FILL = np.array([124, 116, 104], np.uint8)
"""What replaces pixels: ImageNet's mean colour, a constant, so that what is left tells nothing of what is
gone but its outline."""


def settings_of(region: str, checkpoint: str = "") -> Settings | None:
    """How a cell's region is found; None for ``full``. A background is the complement of SAM's region where a
    checkpoint is given, else of the blobs.

    Raises: WrongUse for an unknown region, and what finding the checkpoint raises.
    """
    if region not in get_args(Region):
        raise unknown("region", region, get_args(Region))
    if region == "full":
        return None
    by_sam = region == "sam" or (region == "background" and bool(checkpoint))
    return find_settings("sam" if by_sam else "blobs", checkpoint=checkpoint)


def masked(images: ImageSet, region: str, settings: Settings | None, root: Path) -> ImageSet:
    """The same images, of which only the region is left; ids, labels, split and draws stay.

    An image in which nothing was found counts as all object. Blobs are found again at each reading (they
    cost less than a file); regions that take a network are kept below ``root``.
    """
    if settings is None:
        return images
    from mlproject.regions.store import RegionStore

    store = RegionStore(root, settings)

    def read(index: int) -> Pixels:
        image = images.read(index)
        if settings.checkpoint is None:
            found = store.finder.find(image)
        else:
            found = store.region(images.digests[index], lambda: image)
        return keep(image, found.mask, background=region == "background")

    return replace(
        images,
        digests=tuple(_digest(digest, region, settings) for digest in images.digests),
        ranks=images.ranks or images.digests,
        read=read,
    )


def keep(image: Pixels, mask: Mask, *, background: bool) -> Pixels:
    """The image, [H, W, 3], with ``FILL`` where it is not object (or, for the background, where it is)."""
    wanted = mask if mask.any() else np.ones_like(mask)
    found: Pixels = np.where((wanted ^ background)[..., None], image, FILL)
    return found


def _digest(digest: str, region: str, settings: Settings) -> str:
    return hashlib.sha256(f"{digest}:{region}:{settings.digest}".encode()).hexdigest()
