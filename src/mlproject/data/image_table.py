"""A table of images as a data set: a CSV, TSV or Parquet file with columns path, label and split.

Paths are relative to the table's folder. ``label`` is the name of a class; without the column all images are
of one. ``split`` is empty for all, or a name of a split for all.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Container, Sequence
from pathlib import Path

from mlproject.data.encoded import Picture, make_image_set, read_rows
from mlproject.data.image_set import ImageSet, Skipped
from mlproject.data.images import BadImage, open_plain, read_bytes
from mlproject.data.layout import (
    SplitName,
    held_out_by_split,
    natural,
    printable,
    require_distinct_classes,
    split_of,
)
from mlproject.data.manifest import WHOLE, Row, Stamp, Verify, now_ns, stamp_of
from mlproject.data.table_shards import schema_of
from mlproject.errors import BadInput

COLUMNS = ("path", "label", "split")
DELIMITERS = ",;\t|"
MOST_BYTES = 1 << 30
Columns = dict[str, list[str]]


def load_table(table: Path, *, max_bad: int = 0, verify: Verify = "changed") -> ImageSet:
    """The images that a table lists; those that are bad or not there count against ``max_bad``.

    Raises: BadInput, with the row, for a table that cannot be read, and what an image set is refused for.
    """
    columns = _parquet(table) if table.suffix.casefold() == ".parquet" else _text(table)
    columns = _required(table, columns)
    splits = _splits(table, columns["split"])
    held_out = held_out_by_split(table, splits)
    labels, paths = columns["label"], columns["path"]
    require_distinct_classes(
        table, {printable(label): path for label, path in zip(labels, paths, strict=True)}
    )
    real = [os.path.realpath(os.path.join(table.parent, path)) for path in paths]
    listed_at = now_ns()
    stamps = {path: stamp for path in dict.fromkeys(real) if (stamp := _stamp(path))}
    place = os.path.realpath(table)
    rows = read_rows(place, stamps, listed_at=listed_at, verify=verify, index=_whole_file, content=read_bytes)
    missing = (Row(reason="no such file, or none that may be read"),)
    pictures = []
    for path, label, split, at in zip(paths, labels, splits, real, strict=True):
        if split in held_out:
            (row,) = rows.get(at, missing)
            class_name = printable(label) or printable(table.stem)
            digest, reason = row.digest, row.reason
            picture = Picture(printable(path), class_name, held_out[split], at, 0, WHOLE, digest, reason)
            pictures.append(picture)
    return make_image_set(
        sorted(pictures, key=lambda picture: natural(picture.id)),
        where=table,
        place=place,
        name=printable(table.stem),
        source="images listed in a table, licence not stated",
        content=read_bytes,
        max_bad=max_bad,
        skipped=_not_read(splits, held_out),
    )


def _not_read(splits: Sequence[SplitName | None], held_out: Container[SplitName | None]) -> list[Skipped]:
    """A note for each split that is neither trained on nor held out."""
    others = Counter(str(split) for split in splits if split not in held_out)
    reason = "images, not read: another split is held out"
    return [Skipped(id=f"(split {name})", reason=f"{n} {reason}") for name, n in sorted(others.items())]


def _whole_file(path: str) -> Sequence[Row]:
    return (Row(),)


def _stamp(path: str) -> Stamp | None:
    """The stamp of a file; None where there is none."""
    try:
        return stamp_of(os.stat(path))
    except (OSError, ValueError):
        return None


def _text(table: Path) -> Columns:
    """The columns of a CSV file, whichever of four delimiters its header has. Raises: BadInput."""
    text = _content(table)
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    try:
        header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    except csv.Error as error:
        raise BadInput(f"{table} cannot be read as CSV: {error}") from error
    except ValueError as error:
        raise BadInput(
            f"{table} is empty; its first row must name the columns {', '.join(COLUMNS)}"
        ) from error
    names = [name.strip().casefold() for name in header]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"the first row of {table} names {twice!r} twice")
    for number, row in enumerate(rows, 2):
        if row and len(row) != len(names):
            raise BadInput(f"row {number} of {table} has {len(row)} cells, its first row {len(names)}")
    kept = [row for row in rows if row]
    return {name: [row[i] for row in kept] for i, name in enumerate(names)}


def _content(table: Path) -> str:
    try:
        with open_plain(os.path.realpath(table)) as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise BadInput(f"{table} is over {MOST_BYTES >> 30} GiB; save it as Parquet")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise BadInput(f"cannot read the table {table}: {error.strerror}") from error
    except BadImage as error:
        raise BadInput(f"cannot read the table {table}: {error}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{table} is not text in UTF-8; save it so") from error


def _parquet(table: Path) -> Columns:
    """The columns of a Parquet file, as text. Raises: BadInput."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_plain(os.path.realpath(table)) as file:
            parquet = pq.ParquetFile(file)
            names = [name for name in COLUMNS if name in parquet.schema_arrow.names]
            content = parquet.read(columns=names)
            text = {name: content.column(name).cast(pa.string()).to_pylist() for name in names}
    except (OSError, BadImage, pa.ArrowException) as error:
        raise BadInput(f"{table} cannot be read as Parquet: {' '.join(str(error).split())}") from error
    return {name: [value or "" for value in values] for name, values in text.items()}


def _required(table: Path, columns: Columns) -> dict[str, list[str]]:
    """All three columns; a row without a path, without a label where others have one, or twice is refused."""
    if "path" not in columns:
        there = ", ".join(map(repr, columns)) or "none"
        raise BadInput(f"{table} has no column 'path' (columns: {there}); name them path, label and split")
    paths = columns["path"]
    every = {name: columns.get(name, [""] * len(paths)) for name in COLUMNS}
    first: dict[str, int] = {}
    for number, (path, label) in enumerate(zip(paths, every["label"], strict=True), 2):
        if not path or "\0" in path:
            raise BadInput(f"row {number} of {table} has no path")
        if "label" in columns and not label.strip():
            raise BadInput(f"row {number} of {table} has no label ({path})")
        if (other := first.setdefault(printable(path), number)) != number:
            raise BadInput(f"rows {other} and {number} of {table} have one path: {path}")
    if not paths:
        raise BadInput(f"{table} lists no images")
    return every


def _splits(table: Path, words: Sequence[str]) -> list[SplitName | None]:
    """The split of each row. Raises: BadInput for a word that is no name of a split."""
    known = {word: split_of(word) if word.strip() else None for word in set(words)}
    if wrong := next((word for word in words if word.strip() and known[word] is None), None):
        number = words.index(wrong) + 2
        raise BadInput(
            f"row {number} of {table} has split {wrong!r}; use train, val or test, or leave all empty"
        )
    return [known[word] for word in words]


def is_image_table(table: Path) -> bool:
    """Whether a Parquet file lists paths of images, and does not hold the images itself. Raises: BadInput."""
    return "path" in schema_of(os.path.realpath(table)).names
