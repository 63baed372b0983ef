"""Atomic file writes, SHA-256 digests, and file locks.

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

from mlproject.errors import NoRoom, is_disk_full

STUB_SUFFIX = ".part"


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
