"""Signals as an exception, so that a run that is told to stop can say so in the store."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from types import FrameType

PR_SET_PDEATHSIG = 1
AGAIN_SECONDS = 3.0
"""After this time an exception that a library swallowed (in a callback, a destructor) is raised again."""


class Stopped(BaseException):
    """The process was told to stop by a signal; it ends with status 128 + the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.status = 128 + number


def stop_cleanly() -> None:
    """Turn SIGTERM, SIGHUP and SIGINT into Stopped; under a launcher, die when the launcher dies.

    ``mlflow run`` does not stop its child when it is killed itself: on Linux the kernel is asked to.
    """
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _stop)
    if "MLFLOW_RUN_ID" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def heard() -> None:
    """Say that Stopped arrived where it is handled, so that it is not raised again."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGALRM, lambda *_: _stop(number, None))
    signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
    raise Stopped(number)
