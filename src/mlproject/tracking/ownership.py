"""Ownership of runs: which process owns a run, and whether that process is dead.

A run says its owner: the name of the host, the machine and its boot, the process and its start, and the name
of a lock that belongs to this run alone. The owner holds the lock (``flock``, which the kernel frees) until
the run has ended. A run whose status is RUNNING is closed as KILLED only by who can know that its owner died:

- its lock file lies in the lock folder of this store and nobody holds it, and
- this machine is the owner's: the same boot of the same kernel (containers included), or a later boot of it.

The name of a host proves nothing: containers and cloned machines repeat it. A machine is known by its
machine-id and its name, a boot by the kernel's boot-id; where the system has neither, only the other counts.
A run that stays in doubt is closed only where its host is given up by name (``other_hosts``).

``mlflow run`` says nothing of the kind of the runs that it begins. Such a run is closed when the program that
it started took the run's lock and died, or when no process of this machine can be its launcher any more.
"""

from __future__ import annotations

import atexit
import contextlib
import getpass
import hashlib
import json
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mlproject.errors import MLProjectError, command, printable
from mlproject.files import read_json, require_regular, try_locked
from mlproject.tracking.addresses import lock_folder
from mlproject.tracking.artifacts import deletion

LOCK = "lock"
ATTEMPT = "attempt"
"""The tag that marks the attempt of which a run is."""
HOST, MACHINE, BOOT, PROCESS = "owner.host", "owner.machine", "owner.boot", "owner.process"
LAUNCHED = "mlflow.project.entryPoint"
"""MLflow's tag of runs that ``mlflow run`` begins, before it makes their environment."""
SHARED_LOCKS = ("sweep", "fit")
"""Kinds of runs of version 0.2 that did not hold the lock they name: two identical commands shared it."""
NAME = re.compile(r"[\w-]{1,100}", re.ASCII)
"""Names of locks; tags come from anywhere."""
OF_ONE_RUN = ("run-", "launched-")
"""Beginnings of the names of locks that belong to one run."""
LOCAL_DISKS = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs"}
"""File systems that no other machine writes to."""
INIT = 1
"""The first process of a machine, which launches no runs and can often not be looked into."""
ALL_PROCESSES = 0xEFFFFFFC
"""Inode of Linux's first process namespace: from inside it, every process of the machine is seen."""


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """What became of the runs that say RUNNING: closed, owned by a living process, or nobody here can know.

    ``unknown`` gives the reason by run id, ``hosts`` the host of those among them that name one.
    """

    closed: list[str] = field(default_factory=list)
    alive: list[str] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)


@cache
def this_machine() -> dict[str, str]:
    """The tags of an owner that say where it runs; a machine or boot that cannot be known is left out."""
    name = socket.gethostname()
    identity = _read("/etc/machine-id") or _read("/var/lib/dbus/machine-id")
    machine = hashlib.sha256(f"mlproject {identity} {name}".encode()).hexdigest()[:16] if identity else ""
    tags = {HOST: name, MACHINE: machine, BOOT: _read("/proc/sys/kernel/random/boot_id")}
    return {tag: value for tag, value in tags.items() if value}


def owner_tags(lock: str) -> dict[str, str]:
    """The tags that say who owns a run: this machine, this process, and the run's lock."""
    process = os.getpid()
    return {**this_machine(), PROCESS: f"{process} {_started(process)}".strip(), LOCK: lock}


def launched_lock(run_id: str) -> str:
    """The lock that the program started by ``mlflow run`` holds until it has adopted the launcher's run."""
    return f"launched-{run_id}"


def claim_launched_run(address: str) -> None:
    """Hold the lock of the run that ``mlflow run`` began for this process, until the process ends.

    It shows that the run has an owner before images are read and MLflow is imported.
    """
    run_id = os.environ.get("MLFLOW_RUN_ID", "")
    _launcher()  # kept before the variable is removed
    if not run_id.isalnum():
        return
    with contextlib.suppress(OSError, MLProjectError):  # it will be reported where the store is opened
        path = lock_folder(address) / f"{launched_lock(run_id)}.lock"
        lock = contextlib.ExitStack()
        if lock.enter_context(try_locked(path)):
            path.write_text(json.dumps(this_machine()))
            atexit.register(lock.close)


def close_dead_runs(
    runs: Iterable[Any],
    client: Any,
    lock_path: Callable[[str], Path],
    file: Path | None,
    *,
    close: bool = True,
) -> Reconciled:
    """Close as KILLED those of the RUNNING ``runs`` whose owner is known to be dead, or only list them.

    ``file`` is that of a SQLite store. The status is read again while the run's lock is held: a run that
    ended since it was listed stays as it ended. Runs of other programs, without a lock, are not looked at.
    """
    result, used = Reconciled(), set[Path]()
    for run in runs:
        run_id, tags = run.info.run_id, run.data.tags
        launched = LAUNCHED in tags and LOCK not in tags
        if not launched and LOCK not in tags:
            continue
        path = lock_path(launched_lock(run_id) if launched else tags[LOCK])
        doubt = _doubt_launched(run, path, file) if launched else _doubt(tags, path, file)
        if doubt and not _has_no_owner(run, client):
            result.unknown[run_id] = doubt
            result.hosts.update({run_id: tags[HOST]} if tags.get(HOST) else {})
            continue
        with contextlib.nullcontext(True) if doubt else try_locked(path) as dead:
            if not dead:
                result.alive.append(run_id)
            elif not close or close_run(run, client, "its process died"):
                result.closed.append(run_id)
                used.add(path)
    # Not before: a request that was repeated may have begun two runs with one lock.
    for path in used if close else ():
        if path.name.startswith(OF_ONE_RUN):
            path.unlink(missing_ok=True)
    return result


def describe_unknown(unknown: Mapping[str, str], hosts: Mapping[str, str]) -> str:
    """One line on the runs of which nobody here can know whether they live, and what to do."""
    run_id, reason = next(iter(unknown.items()))
    runs = f"{len(unknown)} runs say" if len(unknown) > 1 else "1 run says"
    return (
        f"{runs} RUNNING and cannot be checked from here: run {run_id}, {printable(reason)};"
        f" {remedy(run_id, hosts)} (`mlproject doctor` names all)"
    )


def remedy(run_id: str, hosts: Mapping[str, str]) -> str:
    """What to do about a run in doubt: give up its host, or remove the run where it names none."""
    if host := hosts.get(run_id):
        return f"where {printable(host)} is gone, `{command('mlproject', 'doctor', '--take-over', host)}`"
    return f"where it is known to be dead, `{deletion(run_id)}` removes it"


def close_run(run: Any, client: Any, reason: str) -> bool:
    """Close a run unless it ended, or was adopted, since it was listed; whether it was closed."""
    run_id, now = run.info.run_id, client.get_run(run.info.run_id)
    if now.info.status != "RUNNING" or now.data.tags.get(LOCK) != run.data.tags.get(LOCK):
        return False
    client.set_tag(run_id, "reconciled", reason)
    client.set_terminated(run_id, "KILLED")
    return True


def _has_no_owner(run: Any, client: Any) -> bool:
    """Whether a run was begun by a request that was repeated, and the run that its process knows has ended.

    Where the answer to the request is lost, HTTP's own repetition begins two runs of one attempt.
    """
    attempt = run.data.tags.get(ATTEMPT, "")
    if not NAME.fullmatch(attempt):
        return False
    twins = client.search_runs([run.info.experiment_id], f"tags.{ATTEMPT} = '{attempt}'")
    return any(twin.info.status != "RUNNING" for twin in twins)


def _doubt(tags: Mapping[str, str], path: Path, file: Path | None) -> str:
    """Why a free lock would not prove that the owner of a run died; empty where it would."""
    if not NAME.fullmatch(tags[LOCK]):
        return "its tag lock names no lock"
    if PROCESS not in tags:  # of version 0.2
        if file is None:
            return "version 0.2 did not record its machine"
        if tags.get("kind") in SHARED_LOCKS:
            return "in version 0.2 several runs of its kind could share a lock"
    elif not _is_here(tags):
        process = tags[PROCESS].partition(" ")[0]
        return printable(f"its owner is process {process} of another machine, {tags.get(HOST, '')}")
    usable = os.access(path, os.R_OK | os.W_OK)
    return "" if usable else f"its lock {path} is not there, or is another user's"


def _doubt_launched(run: Any, path: Path, file: Path | None) -> str:
    """Why a free lock would not prove that a launcher and its program died; empty where it would."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if _is_here(read_json(require_regular(path).read_bytes())):
            return ""
    return "" if _launcher_is_gone(run, file) else "its launcher, `mlflow run`, may still be at work"


def _is_here(owner: Mapping[str, str]) -> bool:
    """Whether an owner was a process of this machine: of this boot, or of an earlier one."""
    return any(owner.get(tag) == value for tag, value in this_machine().items() if tag != HOST)


def _launcher_is_gone(run: Any, file: Path | None) -> bool:
    """Whether no process can be the launcher of a run in a SQLite store, or the program that it started.

    A launcher keeps the store's file open, and its program has the run's id in its environment. This is known
    where all processes of the launcher's user are seen, on a disk that no other machine writes to.
    """
    user = run.data.tags.get("mlflow.user")
    if file is None or not _sees_all_processes() or not _is_on_local_disk(file) or user != _user():
        return False
    beside = {INIT, os.getpid(), _launcher()}
    processes = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    return not any(
        _may_launch(process, run.info.run_id, file.stat())
        for process in processes
        if int(process.name) not in beside
    )


def _may_launch(process: Path, run_id: str, store: os.stat_result) -> bool:
    """Whether a process may be the launcher of a run or its program; also where it cannot be looked into."""
    try:
        if process.stat().st_uid != os.getuid():
            return False
        if f"MLFLOW_RUN_ID={run_id}".encode() in (process / "environ").read_bytes().split(b"\0"):
            return True
        return any(os.path.samestat(store, opened) for opened in _open_files(process))
    except PermissionError:
        return True
    except OSError:  # it has ended
        return False


def _open_files(process: Path) -> Iterator[os.stat_result]:
    for entry in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            yield entry.stat()


@cache
def _launcher() -> int | None:
    """The process that launched this one, which waits for its run alone."""
    return os.getppid() if "MLFLOW_RUN_ID" in os.environ else None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, in a container
        return ""


def _sees_all_processes() -> bool:
    try:
        return os.stat("/proc/self/ns/pid").st_ino == ALL_PROCESSES
    except OSError:
        return False


def _is_on_local_disk(file: Path) -> bool:
    place, kinds = file.resolve(), {}
    for line in _read("/proc/self/mounts").splitlines():
        _, folder, kind, *_ = line.split()
        kinds[Path(folder.encode().decode("unicode_escape"))] = kind
    return next((kinds[p] for p in place.parents if p in kinds), "") in LOCAL_DISKS


def _started(process: int) -> str:
    """When a process started, in clock ticks since the boot; empty where the system does not say."""
    return "".join(_read(f"/proc/{process}/stat").rpartition(")")[2].split()[19:20])


def _read(path: str) -> str:
    """The text of a file of the system, stripped; empty where there is none."""
    try:
        return Path(path).read_text("utf-8", "replace").strip()
    except OSError:
        return ""
