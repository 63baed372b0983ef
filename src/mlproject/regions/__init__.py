"""Regions: the object of an image, found by blobs or by SAM, and image sets of which only it is left.

    image -> blobs (Otsu, HSV, fallback) -> points -> SAM where asked -> mask -> facts -> kept by digest

Importing this package needs neither OpenCV nor torch; SAM's own package (extra ``sam``) is imported when it
is asked for a mask.
"""

from __future__ import annotations

from mlproject.regions.settings import Settings, find_settings
from mlproject.regions.transform import masked, settings_of

__all__ = ["Settings", "find_settings", "masked", "settings_of"]
