"""What lies in a folder: plain files with an image's suffix, and what was passed over and why.

Links are never followed, so a loop ends and nothing outside the folder is read.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mlproject.data.image_set import Skipped
from mlproject.data.names import natural, printable
from mlproject.errors import BadInput

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
TRAIN = "train"
EVALUATION = ("test", "eval", "val")
"""Names of the folder that is held out beside ``train``; the first that exists is taken."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file to try; ``nested`` in a class folder or not. ``held_out`` is None where no split is given."""

    path: str
    id: str
    class_name: str
    nested: bool
    held_out: bool | None


@dataclass
class _Listing:
    """What a walk has seen so far; paths are relative to the folder."""

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)


def scan(folder: Path) -> tuple[list[Found], list[Skipped]]:
    """Image files in natural order of their ids, and what else was there.

    Raises: BadInput when the folder cannot be read, has images at two levels, or two ids clash.
    """
    listing = _walk(folder)
    splits = _splits(listing.files)
    found = [file for path in listing.files if (file := _found(folder, path, splits))]
    if splits and len(found) < len(listing.files):
        where = f"(outside of {' and '.join(f'{name}/' for name in splits)})"
        listing.counts[where, "images, in no split"] = len(listing.files) - len(found)
    _require_one_level(folder, found)
    _require_distinct(folder, found)
    return sorted(found, key=lambda file: natural(file.id)), _passed_over(listing)


def _found(folder: Path, path: str, splits: dict[str, bool | None]) -> Found | None:
    """The file at a relative path, or None where it is in no split of a folder that has splits."""
    top, _, below = path.partition("/")
    if splits and (not below or top not in splits):
        return None
    class_name, nested, _ = (below if splits else path).partition("/")
    return Found(
        path=os.path.join(folder, path),
        id=printable(path),
        class_name=printable(class_name if nested else folder.name),
        nested=bool(nested),
        held_out=splits.get(top),
    )


def _walk(folder: Path) -> _Listing:
    listing = _Listing()
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


def _note(entry: os.DirEntry[str], path: str, listing: _Listing, waiting: list[str]) -> None:
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


def _require_one_level(folder: Path, found: Iterable[Found]) -> None:
    flat = [file.id for file in found if not file.nested]
    nested = [file.id for file in found if file.nested]
    if flat and nested:
        raise BadInput(
            f"images lie both beside and inside class folders of {folder} ({flat[0]}, {nested[0]}); "
            "use one folder a class, or none"
        )


def _require_distinct(folder: Path, found: Iterable[Found]) -> None:
    """Ids that differ only in case or in how accents are composed are one file on other disks."""
    first: dict[str, str] = {}
    for file in found:
        other = first.setdefault(unicodedata.normalize("NFC", file.id.casefold()), file.path)
        if other != file.path:
            names = " and ".join(ascii(os.path.relpath(path, folder)) for path in (other, file.path))
            raise BadInput(f"two images of {folder} have one name: {names}; rename one")


def _passed_over(listing: _Listing) -> list[Skipped]:
    occupied = {file[: i + 1] for file in listing.files for i, c in enumerate(file) if c == "/"}
    empty = [
        Skipped(id=printable(path), reason="no images in it")
        for path in listing.folders
        if path not in occupied
    ]
    counted = [Skipped(id=where, reason=f"{n} {what}") for (where, what), n in sorted(listing.counts.items())]
    return [*listing.skipped, *empty, *counted]
