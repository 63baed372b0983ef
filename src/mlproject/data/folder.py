"""A folder of images: flat, a folder per class, or either below ``train/`` and ``test/``.

The folder is listed once; the files listed then are the data set. In a folder without a split, the fifth of
each class with the lowest content digests is held out: no shuffling, and adding files moves few images.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlproject.data.image_set import ImageSet, Skipped
from mlproject.data.images import BadImage, check, decode, read_bytes
from mlproject.data.scan import ImageFile, natural, printable, scan
from mlproject.errors import BadInput, DigestMismatch
from mlproject.files import sha256

HELD_OUT_FIFTH = 5
N_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class _CheckedFile:
    """A file that was decoded as an image, and the digest of its bytes."""

    file: ImageFile
    digest: str


def load_folder(folder: Path, *, max_bad: int = 0) -> ImageSet:
    """The images of a folder, each opened and decoded once to know that it can be.

    Duplicates (same bytes) are left out, the first in natural order stays.

    Raises: BadInput for a missing or empty folder, names that clash, or more than ``max_bad`` bad images;
    DigestMismatch from ``read`` for a file that changed since.
    """
    folder = Path(os.path.abspath(folder))  # reads go on after a change of directory
    files, skipped = scan(folder)
    images, refused = _check(files)
    require_few_bad(folder, refused, len(files), max_bad)
    if not images:
        raise BadInput(f"no images in {folder} (PNG, JPEG, WEBP, BMP, GIF, TIFF)")
    classes = tuple(sorted({image.file.class_name for image in images}, key=natural))
    label_of = {name: label for label, name in enumerate(classes)}
    labels = np.array([label_of[image.file.class_name] for image in images], np.int64)
    digests = tuple(image.digest for image in images)
    split = [image.file.held_out for image in images]
    return ImageSet(
        name=printable(folder.name),
        ids=tuple(image.file.id for image in images),
        digests=digests,
        labels=labels,
        classes=classes,
        held_out=held_out_by_content(labels, digests) if None in split else np.array(split, np.bool_),
        read=lambda index: _read_again(images[index]),
        skipped=(*refused, *skipped),
        source="folder of images, licence not stated",
    )


def _check(files: Iterable[ImageFile]) -> tuple[list[_CheckedFile], list[Skipped]]:
    first_with: dict[str, str] = {}
    images: list[_CheckedFile] = []
    refused: list[Skipped] = []
    for file in files:
        try:
            content = read_bytes(file.path)
            digest = sha256(content)
            if digest in first_with:
                refused.append(Skipped(id=file.id, reason=f"duplicate of {first_with[digest]}"))
                continue
            check(content)
        except BadImage as error:
            refused.append(Skipped(id=file.id, reason=str(error), bad=True))
            continue
        first_with[digest] = file.id
        images.append(_CheckedFile(file=file, digest=digest))
    return images, refused


def require_few_bad(folder: Path | str, refused: Iterable[Skipped], n_files: int, max_bad: int) -> None:
    """Raise BadInput, naming the first ones, where more than ``max_bad`` files are bad."""
    bad = [skipped for skipped in refused if skipped.bad]
    if len(bad) <= max_bad:
        return
    named = "; ".join(f"{skipped.id}: {skipped.reason}" for skipped in bad[:N_NAMED])
    more = f"; and {len(bad) - N_NAMED} more" if len(bad) > N_NAMED else ""
    raise BadInput(
        f"{len(bad)} of {n_files} images in {folder} are bad ({named}{more}); "
        f"repair them, or leave them out with max_bad={len(bad)}"
    )


def held_out_by_content(labels: NDArray[np.int64], digests: tuple[str, ...]) -> NDArray[np.bool_]:
    """[n]: the fifth of each class whose digests are lowest; none of a class below five."""
    held_out = np.zeros(len(labels), np.bool_)
    for label in np.unique(labels):
        ranked = sorted(np.flatnonzero(labels == label).tolist(), key=lambda i: digests[i])
        held_out[ranked[: len(ranked) // HELD_OUT_FIFTH]] = True
    return held_out


def _read_again(image: _CheckedFile) -> NDArray[np.uint8]:
    try:
        content = read_bytes(image.file.path)
    except BadImage as error:
        raise DigestMismatch(f"{image.file.id} is no longer what was loaded: {error}") from error
    if sha256(content) != image.digest:
        raise DigestMismatch(f"{image.file.id} changed after it was loaded; start again")
    return decode(content)
