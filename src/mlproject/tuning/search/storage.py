"""Storage of studies (a journal file or a database that Optuna supports) and the processes that use it.

Every record of a journal carries a digest, so that a changed loss or knob is no other loss or knob.
A process holds a lock (``flock``) with a unique name as long as it lives: a running trial whose process died
is recognised by its free lock, without a clock.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import uuid
import warnings
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.trial import TrialState
from sqlalchemy import URL

from mlproject.errors import MLProjectError, NoRoom, Stopped, StoreUnreachable, is_disk_full, masked, one_line
from mlproject.files import locked, sha256, try_locked
from mlproject.tracking import HOST, database_url, lock_folder, this_machine

WAITING = {"sqlite": {"timeout": 60}, "postgresql": {"connect_timeout": 10}}
"""By dialect, the driver's parameter of how many seconds to wait for a lock or a connection."""
JOURNAL = "journal:"
DIGEST = "sha256"
OWNER = "owner"
"""Attribute of a trial: machine, lock and host of the process that runs it."""
FIRST = b'{"op_code":'
"""What every journal of Optuna begins with."""


@dataclass(frozen=True, kw_only=True)
class Storage:
    """An open storage, the folder of its locks, and this process as an owner of trials."""

    url: str
    optuna: Any
    locks: Path
    owner: str

    def lock(self, name: str) -> Path:
        """The lock file of a study or an owner."""
        return self.locks / f"{name}.lock"

    def abandoned(self, owner: str) -> bool:
        """Whether the owner is known to have died; the owner of another machine counts as alive."""
        if owner == self.owner or not self._has_lock_of(owner):
            return False
        with try_locked(self.lock(owner.split("/")[1])) as free:
            return free

    def fail_trials(self, host: str) -> tuple[int, set[str]]:
        """Fail the running trials of a host, in all studies, whose owner no lock here tells of.

        How many were failed, and the hosts of all running trials in doubt.
        """
        n_failed, hosts = 0, set[str]()
        with reaching(self.url):
            for name in optuna.get_all_study_names(self.optuna):
                study = optuna.load_study(study_name=name, storage=self.optuna)
                for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                    owner = str(trial.user_attrs.get(OWNER, ""))
                    if not owner or self._has_lock_of(owner):
                        continue
                    hosts.add(_host(owner))
                    if _host(owner) == host:
                        study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
                        n_failed += 1
        return n_failed, hosts

    def _has_lock_of(self, owner: str) -> bool:
        """Whether the lock of an owner is one of this machine and in this folder, so that it tells."""
        machine, _, name = owner.partition("/")
        here = not set(machine.split(",")).isdisjoint(this_machine().values())
        return here and self.lock(name.partition("/")[0]).exists()


def _host(owner: str) -> str:
    machine, _, name = owner.partition("/")
    return name.partition("/")[2] or machine  # version 0.2 wrote the host and the lock


@contextlib.contextmanager
def open_storage(url: str, default: Path) -> Iterator[Storage]:
    """Open the storage at ``url`` (default: the journal at ``default``) and hold this process's lock.

    Raises: StoreUnreachable when it cannot be reached, NoRoom.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = url or str(default)
    with reaching(url):
        locks = _lock_folder(url)
        locks.mkdir(parents=True, exist_ok=True)  # a place that cannot be used is named as the storage
        with locked(locks / "storage.lock"):  # processes that build a schema at once break it
            storage = _open(url)
    name = uuid.uuid4().hex
    path = locks / f"{name}.lock"
    with try_locked(path):
        machine = ",".join(value for tag, value in this_machine().items() if tag != HOST)
        owner = f"{machine}/{name}/{this_machine().get(HOST, '')}"
        yield Storage(url=url, optuna=storage, locks=locks, owner=owner)
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def reaching(url: str) -> Iterator[None]:
    """Raise errors of storages, databases and drivers as one line without passwords."""
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
        _require_journal(path)
        lock: Any = _JournalLock(path)  # Optuna uses acquire() and release() alone
        return JournalStorage(_SignedJournal(path, JournalFileBackend(str(path), lock_obj=lock)))
    parts = database_url(url)
    if parts is None:
        raise StoreUnreachable(
            f"tuning storage {masked(url)} is no address of a database, such as"
            " postgresql://user:password@host/name or sqlite:///studies.db, and no path of a file"
        )
    options: dict[str, Any] = {"pool_pre_ping": True}
    seconds = WAITING.get(parts.get_backend_name(), {})  # those that the address gives count
    options["connect_args"] = {name: value for name, value in seconds.items() if name not in parts.query}
    address = parts.render_as_string(hide_password=False)  # Optuna reads braces of an address as a template
    return RDBStorage(address, engine_kwargs=options)


def _is_file(url: str) -> bool:
    return url.startswith(JOURNAL) or "://" not in url


def _file(url: str) -> Path:
    return Path(url.removeprefix(JOURNAL)).absolute()


def _require_journal(path: Path) -> None:
    """Refuse a file of another kind: its end would count as an incomplete line and be removed."""
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(len(FIRST))
    if head.startswith(b"SQLite"):
        address = URL.create("sqlite", database=str(path)).render_as_string()
        raise StoreUnreachable(f"tuning storage {path} is a database, not a journal: write {address}")
    if not FIRST.startswith(head):
        raise StoreUnreachable(f"tuning storage {path} is not a journal of studies: name another file")


def _lock_folder(url: str) -> Path:
    return lock_folder(_file(url) if _is_file(url) else url)


class _SignedJournal(BaseJournalBackend):
    """A journal file whose records carry a digest; those of version 0.2 have none."""

    def __init__(self, path: Path, journal: JournalFileBackend) -> None:
        self.path, self.journal = path, journal

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records with their digests."""
        self.journal.append_logs([{**record, DIGEST: _digest(record)} for record in logs])

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Records as they were appended. Raises: StoreUnreachable for a damaged one."""
        try:
            for record in self.journal.read_logs(log_number_from):
                digest = record.pop(DIGEST, None)
                if digest is not None and digest != _digest(record):
                    raise ValueError("its digest differs from the recorded one")
                yield record
        except (ValueError, TypeError, AttributeError) as error:
            raise StoreUnreachable(
                f"tuning storage {self.path} is damaged ({one_line(error)}); restore it from a copy, or "
                "delete it: then the searches start anew"
            ) from error


def _digest(record: Mapping[str, Any]) -> str:
    return sha256(json.dumps(record, sort_keys=True).encode())[:16]


class _JournalLock:
    """Lock of a journal that the kernel frees at once; Optuna's locks outlive a killed owner by 30 s.

    A writer that is killed within a line leaves it incomplete, and a line appended to it would be lost: an
    incomplete line is removed before the next one is written.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.handle = path, -1

    def acquire(self) -> bool:
        """Wait for the lock, then remove an incomplete last line."""
        lock = self.path.with_name(self.path.name + ".lock")
        self.handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.flock(self.handle, fcntl.LOCK_EX)
        with self.path.open("rb+") as file:
            size = file.seek(0, os.SEEK_END)
            if size and (file.seek(size - 1), file.read(1))[1] != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        """Release the lock."""
        os.close(self.handle)
