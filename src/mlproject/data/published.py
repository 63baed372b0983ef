"""Published data sets that torchvision downloads and reads.

Classification: MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100. Segmentation: PASCAL VOC 2012, Oxford-IIIT Pet.
They are looked for in ``$MLPROJECT_DATA`` (else ``~/.cache/mlproject/data``), in torchvision's layout or as
the compressed files that are published, and downloaded only on request.
"""

from __future__ import annotations

import os
import socket
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlproject.data.image_set import ImageSet, digest_of_pixels
from mlproject.data.label_maps import load_pairs
from mlproject.data.layout import natural, read_names, require_no_links
from mlproject.data.manifest import Verify
from mlproject.data.pairs import Pair
from mlproject.data.published_files import (
    DATASET_CLASSES,
    Part,
    files_of,
    missing_files,
    place_files,
    read_binary,
)
from mlproject.errors import BadInput, NoRoom, is_disk_full
from mlproject.files import temporary_folder

SOURCES = {
    "mnist": "MNIST, LeCun, Cortes, Burges 1998, CC BY-SA 3.0",
    "fashion-mnist": "Fashion-MNIST, Zalando SE 2017, MIT",
    "cifar10": "CIFAR-10, Krizhevsky 2009, no licence stated",
    "cifar100": "CIFAR-100, Krizhevsky 2009, no licence stated",
}
SILENT_SECONDS = 30.0
"""How long a server may say nothing while a set is downloaded."""
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
    with temporary_folder() as folder:
        parts, classes = _parts(name, folder, download)
    test, train = parts
    images: Sequence[NDArray[np.uint8]] = [*test.pixels, *train.pixels]
    n_test = len(test.labels)
    return ImageSet(
        name=name,
        ids=tuple(_id(index, n_test) for index in range(len(images))),
        digests=tuple(digest_of_pixels(image) for image in images),
        labels=np.concatenate([test.labels, train.labels]),
        classes=classes,
        held_out=np.arange(len(images)) < n_test,
        read=ArrayImages(images=images),
        source=SOURCES[name],
    )


def data_root() -> Path:
    """The folder of published data sets."""
    return Path(os.environ.get("MLPROJECT_DATA") or "~/.cache/mlproject/data").expanduser()


def _parts(name: str, folder: Path, download: bool) -> tuple[list[Part], tuple[str, ...]]:
    """The test and the training part of a set, and its classes; files are linked or unpacked into ``folder``.

    Raises: BadInput, saying what was looked for and how to get it, when it is not there or cannot be read.
    """
    root = data_root().absolute()
    try:
        if place_files(name, root, folder):
            root = folder
        elif binary := read_binary(name, root, folder):
            return binary
        else:
            _require_download(name, download, missing_files(name, root))
            opened(name, DATASET_CLASSES[name], root, download=True)
    except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error) as error:
        if not download:
            raise _unreadable(name, error) from error
        opened(name, DATASET_CLASSES[name], root, download=True)  # whose digests say what to fetch again
    sets = [opened(name, DATASET_CLASSES[name], root, train=train) for train in (False, True)]
    parts = [
        Part(pixels=np.asarray(part.data, np.uint8), labels=np.asarray(part.targets, np.int64))
        for part in sets
    ]
    return parts, tuple(sets[0].classes)


def looked_for(name: str) -> str:
    """The files of a set as a person may put them below the root."""
    if name in DATASET_CLASSES:
        return files_of(name)
    files = SEGMENTATION_SETS[name]
    return f"{', '.join(files.lists)}, {files.image.format('*')} and {files.label_map.format('*')}"


def _require_download(name: str, download: bool, missing: str = "") -> None:
    """Raise BadInput, saying where a set was looked for, unless it may be downloaded.

    ``missing`` names what is missing where other files of the set are there.
    """
    if not download:
        root, whole = data_root(), looked_for(name)
        what = f"no {missing or whole}" if root.is_dir() else "there is no such folder"
        raise BadInput(
            f"{name} is not in {root}: {what}; set MLPROJECT_DATA to the folder that holds "
            f"{'them' if root.is_dir() and not missing else whole}, or fetch it with download=true"
        )


def opened(name: str, kind: str, root: Path, *, download: bool = False, **arguments: object) -> Any:
    """torchvision's dataset of that kind below a root.

    Raises: BadInput, saying what to do, when it cannot be downloaded or read; NoRoom.
    """
    from torchvision import datasets

    patience = socket.getdefaulttimeout()
    try:
        if download:  # torchvision sets no limit, and a server that says nothing would be waited for forever
            socket.setdefaulttimeout(SILENT_SECONDS)
        return getattr(datasets, kind)(str(root), download=download, **arguments)
    except Exception as error:  # torchvision raises whatever its readers and the network raise
        if not download:
            raise _unreadable(name, error) from error
        if is_disk_full(error):
            raise NoRoom(
                f"no room for {name} in {data_root()}; free some space, or set MLPROJECT_DATA"
            ) from error
        remedy = f"check the network, or put there {looked_for(name)}"
        reason = _in_one_line(error)
        raise BadInput(f"{name} cannot be downloaded into {data_root()} ({reason}); {remedy}") from error
    finally:
        socket.setdefaulttimeout(patience)


def _unreadable(name: str, error: Exception) -> BadInput:
    remedy = "delete its files there and fetch them again with download=true"
    return BadInput(f"{name} cannot be read from {data_root()} ({_in_one_line(error)}); {remedy}")


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _id(index: int, n_test: int) -> str:
    return f"test/{index:05d}.png" if index < n_test else f"train/{index - n_test:05d}.png"


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayImages:
    """Reads images that are in memory."""

    images: Sequence[NDArray[np.uint8]]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        """A copy of the image, [height, width, 3]."""
        return _rgb(self.images[index])


def _rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[height, width] or [height, width, 3] as a new array of [height, width, 3]."""
    return np.repeat(image[..., np.newaxis], 3, axis=-1) if image.ndim == 2 else image.copy()


def load_published_maps(
    name: str, *, download: bool = False, max_bad: int = 0, verify: Verify = "changed"
) -> ImageSet:
    """A published set of images and label maps with its own validation or test split held out.

    Raises: BadInput, saying how to get it, when it is not there or cannot be read, or for more than
    ``max_bad`` bad images.
    """
    files, root = SEGMENTATION_SETS[name], data_root()
    pairs = []
    there = all((root / listed).is_file() for listed in files.lists)
    if not there:
        _require_download(name, download)
    folders = [root / os.path.dirname(pattern) for pattern in (files.image, files.label_map)]
    require_no_links(root, [*(root / listed for listed in files.lists), *folders])
    for held_out, arguments, listed in zip((False, True), files.parts, files.lists, strict=True):
        opened(name, files.torchvision, root, download=not there, **arguments)
        pairs += [_pair(root, files, image, held_out) for image in _listed(root / listed)]
    pairs.sort(key=lambda pair: natural(pair.id))
    return load_pairs(
        pairs,
        name=name,
        classes=files.classes,
        source=files.source,
        first_class=files.first_class,
        max_bad=max_bad,
        verify=verify,
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


def _listed(path: Path) -> list[str]:
    """The names of pictures in the list of a part, which follow one another line by line."""
    names = [line.split()[0] for line in read_names(path)]
    if outside := next((name for name in names if "/" in name or "\0" in name), None):
        raise BadInput(f"{path} names {outside!r}, which is no file beside the others")
    return names
