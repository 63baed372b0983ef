"""List and prune the tables of the feature cache."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlproject.features.store import cache_folder, unfinished_folder
from mlproject.features.table import SHARD_SUFFIX, read_meta
from mlproject.files import try_locked

SECONDS_A_DAY = 86_400.0
ABANDONED_DAYS = 7.0
"""A training that wrote nothing for so long counts as abandoned."""


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


def prune_unfinished(*, untouched_days: float = ABANDONED_DAYS) -> tuple[int, int]:
    """Delete the state of trainings untouched for so many days; returns their number and size in bytes.

    A cell whose state was deleted starts from the beginning.
    """
    oldest, n_deleted, n_bytes = time.time() - untouched_days * SECONDS_A_DAY, 0, 0
    for folder in sorted(path for path in unfinished_folder("").glob("*") if path.is_dir()):
        try:
            seen = [path.stat() for path in (folder, *folder.rglob("*"))]
        except FileNotFoundError:  # a file was replaced meanwhile: the training is running
            continue
        if max(status.st_mtime for status in seen) <= oldest:
            shutil.rmtree(folder, ignore_errors=True)
            n_deleted, n_bytes = n_deleted + 1, n_bytes + sum(status.st_size for status in seen[1:])
    return n_deleted, n_bytes


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
