"""Signals: interruption as an exception, and what processes that work for this one do at the interrupt key.

A terminal sends the interrupt key to all processes of a command. The command alone decides what it means, and
stops the others; what they would print of it is nobody's concern.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

from mlproject.errors import Stopped

__all__ = [
    "changed_environment",
    "end_on_signals",
    "end_with_parent",
    "raise_on_signals",
    "start_fork_server",
    "stop_received",
    "without_interrupts",
]

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
PR_SET_PDEATHSIG = 1
REPEAT_SECONDS = 3.0
"""Stopped is raised again after this time, in case a library swallowed it (in a callback, a destructor)."""
QUIET_TRACKER = "ignore:resource_tracker"
"""As PYTHONWARNINGS, leaves out what Python's tracker says of the semaphores of a process that was killed: it
removes them, and reports them as leaked at some later moment."""


def raise_on_signals() -> None:
    """Turn SIGTERM, SIGHUP and SIGINT into Stopped; under a launcher, stop when the launcher dies.

    ``mlflow run`` does not stop its child process when it is killed itself: on Linux the kernel is asked to.
    """
    sys.unraisablehook = _report_unless_stopped
    for number in SIGNALS:
        signal.signal(number, _raise_stopped)
    if "MLFLOW_RUN_ID" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end_with_parent() -> None:
    """Let a process that works for the one that started it end only with that one: it may hold its locks."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_on_signals() -> None:
    """Let a further signal end the process at once, in place of raising Stopped where Python is exiting."""
    stop_received()
    for number in SIGNALS:
        if signal.getsignal(number) is _raise_stopped:
            signal.signal(number, signal.SIG_DFL)


def stop_received() -> None:
    """Confirm that Stopped was caught where it is handled, so that it is not raised again."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def _raise_stopped(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGALRM, lambda *_: _raise_stopped(number, None))
    signal.setitimer(signal.ITIMER_REAL, REPEAT_SECONDS)
    raise Stopped(number)


def _report_unless_stopped(swallowed: Any) -> None:
    """Report an exception that a destructor or callback swallowed, except Stopped, which is raised again."""
    if swallowed.exc_type is not Stopped:
        sys.__unraisablehook__(swallowed)


@contextlib.contextmanager
def without_interrupts() -> Iterator[None]:
    """Start processes that never see the interrupt key, from their first moment; here it waits meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_fork_server(preload: Sequence[str]) -> None:
    """Start the process that forks workers (``multiprocessing``'s forkserver), unless it runs already.

    It imports the modules of ``preload``, which takes seconds, and ends with this process even then. Neither
    it nor its workers see the interrupt key, at which they would print a traceback.
    """
    from multiprocessing import forkserver, resource_tracker  # 8 ms that most commands need not wait

    warnings = filter(None, (os.environ.get("PYTHONWARNINGS"), QUIET_TRACKER))
    with changed_environment({"PYTHONWARNINGS": ",".join(warnings)}):
        resource_tracker.ensure_running()  # first: where it starts, the interrupt key is let through again
        forkserver.set_forkserver_preload([f"{__name__}.fork_server", *preload])
        with without_interrupts():
            forkserver.ensure_running()


@contextlib.contextmanager
def changed_environment(changes: Mapping[str, str]) -> Iterator[None]:
    """These environment variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
