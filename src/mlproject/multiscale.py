"""Multi-scale features: S2, scaling on scales.

Shi et al. 2024, arXiv 2403.13043, with the semantics of the public wrapper (scaling_on_scales 0.1):

    size_s   = int(side * s)              truncated
    k_s      = ceil(size_s / side)        so a scale costs k_s^2 crops
    crops    = bicubic(image, size_s)     float32, no antialiasing, corners not aligned
               cut into k_s x k_s squares of size_s / k_s pixels, row by row
    features = concatenation over s of the mean over crops of backbone(crop)

The wrapper merges maps by area interpolation; for pooled features of equal crops that is the mean.
The sizes need no torch, so that a cache can be asked without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mlproject.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any


def scaled_side(side: int, image_scale: float) -> int:
    """Pixels a side that an image of ``side`` pixels has at a scale."""
    return int(side * image_scale)


def n_splits(side: int, image_scale: float) -> int:
    """How many crops a side the image is cut into at a scale: 1 up to scale 1."""
    return math.ceil(scaled_side(side, image_scale) / side)


def crop_side(side: int, image_scale: float) -> int:
    """Pixels a side of each crop, which is what the backbone sees.

    Raises: BadInput when the scaled image cannot be cut evenly, naming scales that can.
    """
    size, k = scaled_side(side, image_scale), n_splits(side, image_scale)
    if size < 1:
        raise BadInput(f"image scale {image_scale:g} leaves nothing of {side} pixels")
    if size % k:
        near = [f"{even / side:.6g}" for even in (size - size % k, size - size % k + k)]
        raise BadInput(
            f"image scale {image_scale:g} makes {size} pixels of {side}, which {k} crops a side do not "
            f"divide; try {' or '.join(near)}"
        )
    return size // k


def n_crops(side: int, image_scales: Sequence[float]) -> int:
    """Backbone passes for one image at these scales: the sum of k^2."""
    return sum(n_splits(side, scale) ** 2 for scale in image_scales)


def split(images: Tensor, image_scale: float) -> Tensor:
    """Crops of images at a scale: [B, C, S, S] to [k * k * B, C, s, s], ordered row, column, image.

    Raises: BadInput for images that are not square, or cannot be cut evenly.
    """
    from torch.nn.functional import interpolate

    side = images.shape[-1]
    if images.shape[-2] != side:
        raise BadInput(f"images must be square, not {images.shape[-2]} x {side}")
    crop, size, k = crop_side(side, image_scale), scaled_side(side, image_scale), n_splits(side, image_scale)
    if size != side:
        scaled = interpolate(images.float(), size=(size, size), mode="bicubic", align_corners=False)
        images = scaled.to(images.dtype)
    cut = images.unfold(2, crop, crop).unfold(3, crop, crop)
    return cut.permute(2, 3, 0, 1, 4, 5).reshape(k * k * images.shape[0], -1, crop, crop)


def merge(features: Tensor, n_images: int) -> Tensor:
    """Mean over the crops of each image: [k * k * B, D] to [B, D]."""
    return features.reshape(-1, n_images, features.shape[-1]).mean(0)


def embed(backbone: Callable[[Tensor], Tensor], images: Tensor, image_scales: Sequence[float]) -> Tensor:
    """Multi-scale features: [B, 3, S, S] to [B, D * number of scales], scales in their order."""
    import torch

    blocks = [merge(backbone(split(images, scale)), images.shape[0]) for scale in image_scales]
    return torch.cat(blocks, dim=1)
