"""Command line: run one command; errors become one line and an exit status. The only package that prints."""

from __future__ import annotations

import errno
import gc
import logging
import os
import sys

import typer

from mlproject.cli.machine import app
from mlproject.errors import (
    MLProjectError,
    NoRoom,
    Stopped,
    StoreUnreachable,
    WrongUse,
    is_disk_full,
    one_line,
    printable,
)
from mlproject.signals import end_on_signals, raise_on_signals

__all__ = ["EscapedRecord", "main"]

READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
SYSTEM = {*READ_ONLY, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG, errno.ELOOP}
SYSTEM |= {errno.ENODEV, errno.ENXIO, errno.EBUSY, errno.ENOTCONN, errno.ETIMEDOUT}
"""Errors of disks, mounts and limits, which no program can avoid."""


class EscapedRecord(logging.LogRecord):
    """A message of this program or of a library, without characters that could control the terminal."""

    def getMessage(self) -> str:
        """The message, on as many lines as it has."""
        return printable(super().getMessage(), keep="\n")


def main() -> None:
    """Run the command line and exit."""
    debug = "--debug" in sys.argv or bool(os.environ.get("MLPROJECT_DEBUG"))
    # Imports create millions of objects that all stay: a third of start-up was garbage collection.
    gc.set_threshold(100_000, 50, 50)
    raise_on_signals()
    if "MLFLOW_RUN_ID" in os.environ:
        from mlproject.tracking import claim_launched_run, tracking_uri

        claim_launched_run(tracking_uri())
    logging.setLogRecordFactory(EscapedRecord)  # libraries too print names, and the answers of servers
    try:
        sys.exit(app(prog_name="mlproject", standalone_mode=False))
    except Stopped as stop:
        end_on_signals()
        _print_error(f"{stop}; finished cells are kept, the same command continues from there")
        sys.exit(stop.status)
    except Exception as error:
        end_on_signals()
        if debug:
            raise
        text, status = _message(error)
        _print_error(text)
        sys.exit(status)
    finally:
        end_on_signals()


def _message(error: Exception) -> tuple[str, int]:
    """The line to print for an error, and the exit status."""
    if isinstance(error, typer.TyperException):
        text = error.format_message()  # empty where help was printed for lack of arguments
        return f"error: {text}" if text else "", WrongUse.status
    if isinstance(error, FileNotFoundError) and _folder_is_gone():
        error = WrongUse("the current folder was deleted; change to another one (cd)")
    if isinstance(error, MLProjectError):
        return f"error: {error}", error.status
    if is_disk_full(error):
        return f"error: no room: {one_line(error)}; free some space", NoRoom.status
    if type(error).__module__.partition(".")[0] in ("mlflow", "sqlalchemy", "google"):
        from mlproject.tracking import store_problem, tracking_uri

        problem = store_problem(tracking_uri(), error)
        return f"error: {problem}", problem.status
    if isinstance(error, OSError) and error.errno in SYSTEM:
        what = f"{error.filename} cannot be written or read" if error.filename else "a file cannot be written"
        return f"error: {what}: {error.strerror}", StoreUnreachable.status
    return f"unexpected {one_line(error)} (a defect of mlproject; --debug shows where)", 1


def _folder_is_gone() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _print_error(text: str) -> None:
    """Print to stderr, with unprintable characters escaped: they could control the terminal."""
    if text:
        print(printable(text, keep="\n"), file=sys.stderr)
