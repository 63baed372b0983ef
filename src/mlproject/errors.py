"""Errors with one-line messages and exit statuses.

A message names what is wrong, where, the rule that is broken and the remedy.

    MLProjectError          1  some cells failed, the rest is done and recorded
    ├── WrongUse            2  an argument or a plan that cannot be used; nothing was started
    ├── BadInput            3  images, weights or tables that were refused
    ├── StoreUnreachable    4  the tracking store (or the cluster of an engine) is out of reach or damaged
    ├── NoRoom              5  the disk is full
    └── DigestMismatch      6  bytes that differ from what was recorded
    Stopped      128 + signal  a signal asked the process to stop
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

N_SHOWN = 25
LONGEST_SHOWN = 200
"""Characters of a value that a message shows, at most."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
AUTOFLUSH = "(raised as a result of Query-invoked autoflush"
SECRET = r"(?i:[?&][\w.-]*(?:pass|pwd|secret|token)[\w.-]*=)"
"""Begins a secret among the parameters of an address."""


class MLProjectError(Exception):
    """A failure with a one-line message; its traceback is shown with ``--debug`` only."""

    status = 1


class WrongUse(MLProjectError):
    """An argument, knob or plan key that cannot be used."""

    status = 2


class BadInput(MLProjectError):
    """Data, weights or tables that were read and refused."""

    status = 3


class StoreUnreachable(MLProjectError):
    """The tracking store (or the cluster of an engine) cannot be reached or is damaged."""

    status = 4


class NoRoom(MLProjectError):
    """The disk is full."""

    status = 5


class DigestMismatch(MLProjectError):
    """Bytes differ from their recorded or pinned digest."""

    status = 6


class Stopped(BaseException):
    """A signal asked the process to stop; it exits with status 128 + the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.status = 128 + number

    def __reduce__(self) -> tuple[type[Stopped], tuple[int]]:
        return Stopped, (self.status - 128,)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or an error that it was raised from, comes from a full disk."""
    cause: BaseException | None = error
    while cause is not None:
        if getattr(cause, "errno", None) in FULL or "database or disk is full" in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def one_line(error: BaseException) -> str:
    """An error's type and the first line of its message, without SQLAlchemy's note on when it was raised."""
    lines = [line for line in str(error).strip().splitlines() if not line.startswith(AUTOFLUSH)]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def shown(value: object) -> str:
    """A value as Python writes it, for a message: values from outside may be of any length and depth.

    >>> print(shown("x" * 1000)[:5], shown([1.5]))
    'xxxx [1.5]
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python writes no integer of more than 4,300 digits
        return f"a value too large to be shown ({type(value).__name__})"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}… ({len(text):,} characters)"


def near_names(text: str, names: Sequence[str]) -> list[str]:
    """Up to three names that come close to a text, or those that differ in case and punctuation only."""
    same = [name for name in names if _letters(name) and _letters(name) == _letters(text)]
    return same or difflib.get_close_matches(text[:LONGEST_SHOWN], names, n=3, cutoff=0.6)


def unknown(kind: str, value: object, known: Iterable[str]) -> WrongUse:
    """The error for an unknown name, with near matches or all known names.

    >>> print(unknown("model", "resnet5", ["resnet50", "vit_b_16"]))
    unknown model 'resnet5'; did you mean resnet50?
    >>> print(unknown("data set", "CIFAR-10", ["cifar10", "cifar100"]))
    unknown data set 'CIFAR-10'; did you mean cifar10?
    """
    names = sorted(known)
    text = value if isinstance(value, str) else shown(value)
    near = near_names(text, names)
    listed = names if len(names) <= N_SHOWN else [*names[:N_SHOWN], f"… ({len(names)} in all)"]
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(listed)}"
    return WrongUse(f"unknown {kind} {shown(text)}; {hint}")


def command(*words: str) -> str:
    """A command that a message shows: by the program's path where the shell would not find its name."""
    if shutil.which(words[0]) is None:
        words = (str(Path(os.path.abspath(sys.executable)).with_name(words[0])), *words[1:])
    return shlex.join(words)


def _letters(name: object) -> str:
    """Letters and digits of a name, without case."""
    return "".join(c for c in str(name).casefold() if c.isalnum())


def printable(text: str, keep: str = "") -> str:
    """Text with unprintable characters escaped, except those of ``keep``: they could control a terminal.

    Names of files, groups and runs come from anywhere; everything that is printed passes through here.

    >>> print(printable("a\x1b[2Jb"))
    a\\x1b[2Jb
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)


def masked(text: str) -> str:
    """The text without the users and passwords of its addresses, and without secrets among parameters."""
    # Up to the last @ of an address: a password may hold one, and slashes too.
    text = re.sub(r"//[^/:\s]*(:\S*)?@", "//***@", text)
    return re.sub(rf"({SECRET})[^&\s]+", r"\1***", text)


def has_password(text: str) -> bool:
    """Whether an address in the text holds a password; a user alone is none."""
    return bool(re.search(rf"//[^/:\s]*:\S*@|{SECRET}", text))
