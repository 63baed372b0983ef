"""Resize, crop and normalise pictures, with Pillow and numpy alone.

The numbers equal those of torchvision's transforms on PIL images (whose resize has antialiasing).
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
    return _fitted(preprocess, image, FILTERS[preprocess.interpolation])


def prepare_map(preprocess: Preprocess, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same for a label map, [H, W] to [crop, crop]: each pixel takes the class of its nearest one."""
    return _fitted(preprocess, classes, Image.Resampling.NEAREST)


def _fitted(
    preprocess: Preprocess, image: NDArray[np.uint8], resampling: Image.Resampling
) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    size = preprocess.resize
    if height <= width:
        new_height, new_width = size, int(size * width / height)
    else:
        new_height, new_width = int(size * height / width), size
    picture = Image.fromarray(np.ascontiguousarray(image))
    if (height, width) != (new_height, new_width):
        picture = picture.resize((new_width, new_height), resampling)
    crop = preprocess.crop
    top, left = round((new_height - crop) / 2), round((new_width - crop) / 2)
    return np.asarray(picture.crop((left, top, left + crop, top + crop)))


def normalise(preprocess: Preprocess, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Normalised input of a batch: [B, S, S, 3] of 0..255 to [B, 3, S, S]."""
    n_images, height, width, _ = batch.shape
    scaled = np.empty((n_images, 3, height, width), np.float32)
    for channel, (mean, std) in enumerate(zip(preprocess.mean, preprocess.std, strict=True)):
        # In place and by channel: a third of the time of one expression over the batch.
        plane = scaled[:, channel]
        np.divide(batch[..., channel], np.float32(255), out=plane, dtype=np.float32)
        plane -= np.float32(mean)
        plane /= np.float32(std)
    return scaled
