"""Images with label maps (segmentation): a folder of images and label maps, or a list of file pairs.

folder/images/…     pictures, with train/ and test/ (or class folders) below if wanted
folder/labels/…     the same paths (or masks/, annotations/, …), each a PNG whose pixel values are classes
folder/classes.txt  names of the classes 0, 1, … one per line; without it, classes are numbers

255 is ignored, unless it is read as the last class (``ignore="none"``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlproject.data.folder import image_files
from mlproject.data.image_set import UNLABELLED, ImageSet, Skipped, held_out_by_content, require_few_bad
from mlproject.data.images import SAVE_NUMBERS
from mlproject.data.label_map_names import CLASSES, class_names, meant_for, missing_map, unread
from mlproject.data.layout import printable
from mlproject.data.manifest import Verify
from mlproject.data.pairs import CheckedPair, Pair, PairedImages, Present, decode_pairs
from mlproject.data.tree import FolderListing, leaving, left_out, walk
from mlproject.errors import BadInput
from mlproject.files import sha256

MOST_UNNAMED = 64
"""Classes of label maps that need no names. A picture that was saved as a label map has far larger values."""
Ignore = Literal["255", "none"]
"""The pixel value that counts for nothing."""


def load_label_maps(
    images: Path,
    label_maps: Path,
    *,
    max_bad: int = 0,
    ignore: Ignore = "255",
    verify: Verify = "changed",
) -> ImageSet:
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
        verify=verify,
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
    verify: Verify = "changed",
    published: bool = False,
    missing: Sequence[Skipped] = (),
    skipped: Iterable[Skipped] = (),
) -> ImageSet:
    """The image set of pairs of files; ``first_class`` is the pixel value of class 0.

    A ``published`` set is taken as it is: its duplicates stay, and its maps lie on the stored pixels.
    ``missing`` are bad pictures, without a label map.

    Raises: BadInput for more than ``max_bad`` bad pairs, none that is good, or maps of 0 and 255 only.
    """
    decoded, unread = decode_pairs(pairs, published, verify)
    refused = [*missing, *unread]
    class_of = _class_of_values(decoded, name, len(classes), first_class, ignore)
    checked, unfit = _check(decoded, class_of, len(classes))
    require_few_bad(name, [*refused, *unfit], len(pairs) + len(missing), max_bad)
    if not checked:
        raise BadInput(f"no images with label maps in {name}")
    return _image_set(checked, class_of, name, classes, source, (*refused, *unfit, *skipped))


def _image_set(
    checked: Sequence[CheckedPair],
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
    decoded: Sequence[CheckedPair], name: str, n_classes: int, first: int, ignore: Ignore
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


def _known(pair: CheckedPair, class_of: NDArray[np.uint8]) -> Present:
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


def _check(
    decoded: Iterable[CheckedPair], class_of: NDArray[np.uint8], n_classes: int
) -> tuple[list[CheckedPair], list[Skipped]]:
    """Pairs whose values are numbers of classes, and the others with the reason."""
    checked, refused = [], []
    for pair in decoded:
        fault = _fault(_known(pair, class_of), n_classes)
        if fault:
            refused.append(Skipped(id=pair.pair.id, reason=fault, bad=True))
        else:
            checked.append(pair)
    return checked, refused


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
