"""Manifest of a data set: what each of its files held when it was last read, kept in the cache folder.

    <cache folder>/manifest-<place>.arrow   the pictures in each file: where, SHA-256, why one cannot be used

A file whose size and time stamps are those of the manifest is not read again at the start; whoever reads its
pixels compares their SHA-256 all the same. A manifest appears whole or not at all, is verified by its own
SHA-256 when it is read, and may be deleted at any time: it saves time, nothing else.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from mlproject.errors import NoRoom, one_line
from mlproject.files import cache_folder, require_regular, write_atomic

log = logging.getLogger(__name__)

Verify = Literal["changed", "full"]
"""Which files are read at the start: those that the manifest does not know as they are, or all."""
VERSION = 1
"""To be increased whenever the same bytes are judged in another way."""
WHOLE = -1
"""The length of a picture that is a file of its own."""
UNSETTLED_NS = 2_000_000_000
"""A file that changed so shortly before it was listed may change again under one time stamp (FAT: 2 s)."""
DIGEST_BYTES = 32
TYPES = {
    "path": "binary", "size": "int64", "modified": "int64", "changed": "int64",
    "name": "string", "label": "string", "offset": "int64", "length": "int64", "digest": "string",
    "reason": "string",
}  # fmt: skip
"""Columns of a manifest: those of a file, and the fields of ``Row``."""


class Stamp(NamedTuple):
    """Size in bytes, and the times in ns of the last change of a file's content and of its inode."""

    size: int
    modified: int
    changed: int


class Row(NamedTuple):
    """A picture in a file: its name and label there, its place, its SHA-256, why it cannot be used.

    Without a digest and a reason the picture was never read.
    """

    name: str = ""
    label: str = ""
    offset: int = 0
    length: int = WHOLE
    digest: str = ""
    reason: str = ""


Known = Mapping[str, tuple[Stamp, tuple[Row, ...]]]
"""Stamp and pictures of files, by path."""


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of a file."""
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def manifest_path(place: str) -> Path:
    """Where the manifest of a data set is kept, which is known by its real path."""
    return cache_folder() / f"manifest-{hashlib.sha256(os.fsencode(place)).hexdigest()[:24]}.arrow"


def list_manifests() -> list[Path]:
    """The manifests in the cache folder."""
    return sorted(cache_folder().glob("manifest-*.arrow"))


def read_manifest(place: str) -> Known:
    """What is known of the files of a data set; nothing where there is no manifest, or a damaged one."""
    path = manifest_path(place)
    try:
        content = memoryview(require_regular(path).read_bytes())
        if bytes(content[:DIGEST_BYTES]) != _digest(place, content[DIGEST_BYTES:]):
            raise ValueError("its SHA-256 differs from the recorded one")
        return _unpacked(content[DIGEST_BYTES:])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        log.warning("the manifest %s is damaged (%s): all files of %s are read", path, one_line(error), place)
        return {}


def write_manifest(place: str, known: Known, listed_at: int) -> None:
    """Keep what is known of files that were settled when they were listed, at ``listed_at`` in ns.

    What cannot be written is reported and costs the next start its time, nothing else.
    """
    latest = listed_at - UNSETTLED_NS
    settled = {path: each for path, each in known.items() if max(each[0][1:]) < latest}
    packed = _packed(settled)
    try:
        write_atomic(manifest_path(place), _digest(place, packed), packed)
    except (NoRoom, OSError) as error:
        log.warning(
            "no manifest of %s is kept (%s): the next start reads its files again", place, one_line(error)
        )


def now_ns() -> int:
    """The time that stamps of files are compared with, in ns."""
    return time.time_ns()


def _digest(place: str, packed: memoryview) -> bytes:
    """SHA-256 of a manifest's content, which counts for no other place and no other version."""
    digest = hashlib.sha256(f"{VERSION}\0".encode() + os.fsencode(place) + b"\0")
    digest.update(packed)
    return digest.digest()


def _packed(known: Known) -> memoryview:
    """A row for each picture as a compressed stream of Arrow, the pictures of a file one after the other."""
    import pyarrow as pa

    rows = [(os.fsencode(path), *stamp, *row) for path, (stamp, rows) in known.items() for row in rows]
    columns = list(zip(*rows, strict=True)) or [()] * len(TYPES)
    types = [getattr(pa, kind)() for kind in TYPES.values()]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
    table = pa.table(arrays, names=list(TYPES))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
        stream.write_table(table)
    return memoryview(sink.getvalue())


def _unpacked(packed: memoryview) -> Known:
    """What ``_packed`` was given. Raises: ValueError."""
    import pyarrow as pa

    table = pa.ipc.open_stream(packed).read_all()
    if table.column_names != list(TYPES):
        raise ValueError(f"it has columns {', '.join(table.column_names)}")
    path, *columns = (table.column(name).to_pylist() for name in TYPES)
    stamps = map(Stamp._make, zip(*columns[:3], strict=True))
    rows = map(Row._make, zip(*columns[3:], strict=True))
    known: dict[bytes, tuple[Stamp, list[Row]]] = {}
    for raw, stamp, row in zip(path, stamps, rows, strict=True):
        if raw in known:
            known[raw][1].append(row)
        else:
            known[raw] = stamp, [row]
    return {os.fsdecode(raw): (stamp, tuple(rows)) for raw, (stamp, rows) in known.items()}
