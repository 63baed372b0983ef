"""Locations of tracking stores: whether one is there or may be made, and remains of starts that were killed.

MLflow makes folders and an empty store of any address, so that a mistyped one lists no runs without a word.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlproject.errors import StoreUnreachable
from mlproject.files import try_locked
from mlproject.tracking.addresses import lock_folder

SQLITE_MAGIC = b"SQLite format 3\0"
LOST = "lost+found"
SQLITE_SECONDS = 60.0
"""How long a store may be locked by another process."""


def folder_of(uri: str) -> Path | None:
    """The folder of a store of files; None for databases and servers."""
    scheme = uri.partition(":")[0] if ":" in uri.partition("/")[0] else ""
    if scheme not in ("", "file"):
        return None
    return Path(url2pathname(urlsplit(uri).path) if scheme else uri).absolute()


def check_place(path: Path, *, create: bool) -> None:
    """Refuse a store that is not there and is not to be made, or whose place is missing or read-only.

    Raises: StoreUnreachable.
    """
    remedy = "or set MLFLOW_TRACKING_URI"
    try:
        os.lstat(path)
        there = True
    except (FileNotFoundError, NotADirectoryError):
        there = False
    except OSError as error:
        raise StoreUnreachable(f"no tracking store can be at {path}: {error.strerror}; {remedy}") from error
    if not there and not create:
        raise StoreUnreachable(f"no tracking store at {path}; run a cell first, {remedy}")
    if not os.path.isdir(path.parent):
        raise StoreUnreachable(
            f"no tracking store at {path}, and no folder {path.parent} for one; make the folder, {remedy}"
        )
    folder = path if os.path.isdir(path) else path.parent
    if create and os.path.isfile(path) and not os.access(path, os.W_OK):
        raise StoreUnreachable(f"the tracking store {path} is read-only; make it writable, {remedy}")
    if create and not os.access(folder, os.W_OK | os.X_OK):
        fault = f"the folder of the tracking store, {folder}, is read-only"
        raise StoreUnreachable(f"{fault}; make it writable, {remedy}")


def check_sqlite(path: Path) -> None:
    """Refuse what is no SQLite database of MLflow, which MLflow would turn into an empty store.

    Raises: StoreUnreachable.
    """
    remedy = "restore it from a copy, delete it for a new store, or set MLFLOW_TRACKING_URI"
    try:
        if not path.is_file():
            raise StoreUnreachable(f"{path} is no file, and so no tracking store; set MLFLOW_TRACKING_URI")
        with path.open("rb") as file:
            head = file.read(len(SQLITE_MAGIC))
    except OSError as error:
        raise StoreUnreachable(f"tracking store {path} cannot be read: {error.strerror}") from error
    if not head:
        raise StoreUnreachable(f"tracking store {path} is empty (0 bytes); {remedy}")
    if head != SQLITE_MAGIC:
        raise StoreUnreachable(f"{path} is no SQLite database, and so no tracking store; {remedy}")
    try:
        address = f"{path.as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=SQLITE_SECONDS)) as connection:
            tables = {str(name) for (name,) in connection.execute("select name from sqlite_master")}
    except sqlite3.OperationalError:  # locked, or to be recovered by who may write: MLflow says more
        return
    except sqlite3.Error as error:
        raise StoreUnreachable(f"tracking store {path} is damaged ({error}); {remedy}") from error
    if "experiments" not in tables:
        raise StoreUnreachable(
            f"{path} is a database without MLflow's tables, and so no tracking store; set MLFLOW_TRACKING_URI"
        )


def sweep(path: Path) -> None:
    """Delete what killed first starts left beside a store, unless one is at work, which holds the lock."""
    if not store_stubs(path):
        return
    with try_locked(store_lock(path)) as free:
        for stub in store_stubs(path) if free else ():
            stub.unlink(missing_ok=True)


def store_lock(path: Path) -> Path:
    """The lock of the process that builds a SQLite store."""
    return lock_folder(path) / "store.lock"


def store_stubs(path: Path) -> list[Path]:
    """The files of half-built stores beside a SQLite store; they are dead while ``store_lock`` is held."""
    half_built = re.compile(re.escape(path.name) + r"\.[0-9a-f]{32}\.part(-.*)?")
    return [each for each in path.parent.iterdir() if half_built.fullmatch(each.name)]


def local_folder(uri: str) -> Path | None:
    """The folder of an artifact address on this machine; None where a server or a bucket holds it."""
    path = readable(uri)
    return None if "://" in path or "\0" in path or not path.startswith("/") else Path(path)


def readable(uri: str) -> str:
    """An artifact address for people: the path of one on this machine."""
    return url2pathname(urlsplit(uri).path) if uri.startswith("file:") else uri


def holds_runs(root: Path) -> bool:
    """Whether the folder of an experiment's artifacts is there and no empty mount point.

    Files, hidden folders and that of an empty file system do not count: runs have folders.
    """
    try:
        with os.scandir(root) as entries:
            return any(e.is_dir() and not e.name.startswith(".") and e.name != LOST for e in entries)
    except OSError:
        return False


def without_root(root: Path, run_id: str) -> StoreUnreachable:
    """The error for artifacts whose whole folder is gone; they may lie on a disk that is not mounted."""
    return StoreUnreachable(
        f"the artifacts of run {run_id} lie below {root}, which is missing, empty or no folder; mount or "
        "restore it, or give them up: `mlproject doctor --repair`"
    )


def check_root(root: Path | None, finished: Iterable[Any]) -> None:
    """Refuse to write below a folder of artifacts that is gone where ``finished`` runs have theirs in it.

    MLflow would make the folder anew, and once it is there, all these runs count as damaged. The runs are
    asked for only where the folder is gone. Raises: StoreUnreachable.
    """
    if root is None or holds_runs(root):
        return
    for run in finished:
        folder = local_folder(run.info.artifact_uri)
        if folder is not None and folder.parent.parent == root:
            raise without_root(root, run.info.run_id)
