"""Published data sets that torchvision downloads and reads.

Classification: MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100. Segmentation: PASCAL VOC 2012, Oxford-IIIT Pet.
They are searched in ``$MLPROJECT_DATA`` (else ``~/.cache/mlproject/data``) and downloaded only on request.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlproject.data.image_set import ImageSet, digest_of_pixels
from mlproject.data.label_maps import Pair, load_pairs
from mlproject.data.layout import natural
from mlproject.errors import BadInput

SOURCES = {
    "mnist": "MNIST, LeCun, Cortes, Burges 1998, CC BY-SA 3.0",
    "fashion-mnist": "Fashion-MNIST, Zalando SE 2017, MIT",
    "cifar10": "CIFAR-10, Krizhevsky 2009, no licence stated",
    "cifar100": "CIFAR-100, Krizhevsky 2009, no licence stated",
}


DATASET_CLASSES = {
    "mnist": "MNIST",
    "fashion-mnist": "FashionMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
}
"""Names of torchvision's classes."""

VOC = "VOCdevkit/VOC2012"
VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _SegmentationFiles:
    """How torchvision names a set and its parts (training, held out), and where its files are.

    ``lists`` are files with the names of each part; ``image`` and ``label_map`` are patterns of paths.
    """

    torchvision: str
    parts: tuple[dict[str, str], dict[str, str]]
    lists: tuple[str, str]
    image: str
    label_map: str
    classes: tuple[str, ...]
    first_class: int
    source: str


SEGMENTATION_SETS: Mapping[str, _SegmentationFiles] = {
    "voc2012": _SegmentationFiles(
        torchvision="VOCSegmentation",
        parts=({"image_set": "train"}, {"image_set": "val"}),
        lists=(f"{VOC}/ImageSets/Segmentation/train.txt", f"{VOC}/ImageSets/Segmentation/val.txt"),
        image=f"{VOC}/JPEGImages/{{}}.jpg",
        label_map=f"{VOC}/SegmentationClass/{{}}.png",
        classes=VOC_CLASSES,
        first_class=0,
        source="PASCAL VOC 2012, Everingham et al., Flickr terms of use",
    ),
    "oxford-pets": _SegmentationFiles(
        torchvision="OxfordIIITPet",
        parts=(
            {"split": "trainval", "target_types": "segmentation"},
            {"split": "test", "target_types": "segmentation"},
        ),
        lists=("oxford-iiit-pet/annotations/trainval.txt", "oxford-iiit-pet/annotations/test.txt"),
        image="oxford-iiit-pet/images/{}.jpg",
        label_map="oxford-iiit-pet/annotations/trimaps/{}.png",
        classes=("pet", "background", "border"),
        first_class=1,
        source="Oxford-IIIT Pet, Parkhi et al. 2012, CC BY-SA 4.0",
    ),
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
    """The folder of published data sets."""
    return Path(os.environ.get("MLPROJECT_DATA") or "~/.cache/mlproject/data").expanduser()


def _part(name: str, is_train: bool, download: bool) -> Any:
    """One split as torchvision gives it: ``data``, ``targets``, ``classes``."""
    return opened(name, DATASET_CLASSES[name], download=download, train=is_train)


def opened(name: str, kind: str, *, download: bool, **arguments: object) -> Any:
    """torchvision's dataset of that kind below the data root.

    Raises: BadInput, saying how to get it, when it is not there or cannot be read.
    """
    from torchvision import datasets

    root = data_root()
    try:
        return getattr(datasets, kind)(str(root), download=download, **arguments)
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


def load_published_maps(name: str, *, download: bool = False) -> ImageSet:
    """A published set of images and label maps with its own validation or test split held out.

    Raises: BadInput, saying how to get it, when it is not there or cannot be read.
    """
    files, root = SEGMENTATION_SETS[name], data_root()
    pairs = []
    for held_out, arguments, listed in zip((False, True), files.parts, files.lists, strict=True):
        opened(name, files.torchvision, download=download, **arguments)
        pairs += [_pair(root, files, image, held_out) for image in _names(root / listed)]
    pairs.sort(key=lambda pair: natural(pair.id))
    return load_pairs(
        pairs,
        name=name,
        classes=files.classes,
        source=files.source,
        first_class=files.first_class,
        published=True,
    )


def _pair(root: Path, files: _SegmentationFiles, name: str, held_out: bool) -> Pair:
    part = "test" if held_out else "train"
    return Pair(
        id=f"{part}/{name}.jpg",
        image=str(root / files.image.format(name)),
        label_map=str(root / files.label_map.format(name)),
        held_out=held_out,
    )


def _names(path: Path) -> list[str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror})") from error
    return [line.split()[0] for line in lines if line.strip()]
