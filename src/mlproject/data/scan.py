"""List the image files of a folder: ids, classes and splits, and which entries were skipped and why.

Links are never followed, so that loops end and nothing outside the folder is read.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mlproject.data.image_set import Skipped
from mlproject.errors import BadInput

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
TRAIN = "train"
EVALUATION = ("test", "eval", "val")
"""Names of the folder that is held out beside ``train``; the first that exists is taken."""


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """A file that may be an image. ``nested``: in a class folder; ``held_out`` is None without a split."""

    path: str
    id: str
    class_name: str
    nested: bool
    held_out: bool | None


@dataclass
class _FolderListing:
    """Entries seen so far; paths are relative to the folder."""

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)


def scan(folder: Path) -> tuple[list[ImageFile], list[Skipped]]:
    """Image files in natural order of their ids, and the entries that were skipped.

    Raises: BadInput when the folder cannot be read, has images at two levels, or two ids clash.
    """
    listing = _walk(folder)
    splits = _splits(listing.files)
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
    class_name, nested, _ = (below if splits else path).partition("/")
    return ImageFile(
        path=os.path.join(folder, path),
        id=printable(path),
        class_name=printable(class_name if nested else folder.name),
        nested=bool(nested),
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
        listing.skipped.append(Skipped(id=printable(path), reason="symbolic link, not followed"))
    elif entry.is_dir(follow_symlinks=False):
        waiting.append(f"{path}/")
        listing.folders.append(f"{path}/")
    elif not entry.is_file(follow_symlinks=False):
        listing.skipped.append(Skipped(id=printable(path), reason="not a plain file"))
    elif suffix in SUFFIXES:
        listing.files.append(path)
    else:
        listing.counts[f"*{printable(suffix)}", "not named as images"] += 1


def _splits(files: Iterable[str]) -> dict[str, bool | None]:
    """Folders that are splits, and whether each is held out; empty where there are none."""
    tops = {path.partition("/")[0] for path in files if "/" in path}
    if TRAIN not in tops:
        return {}
    evaluation = next((name for name in EVALUATION if name in tops), None)
    if evaluation is not None:
        return {TRAIN: False, evaluation: True}
    return {TRAIN: None} if tops == {TRAIN} else {}


def _require_one_level(folder: Path, files: Iterable[ImageFile]) -> None:
    flat = [file.id for file in files if not file.nested]
    nested = [file.id for file in files if file.nested]
    if flat and nested:
        raise BadInput(
            f"images lie both beside and inside class folders of {folder} ({flat[0]}, {nested[0]}); "
            "use one folder a class, or none"
        )


def _require_distinct(folder: Path, files: Iterable[ImageFile]) -> None:
    """Ids that differ only in case or in how accents are composed name the same file on other disks."""
    first: dict[str, str] = {}
    for file in files:
        other = first.setdefault(unicodedata.normalize("NFC", file.id.casefold()), file.path)
        if other != file.path:
            names = " and ".join(ascii(os.path.relpath(path, folder)) for path in (other, file.path))
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


def printable(path: str) -> str:
    """The id of a relative path: composed (NFC), with unprintable characters and ``%`` percent-escaped.

    ``urllib.parse.unquote(id, errors="surrogateescape")`` gives the composed path back.

    >>> printable("n01440764/a\\tb 100%.png")
    'n01440764/a%09b 100%25.png'
    """
    return "".join(map(_escaped, unicodedata.normalize("NFC", path)))


def natural(text: str) -> tuple[list[str | int], str]:
    """Sort key that compares runs of digits as numbers.

    >>> sorted(["10.png", "2.png", "1.png"], key=natural)
    ['1.png', '2.png', '10.png']
    """
    parts = re.split(r"([0-9]+)", text.casefold())
    return [int(part) if part.isdecimal() and part.isascii() else part for part in parts], text


def _escaped(character: str) -> str:
    if character.isprintable() and character != "%":
        return character
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
