"""Published sets that torchvision reads: MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100.

They are looked for in ``$MLPROJECT_DATA`` (else ``~/.cache/mlproject/data``) and fetched only when asked.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlproject.data.image_set import ImageSet, digest_of_pixels
from mlproject.errors import BadInput

SOURCES = {
    "mnist": "MNIST, LeCun, Cortes, Burges 1998, CC BY-SA 3.0",
    "fashion-mnist": "Fashion-MNIST, Zalando SE 2017, MIT",
    "cifar10": "CIFAR-10, Krizhevsky 2009, no licence stated",
    "cifar100": "CIFAR-100, Krizhevsky 2009, no licence stated",
}


def load_published(name: str, *, download: bool = False) -> ImageSet:
    """A published set with its own test split held out; ids are ``train/00017.png``.

    Raises: BadInput, saying how to get it, when it is not there or cannot be read.
    """
    test, train = (_part(name, is_train, download) for is_train in (False, True))
    pixels = [np.asarray(part.data, np.uint8) for part in (test, train)]
    labels = np.concatenate([np.asarray(part.targets, np.int64) for part in (test, train)])
    images: Sequence[NDArray[np.uint8]] = [image for part in pixels for image in part]
    n_test = len(pixels[0])
    return ImageSet(
        name=name,
        ids=tuple(_id(index, n_test) for index in range(len(images))),
        digests=tuple(digest_of_pixels(image) for image in images),
        labels=labels,
        classes=tuple(test.classes),
        held_out=np.arange(len(images)) < n_test,
        read=lambda index: _rgb(images[index]),
        source=SOURCES[name],
    )


def data_root() -> Path:
    """Where published sets lie."""
    return Path(os.environ.get("MLPROJECT_DATA") or "~/.cache/mlproject/data").expanduser()


def _part(name: str, is_train: bool, download: bool) -> Any:
    """One split as torchvision gives it: ``data``, ``targets``, ``classes``."""
    kinds = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
    return opened(name, kinds[name], download=download, train=is_train)


def opened(name: str, kind: str, *, download: bool, **words: object) -> Any:
    """torchvision's dataset of that kind below the data root.

    Raises: BadInput, saying how to get it, when it is not there or cannot be read.
    """
    from torchvision import datasets

    root = data_root()
    try:
        return getattr(datasets, kind)(str(root), download=download, **words)
    except Exception as error:  # torchvision raises whatever its readers and the network raise
        reason = " ".join(str(error).split())
        remedy = "check the network" if download else "allow the download (download=true)"
        raise BadInput(
            f"{name} cannot be read from {root} ({reason}); {remedy} or set MLPROJECT_DATA"
        ) from error


def _id(index: int, n_test: int) -> str:
    return f"test/{index:05d}.png" if index < n_test else f"train/{index - n_test:05d}.png"


def _rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[height, width] or [height, width, 3] as a new array of [height, width, 3]."""
    return np.repeat(image[..., np.newaxis], 3, axis=-1) if image.ndim == 2 else image.copy()
