"""A folder of images: flat, a folder per class, or either below ``train/`` and ``test/`` (and synonyms).

The folder is listed once; the files listed then are the data set. In a folder without a split, the fifth of
each class with the lowest content digests is held out: no shuffling, and adding files moves few images.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from mlproject.data.encoded import Picture, make_image_set, read_rows
from mlproject.data.image_set import N_NAMED, ImageSet, Skipped
from mlproject.data.images import read_bytes
from mlproject.data.label_map_names import names_of_classes, require_no_label_maps
from mlproject.data.layout import find_splits, natural, printable, require_distinct_classes, split_of
from mlproject.data.manifest import WHOLE, Row, Verify
from mlproject.data.tree import FolderListing, leaving, left_out
from mlproject.errors import BadInput

FOLDER_SOURCE = "folder of images, licence not stated"


class ImageFile(NamedTuple):
    """A file that may be an image. ``nested``: in a class folder; ``held_out`` is None without a split.

    ``path`` is real, ``below`` the path inside the folder, ``subfolder`` the folder inside its class's in
    which it lies, empty where there is none.
    """

    path: str
    below: str
    id: str
    class_name: str
    nested: bool
    subfolder: str
    held_out: bool | None


def image_files(folder: Path, listing: FolderListing) -> list[ImageFile]:
    """Image files in natural order of their ids.

    Raises: BadInput when the folder has images at two levels, or two ids clash.
    """
    require_no_label_maps(folder, listing.files)
    splits = find_splits(folder, listing.files)
    parents: dict[str, tuple[str, bool, str, bool | None] | None] = {}
    files = []
    for path, real in listing.files.items():
        parent = path.rpartition("/")[0]
        if parent not in parents:
            parents[parent] = _meaning(folder, parent, splits)
        if meaning := parents[parent]:
            files.append(ImageFile(real, path, printable(path), *meaning))
    if splits and len(files) < len(listing.files):
        where = f"(outside of {' and '.join(f'{name}/' for name in splits)})"
        listing.counts[where, "images, in no split"] = len(listing.files) - len(files)
    _require_one_level(folder, files, splits)
    _require_distinct(folder, files)
    return sorted(files, key=lambda file: natural(file.id))


def _meaning(
    folder: Path, parent: str, splits: Mapping[str, bool | None]
) -> tuple[str, bool, str, bool | None] | None:
    """Class, whether in a folder of its own, subfolder and split of the files in a folder.

    None where it is in no split of a folder that has splits.
    """
    top, _, below = parent.partition("/")
    if splits and top not in splits:
        return None
    class_name, _, inside = (below if splits else parent).partition("/")
    subfolder = printable(inside.partition("/")[0])
    return printable(class_name or folder.name), bool(class_name), subfolder, splits.get(top)


def _require_one_level(folder: Path, files: Iterable[ImageFile], splits: Mapping[str, bool | None]) -> None:
    flat, nested = ([file for file in files if file.nested == deep] for deep in (False, True))
    if not (flat and nested):
        return
    held = {file.held_out for file in flat}
    if held == {True} and not any(file.held_out for file in nested):
        (split,) = (name for name, is_held in splits.items() if is_held)
        raise BadInput(
            f"{folder / split} has {len(flat):,} images without class folders, and the training images have "
            f"them: sort them into {split}/CLASS/{_truth(folder)}, or give a table of path, label and split "
            "(data=FILE.csv)"
        )
    raise BadInput(
        f"images lie both beside and inside class folders of {folder} ({flat[0].id}, {nested[0].id}); "
        "use one folder a class, or none"
    )


def _truth(folder: Path) -> str:
    """The files below a folder that seem to say the classes of held-out images."""
    words = ("ground_truth", "ground-truth", "groundtruth", "val_solution", "val_annotations", "devkit")
    there = [
        path.name
        for path in (*folder.glob("*"), *folder.glob("*/*.txt"), *folder.glob("*/data/*.txt"))
        if any(word in path.name.casefold() for word in words)
    ]
    return f" as {' and '.join(sorted(map(printable, there))[:N_NAMED])} says" if there else ""


def _require_distinct(folder: Path, files: Iterable[ImageFile]) -> None:
    """Ids that differ only in case or in how accents are composed name the same file on other disks."""
    first: dict[str, ImageFile] = {}
    for file in files:
        folded = file.id.casefold()
        folded = folded if folded.isascii() else unicodedata.normalize("NFC", folded)
        other = first.setdefault(folded, file)
        if other is not file:
            require_distinct_classes(folder, {each.class_name: each.id for each in (other, file)})
            names = " and ".join(ascii(each.below) for each in (other, file))
            raise BadInput(f"two images of {folder} have one name: {names}; rename one")


def load_folder(
    folder: Path, listing: FolderListing, *, max_bad: int = 0, verify: Verify = "changed"
) -> ImageSet:
    """The images of a folder, each opened and decoded at first sight to know that it can be.

    Duplicates (same bytes) are left out, the first in natural order stays; in two classes, all are bad.

    Raises: BadInput for an empty folder, names that clash, classes with nothing to train on, or more than
    ``max_bad`` bad images; DigestMismatch from ``read`` for a file that changed since.
    """
    files = image_files(folder, listing)
    names = {file.class_name: file.id for file in reversed(files)}
    require_distinct_classes(folder, names)
    if not files:
        raise BadInput(f"no images in {folder} (PNG, JPEG, WEBP, BMP, GIF, TIFF){_why_none(listing)}")
    rows = read_rows(
        listing.root,
        {file.path: listing.stamps[file.path] for file in files},
        listed_at=listing.listed_at,
        verify=verify,
        index=_whole_file,
        content=read_bytes,
    )
    pictures = []
    for file in files:
        (row,) = rows[file.path]
        held_out, path = file.held_out, file.path
        pictures.append(Picture(file.id, file.class_name, held_out, path, 0, WHOLE, row.digest, row.reason))
    links = leaving(listing)
    images = make_image_set(
        pictures,
        where=folder,
        place=listing.root,
        name=printable(folder.name),
        source=f"{FOLDER_SOURCE}{links and f'; {links}'}",
        content=read_bytes,
        max_bad=max_bad,
        skipped=[*left_out(listing), *_subfolders(files), *_named_as_splits(files)],
    )
    return replace(images, classes=names_of_classes(folder, images.classes))


def _whole_file(path: str) -> list[Row]:
    return [Row()]


def _subfolders(files: Iterable[ImageFile]) -> Iterator[Skipped]:
    """A note on subfolders that every class has: they may have been meant as the classes."""
    below: dict[str, set[str]] = {}
    for file in files:
        if file.nested:
            below.setdefault(file.class_name, set()).add(file.subfolder)
    shared = sorted(set.intersection(*below.values()) - {""} if below else (), key=natural)
    if len(shared) > 1:
        above = " and ".join(f"{name}/" for name in list(below)[:N_NAMED])
        id_, reason = f"(subfolders {', '.join(shared)})", f"no classes: {above} above them are"
        yield Skipped(id=id_, reason=reason, note=True)


def _named_as_splits(files: Sequence[ImageFile]) -> Iterator[Skipped]:
    """A note on classes that are named like a held-out split."""
    for name in sorted({file.class_name for file in files if file.nested and file.held_out is None}):
        if split_of(name) in ("test", "eval", "val"):
            reason = "a class as it is, no split: there is no train/ beside it"
            yield Skipped(id=f"({name}/)", reason=reason, note=True)


def _why_none(listing: FolderListing) -> str:
    """What there is in a folder that holds no images."""
    there = [f"{entry.id} ({entry.reason})" for entry in left_out(listing)[:N_NAMED]]
    return f"; there are {', '.join(there)}" if there else ""
