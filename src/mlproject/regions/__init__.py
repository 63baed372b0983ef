"""Regions: the object of an image, by thresholds (blobs) or SAM; image sets with object or background alone.

    image -> blobs (Otsu, HSV, saliency, fallback) -> GrabCut, or points -> SAM, where chosen -> mask -> score

Importing this package needs neither OpenCV nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mlproject.regions.settings import (
    NO_CHECKPOINT,
    Paths,
    Refine,
    RegionSettings,
    find_settings,
    masked,
    settings_of,
)

if TYPE_CHECKING:
    from mlproject.regions.blobs import find_blobs
    from mlproject.regions.finder import RegionFinder, RegionStore, is_region_folder, region_faults
    from mlproject.regions.masks import Fact, MaskShape, RegionObject, RegionResult

__all__ = [
    "NO_CHECKPOINT",
    "Fact",
    "MaskShape",
    "Paths",
    "Refine",
    "RegionFinder",
    "RegionObject",
    "RegionResult",
    "RegionSettings",
    "RegionStore",
    "find_blobs",
    "find_settings",
    "is_region_folder",
    "masked",
    "region_faults",
    "settings_of",
]

_DEFERRED = {
    "blobs": ("find_blobs",),
    "finder": ("RegionFinder", "RegionStore", "is_region_folder", "region_faults"),
    "masks": ("Fact", "MaskShape", "RegionObject", "RegionResult"),
}
"""Modules that need OpenCV, and their names: imported when first used."""


def __getattr__(name: str) -> Any:
    for module, names in _DEFERRED.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
