"""Functions that workers run in tests, in a module that imports almost nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path


def double(number: int) -> int:
    return 2 * number


def fail(text: str) -> None:
    raise ValueError(text)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(folder: Path, after: float = 0.0) -> int:
    """The number of attempts that were made, each a file; the first one kills its process, in so many s."""
    (folder / f"attempt-{os.getpid()}").touch()
    attempts = len(list(folder.iterdir()))
    if attempts == 1:
        time.sleep(after)
        die()
    return attempts


def start_process() -> bool:
    """Whether a process of a worker may start processes of its own."""
    return not multiprocessing.current_process().daemon


def environment(name: str) -> str:
    return os.environ.get(name, "")
