"""State of unfinished trainings, beside the features: a folder for each cell until the cell is done.

A process holds the lock in the folder while it trains; the kernel releases it when the process ends.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from mlproject.features.table import SECONDS_A_DAY
from mlproject.files import cache_folder, try_locked

LOCK = "lock"
ABANDONED_DAYS = 7.0
"""A training that wrote nothing for so long counts as abandoned."""


def unfinished_folder(key: str) -> Path:
    """The folder of a cell's training state until the cell is done."""
    return cache_folder().parent / "unfinished" / key


@contextlib.contextmanager
def unfinished(key: str) -> Iterator[Path | None]:
    """Hold the folder of a cell's training state, which is removed again if nothing was written to it.

    Yields None where another process (of another store) trains the same cell: it has the folder to itself.
    """
    folder = unfinished_folder(key)
    with try_locked(folder / LOCK) as is_free:
        try:
            yield folder if is_free else None
        finally:
            if is_free and [path.name for path in folder.glob("*")] == [LOCK]:
                shutil.rmtree(folder, ignore_errors=True)


def held_by_nobody() -> Iterator[Path]:
    """The folders of trainings that no process holds; each is locked until the next one is asked for."""
    for folder in sorted(path for path in unfinished_folder("").glob("*") if path.is_dir()):
        with try_locked(folder / LOCK) as is_free:
            if is_free:
                yield folder


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
        if max(status.st_mtime for status in seen) > oldest:
            continue
        with try_locked(folder / LOCK) as is_free:
            if is_free:
                shutil.rmtree(folder, ignore_errors=True)
                n_deleted, n_bytes = n_deleted + 1, n_bytes + sum(status.st_size for status in seen[1:])
    return n_deleted, n_bytes
