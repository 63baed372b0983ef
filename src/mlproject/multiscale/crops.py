"""Cut images into crops and tile maps of crops: enlarge, cut into a chessboard, and its inverse.

Crops are ordered by row, column, image (outermost first), as the authors' wrapper orders them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlproject.multiscale.sizes import layouts

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any


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
