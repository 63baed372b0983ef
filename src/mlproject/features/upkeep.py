"""What the feature cache holds, and how to make room in it."""

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
"""A training that wrote nothing for so long is taken to have been given up."""


@dataclass(frozen=True, kw_only=True)
class TableInfo:
    """One table: what its rows are, how large it is, and when it was last used (seconds of the epoch)."""

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
    found = list(_tables(root or cache_folder()))
    return sorted(found, key=lambda table: table.used_at, reverse=True)


def prune(
    root: Path | None = None, *, unused_days: float | None = None, model: str | None = None
) -> list[TableInfo]:
    """Delete tables, and give back which: those unused for so many days, of that model, or all.

    A table that a process is filling right now is left alone.
    """
    oldest = time.time() - (unused_days or 0.0) * SECONDS_A_DAY
    gone = []
    for table in list_tables(root):
        if (model is not None and table.model != model) or table.used_at > oldest:
            continue
        with try_locked(table.folder.with_name(table.folder.name + ".lock")) as ours:
            if ours:
                shutil.rmtree(table.folder, ignore_errors=True)
                gone.append(table)
    return gone


def prune_unfinished(*, untouched_days: float = ABANDONED_DAYS) -> tuple[int, int]:
    """Delete what trainings left that were never finished nor touched for so many days; how many, and bytes.

    A cell whose state is gone starts anew when it is asked for again.
    """
    oldest, gone, n_bytes = time.time() - untouched_days * SECONDS_A_DAY, 0, 0
    for folder in sorted(path for path in unfinished_folder("").glob("*") if path.is_dir()):
        try:
            seen = [path.stat() for path in (folder, *folder.rglob("*"))]
        except FileNotFoundError:  # a file was replaced meanwhile: the training is alive
            continue
        if max(one.st_mtime for one in seen) <= oldest:
            shutil.rmtree(folder, ignore_errors=True)
            gone, n_bytes = gone + 1, n_bytes + sum(one.st_size for one in seen[1:])
    return gone, n_bytes


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
