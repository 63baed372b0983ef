"""Limits: which contours are blobs, in proportion to the image or in pixels as the seed study has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlproject.errors import unknown

LimitsName = Literal["relative", "seed"]

MOST_BLOBS = 32
"""Blobs of one image that are kept, largest first: what a segmenter is asked at once stays bounded."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a contour must have to be a blob.

    ``area`` bounds the contour's polygon (``cv2.contourArea``: through the centres of its pixels, holes
    filled), exclusive; as shares of the image where ``shares`` is true, else in pixels. ``circularity``
    bounds 4 pi area / perimeter^2, exclusive: a rectangle of a : 1 has about pi a / (1 + a)^2.
    ``reference_side`` is the short side in pixels at which opening and closing take the seed's steps of
    3 x 3 (two for Otsu, one for HSV), in proportion elsewhere; None takes those steps at every size.
    """

    area: tuple[float, float]
    shares: bool
    circularity: tuple[float, float]
    reference_side: float | None

    def area_bounds(self, n_pixels: int) -> tuple[float, float]:
        """The bounds in pixels for an image of so many."""
        scale = n_pixels if self.shares else 1
        return self.area[0] * scale, self.area[1] * scale

    def steps(self, seed_steps: int, short_side: int) -> int:
        """Steps of 3 x 3 for an image: 0 at 28 pixels, the seed's at 375, in proportion."""
        if self.reference_side is None:
            return seed_steps
        return round(seed_steps * short_side / self.reference_side)


LIMITS = {
    "relative": Limits(area=(0.002, 0.9), shares=True, circularity=(0.1, 1.5), reference_side=375.0),
    "seed": Limits(area=(100.0, 50_000.0), shares=False, circularity=(0.5, 1.5), reference_side=None),
}
"""The seed study's circularity (0.5 to 1.5) refuses what is longer than 4 : 1; its upper bound is above 1 and
refuses nothing. Its listing names an absolute least and largest area without printing them; 100 and 50,000
pixels stand in for them."""


def find_limits(name: str) -> Limits:
    """The limits of a name. Raises: WrongUse."""
    if name not in LIMITS:
        raise unknown("limits", name, LIMITS)
    return LIMITS[name]
