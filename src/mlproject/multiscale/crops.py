"""Image scales as crops: layouts and costs in whole numbers, cutting images, and tiling maps of crops.

    size_s = side * s                     whole, or refused (the authors' wrapper cuts 246.4 off to 246)
    k_s    = ceil(size_s / cap)           cap: max_split_size, else the side of the image itself
    crop_s = size_s / k_s                 even, or refused; below the cap where k_s does not fill it

A scale costs rows x columns crops: Σ k² for a square image. The compute of an image is the sum over scales
of crops x one crop, which is exactly base x Σ k² where all crops have the base side. Crops are ordered by
row, column, image (outermost first), as the authors' wrapper orders them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlproject.errors import BadInput, WrongUse

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any


Size = int | Sequence[int]
"""A side of a square image (the shorter side of another, in proportion), or (height, width)."""

WHOLE = 1e-6
"""How far side x scale may be from a whole number of pixels: rounding of floats, nothing else."""
MOST_PIXELS = 100_000_000
"""Pixels of an enlarged image, at most: 1.2 GB of float32."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """An image at one scale: its pixels, and into how many crops it is cut.

    Raises: BadInput when the crops would not be even, naming the nearest sizes that are.
    """

    height: int
    width: int
    rows: int
    columns: int

    @property
    def crop(self) -> tuple[int, int]:
        """Height and width of each crop in pixels, which is what the backbone sees."""
        return self.height // self.rows, self.width // self.columns

    @property
    def n_crops(self) -> int:
        """Backbone passes for one image."""
        return self.rows * self.columns


def layouts(
    height: int,
    width: int,
    scales: Sequence[float] | None = None,
    img_sizes: Sequence[Size] | None = None,
    max_split_size: int | None = None,
) -> tuple[Layout, ...]:
    """The layout of an image of ``height`` x ``width`` pixels at every scale, in their order.

    ``img_sizes`` wins over ``scales``. ``max_split_size`` is the largest side of a crop; without it, that of
    the image, so that crops of another than a square image have its shape.

    Raises: WrongUse without any size; BadInput for sizes that are not whole, cannot be cut evenly, or are
    over 100 million pixels, which a long image reaches where its shorter side is enlarged.
    """
    if not img_sizes and not scales:
        raise WrongUse("name the image scales (scales=[1, 2]) or the sizes in pixels (img_sizes=[224, 448])")
    if max_split_size is not None and max_split_size < 1:
        raise WrongUse(f"max_split_size must be at least 1 pixel, not {max_split_size}")
    if img_sizes:
        sizes = [_size(height, width, size) for size in img_sizes]
    else:
        sizes = [(scaled_side(height, s), scaled_side(width, s)) for s in scales or ()]
    for h, w in sizes:
        if h * w > MOST_PIXELS:
            raise BadInput(
                f"an image of {height:,} x {width:,} pixels would be enlarged to {h:,} x {w:,}, over "
                f"{MOST_PIXELS // 1_000_000} million pixels; crop it or use smaller sizes"
            )
    caps = (max_split_size or height, max_split_size or width)
    return tuple(
        Layout(height=h, width=w, rows=_splits(h, caps[0]), columns=_splits(w, caps[1])) for h, w in sizes
    )


def cost(scales: Sequence[Layout], one_crop: Callable[[int, int], float]) -> float:
    """Compute of one image over all scales: crops x ``one_crop(height, width)``, in the unit of that."""
    return sum(layout.n_crops * one_crop(*layout.crop) for layout in scales)


def scaled_side(side: int, image_scale: float) -> int:
    """Pixels a side that an image of ``side`` pixels has at a scale.

    Raises: BadInput when that is no whole number (nothing is truncated silently), or none at all.
    """
    exact = side * image_scale
    if not math.isfinite(exact) or round(exact) < 1:
        raise BadInput(f"image scale {image_scale:g} leaves nothing of {side} pixels")
    size = round(exact)
    if abs(exact - size) > WHOLE * max(1.0, exact):
        raise BadInput(
            f"image scale {image_scale:g} makes {exact:.6g} pixels of {side}, which is no whole number; "
            f"name {math.floor(exact)} or {math.ceil(exact)} pixels"
        )
    return size


def n_splits(side: int, image_scale: float) -> int:
    """How many crops a side a square image is cut into at a scale: 1 up to scale 1."""
    return _splits(scaled_side(side, image_scale), side)


def crop_side(side: int, image_scale: float) -> int:
    """Pixels a side of each crop of a square image. Raises: BadInput when they would not be even."""
    return scaled_side(side, image_scale) // n_splits(side, image_scale)


def n_crops(side: int, image_scales: Sequence[float]) -> int:
    """Backbone passes for one square image at these scales: the sum of k^2."""
    return sum(n_splits(side, scale) ** 2 for scale in image_scales)


def _size(height: int, width: int, size: Size) -> tuple[int, int]:
    if isinstance(size, Sequence):
        h, w = size
    elif height == width:
        h, w = size, size
    else:
        scale = size / min(height, width)
        h, w = scaled_side(height, scale), scaled_side(width, scale)
    if min(h, w) < 1:
        raise BadInput(f"image sizes must be at least 1 pixel, not {h} x {w}")
    return h, w


def _splits(size: int, cap: int) -> int:
    k = math.ceil(size / cap)
    if size % k:
        near = [str(even) for even in (_even(size, cap, -1), _even(size, cap, 1)) if even]
        raise BadInput(
            f"{size} pixels cannot be cut into {k} even crops a side of at most {cap}; "
            f"try {' or '.join(near)} pixels"
        )
    return k


def _even(size: int, cap: int, step: int) -> int:
    """The next size in a direction that can be cut evenly; multiples of the cap always can."""
    while size % math.ceil(size / cap):
        size += step
    return size


def split(images: Tensor, image_scale: float) -> Tensor:
    """Crops of images at a scale: [B, C, H, W] to [k * k * B, C, h, w], ordered row, column, image.

    Raises: BadInput when they cannot be cut evenly.
    """
    (layout,) = layouts(images.shape[-2], images.shape[-1], [image_scale])
    return cut(enlarge(images, layout.height, layout.width), layout.rows, layout.columns)


def enlarge(images: Tensor, height: int, width: int, *, antialias: bool = False) -> Tensor:
    """Bicubic resize, corners not aligned: [B, C, H, W] to [B, C, height, width].

    Computed in float32 at least and cast back; the same size gives the images themselves. Bicubic
    overshoots: a step from 0 to 1 comes out as -0.105 to 1.105. ``antialias`` widens the filter where it
    shrinks, which the authors' wrapper does not.
    """
    from torch.nn.functional import interpolate

    if images.shape[-2:] == (height, width):
        return images
    scaled = interpolate(
        at_least_single(images), (height, width), mode="bicubic", align_corners=False, antialias=antialias
    )
    return scaled.to(images.dtype)


def cut(images: Tensor, rows: int, columns: int) -> Tensor:
    """A chessboard of crops: [B, C, rows * h, columns * w] to [rows * columns * B, C, h, w]."""
    n_images, n_channels, height, width = images.shape
    h, w = height // rows, width // columns
    board = images.reshape(n_images, n_channels, rows, h, columns, w)
    return board.permute(2, 4, 0, 1, 3, 5).reshape(-1, n_channels, h, w)


def tile(maps: Tensor, rows: int, columns: int) -> Tensor:
    """The inverse of ``cut``: [rows * columns * B, C, h, w] to [B, C, rows * h, columns * w]."""
    n_crops, n_channels, h, w = maps.shape
    board = maps.reshape(rows, columns, n_crops // (rows * columns), n_channels, h, w)
    return board.permute(2, 3, 0, 4, 1, 5).reshape(-1, n_channels, rows * h, columns * w)


def at_least_single(values: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 as they are."""
    import torch

    return values.to(torch.promote_types(values.dtype, torch.float32))
