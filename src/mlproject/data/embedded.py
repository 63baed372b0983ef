"""The embedded images: 4,200 of Fashion-MNIST, shipped with the package.

Source: Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747, MIT licence (``fashion-mnist-LICENSE.txt``);
``scripts/build_embedded.py`` makes the files. The manifest alone gives ids, digests, labels and split
in milliseconds; pixels are read, and checked against it, when the first image is asked for.
"""

from __future__ import annotations

import functools
import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlproject.data.image_set import ImageSet
from mlproject.errors import DigestMismatch
from mlproject.files import sha256

FASHION_CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot",
)  # fmt: skip
MANIFEST = Path(__file__).with_name("embedded.json")
PIXELS = MANIFEST.with_suffix(".npz")


def load_embedded(manifest: Path = MANIFEST) -> ImageSet:
    """Fashion-MNIST's first 320 training and 100 test images of each class, as 28 x 28 RGB.

    Raises: DigestMismatch from ``read`` when the pixels are not those that the manifest names.
    """
    content = json.loads(manifest.read_text(encoding="utf-8"))
    ids, labels, digests = zip(*content["images"], strict=True)
    pixels = functools.cache(lambda: _pixels(manifest.with_suffix(".npz"), content["npz_sha256"]))
    return ImageSet(
        name=content["name"],
        ids=ids,
        digests=digests,
        labels=np.array(labels, np.int64),
        classes=tuple(content["classes"]),
        held_out=np.array([id_.startswith("test/") for id_ in ids]),
        read=lambda index: np.repeat(pixels()[index][..., np.newaxis], 3, axis=-1),
        source=f"{content['source']}; {content['licence']}",
    )


def _pixels(path: Path, expected: str) -> NDArray[np.uint8]:
    """All images, [n, 28, 28]."""
    content = path.read_bytes()
    if sha256(content) != expected:
        raise DigestMismatch(f"{path} is not the file of embedded.json; reinstall mlproject")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        images: NDArray[np.uint8] = arrays["images"]
    return images
