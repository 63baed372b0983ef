"""Where studies are kept: a journal file, or any database that Optuna knows; and who is at work on it.

A process that works on studies holds a lock (``flock``) under a name of its own as long as it lives, so
that trials which it left running can be told from those that it still runs: no clock is asked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock

from mlproject.errors import MLProjectError, NoRoom, Stopped, StoreUnreachable, is_disk_full, masked, one_line
from mlproject.files import locked, sha256, try_locked

BUSY_SECONDS = 60
JOURNAL = "journal:"


@dataclass(frozen=True, kw_only=True)
class Storage:
    """An open storage, the folder of its locks, and the name of this process among its workers."""

    url: str
    optuna: Any
    locks: Path
    owner: str

    def lock(self, name: str) -> Path:
        """The lock file of a study or an owner."""
        return self.locks / f"{name}.lock"

    def abandoned(self, owner: str, *, take_over: bool) -> bool:
        """Whether the worker of that name is dead; of another machine's nothing is known."""
        host, _, name = owner.partition("/")
        if owner == self.owner:
            return False
        path = self.lock(name)
        if host != socket.gethostname() or not path.exists():
            return take_over
        with try_locked(path) as free:
            return free


@contextlib.contextmanager
def open_storage(url: str, default: Path) -> Iterator[Storage]:
    """The storage at ``url`` (nothing: the journal at ``default``), held as one of its workers.

    Raises: StoreUnreachable when it cannot be reached, NoRoom.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = url or str(default)
    with reaching(url):
        locks = _lock_folder(url)
        with locked(locks / "storage.lock"):  # four processes that build one schema at once break it
            storage = _open(url)
    name = uuid.uuid4().hex
    path = locks / f"{name}.lock"
    with try_locked(path):
        yield Storage(url=url, optuna=storage, locks=locks, owner=f"{socket.gethostname()}/{name}")
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def reaching(url: str) -> Iterator[None]:
    """Turn what a storage, a database or its driver raises into one line, passwords taken out."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
            yield
    except (MLProjectError, Stopped):
        raise
    except Exception as error:
        if is_disk_full(error):
            raise NoRoom(f"no room in the tuning storage {masked(url)}; free some space") from error
        origin = type(error).__module__.partition(".")[0]
        known = {"optuna", "sqlalchemy", "sqlite3", "psycopg2", "psycopg", "alembic", "json"}
        if origin in known or isinstance(error, (OSError, ImportError)):
            cause = error.__cause__ if origin == "optuna" and error.__cause__ else error
            text = masked(one_line(cause))
            raise StoreUnreachable(f"tuning storage {masked(url)} cannot be used: {text}") from error
        raise


def _open(url: str) -> Any:
    if _is_file(url):
        path = _file(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path), lock_obj=_JournalLock(path)))
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.startswith("sqlite"):
        options["connect_args"] = {"timeout": BUSY_SECONDS}
    elif url.startswith("postgresql"):
        options["connect_args"] = {"connect_timeout": 10}
    return RDBStorage(url, engine_kwargs=options)


def _is_file(url: str) -> bool:
    return url.startswith(JOURNAL) or "://" not in url


def _file(url: str) -> Path:
    return Path(url.removeprefix(JOURNAL)).absolute()


def _lock_folder(url: str) -> Path:
    """Beside a file; for a database, a folder of this machine and user."""
    sqlite = url.partition("?")[0].removeprefix("sqlite:///") if url.startswith("sqlite:///") else ""
    if sqlite or _is_file(url):
        path = Path(sqlite).absolute() if sqlite else _file(url)
        return path.with_name(path.name + ".locks")
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "mlproject" / "locks" / sha256(url.encode())[:16]


class _JournalLock(BaseJournalFileLock):
    """Optuna's own lock outlives a killed owner by 30 s; this one the kernel frees.

    A writer that was killed within a line leaves it cut, and what is appended to it is lost with it: the
    line is taken away before the next is written.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.handle = path, -1

    def acquire(self) -> bool:
        """Wait for the lock, then take away a line that was cut."""
        lock = self.path.with_name(self.path.name + ".lock")
        self.handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self.handle, fcntl.LOCK_EX)
        with self.path.open("rb+") as file:
            size = file.seek(0, os.SEEK_END)
            if size and (file.seek(size - 1), file.read(1))[1] != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        """Let the next one write."""
        os.close(self.handle)
