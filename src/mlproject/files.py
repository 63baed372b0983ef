"""Atomic file writes, CSV tables, SHA-256 digests, file locks, and the files of databases.

A file appears whole or not at all: temporary name in the same folder, flush, fsync, rename, fsync of
the folder. A lock is an ``flock``: the kernel releases it when its owner dies for any reason.

Every CSV artifact is written here. Spreadsheets run a cell that begins with ``= + - @`` (in some languages
their full-width forms too), a tab or a line break as a formula (OWASP, "CSV injection"), and names come from
anywhere: such text gets an apostrophe, which is taken off again when the file is read. Numbers are written
as they are.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import hashlib
import io
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from mlproject.errors import BadInput, NoRoom, WrongUse, is_disk_full

if TYPE_CHECKING:
    from sqlalchemy import URL
else:
    URL = Any

STUB_SUFFIX = ".part"
LONGEST_STEM = 50
"""Characters of a file's name in that of its temporary file: names of 255 bytes have no room for more."""
PLAIN = re.compile(r"sqlite:///([\w/.-]+)")
"""A SQLite address that is read as it stands: importing SQLAlchemy takes a third of a second."""
MEMORY = ("", ":memory:")
"""SQLite's names of a database that ends with its process."""
NUMBERS = {float, int, bool, type(None)}
"""Types of cells that are never escaped; there are more, but columns of these need no look at each cell."""
FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""Beginning of a cell that a spreadsheet may take for a formula, or that was escaped as one."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``; a reader sees the old file or the new one, never a part.

    Raises: NoRoom when the disk is full. The temporary file is removed on every error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stub = path.with_name(f"{path.name[:LONGEST_STEM]}.{uuid.uuid4().hex}{STUB_SUFFIX}")
    handle = os.open(stub, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)  # less the umask
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(stub, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(stub)
        if is_disk_full(error):
            raise NoRoom(f"no room: {path} needs {len(content):,} bytes; free some space") from error
        raise
    _sync_folder(path.parent)


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A table as CSV in UTF-8, formulas escaped; ``None`` is an empty cell.

    Raises: ValueError on rows that differ in length.
    """
    columns = [_csv_cells(column) for column in zip(*rows, strict=True)]
    table = [_csv_cells(header), *zip(*columns, strict=True)]
    text = _csv_text(table, "\n")
    if "\r" in text:  # the csv module quotes a cell with a bare CR only where lines end in CR too
        text = "".join(_csv_text([row], "\r\n").removesuffix("\r\n") + "\n" for row in table)
    return text.encode("utf-8", "backslashreplace")


def _csv_text(rows: Iterable[Iterable[object]], line_end: str) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=line_end).writerows(rows)
    return file.getvalue()


def _csv_cells(cells: Sequence[object]) -> Sequence[object]:
    """Numbers as they are, and text that a spreadsheet may take for a formula escaped."""
    if set(map(type, cells)) <= NUMBERS:
        return cells
    return [c if c is None or isinstance(c, Number) else escape_formula(str(c)) for c in cells]


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV; ``read_columns`` gives its text back."""
    path.write_bytes(csv_bytes(header, rows))


def read_columns(path: Path) -> dict[str, list[str]]:
    """Read a CSV table that ``write_rows`` wrote, as columns of text.

    Raises: OSError; BadInput, with file and row, for anything but a table with one name for each column.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name} is damaged: {error}") from error
    header, *cells = rows or [[]]
    if not header or len(set(header)) < len(header):
        raise BadInput(f"{path.name} is damaged: its first row must name every column once")
    for number, row in enumerate(cells, 2):
        if len(row) != len(header):
            raise BadInput(f"{path.name} is damaged: row {number} has {len(row)} of {len(header)} cells")
    texts = [[unescape_formula(text) for text in row] for row in cells]
    return {unescape_formula(name): [row[i] for row in texts] for i, name in enumerate(header)}


def escape_formula(text: str) -> str:
    """Text with an apostrophe before it where a spreadsheet would take it for a formula.

    Apostrophes before such a character count as escapes too, so that ``unescape_formula`` is the inverse.
    """
    return "'" + text if FORMULA.match(text) else text


def unescape_formula(text: str) -> str:
    """The text that ``escape_formula`` was given."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def sha256(content: bytes | memoryview) -> str:
    """SHA-256 of bytes in memory, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock at ``path``, waiting until its owner releases it or dies."""
    with _open_lock(path) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def try_locked(path: Path) -> Iterator[bool]:
    """Hold the lock at ``path`` if it is free; yields whether it was."""
    with _open_lock(path) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def database_url(address: str) -> URL | None:
    """The parts of a database's address (``dialect[+driver]://…``); None for a path or a server of runs."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(address)
    except (ArgumentError, ValueError):  # no address, or a port that is no number
        return None


def database_file(address: str) -> Path | None:
    """The file of a SQLite address, whatever characters and parameters it has; None for any other address.

    Raises: WrongUse for a database in memory, which would end with the command.
    """
    if plain := PLAIN.fullmatch(address):
        return Path(plain[1]).absolute()
    url = database_url(address)
    if url is None or url.get_backend_name() != "sqlite":
        return None
    name = url.database or ""
    if name.startswith("file:") and "uri" in url.query:  # SQLite's own form, which is decoded once more
        name = unquote(urlsplit(name).path)
    if name in MEMORY or url.query.get("mode") == "memory":
        raise WrongUse(f"{address} is a database in memory, which ends with the command; name a file")
    return Path(name).absolute()


def lock_folder(address: str | Path) -> Path:
    """The folder for locks: beside a file; for a database server, a folder of this machine and user."""
    path = address if isinstance(address, Path) else database_file(address)
    if path is not None:
        return path.with_name(path.name + ".locks")
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "mlproject" / "locks" / sha256(str(address).encode())[:16]


@contextlib.contextmanager
def _open_lock(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        yield handle
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
