"""Threads, cores and memory that this process may use: of the machine, its container or job, or a share."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mlproject.errors import WrongUse

MEMINFO = Path("/proc/meminfo")
CONTROL_GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")

_n_sharing = 1
"""Processes of an engine that use this machine together, this one included."""


def share_machine(n_processes: int) -> None:
    """Leave this process one part in ``n_processes`` of cores and memory: the others use theirs."""
    global _n_sharing
    _n_sharing = n_processes


def find_n_cores() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    n_cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, n_cores // _n_sharing)


def find_n_threads() -> int:
    """Threads for arithmetic: ``OMP_NUM_THREADS``, else the cores that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return find_n_cores()


def workers_asked() -> int | None:
    """``MLPROJECT_WORKERS``, or None where it is not set. Raises: WrongUse for anything but a number."""
    text = os.environ.get("MLPROJECT_WORKERS", "")
    if text and not (text.isascii() and text.isdecimal()):
        raise WrongUse(f"MLPROJECT_WORKERS must be a number of processes (0: none), not {text!r}")
    return int(text) if text else None


def available_memory() -> int:
    """Bytes of main memory that this process may still use: of the machine, or of its container or job."""
    limits = [_free_of_machine()]
    for group in _memory_groups():
        with contextlib.suppress(
            OSError, ValueError, StopIteration
        ):  # there is no such file, or no limit ("max")
            limits.append(_free_of_group(group))
    return max(0, min(limits)) // _n_sharing


def _memory_groups() -> Iterator[Path]:
    """The control groups whose limits hold for this process, versions 1 and 2."""
    with contextlib.suppress(OSError):
        for line in OWN_GROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            root = CONTROL_GROUPS / "memory" if controllers else CONTROL_GROUPS
            yield from (root / part for part in (Path(path.lstrip("/")), *Path(path.lstrip("/")).parents))


def _free_of_group(group: Path) -> int:
    """Limit less use; pages of files that the kernel would drop first are free."""
    limit, used = (
        ("max", "current") if (group / "memory.max").exists() else ("limit_in_bytes", "usage_in_bytes")
    )
    free = int((group / f"memory.{limit}").read_text()) - int((group / f"memory.{used}").read_text())
    pages = re.search(r"^(?:total_)?inactive_file (\d+)$", (group / "memory.stat").read_text(), re.MULTILINE)
    return free + (int(pages[1]) if pages else 0)


def _free_of_machine() -> int:
    with contextlib.suppress(OSError):
        match = re.search(r"MemAvailable:\s+(\d+) kB", MEMINFO.read_text())
        if match:
            return int(match[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def image_memory() -> int:
    """Bytes that the images of a training may fill: ``MLPROJECT_MEMORY``, else half of what is available.

    Raises: WrongUse for a text that is no size.
    """
    text = os.environ.get("MLPROJECT_MEMORY", "")
    if not text:
        return available_memory() // 2
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", text, re.ASCII)
    if not match:
        raise WrongUse(f"MLPROJECT_MEMORY must be a size such as 16GB or 500MB, not {text!r}")
    return int(float(match[1]) * 1000 ** " kMGT".index(match[2] or " "))
