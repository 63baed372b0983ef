"""Pictures in columns of Parquet and Arrow files, as Hugging Face's ``datasets`` writes them.

A picture is a binary value, or the field ``bytes`` of a struct. Names of classes stand in the schema's
metadata (``huggingface``: features of type ClassLabel). Of Arrow the places of values in the file are noted,
so that a picture is read as a range of bytes. ``save_to_disk`` names the files of a set in ``state.json``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlproject.data.images import BadImage, open_plain
from mlproject.data.layout import printable
from mlproject.data.manifest import Row
from mlproject.data.tree import FolderListing
from mlproject.errors import BadInput
from mlproject.files import read_json

if TYPE_CHECKING:
    import pyarrow

IMAGE_NAMES = ("image", "img", "picture", "photo", "jpg", "png")
LABEL_NAMES = ("label", "labels", "fine_label", "class", "cls", "target")
ARROW_FILE = b"ARROW1"
LONGEST_REASON = 200
NO_BYTES = "holds no bytes, only a path or nothing; save the set with its pictures embedded"


@dataclass(frozen=True, kw_only=True)
class TableColumns:
    """The columns of pictures and of labels (empty without one), and the names of the classes."""

    image: str
    label: str
    names: tuple[str, ...]

    @property
    def cell(self) -> ParquetCells:
        """Reads pictures of a Parquet file."""
        return ParquetCells(column=self.image)


@dataclass(frozen=True, kw_only=True)
class ParquetCells:
    """Reads a picture of a Parquet file by its row in a group and the group's number; a group is kept."""

    column: str

    def __call__(self, path: str, row: int, group: int) -> bytes:
        """The bytes. Raises: BadImage."""
        try:
            with open_plain(path) as file:
                status = os.fstat(file.fileno())
            values = _group(path, status.st_size, status.st_mtime_ns, group, self.column)
            value = values[row].as_py()
        except (OSError, ValueError, IndexError) as error:  # pyarrow's errors are among these
            raise BadImage(
                f"cannot be read from its Parquet file ({' '.join(str(error).split())})"
            ) from error
        if not value:
            raise BadImage(NO_BYTES)
        return bytes(value)


@lru_cache(maxsize=1)
def _group(path: str, n_bytes: int, modified: int, group: int, column: str) -> pyarrow.ChunkedArray:
    """The bytes of a group of rows of a file of this size and time stamp."""
    import pyarrow.parquet as pq

    with open_plain(path) as file:
        values = pq.ParquetFile(file).read_row_group(group, columns=[column]).column(column)
    return _bytes_of(values)


def _bytes_of(values: Any) -> Any:
    """The binary values of a column, or of its field ``bytes``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(values.type, pa.ExtensionType):
        values = values.cast(values.type.storage_type)
    return pc.struct_field(values, "bytes") if pa.types.is_struct(values.type) else values


def listed_shards(listing: FolderListing) -> dict[str, str]:
    """The Arrow files of a set: those that ``state.json`` beside them names, where there is one."""
    kept: dict[str, set[str] | None] = {}
    for path in listing.shards:
        above = os.path.dirname(path)
        if above not in kept:
            kept[above] = _named_in(Path(listing.root, above, "state.json"))
    shards: dict[str, str] = {}
    for path, real in listing.shards.items():
        names = kept[os.path.dirname(path)]
        if names is None or os.path.basename(path) in names:
            shards[path] = real
    for above, names in kept.items():
        for name in sorted(names or ()):
            if os.path.join(above, name) not in shards:
                file = Path(listing.root, above, name)
                raise BadInput(f"{file} is missing, which state.json beside it names")
    return shards


def _named_in(state: Path) -> set[str] | None:
    try:
        with open_plain(os.path.realpath(state)) as file:
            value = read_json(file.read(1 << 26))
        return {str(each["filename"]) for each in value["_data_files"]}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, BadImage) as error:
        raise BadInput(f"{state} cannot be read as the state of a saved data set; save it again") from error


def find_columns(path: str) -> TableColumns:
    """The columns of a file, by the features in its metadata, else by types and names. Raises: BadInput."""
    schema = schema_of(path)
    features = _features(schema)
    image = _only(path, "pictures", _image_columns(schema, features), IMAGE_NAMES)
    if not image:
        raise BadInput(
            f"{path} has no column of pictures (binary, or a struct with bytes): {', '.join(schema.names)}"
        )
    named = [
        name for name, each in features.items() if each.get("_type") == "ClassLabel" and name in schema.names
    ]
    label = _only(path, "labels", named, LABEL_NAMES)
    label = label or next((name for name in LABEL_NAMES if name in schema.names), "")
    names = features.get(label, {}).get("names") or ()
    texts = [printable(str(name)) for name in names]
    if len(set(texts)) != len(texts):
        texts = [f"{number} {text}" for number, text in enumerate(texts)]
    return TableColumns(image=image, label=label, names=tuple(texts))


def _image_columns(schema: pyarrow.Schema, features: Mapping[str, Mapping[str, Any]]) -> list[str]:
    import pyarrow as pa

    typed = [name for name, each in features.items() if each.get("_type") == "Image" and name in schema.names]
    if typed:
        return typed
    structs = [
        field.name
        for field in schema
        if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
    ]
    binary = [f.name for f in schema if pa.types.is_binary(f.type) or pa.types.is_large_binary(f.type)]
    return structs or binary


def _only(path: str, what: str, names: list[str], usual: tuple[str, ...]) -> str:
    """The one of several columns that has a usual name; empty without any. Raises: BadInput."""
    if len(names) <= 1:
        return names[0] if names else ""
    chosen = next((name for name in usual if name in names), "")
    if not chosen:
        raise BadInput(f"{path} has {len(names)} columns of {what} ({', '.join(names)}); name one {usual[0]}")
    return chosen


def _features(schema: pyarrow.Schema) -> dict[str, Mapping[str, Any]]:
    try:
        value = read_json((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = value.get("info", {}).get("features") or {}
        return {str(name): each for name, each in features.items() if isinstance(each, Mapping)}
    except (ValueError, AttributeError):
        return {}


def schema_of(path: str) -> pyarrow.Schema:
    """The schema of a Parquet or an Arrow file. Raises: BadInput."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.casefold().endswith(".parquet"):
        with _reading(path, "Parquet"), open_plain(path) as file:
            return pq.ParquetFile(file).schema_arrow
    with _reading(path, "Arrow"):
        whole = pa.memory_map(path).read_buffer()
        reader = pa.ipc.open_file if whole[:6].to_pybytes() == ARROW_FILE else pa.ipc.open_stream
        return reader(whole).schema


def parquet_rows(path: str, columns: TableColumns) -> list[Row]:
    """A row for each picture of a Parquet file: its row in its group, and the group's number."""
    import pyarrow.parquet as pq

    rows: list[Row] = []
    with _reading(path, "Parquet"), open_plain(path) as file:
        parquet = pq.ParquetFile(file)
        for group in range(parquet.num_row_groups):
            n_rows = parquet.metadata.row_group(group).num_rows
            labels = [""] * n_rows
            if columns.label:
                labels = _labels(parquet.read_row_group(group, columns=[columns.label]).column(columns.label))
            rows += [Row(str(len(rows) + i), label, i, group) for i, label in enumerate(labels)]
    return rows


def _labels(column: pyarrow.ChunkedArray) -> list[str]:
    """Labels as text; empty for none, which is also what -1 means."""
    values = column.to_pylist()
    return ["" if value is None or value == -1 else printable(str(value).strip()) for value in values]


def arrow_rows(path: str, columns: TableColumns) -> list[Row]:
    """A row for each picture of an Arrow file: where its bytes are in the file."""
    import pyarrow as pa

    rows: list[Row] = []
    with _reading(path, "Arrow"):
        whole = pa.memory_map(path).read_buffer()
        for batch in _reader(whole):
            labels = [""] * len(batch)
            if columns.label:
                labels = _labels(pa.chunked_array([batch.column(columns.label)]))
            for label, (offset, length) in zip(
                labels, _places(path, batch, columns.image, whole), strict=True
            ):
                rows.append(Row(str(len(rows)), label, offset, length, "", "" if length else NO_BYTES))
    return rows


def _reader(whole: pyarrow.Buffer) -> Iterator[pyarrow.RecordBatch]:
    """The batches of a stream or a file of Arrow. Raises: ValueError for one that has no end."""
    import pyarrow as pa

    tail = whole[max(0, whole.size - 4) :].to_pybytes()
    if whole[:6].to_pybytes() == ARROW_FILE:
        reader = pa.ipc.open_file(whole)
        yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
        return
    if tail != bytes(4):  # the mark at the end of a stream
        raise ValueError("it has no end mark")
    yield from pa.ipc.open_stream(whole)


def _places(
    path: str, batch: pyarrow.RecordBatch, column: str, whole: pyarrow.Buffer
) -> Iterator[tuple[int, int]]:
    """Offset in the file and length of each value; the length is 0 where there is none."""
    import pyarrow as pa

    values = batch.column(column)
    if isinstance(values.type, pa.ExtensionType):
        values = values.storage
    if pa.types.is_struct(values.type):
        values = values.field("bytes")
    large = pa.types.is_large_binary(values.type)
    if not (large or pa.types.is_binary(values.type)):
        raise BadInput(f"{path}: pictures of type {values.type} are not read, only binary ones")
    _, bounds, data = values.buffers()
    if data is None:
        yield from [(0, 0)] * len(values)
        return
    base = data.address - whole.address
    if not 0 <= base <= whole.size - data.size:
        raise BadInput(
            f"{path} is compressed, so that images cannot be read one by one; save it uncompressed"
        )
    stops = np.frombuffer(bounds, np.int64 if large else np.int32)[values.offset :][: len(values) + 1]
    present = values.is_valid().to_numpy(zero_copy_only=False)
    lengths = np.where(present, np.diff(stops), 0)
    yield from zip((stops[:-1] + base).tolist(), lengths.tolist(), strict=True)


@contextlib.contextmanager
def _reading(path: str, kind: str) -> Iterator[None]:
    """Turn what pyarrow raises on a damaged file into one line. Raises: BadInput."""
    import pyarrow as pa

    try:
        yield
    except BadImage as error:
        raise BadInput(f"{path}: {error}") from error
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise BadInput(
            f"the {kind} file {path} is damaged or truncated ({reason}); fetch or write it again"
        ) from error
