"""Multi-scale features: S2 (scaling on scales) for any backbone, without further parameters.

Shi et al. 2024, arXiv 2403.13043, with the semantics of the public wrapper (scaling_on_scales 0.1):

    from mlproject.multiscale import forward
    features = forward(vit, images, scales=[1, 2], num_prefix_token=1)        # [B, 1 + N, 2 C]
    features = forward(convnet, images, scales=[1, 2], output_shape="bchw")   # [B, 2 C, h, w]

Importing this package needs no torch, so that a cache can be asked for sizes and costs without it.
"""

from __future__ import annotations

from mlproject.multiscale.crops import (
    Layout,
    cost,
    crop_side,
    cut,
    enlarge,
    layouts,
    n_crops,
    n_splits,
    scaled_side,
    split,
    tile,
)
from mlproject.multiscale.wrapper import embed, forward

__all__ = [
    "Layout",
    "cost",
    "crop_side",
    "cut",
    "embed",
    "enlarge",
    "forward",
    "layouts",
    "n_crops",
    "n_splits",
    "scaled_side",
    "split",
    "tile",
]
