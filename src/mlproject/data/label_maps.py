"""Images with label maps (segmentation): a folder of images and label maps, or a list of file pairs.

folder/images/…     pictures, with train/ and test/ (or class folders) below if wanted
folder/labels/…     the same paths (or masks/, annotations/, …), each a PNG whose pixel values are classes
folder/classes.txt  names of the classes 0, 1, … one per line; without it, classes are numbers

255 is ignored, unless it is read as the last class (``ignore="none"``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlproject.data.folder import image_files
from mlproject.data.image_set import UNLABELLED, ImageSet, Skipped, held_out_by_content, require_few_bad
from mlproject.data.images import SAVE_NUMBERS, BadImage, decode, decode_map, orientation, read_bytes
from mlproject.data.label_map_names import CLASSES, class_names, meant_for, missing_map, unread
from mlproject.data.layout import printable
from mlproject.data.tree import FolderListing, leaving, left_out, walk
from mlproject.errors import BadInput, DigestMismatch
from mlproject.files import sha256

MOST_UNNAMED = 64
"""Classes of label maps that need no names. A picture that was saved as a label map has far larger values."""
Ignore = Literal["255", "none"]
"""The pixel value that counts for nothing."""
Present = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A picture and its label map. ``held_out`` is None where no split is given."""

    id: str
    image: str
    label_map: str
    held_out: bool | None


@dataclass(frozen=True, kw_only=True)
class _CheckedPair:
    """A pair that was decoded; ``present`` marks the pixel values of its map, [256]."""

    pair: Pair
    image_digest: str
    map_digest: str
    present: Present


def load_label_maps(images: Path, label_maps: Path, *, max_bad: int = 0, ignore: Ignore = "255") -> ImageSet:
    """The images and label maps of two folders beside each other, each opened once to know that it can be.

    Raises: BadInput for label maps that are missing, of another size, pictures, or of a class without a name.
    """
    folder = Path(os.path.abspath(images.parent))
    images, label_maps = folder / images.name, folder / label_maps.name
    listing, map_listing = walk(images, folder), walk(label_maps, folder)
    maps = _map_files(map_listing)
    meant = meant_for(maps.values())
    pairs, missing = [], []
    for file in image_files(images, listing):
        stem = os.path.splitext(file.below)[0]
        if path := maps.pop(stem, None):
            label_map = map_listing.files[path]
            pairs.append(Pair(id=file.id, image=file.path, label_map=label_map, held_out=file.held_out))
        else:
            reason = missing_map(stem, label_maps, meant)
            missing.append(Skipped(id=file.id, reason=reason, bad=True))
    links = "; ".join(filter(None, map(leaving, (listing, map_listing))))
    return load_pairs(
        pairs,
        name=printable(folder.name),
        classes=class_names(folder),
        source=f"folder of images and label maps, licence not stated{links and f'; {links}'}",
        max_bad=max_bad,
        ignore=ignore,
        missing=missing,
        skipped=(*left_out(listing), *unread(images, label_maps, len(maps))),
    )


def _map_files(listing: FolderListing) -> dict[str, str]:
    """Paths of label maps by the same without suffix: the PNG, else one to be refused."""
    paths: dict[str, str] = {}
    for path in sorted(listing.files, key=lambda path: (not path.casefold().endswith(".png"), path)):
        paths.setdefault(os.path.splitext(path)[0], path)
    return paths


def load_pairs(
    pairs: Sequence[Pair],
    *,
    name: str,
    classes: tuple[str, ...],
    source: str,
    first_class: int = 0,
    max_bad: int = 0,
    ignore: Ignore = "255",
    published: bool = False,
    missing: Sequence[Skipped] = (),
    skipped: Iterable[Skipped] = (),
) -> ImageSet:
    """The image set of pairs of files; ``first_class`` is the pixel value of class 0.

    A ``published`` set is taken as it is: its duplicates stay, and its maps lie on the stored pixels.
    ``missing`` are bad pictures, without a label map.

    Raises: BadInput for more than ``max_bad`` bad pairs, none that is good, or maps of 0 and 255 only.
    """
    decoded, unread = _decode(pairs, published)
    refused = [*missing, *unread]
    class_of = _class_of_values(decoded, name, len(classes), first_class, ignore)
    checked, unfit = _check(decoded, class_of, len(classes))
    require_few_bad(name, [*refused, *unfit], len(pairs) + len(missing), max_bad)
    if not checked:
        raise BadInput(f"no images with label maps in {name}")
    return _image_set(checked, class_of, name, classes, source, (*refused, *unfit, *skipped))


def _image_set(
    checked: Sequence[_CheckedPair],
    class_of: NDArray[np.uint8],
    name: str,
    classes: tuple[str, ...],
    source: str,
    skipped: tuple[Skipped, ...],
) -> ImageSet:
    known = np.stack([_known(pair, class_of) for pair in checked])
    classes = classes or tuple(str(number) for number in range(int(np.flatnonzero(known.any(0)).max()) + 1))
    last = class_of[UNLABELLED] != UNLABELLED and any(pair.present[UNLABELLED] for pair in checked)
    ending = " 255" if last else ""  # the same file is other data where its 255 is a class
    digests = tuple(sha256(f"{pair.image_digest} {pair.map_digest}{ending}".encode()) for pair in checked)
    labels = np.zeros(len(checked), np.int64)
    split = [image.pair.held_out for image in checked]
    held_out = held_out_by_content(labels, digests) if None in split else np.array(split, np.bool_)
    pictures = PairedImages(pairs=checked, class_of=class_of)
    return ImageSet(
        name=name,
        ids=tuple(image.pair.id for image in checked),
        digests=digests,
        labels=labels,
        classes=classes,
        held_out=held_out,
        read=pictures,
        read_map=pictures.read_map,
        skipped=(*skipped, *_untrained(known, held_out, classes)),
        source=source,
    )


def _class_of_values(
    decoded: Sequence[_CheckedPair], name: str, n_classes: int, first: int, ignore: Ignore
) -> NDArray[np.uint8]:
    """The class of every pixel value, [256]; 255 where there is none. Raises: BadInput for 0 and 255 only."""
    present = np.zeros(256, np.bool_)
    for pair in decoded:
        present |= pair.present
    if ignore == "255" and np.array_equal(np.flatnonzero(present), (0, UNLABELLED)):
        raise BadInput(
            f"the label maps of {name} hold 0 and 255 only, and 255 counts for nothing: write the object "
            "as 1, read 255 as a class with ignore=none, or give the folder of pictures alone"
        )
    class_of = (np.arange(256) - first).astype(np.uint8)
    class_of[UNLABELLED] = UNLABELLED
    if ignore == "none":
        largest = int(np.flatnonzero(present[:UNLABELLED]).max(initial=first - 1))
        class_of[UNLABELLED] = n_classes - 1 if n_classes else min(largest + 1 - first, UNLABELLED - 1)
    return class_of


def _known(pair: _CheckedPair, class_of: NDArray[np.uint8]) -> Present:
    """The classes of a map, [255]."""
    known = np.zeros(256, np.bool_)
    known[class_of[pair.present]] = True
    return known[:UNLABELLED]


def _untrained(known: Present, held_out: Present, classes: Sequence[str]) -> list[Skipped]:
    """A note for each class of which no training image has a pixel."""
    untrained = np.asarray(known[held_out].any(0) & ~known[~held_out].any(0))
    reason = "no image: in held-out label maps only, nothing to train on"
    names = (name for name, alone in zip(classes, untrained, strict=False) if alone)
    return [Skipped(id=f"(class {name})", reason=reason) for name in names]


def _decode(pairs: Iterable[Pair], published: bool) -> tuple[list[_CheckedPair], list[Skipped]]:
    """Pairs that can be read and fit each other, and the others: bad ones and duplicates."""
    same: dict[str, list[_CheckedPair]] = {}
    refused: list[Skipped] = []
    for pair in pairs:
        try:
            image, label_map = read_bytes(pair.image), _read_map(pair.label_map)
            values = decode_map(label_map)
            _require_fit(decode(image).shape, values.shape)
            if not published:
                _require_same_turn(orientation(image), orientation(label_map), values.shape)
        except BadImage as error:
            refused.append(Skipped(id=pair.id, reason=str(error), bad=True))
            continue
        present = np.bincount(values.ravel(), minlength=256) > 0
        digests = sha256(image), sha256(label_map)
        read = _CheckedPair(pair=pair, image_digest=digests[0], map_digest=digests[1], present=present)
        same.setdefault(pair.id if published else read.image_digest, []).append(read)
    decoded = []
    for first, *others in same.values():
        other = next((read for read in others if read.map_digest != first.map_digest), None)
        if other is None:
            decoded.append(first)
            refused += [Skipped(id=read.pair.id, reason=f"duplicate of {first.pair.id}") for read in others]
            continue
        for read in (first, *others):
            opposite = other if read.map_digest == first.map_digest else first
            reason = f"the same bytes as {opposite.pair.id}, with another label map"
            refused.append(Skipped(id=read.pair.id, reason=reason, bad=True))
    return decoded, refused


def _check(
    decoded: Iterable[_CheckedPair], class_of: NDArray[np.uint8], n_classes: int
) -> tuple[list[_CheckedPair], list[Skipped]]:
    """Pairs whose values are numbers of classes, and the others with the reason."""
    checked, refused = [], []
    for pair in decoded:
        fault = _fault(_known(pair, class_of), n_classes)
        if fault:
            refused.append(Skipped(id=pair.pair.id, reason=fault, bad=True))
        else:
            checked.append(pair)
    return checked, refused


def _read_map(path: str) -> bytes:
    try:
        return read_bytes(path)
    except BadImage as error:
        raise BadImage(f"its label map {Path(path).name}: {error}") from error


def _require_fit(image: tuple[int, ...], label_map: tuple[int, ...]) -> None:
    if image[:2] != label_map:
        sizes = [f"{shape[1]} x {shape[0]}" for shape in (image, label_map)]
        raise BadImage(f"image of {sizes[0]}, label map of {sizes[1]} pixels (upright, by EXIF)")


def _require_same_turn(image: int, label_map: int, shape: tuple[int, ...]) -> None:
    """Refuse a pair of which EXIF turns one only, unless the equal sizes show that they agree."""
    sizes_tell = (image > 4) != (label_map > 4) and shape[0] != shape[1]
    if image != label_map and not sizes_tell:
        raise BadImage(
            f"EXIF orientation of the image {image}, of its label map {label_map} (1: as stored): they may "
            "not lie on each other; save both upright"
        )


def _fault(known: Present, n_classes: int) -> str:
    """What is wrong with the classes of a map; empty where nothing is."""
    largest = int(np.flatnonzero(known).max(initial=-1))
    if largest < 0:
        return "no pixel of its label map has a class"
    if n_classes and largest >= n_classes:
        return f"its label map holds class {largest}, of which there are {n_classes} (from 0); {SAVE_NUMBERS}"
    if n_classes or largest < MOST_UNNAMED:
        return ""
    values = f"its label map holds {known.sum()} values up to {largest}, as a picture does"
    return f"{values}: {SAVE_NUMBERS}, or name all classes in {CLASSES}"


@dataclass(frozen=True, kw_only=True, eq=False)
class PairedImages:
    """Reads pictures and label maps as they were loaded; ``class_of`` is the class of each value, [256]."""

    pairs: Sequence[_CheckedPair]
    class_of: NDArray[np.uint8]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        """The picture, [height, width, 3]. Raises: DigestMismatch."""
        return decode(_read_again(self.pairs[index])[0])

    def read_map(self, index: int) -> NDArray[np.uint8]:
        """The class of each pixel, [height, width]. Raises: DigestMismatch."""
        return self.class_of[decode_map(_read_again(self.pairs[index])[1])]


def _read_again(checked: _CheckedPair) -> tuple[bytes, bytes]:
    try:
        image, label_map = read_bytes(checked.pair.image), read_bytes(checked.pair.label_map)
    except BadImage as error:
        raise DigestMismatch(f"{checked.pair.id} is no longer what was loaded: {error}") from error
    if (sha256(image), sha256(label_map)) != (checked.image_digest, checked.map_digest):
        raise DigestMismatch(f"{checked.pair.id} changed after it was loaded; start again")
    return image, label_map
