"""Shards as a data set: WebDataset's tar files, and the tables of Hugging Face's data sets.

    train-000000.tar         members KEY.jpg (png, webp …) and KEY.cls, KEY.json or KEY.txt with the label
    data/train-00000.parquet a column of pictures, and one of labels with the names of the classes
    train/data-00000.arrow   the same as ``save_to_disk`` writes it

The split of a shard is a word of its path. Pictures of tar and Arrow are read by offset and length, as if
they were files of their own; those of Parquet by row, of which a process keeps one group.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlproject.data.encoded import Content, Picture, make_image_set, read_rows
from mlproject.data.image_set import ImageSet, Skipped
from mlproject.data.images import read_bytes
from mlproject.data.layout import (
    SplitName,
    held_out_by_split,
    natural,
    printable,
    read_names,
    split_of,
)
from mlproject.data.manifest import Row, Verify, stamp_of
from mlproject.data.table_shards import arrow_rows, find_columns, listed_shards, parquet_rows
from mlproject.data.tar_shards import tar_rows
from mlproject.data.tree import SHARDS, FolderListing, leaving, left_out
from mlproject.errors import BadInput

NAMES = ("classes.txt", "classnames.txt", "class_names.txt")
"""Files beside tar shards with the names of classes 0, 1, …, one a line."""
MOST_SHARDS = 100_000
NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>[0-9]+)-of-(?P<all>[0-9]+)(?P<after>\.[a-z]+)")
GLOB = re.compile(r"[*?\[]").search
NUMBER = re.compile(r"[0-9]+")


@dataclass(frozen=True, kw_only=True)
class _ShardKind:
    """How shards of a kind are read: their pictures, the bytes of one, the names of the classes."""

    index: Callable[[str], Sequence[Row]]
    content: Content
    names: tuple[str, ...]
    what: str


def load_shards(
    where: Path, listing: FolderListing, *, max_bad: int = 0, verify: Verify = "changed"
) -> ImageSet:
    """The images of the shards below a folder, or of those that a pattern names.

    Raises: BadInput for shards of two kinds, damaged ones, splits or labels for some images only, and what
    an image set is refused for.
    """
    shards, kind = _kind(where, listing)
    if where.is_dir():
        _require_all(where, shards)
    splits = {path: split_of_shard(path) for path in shards}
    place = listing.root if where.is_dir() else os.path.join(listing.root, where.name)
    stamps = {real: listing.stamps[real] for real in shards.values()}
    rows = read_rows(
        place, stamps, listed_at=listing.listed_at, verify=verify, index=kind.index, content=kind.content
    )
    unlabelled = _unlabelled(shards, splits, rows)
    held_out = held_out_by_split(where, [split for split in splits.values() if split not in unlabelled])
    pictures = [
        _picture(f"{os.path.splitext(path)[0]}/{row.name}", row, held_out[splits[path]], real, kind)
        for path, real in shards.items()
        if splits[path] in held_out
        for row in rows[real]
    ]
    if any(picture.class_name for picture in pictures):
        pictures = [_require_label(picture) for picture in pictures]
    links = leaving(listing)
    return make_image_set(
        sorted(pictures, key=lambda picture: natural(picture.id)),
        where=where,
        place=place,
        name=printable(where.name),
        source=f"{kind.what}, licence not stated{links and f'; {links}'}",
        content=kind.content,
        max_bad=max_bad,
        skipped=[*_notes(splits, held_out, unlabelled), *_others(listing, next(iter(shards)))],
        order=kind.names,
    )


def _require_all(where: Path, shards: Iterable[str]) -> None:
    """Raise BadInput where a shard of a numbered set, such as ``train-00001-of-00002``, is not there."""
    there: dict[tuple[str, str, str], set[int]] = {}
    for path in shards:
        if match := NUMBERED.fullmatch(path):
            there.setdefault((match["before"], match["all"], match["after"]), set()).add(int(match["number"]))
    for (before, all_, after), numbers in there.items():
        missing = sorted(set(range(int(all_))) - numbers) if int(all_) <= MOST_SHARDS else []
        if missing and min(numbers) < int(all_):
            first = f"{before}{str(missing[0]).zfill(len(all_))}-of-{all_}{after}"
            raise BadInput(
                f"{where} lacks {len(missing):,} of the {int(all_):,} shards that their names count (first: "
                f"{first}); fetch them, or name those that are there by a pattern"
            )


def _others(listing: FolderListing, shard: str) -> list[Skipped]:
    """What a folder holds beside its shards and the JSON files that describe them."""
    read = {f"*{os.path.splitext(shard)[1].casefold()}", "*.json"}
    return [entry for entry in left_out(listing) if entry.id not in read]


def _unlabelled(
    shards: Mapping[str, str],
    splits: Mapping[str, SplitName | None],
    rows: Mapping[str, Sequence[Row]],
) -> set[SplitName | None]:
    """The splits of which no picture has a label, where others have."""
    labelled = {splits[path] for path, real in shards.items() if any(row.label for row in rows[real])}
    return set(splits.values()) - labelled if labelled else set()


def is_file(path: Path) -> bool:
    """Whether a path is named as a table or a shard; it may not be there."""
    return path.suffix.casefold() in (*SHARDS, ".csv", ".tsv") and not os.path.isdir(path)


def is_pattern(path: Path) -> bool:
    """Whether a path is a pattern of the names of shards, and not one that is there."""
    return bool(re.search(r"[*?{\[]", path.name)) and path.suffix.casefold() in SHARDS and not path.exists()


def list_shards(path: Path) -> FolderListing:
    """The shards that a path or a pattern names. Raises: BadInput where one is not there."""
    paths = [path]
    if is_pattern(path):
        spelt = [path.with_name(name) for name in _braced(path.name)]
        paths = [
            file
            for each in spelt
            for file in (sorted(each.parent.glob(each.name)) if GLOB(each.name) else [each])
        ]
    if not paths:
        raise BadInput(f"no shards match {path}")
    root = os.path.realpath(path.parent)
    listing = FolderListing(root=root, outer=root)
    for each in dict.fromkeys(paths):
        real = os.path.realpath(each)
        try:
            listing.stamps[real] = stamp_of(os.stat(real))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise BadInput(f"cannot read the shard {os.fspath(each)!r}: {reason}") from error
        listing.shards[each.name] = real
    return listing


def _braced(text: str) -> list[str]:
    """The names that braces stand for, as a shell writes them: ``{00..12}``, ``{train,val}``."""
    match = re.search(r"\{([^{}]*)\}", text)
    if match is None:
        return [text]
    bounds = re.fullmatch(r"([0-9]+)\.\.([0-9]+)", match[1])
    words = match[1].split(",")
    if bounds:
        first, last = int(bounds[1]), int(bounds[2])
        if last - first > MOST_SHARDS:
            raise BadInput(f"{match[0]} names over {MOST_SHARDS:,} shards")
        words = [str(number).zfill(len(bounds[1])) for number in range(first, last + 1)]
    return [name for word in words for name in _braced(text[: match.start()] + word + text[match.end() :])]


def _one_suffix(where: Path, listing: FolderListing) -> str:
    suffixes = sorted({os.path.splitext(path)[1].casefold() for path in listing.shards})
    if len(suffixes) > 1:
        raise BadInput(
            f"{where} holds shards of {len(suffixes)} kinds ({', '.join(suffixes)}); name one kind by a "
            f"pattern, such as data='{where}/*{suffixes[0]}'"
        )
    return suffixes[0]


def _kind(where: Path, listing: FolderListing) -> tuple[dict[str, str], _ShardKind]:
    """Real paths of shards by their relative ones, and how they are read."""
    suffix, shards = _one_suffix(where, listing), dict(listing.shards)
    if suffix == ".tar":
        names = _names_beside(where if where.is_dir() else where.parent)
        return shards, _ShardKind(
            index=tar_rows, content=read_bytes, names=names, what="tar shards (WebDataset)"
        )
    if suffix == ".arrow":
        shards = listed_shards(listing)
    columns = find_columns(next(iter(shards.values())))
    if suffix == ".arrow":
        return shards, _ShardKind(
            index=lambda path: arrow_rows(path, columns),
            content=read_bytes,
            names=columns.names,
            what="table of images (Arrow)",
        )
    return shards, _ShardKind(
        index=lambda path: parquet_rows(path, columns),
        content=columns.cell,
        names=columns.names,
        what="table of images (Parquet)",
    )


def _names_beside(folder: Path) -> tuple[str, ...]:
    """The names of classes 0, 1, … in a file beside shards; none without such a file."""
    path = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    names = read_names(path) if path else []
    if len(set(names)) != len(names):
        raise BadInput(f"{path} must name each class once, one a line")
    return tuple(map(printable, names))


def split_of_shard(path: str) -> SplitName | None:
    """The split that a word of a shard's path means; None without one.

    >>> split_of_shard("data/train-00000-of-00010.parquet"), split_of_shard("imagenet1k-validation-007.tar")
    ('train', 'val')
    """
    words = [word for word in re.split(r"[/\W_]+|(?<=[a-z])(?=[0-9])", os.path.splitext(path)[0]) if word]
    return next((split for word in reversed(words) if (split := split_of(word))), None)


def _picture(name: str, row: Row, held_out: bool | None, path: str, kind: _ShardKind) -> Picture:
    """A picture under the name of its class, or bad where its label is none of the classes."""
    class_name, reason = row.label, row.reason
    if kind.names and NUMBER.fullmatch(row.label):
        number = int(row.label)
        if number < len(kind.names):
            class_name = kind.names[number]
        else:
            reason = reason or f"label {number}, of {len(kind.names)} classes (from 0)"
    return Picture(
        posixpath.normpath(printable(name)),
        class_name,
        held_out,
        path,
        row.offset,
        row.length,
        row.digest,
        reason,
    )


def _require_label(picture: Picture) -> Picture:
    if picture.class_name:
        return picture
    return picture._replace(class_name="(no label)", reason=picture.reason or "has no label, as others have")


def _notes(
    splits: Mapping[str, SplitName | None],
    held_out: Mapping[SplitName | None, bool | None],
    unlabelled: set[SplitName | None],
) -> list[Skipped]:
    """A note for each split that is left out."""
    others = sorted({str(split) for split in splits.values() if split not in held_out})
    return [
        Skipped(
            id=f"(split {split})",
            reason="not read: without labels" if split in unlabelled else "not read: another one is held out",
        )
        for split in others
    ]
