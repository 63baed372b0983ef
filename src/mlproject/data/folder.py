"""A folder of images: flat, a folder per class, or either below ``train/`` and ``test/`` (and synonyms).

The folder is listed once; the files listed then are the data set. Links are never followed, so that loops end
and nothing outside the folder is read. In a folder without a split, the fifth of each class with the lowest
content digests is held out: no shuffling, and adding files moves few images.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlproject.data.image_set import N_NAMED, ImageSet, Skipped, held_out_by_content, require_few_bad
from mlproject.data.images import LINK, BadImage, check, decode, read_bytes
from mlproject.data.label_map_names import require_no_label_maps
from mlproject.data.layout import (
    SUFFIXES,
    find_splits,
    holds_no_data,
    natural,
    printable,
    require_distinct_classes,
    split_of,
)
from mlproject.errors import BadInput, DigestMismatch
from mlproject.files import sha256


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """A file that may be an image. ``nested``: in a class folder; ``held_out`` is None without a split.

    ``subfolder`` is the folder inside its class's in which it lies, empty where there is none.
    """

    path: str
    id: str
    class_name: str
    nested: bool
    subfolder: str
    held_out: bool | None


@dataclass
class _FolderListing:
    """Entries seen so far; paths are relative to the folder. ``links`` are those to folders."""

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)


def scan(folder: Path) -> tuple[list[ImageFile], list[Skipped]]:
    """Image files in natural order of their ids, and the entries that were skipped.

    Raises: BadInput when the folder cannot be read, has images at two levels, or two ids clash.
    """
    listing = _walk(folder)
    require_no_label_maps(folder, listing.files)
    splits = find_splits(folder, listing.files, listing.links)
    files = [file for path in listing.files if (file := _image_file(folder, path, splits))]
    if splits and len(files) < len(listing.files):
        where = f"(outside of {' and '.join(f'{name}/' for name in splits)})"
        listing.counts[where, "images, in no split"] = len(listing.files) - len(files)
    _require_one_level(folder, files)
    _require_distinct(folder, files)
    return sorted(files, key=lambda file: natural(file.id)), _skipped(listing)


def _image_file(folder: Path, path: str, splits: dict[str, bool | None]) -> ImageFile | None:
    """The file at a relative path, or None where it is in no split of a folder that has splits."""
    top, _, below = path.partition("/")
    if splits and (not below or top not in splits):
        return None
    class_name, nested, inside = (below if splits else path).partition("/")
    return ImageFile(
        path=os.path.join(folder, path),
        id=printable(path),
        class_name=printable(class_name if nested else folder.name),
        nested=bool(nested),
        subfolder=printable(inside.rpartition("/")[0].partition("/")[0]),
        held_out=splits.get(top),
    )


def _walk(folder: Path) -> _FolderListing:
    listing = _FolderListing()
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            with os.scandir(os.path.join(folder, inside)) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    _note(entry, f"{inside}{entry.name}", listing, waiting)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise BadInput(f"cannot read the folder {os.path.join(folder, inside)!r}: {reason}") from error
    return listing


def _note(entry: os.DirEntry[str], path: str, listing: _FolderListing, waiting: list[str]) -> None:
    suffix = os.path.splitext(entry.name)[1].casefold()
    if entry.name.startswith("."):
        listing.counts[".*", "hidden"] += 1
    elif entry.is_symlink():
        listing.skipped.append(Skipped(id=printable(path), reason=LINK))
        listing.links += [path] if entry.is_dir() else []
    elif entry.is_dir(follow_symlinks=False) and holds_no_data(entry.name):
        listing.skipped.append(Skipped(id=printable(f"{path}/"), reason="folder of a program, no class"))
    elif entry.is_dir(follow_symlinks=False):
        waiting.append(f"{path}/")
        listing.folders.append(f"{path}/")
    elif not entry.is_file(follow_symlinks=False):
        listing.skipped.append(Skipped(id=printable(path), reason="not a plain file"))
    elif suffix in SUFFIXES:
        listing.files.append(path)
    else:
        listing.counts[f"*{printable(suffix)}", "not named as images"] += 1


def _require_one_level(folder: Path, files: Iterable[ImageFile]) -> None:
    flat, nested = ([file.id for file in files if file.nested == deep] for deep in (False, True))
    if flat and nested:
        raise BadInput(
            f"images lie both beside and inside class folders of {folder} ({flat[0]}, {nested[0]}); "
            "use one folder a class, or none"
        )


def _require_distinct(folder: Path, files: Iterable[ImageFile]) -> None:
    """Ids that differ only in case or in how accents are composed name the same file on other disks."""
    first: dict[str, ImageFile] = {}
    for file in files:
        other = first.setdefault(unicodedata.normalize("NFC", file.id.casefold()), file)
        if other is not file:
            require_distinct_classes(folder, {each.class_name: each.id for each in (other, file)})
            names = " and ".join(ascii(os.path.relpath(each.path, folder)) for each in (other, file))
            raise BadInput(f"two images of {folder} have one name: {names}; rename one")


def _skipped(listing: _FolderListing) -> list[Skipped]:
    occupied = {file[: i + 1] for file in listing.files for i, c in enumerate(file) if c == "/"}
    empty = [
        Skipped(id=printable(path), reason="no images in it")
        for path in listing.folders
        if path not in occupied
    ]
    counted = [Skipped(id=where, reason=f"{n} {what}") for (where, what), n in sorted(listing.counts.items())]
    return [*listing.skipped, *empty, *counted]


@dataclass(frozen=True, kw_only=True)
class _CheckedFile:
    """A file that was decoded as an image, and the digest of its bytes."""

    file: ImageFile
    digest: str


def load_folder(folder: Path, *, max_bad: int = 0) -> ImageSet:
    """The images of a folder, each opened and decoded once to know that it can be.

    Duplicates (same bytes) are left out, the first in natural order stays; in two classes, all are bad.

    Raises: BadInput for a missing or empty folder, names that clash, classes with nothing to train on, or
    more than ``max_bad`` bad images; DigestMismatch from ``read`` for a file that changed since.
    """
    folder = Path(os.path.abspath(folder))  # reads go on after a change of directory
    files, skipped = scan(folder)
    names = {file.class_name: file.id for file in reversed(files)}
    require_distinct_classes(folder, names)
    images, refused = _check(files)
    require_few_bad(folder, refused, len(files), max_bad)
    if not images:
        raise BadInput(f"no images in {folder} (PNG, JPEG, WEBP, BMP, GIF, TIFF){_why_none(skipped)}")
    classes = tuple(sorted({image.file.class_name for image in images}, key=natural))
    label_of = {name: label for label, name in enumerate(classes)}
    labels = np.array([label_of[image.file.class_name] for image in images], np.int64)
    digests = tuple(image.digest for image in images)
    split = [image.file.held_out for image in images]
    held_out = held_out_by_content(labels, digests) if None in split else np.array(split, np.bool_)
    _require_training(folder, classes, labels, held_out)
    return ImageSet(
        name=printable(folder.name),
        ids=tuple(image.file.id for image in images),
        digests=digests,
        labels=labels,
        classes=classes,
        held_out=held_out,
        read=FolderImages(images=images),
        skipped=(*refused, *skipped, *_subfolders(files), *_doubtful(names, classes, files)),
        source="folder of images, licence not stated",
    )


def _subfolders(files: Iterable[ImageFile]) -> Iterator[Skipped]:
    """A note on subfolders that every class has: they may have been meant as the classes."""
    below: dict[str, set[str]] = {}
    for file in files:
        if file.nested:
            below.setdefault(file.class_name, set()).add(file.subfolder)
    shared = sorted(set.intersection(*below.values()) - {""} if below else (), key=natural)
    if len(shared) > 1:
        above = " and ".join(f"{name}/" for name in list(below)[:N_NAMED])
        yield Skipped(id=f"(subfolders {', '.join(shared)})", reason=f"no classes: {above} above them are")


def _doubtful(names: Iterable[str], classes: Sequence[str], files: Iterable[ImageFile]) -> Iterator[Skipped]:
    """A note on classes that lost all their images, and on those that are named like a held-out split."""
    for name in names:
        if name not in classes:
            yield Skipped(id=f"(class {name})", reason="no class: none of its images can be used")
    nested = {file.class_name for file in files if file.nested and file.held_out is None}
    for name in sorted(nested.intersection(classes)):
        if split_of(name) in ("test", "eval", "val"):
            yield Skipped(id=f"({name}/)", reason="a class as it is, no split: there is no train/ beside it")


def _why_none(skipped: Sequence[Skipped]) -> str:
    """Why a folder holds no images, where what was passed over tells."""
    links = [entry.id for entry in skipped if entry.reason == LINK]
    if links:
        return (
            f": {len(links)} symbolic links in it (first: {links[0]}) are not followed; "
            "copy what they point to (cp -rL), or give the folder that holds it"
        )
    there = [f"{entry.id} ({entry.reason})" for entry in skipped[:N_NAMED]]
    return f"; there are {', '.join(there)}" if there else ""


def _require_training(
    folder: Path, classes: Sequence[str], labels: NDArray[np.int64], held_out: NDArray[np.bool_]
) -> None:
    """Refuse a class that has held-out images only."""
    trained = np.bincount(labels[~held_out], minlength=len(classes))
    without = [name for name, n in zip(classes, trained, strict=True) if not n]
    if without:
        named = ", ".join(without[:N_NAMED]) + (", …" if len(without) > N_NAMED else "")
        raise BadInput(
            f"{len(without)} of {len(classes)} classes of {folder} have nothing to train on ({named}): all "
            "their images are held out; add some below the training folder, or take these classes out"
        )


def _check(files: Iterable[ImageFile]) -> tuple[list[_CheckedFile], list[Skipped]]:
    """Usable images, and those that are not: bad ones, duplicates, one picture in two classes."""
    same: dict[str, list[ImageFile]] = {}
    images: list[_CheckedFile] = []
    refused: list[Skipped] = []
    for file in files:
        try:
            content = read_bytes(file.path)
            digest = sha256(content)
            if digest not in same:
                check(content)
        except BadImage as error:
            refused.append(Skipped(id=file.id, reason=str(error), bad=True))
            continue
        same.setdefault(digest, []).append(file)
    for digest, (first, *others) in same.items():
        other = next((file for file in others if file.class_name != first.class_name), None)
        if other is None:
            images.append(_CheckedFile(file=first, digest=digest))
            refused += [Skipped(id=file.id, reason=f"duplicate of {first.id}") for file in others]
            continue
        for file in (first, *others):
            opposite = other if file.class_name == first.class_name else first
            reason = f"the same bytes as {opposite.id}, of another class"
            refused.append(Skipped(id=file.id, reason=reason, bad=True))
    return images, refused


@dataclass(frozen=True, kw_only=True, eq=False)
class FolderImages:
    """Reads image files, which must be those that were loaded."""

    images: Sequence[_CheckedFile]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        """The image, [height, width, 3]. Raises: DigestMismatch."""
        image = self.images[index]
        try:
            content = read_bytes(image.file.path)
        except BadImage as error:
            raise DigestMismatch(f"{image.file.id} is no longer what was loaded: {error}") from error
        if sha256(content) != image.digest:
            raise DigestMismatch(f"{image.file.id} changed after it was loaded; start again")
        return decode(content)
