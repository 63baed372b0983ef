"""A picture to the network's input, with Pillow and numpy alone.

The same numbers as torchvision's transforms give on PIL images (its resize has antialiasing there).
Pixels stay uint8 until a whole batch is normalised at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlproject.models.model import Preprocess

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def prepare(preprocess: Preprocess, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize the shorter side and cut out the centre: [H, W, 3] to [crop, crop, 3], 0..255."""
    height, width = image.shape[:2]
    size = preprocess.resize
    if height <= width:
        new_height, new_width = size, int(size * width / height)
    else:
        new_height, new_width = int(size * height / width), size
    picture = Image.fromarray(np.ascontiguousarray(image))
    if (height, width) != (new_height, new_width):
        picture = picture.resize((new_width, new_height), FILTERS[preprocess.interpolation])
    crop = preprocess.crop
    top, left = round((new_height - crop) / 2), round((new_width - crop) / 2)
    return np.asarray(picture.crop((left, top, left + crop, top + crop)))


def normalise(preprocess: Preprocess, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Normalised input of a batch: [B, S, S, 3] of 0..255 to [B, 3, S, S]."""
    mean, std = (np.asarray(values, np.float32) for values in (preprocess.mean, preprocess.std))
    scaled = (batch.astype(np.float32) / np.float32(255) - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
