"""Images with label maps (segmentation): a folder of images and label maps, or a list of file pairs.

folder/images/…     pictures, with train/ and test/ (or class folders) below if wanted
folder/labels/…     the same paths, each a PNG whose pixel values are classes; 255 is ignored
folder/classes.txt  names of the classes 0, 1, … one per line; without it, classes are numbers
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlproject.data.folder import held_out_by_content, require_few_bad, scan
from mlproject.data.image_set import UNLABELLED, ImageSet, Skipped
from mlproject.data.images import BadImage, decode, decode_map, read_bytes
from mlproject.data.layout import printable
from mlproject.errors import BadInput, DigestMismatch
from mlproject.files import sha256

IMAGES, LABELS, CLASSES = "images", "labels", "classes.txt"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A picture and its label map. ``held_out`` is None where no split is given."""

    id: str
    image: str
    label_map: str
    held_out: bool | None


@dataclass(frozen=True, kw_only=True)
class _CheckedPair:
    pair: Pair
    digest: str


def has_label_maps(folder: Path) -> bool:
    """Whether a folder is one of images and label maps."""
    return (folder / IMAGES).is_dir() and (folder / LABELS).is_dir()


def load_label_maps(folder: Path, *, max_bad: int = 0) -> ImageSet:
    """The images and label maps of a folder, each opened once to know that it can be.

    Raises: BadInput for label maps that are missing, of another size, or of a class that has no name.
    """
    folder = Path(os.path.abspath(folder))
    files, skipped = scan(folder / IMAGES)
    pairs = []
    for file in files:
        below = Path(os.path.relpath(file.path, folder / IMAGES)).with_suffix(".png")
        label_map = str(folder / LABELS / below)
        pairs.append(Pair(id=file.id, image=file.path, label_map=label_map, held_out=file.held_out))
    return load_pairs(
        pairs,
        name=printable(folder.name),
        classes=_class_names(folder / CLASSES),
        source="folder of images and label maps, licence not stated",
        max_bad=max_bad,
        skipped=skipped,
    )


def load_pairs(
    pairs: Sequence[Pair],
    *,
    name: str,
    classes: tuple[str, ...],
    source: str,
    first_class: int = 0,
    max_bad: int = 0,
    skipped: Iterable[Skipped] = (),
) -> ImageSet:
    """The image set of pairs of files; ``first_class`` is the pixel value of class 0.

    Raises: BadInput for more than ``max_bad`` bad pairs, or none that is good.
    """
    checked, refused, largest = _check(pairs, len(classes), first_class)
    require_few_bad(name, refused, len(pairs), max_bad)
    if not checked:
        raise BadInput(f"no images with label maps in {name}")
    digests = tuple(image.digest for image in checked)
    labels = np.zeros(len(checked), np.int64)
    split = [image.pair.held_out for image in checked]
    return ImageSet(
        name=name,
        ids=tuple(image.pair.id for image in checked),
        digests=digests,
        labels=labels,
        classes=classes or tuple(str(number) for number in range(largest + 1)),
        held_out=held_out_by_content(labels, digests) if None in split else np.array(split, np.bool_),
        read=lambda index: decode(_read_again(checked[index])[0]),
        read_map=lambda index: _classes_of(_read_again(checked[index])[1], first_class),
        skipped=(*refused, *skipped),
        source=source,
    )


def _check(
    pairs: Iterable[Pair], n_classes: int, first: int
) -> tuple[list[_CheckedPair], list[Skipped], int]:
    """Usable pairs, refused ones with the reason, and the largest class."""
    checked: list[_CheckedPair] = []
    refused: list[Skipped] = []
    largest = 0
    for pair in pairs:
        try:
            image, label_map = read_bytes(pair.image), _read_map(pair.label_map)
            classes = _classes_of(label_map, first)
            _require_fit(decode(image), classes, n_classes)
        except BadImage as error:
            refused.append(Skipped(id=pair.id, reason=str(error), bad=True))
            continue
        largest = max(largest, int(classes[classes != UNLABELLED].max()))
        digest = sha256(f"{sha256(image)} {sha256(label_map)}".encode())
        checked.append(_CheckedPair(pair=pair, digest=digest))
    return checked, refused, largest


def _read_map(path: str) -> bytes:
    try:
        return read_bytes(path)
    except BadImage as error:
        raise BadImage(f"its label map {Path(path).name} {error}") from error


def _classes_of(content: bytes, first: int) -> NDArray[np.uint8]:
    values = decode_map(content)
    return np.where(values == UNLABELLED, values, values - first).astype(np.uint8)


def _require_fit(image: NDArray[np.uint8], classes: NDArray[np.uint8], n_classes: int) -> None:
    if image.shape[:2] != classes.shape:
        sizes = [f"{shape[1]} x {shape[0]}" for shape in (image.shape, classes.shape)]
        raise BadImage(f"image of {sizes[0]}, label map of {sizes[1]} pixels")
    known = classes[classes != UNLABELLED]
    if not len(known):
        raise BadImage("no pixel of its label map has a class")
    if n_classes and known.max() >= n_classes:
        raise BadImage(f"its label map holds class {known.max()}, of which there are {n_classes} (from 0)")


def _class_names(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    names = tuple(line.strip() for line in path.read_text("utf-8").splitlines() if line.strip())
    if len(set(names)) != len(names) or not names:
        raise BadInput(f"{path} must name each class once, one a line")
    return names


def _read_again(checked: _CheckedPair) -> tuple[bytes, bytes]:
    try:
        image, label_map = read_bytes(checked.pair.image), read_bytes(checked.pair.label_map)
    except BadImage as error:
        raise DigestMismatch(f"{checked.pair.id} is no longer what was loaded: {error}") from error
    if sha256(f"{sha256(image)} {sha256(label_map)}".encode()) != checked.digest:
        raise DigestMismatch(f"{checked.pair.id} changed after it was loaded; start again")
    return image, label_map
