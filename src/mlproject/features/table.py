"""FeatureTable: feature rows on disk, by image digest; listing and pruning of stored files.

    <root>/<name>/meta.json            the key's ingredients, parameters, FLOPs
    <root>/<name>/<rows>.safetensors   at most 256 rows; its header has their digests, <name> and a SHA-256
    <root>/<name>.lock                 held while rows are added; the kernel releases it as the process ends;
                                       shared by processes that were given different rows to add

Shards appear whole or not at all and never change, so readers need no lock. The folder may be deleted at any
time; a damaged shard is moved aside with a warning, and its rows are computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mlproject.errors import printable
from mlproject.files import (
    STUB_SUFFIX,
    cache_folder,
    delete_stub,
    locked,
    read_json,
    require_regular,
    sha256,
    try_locked,
    write_atomic,
)

log = logging.getLogger(__name__)

SHARD_ROWS = 256
SHARD_SUFFIX = ".safetensors"
ASIDE_SUFFIX = ".damaged"

Floats = NDArray[np.float32]


class FeatureTable:
    """Rows of ``width`` float32 values each, by the digest of their image.

    Every shard is verified when this object first opens it.
    """

    def __init__(self, root: Path, key: Mapping[str, Any], width: int) -> None:
        self.key = dict(key)
        self.width = width
        self.folder = root / table_name(key)
        self._shards: dict[str, dict[str, int]] = {}
        self._where: dict[str, str] = {}

    def missing(self, digests: Sequence[str]) -> list[str]:
        """The digests that have no row yet, each once, in order."""
        self._look()
        return [digest for digest in dict.fromkeys(digests) if digest not in self._where]

    def read(self, digests: Sequence[str], out: Floats) -> None:
        """Copy the rows of ``digests`` into ``out``, [n, width]; one shard is in memory at a time.

        Raises: KeyError when a row was deleted since the call of ``missing``.
        """
        wanted: dict[str, list[int]] = {}
        for i, digest in enumerate(digests):
            wanted.setdefault(self._where[digest], []).append(i)
        for shard, places in wanted.items():
            try:
                matrix, _ = _open(self.folder / shard)
            except (OSError, SafetensorError, ValueError) as error:
                self._forget(shard)
                raise KeyError(shard) from error
            rows = self._shards[shard]
            out[places] = matrix[[rows[digests[i]] for i in places]]

    def add(self, digests: Sequence[str], matrix: Floats) -> None:
        """Write one shard of rows, [n, width]; the caller holds ``writing``."""
        content = np.ascontiguousarray(matrix, dtype="<f4")
        names = list(digests)
        sha = _digest(names, content, self.folder.name)
        metadata = {"digests": json.dumps(names), "table": self.folder.name, "sha256": sha}
        name = sha256("\n".join(names).encode())[:16] + SHARD_SUFFIX
        write_atomic(self.folder / name, save({"rows": content}, metadata))
        self._accept(name, names)

    @contextlib.contextmanager
    def writing(self, *, shared: bool = False) -> Iterator[None]:
        """Lock the table for adding rows, waiting for other processes; removes half-written files.

        With ``shared`` others that share it may add other rows meanwhile.
        """
        lock = self.folder.with_name(self.folder.name + ".lock")
        with contextlib.ExitStack() as stack:
            if not stack.enter_context(try_locked(lock, shared=shared)):
                log.info("waiting for another process that fills %s", self.folder.name)
                stack.enter_context(locked(lock, shared=shared))
            for stub in () if shared else self.folder.glob(f"*{STUB_SUFFIX}"):
                delete_stub(stub)
            yield

    def read_meta(self) -> dict[str, Any] | None:
        """The description from ``write_meta``, or None when it is absent or damaged; counts as a use."""
        description = read_meta(self.folder)
        if description is not None:
            with contextlib.suppress(OSError):
                os.utime(self.folder / "meta.json")
        return description

    def write_meta(self, content: Mapping[str, Any]) -> None:
        """Describe the table; the key's ingredients are added."""
        described = {**content, "key": self.key, "width": self.width}
        text = json.dumps(described, sort_keys=True, allow_nan=False)
        signed = {"content": described, "sha256": sha256(text.encode())}
        write_atomic(self.folder / "meta.json", json.dumps(signed, indent=1, sort_keys=True).encode())

    def _look(self) -> None:
        present = {path.name for path in self.folder.glob(f"*{SHARD_SUFFIX}")}
        for gone in self._shards.keys() - present:
            self._forget(gone)
        for name in sorted(present - self._shards.keys()):
            try:
                self._verify(name)
            except FileNotFoundError:
                continue
            except (OSError, SafetensorError, ValueError) as error:
                self._set_aside(name, error)

    def _verify(self, name: str) -> None:
        digests, width = _check(self.folder / name)
        if width != self.width:
            raise ValueError(f"{width} values for each image, not {self.width}")
        self._accept(name, digests)

    def _accept(self, name: str, digests: Sequence[str]) -> None:
        self._shards[name] = {digest: row for row, digest in enumerate(digests)}
        self._where.update(dict.fromkeys(digests, name))

    def _forget(self, name: str) -> None:
        for digest in self._shards.pop(name, {}):
            if self._where.get(digest) == name:
                del self._where[digest]

    def _set_aside(self, name: str, error: Exception) -> None:
        path = self.folder / name
        with contextlib.suppress(OSError):
            path.rename(path.with_suffix(ASIDE_SUFFIX))
        log.warning("%s is damaged (%s); moved aside, its rows are computed again", path, error)


def table_name(key: Mapping[str, Any]) -> str:
    """The folder of a key: the model for people, then 16 digits of the key's SHA-256."""
    text = json.dumps(key, sort_keys=True, separators=(",", ":"), allow_nan=False)
    label = "".join(c if c.isalnum() or c in "_-" else "-" for c in str(key.get("model", "pixels")))
    return f"{label}-{sha256(text.encode())[:16]}"


def read_meta(folder: Path) -> dict[str, Any] | None:
    """The description of a table's folder, or None when it is absent or damaged."""
    try:
        signed = read_json(require_regular(folder / "meta.json").read_bytes())
        content: dict[str, Any] = signed["content"]
        text = json.dumps(content, sort_keys=True, allow_nan=False)
        return content if sha256(text.encode()) == signed["sha256"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def stored_digests(folder: Path) -> set[str]:
    """The images whose rows a table holds, by the headers of its shards, which are not verified."""
    digests: set[str] = set()
    for path in folder.glob(f"*{SHARD_SUFFIX}"):
        with (
            contextlib.suppress(OSError, SafetensorError, ValueError, KeyError),
            safe_open(require_regular(path), framework="numpy") as file,
        ):
            digests.update(read_json((file.metadata() or {})["digests"]))
    return digests


def _open(path: Path) -> tuple[Floats, dict[str, str]]:
    with safe_open(require_regular(path), framework="numpy") as file:
        metadata = file.metadata() or {}
        if not {"digests", "sha256"} <= metadata.keys():
            raise ValueError("no digests in the header")
        return file.get_tensor("rows"), metadata


def _check(path: Path) -> tuple[list[str], int]:
    """Digests of the images of a shard, and its width. Raises: OSError, SafetensorError, ValueError."""
    matrix, metadata = _open(path)
    digests, table = read_json(metadata["digests"]), metadata.get("table", "")
    if _digest(digests, matrix, table) != metadata["sha256"]:
        raise ValueError("SHA-256 differs from the recorded one")
    if matrix.ndim != 2 or len(matrix) != len(digests):
        raise ValueError(f"{matrix.shape} rows and columns for {len(digests)} images")
    if table not in ("", path.parent.name):  # version 0.2 named none
        raise ValueError(f"it is a shard of another table, {printable(table)}")
    return digests, matrix.shape[1]


def table_faults(folder: Path) -> Iterator[tuple[Path, str]]:
    """The damaged files of a table, and those that were moved aside, each with its fault; all are read."""
    for path in sorted(folder.glob("*")):
        try:
            if path.suffix == ASIDE_SUFFIX:
                yield path, "was moved aside since it was damaged"
            elif path.suffix == SHARD_SUFFIX:
                _check(path)
            elif path.name == "meta.json" and read_meta(folder) is None:
                raise ValueError("SHA-256 differs from the recorded one")
        except FileNotFoundError:
            continue
        except (OSError, SafetensorError, ValueError) as error:
            yield path, f"is damaged ({error})"


def _digest(digests: Sequence[str], matrix: Floats, table: str) -> str:
    sha = hashlib.sha256(table.encode() + json.dumps(list(digests)).encode())
    sha.update(np.ascontiguousarray(matrix, dtype="<f4").tobytes())
    return sha.hexdigest()


SECONDS_A_DAY = 86_400.0


@dataclass(frozen=True, kw_only=True)
class TableInfo:
    """Key, size and last use (seconds since the epoch) of a table."""

    name: str
    folder: Path
    model: str
    weights: str
    image_scale: float
    engine: str
    precision: str
    n_shards: int
    n_bytes: int
    used_at: float


def list_tables(root: Path | None = None) -> list[TableInfo]:
    """The tables below ``root`` (default: the cache folder), last used first."""
    return sorted(_tables(root or cache_folder()), key=lambda table: table.used_at, reverse=True)


def prune(
    root: Path | None = None, *, unused_days: float | None = None, model: str | None = None
) -> list[TableInfo]:
    """Delete and return tables: those unused for so many days, of that model, or all.

    A table that a process is filling right now is left alone.
    """
    oldest = time.time() - (unused_days or 0.0) * SECONDS_A_DAY
    deleted = []
    for table in list_tables(root):
        if (model is not None and table.model != model) or table.used_at > oldest:
            continue
        with try_locked(table.folder.with_name(table.folder.name + ".lock")) as is_locked:
            if is_locked:
                shutil.rmtree(table.folder, ignore_errors=True)
                deleted.append(table)
    return deleted


def _tables(root: Path) -> Iterator[TableInfo]:
    for folder in sorted(path for path in root.glob("*") if path.is_dir()):
        files = [file for file in folder.iterdir() if file.is_file()]
        key = (read_meta(folder) or {}).get("key", {})
        yield TableInfo(
            name=folder.name,
            folder=folder,
            model=str(key.get("model", folder.name.rpartition("-")[0])),
            weights=str(key.get("weights", "")),
            image_scale=float(key.get("image_scale", 1.0)),
            engine=str(key.get("engine", "")),
            precision=str(key.get("precision", "")),
            n_shards=sum(file.suffix == SHARD_SUFFIX for file in files),
            n_bytes=sum(file.stat().st_size for file in files),
            used_at=max((file.stat().st_mtime for file in files), default=folder.stat().st_mtime),
        )
