"""Atomic file writes, SHA-256 digests, file locks, and the files of databases.

A file appears whole or not at all: temporary name in the same folder, flush, fsync, rename, fsync of
the folder. A lock is an ``flock``: the kernel releases it when its owner dies for any reason.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from mlproject.errors import NoRoom, WrongUse, is_disk_full

if TYPE_CHECKING:
    from sqlalchemy import URL
else:
    URL = Any

STUB_SUFFIX = ".part"
MEMORY = ("", ":memory:")
"""SQLite's names of a database that ends with its process."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``; a reader sees the old file or the new one, never a part.

    Raises: NoRoom when the disk is full. The temporary file is removed on every error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, stub = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".", suffix=STUB_SUFFIX)
    try:
        os.fchmod(handle, 0o644)  # mkstemp's 0600 would hide caches and artifacts from colleagues
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(stub, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(stub)
        if is_disk_full(error):
            raise NoRoom(f"no room: {path} needs {len(content):,} bytes; free some space") from error
        raise
    _sync_folder(path.parent)


def sha256(content: bytes | memoryview) -> str:
    """SHA-256 of bytes in memory, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock at ``path``, waiting until its owner releases it or dies."""
    with _open_lock(path) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def try_locked(path: Path) -> Iterator[bool]:
    """Hold the lock at ``path`` if it is free; yields whether it was."""
    with _open_lock(path) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def database_url(address: str) -> URL | None:
    """The parts of a database's address (``dialect[+driver]://…``); None for a path or a server of runs."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(address)
    except (ArgumentError, ValueError):  # no address, or a port that is no number
        return None


def database_file(address: str) -> Path | None:
    """The file of a SQLite address, whatever characters and parameters it has; None for any other address.

    Raises: WrongUse for a database in memory, which would end with the command.
    """
    url = database_url(address)
    if url is None or url.get_backend_name() != "sqlite":
        return None
    name = url.database or ""
    if name.startswith("file:") and "uri" in url.query:  # SQLite's own form, which is decoded once more
        name = unquote(urlsplit(name).path)
    if name in MEMORY or url.query.get("mode") == "memory":
        raise WrongUse(f"{address} is a database in memory, which ends with the command; name a file")
    return Path(name).absolute()


def lock_folder(address: str | Path) -> Path:
    """The folder for locks: beside a file; for a database server, a folder of this machine and user."""
    path = address if isinstance(address, Path) else database_file(address)
    if path is not None:
        return path.with_name(path.name + ".locks")
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "mlproject" / "locks" / sha256(str(address).encode())[:16]


@contextlib.contextmanager
def _open_lock(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield handle
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
