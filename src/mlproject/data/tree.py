"""The files below a folder, links followed where they end: what is a picture, a shard, or passed over.

A link is resolved once, and what it points to is read by its real path; only plain files are. A link to a
folder above itself is not followed, so that every walk ends, and no folder is entered more than 16 times.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mlproject.data.image_set import Skipped
from mlproject.data.layout import SUFFIXES, holds_no_data, printable
from mlproject.data.manifest import Stamp, now_ns, stamp_of
from mlproject.errors import BadInput

SHARDS = frozenset({".tar", ".parquet", ".arrow"})
"""Files that hold many pictures."""
MOST_VISITS = 16
"""How often a folder is listed, under as many names: links to links would make any number of them."""


@dataclass
class FolderListing:
    """Entries seen so far: relative paths, those of folders with ``/`` at their end; ``root`` is a real path,
    and ``outer`` that of the data set's folder.

    ``files`` are pictures by their names, ``shards`` files of many pictures, ``stamps`` those of real paths.
    """

    root: str
    outer: str
    listed_at: int = field(default_factory=now_ns)
    files: dict[str, str] = field(default_factory=dict)
    shards: dict[str, str] = field(default_factory=dict)
    stamps: dict[str, Stamp] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    visits: Counter[str] = field(default_factory=Counter)


class _Folder(NamedTuple):
    """A folder to be listed: its relative path, its real path, and the real paths of those on the way."""

    inside: str
    real: str
    above: tuple[str, ...]


def walk(folder: Path, inside: Path | None = None) -> FolderListing:
    """List all that lies below a folder, which is itself ``inside`` the folder of the data set.

    Raises: BadInput where a folder cannot be read.
    """
    try:
        listing = FolderListing(root=os.path.realpath(folder), outer=os.path.realpath(inside or folder))
    except ValueError as error:
        raise BadInput(f"cannot read the folder {os.fspath(folder)!r}: {error}") from error
    waiting = [_Folder("", listing.root, ())]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here.real) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
                        _note_file(entry, here.inside + entry.name, entry.path, listing)
                    else:
                        waiting += _note(entry, here, listing)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise BadInput(
                f"cannot read the folder {os.path.join(folder, here.inside)!r}: {reason}"
            ) from error
    return listing


def _note(entry: os.DirEntry[str], here: _Folder, listing: FolderListing) -> Iterator[_Folder]:
    """Note an entry, and yield the folder that it is or leads to."""
    path = here.inside + entry.name
    if entry.name.startswith("."):
        listing.counts[".*", "hidden"] += 1
        return
    real = entry.path
    if entry.is_symlink():
        try:
            real = os.path.realpath(entry.path, strict=True)
        except OSError:  # it leads nowhere, or to itself
            listing.counts["(links)", "that lead nowhere"] += 1
            return
        if entry.is_dir() and (reason := _not_entered(real, here, listing)):
            listing.skipped.append(Skipped(id=printable(path), reason=reason))
            return
    if entry.is_dir() and holds_no_data(entry.name):
        listing.skipped.append(Skipped(id=printable(f"{path}/"), reason="folder of a program, no class"))
    elif entry.is_dir():
        listing.folders.append(f"{path}/")
        listing.visits[real] += 1
        yield _Folder(f"{path}/", real, (*here.above, here.real))
    elif entry.is_file():
        _note_file(entry, path, real, listing)
    else:
        listing.skipped.append(Skipped(id=printable(path), reason="not a plain file"))


def _not_entered(real: str, here: _Folder, listing: FolderListing) -> str:
    """Why a link to a folder is not followed; empty where it is."""
    if any(f"{each}/".startswith(f"{real.rstrip('/')}/") for each in (*here.above, here.real)):
        return "link to a folder above it, not followed"
    if listing.visits[real] >= MOST_VISITS:
        return f"link to a folder that was listed {MOST_VISITS} times, not followed"
    return ""


def _note_file(entry: os.DirEntry[str], path: str, real: str, listing: FolderListing) -> None:
    dot = entry.name.rfind(".")
    suffix = entry.name[dot:].casefold() if dot > 0 else ""
    if suffix in SUFFIXES:
        listing.files[path] = real
        listing.stamps[real] = stamp_of(entry.stat())
    else:
        if suffix in SHARDS:
            listing.shards[path] = real
            listing.stamps[real] = stamp_of(entry.stat())
        listing.counts[f"*{printable(suffix)}", "not named as images"] += 1


def left_out(listing: FolderListing) -> list[Skipped]:
    """The entries of a folder that are no pictures, one by one or counted by kind, and where links lead."""
    occupied = {f"{parent}/" for parent in {file.rpartition("/")[0] for file in listing.files}}
    occupied |= {path[: i + 1] for path in occupied for i, c in enumerate(path) if c == "/"}
    empty = [
        Skipped(id=printable(path), reason="no images in it")
        for path in listing.folders
        if path not in occupied
    ]
    counted = [Skipped(id=where, reason=f"{n} {what}") for (where, what), n in sorted(listing.counts.items())]
    links = leaving(listing)
    return [
        *([Skipped(id="(links)", reason=links, note=True)] if links else []),
        *listing.skipped,
        *empty,
        *counted,
    ]


def leaving(listing: FolderListing) -> str:
    """How many files lie outside of the data set's folder, and where; empty where none do."""
    paths = [*listing.files.values(), *listing.shards.values()]
    outside = [path for path in paths if not path.startswith(f"{listing.outer.rstrip('/')}/")]
    if not outside:
        return ""
    there = os.path.commonpath([os.path.dirname(path) for path in outside])
    return f"{len(outside):,} of {len(paths):,} files are links to {printable(there)}"
