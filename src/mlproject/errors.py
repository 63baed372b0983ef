"""Errors that a person can act on, each with the exit status that the command line ends with.

A message says what is wrong, where, which rule it breaks and what to do, in one line.

    MLProjectError             1  some cells failed, the rest is done and recorded
    ├── WrongUse        2  an argument or a plan that cannot be built; nothing was started
    ├── BadInput        3  images, weights or tables that were refused
    ├── StoreUnreachable       4  the tracking store is out of reach or damaged
    ├── NoRoom          5  the disk is full
    └── DigestMismatch  6  bytes that are not what was recorded
"""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable

N_SHOWN = 25


class MLProjectError(Exception):
    """A failure with a one-line message for people; its traceback is shown only with ``--debug``."""

    status = 1


class WrongUse(MLProjectError):
    """An argument, knob or plan key that cannot be used."""

    status = 2


class BadInput(MLProjectError):
    """Data or weights that were read and refused."""

    status = 3


class StoreUnreachable(MLProjectError):
    """The tracking store cannot be reached or is damaged."""

    status = 4


class NoRoom(MLProjectError):
    """No room is left on a disk."""

    status = 5


class DigestMismatch(MLProjectError):
    """Bytes differ from the digest that was recorded or pinned for them."""

    status = 6


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_disk_full(error: BaseException) -> bool:
    """Whether a full disk is what an error, or one that it was raised from, comes from."""
    cause: BaseException | None = error
    while cause is not None:
        if getattr(cause, "errno", None) in FULL or "database or disk is full" in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def one_line(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def unknown(kind: str, value: object, known: Iterable[str]) -> WrongUse:
    """The error for a name that does not exist, with its near matches or all that do.

    >>> print(unknown("model", "resnet5", ["resnet50", "vit_b_16"]))
    unknown model 'resnet5'; did you mean resnet50?
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(value), names, n=3, cutoff=0.6)
    shown = names if len(names) <= N_SHOWN else [*names[:N_SHOWN], f"… ({len(names)} in all)"]
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(shown)}"
    return WrongUse(f"unknown {kind} {str(value)!r}; {hint}")


def masked(text: str) -> str:
    """The text with users and passwords taken out of its addresses."""
    return re.sub(r"//[^/@]*@", "//***@", text)
