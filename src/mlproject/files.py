"""Atomic file writes, temporary folders, signed JSON, CSV tables, SHA-256 digests and file locks.

A file appears whole or not at all: temporary name in the same folder, flush, fsync, rename, fsync of
the folder. A lock is an ``flock``: the kernel releases it when its owner dies for any reason.

Every CSV artifact is written here. Spreadsheets run a cell that begins with ``= + - @`` (in some languages
their full-width forms too), a tab or a line break as a formula (OWASP, "CSV injection"), and names come from
anywhere: such text gets an apostrophe, which is taken off again when the file is read. Where the comma is the
decimal mark, spreadsheets begin a cell after each semicolon too. Numbers are written as they are.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from numbers import Number
from pathlib import Path
from typing import Any

from mlproject.errors import BadInput, NoRoom, StoreUnreachable, is_disk_full

STUB_SUFFIX = ".part"
LONGEST_STEM = 50  # characters of a name in that of its temporary file: of 255 bytes few are left
LEFT_OVER = 2**20  # bytes that may be free on a full disk: writers delete what they could not finish
NUMBERS = {float, int, bool, type(None)}
"""Types of cells that are never escaped; there are more, but columns of these need no look at each cell."""
FORMULA = r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"  # also of one that was escaped
UNESCAPED = re.compile(rf"(\A|;)(?={FORMULA})")
ESCAPED = re.compile(rf"(\A|;)'(?={FORMULA})")


def cache_folder() -> Path:
    """The folder of stored features: ``MLPROJECT_CACHE``, else mlproject/features in the XDG cache."""
    chosen = os.environ.get("MLPROJECT_CACHE")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen) if chosen else cache / "mlproject" / "features"


def write_atomic(path: Path, *parts: bytes | memoryview) -> None:
    """Write the parts of a content to ``path``; a reader sees the old file or the new one, never a part.

    Raises: NoRoom when the disk is full. The temporary file is removed on every error.
    """
    stub = path.with_name(f"{path.name[:LONGEST_STEM]}.{uuid.uuid4().hex}{STUB_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(_locked_stub(stub), "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(stub, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(stub)
        if is_disk_full(error):
            n_bytes = sum(map(len, parts))
            raise NoRoom(f"no room: {path} needs {n_bytes:,} bytes; free some space") from error
        raise


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is deleted at the end. Raises: NoRoom, with its place, where its disk is full."""
    with tempfile.TemporaryDirectory(prefix="mlproject-") as folder:
        try:
            yield Path(folder)
        except OSError as error:
            if error.filename or not is_disk_full(error) or shutil.disk_usage(folder).free > LEFT_OVER:
                raise
            text = f"no room for temporary files in {Path(folder).parent}; free some space, or set TMPDIR"
            raise NoRoom(text) from error


def _locked_stub(stub: Path) -> int:
    """Create a temporary file and hold its lock, which is free once this process is dead."""
    while True:
        handle = os.open(stub, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)  # less the umask
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)  # between creation and lock another process took it for an abandoned one


def delete_stub(path: Path) -> None:
    """Delete a temporary file, unless its writer is alive."""
    with _free(path) as is_free:
        if is_free:
            path.unlink(missing_ok=True)


def abandoned_stubs(folder: Path) -> list[Path]:
    """Temporary files below a folder whose writer died before it could rename them."""
    paths = sorted(Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
    abandoned = []
    for path in paths:
        if path.suffix == STUB_SUFFIX and path.is_file():
            with _free(path) as is_free:
                abandoned += [path] if is_free else []
    return abandoned


@contextlib.contextmanager
def _free(path: Path) -> Iterator[bool]:
    """Hold the lock of a file if nobody does; yields False where it is held, gone or cannot be opened."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        yield False
        return
    try:
        yield True
    finally:
        os.close(handle)


def require_regular(path: Path) -> Path:
    """The path of a regular file, or of a link to one: a reader of a pipe or a device may wait for ever.

    Raises: OSError where nothing is there, ValueError for anything else.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path.name} is no regular file")
    return path


def write_signed(path: Path, value: Any, *, place: str = "") -> None:
    """Write a value as JSON with its SHA-256, for ``read_signed``; ``place`` is what it belongs to.

    Raises: NoRoom.
    """
    content = json.dumps(value, allow_nan=False)
    write_atomic(path, json.dumps([sha256((place + content).encode()), content]).encode())


def read_signed(path: Path, *, place: str = "") -> Any:
    """The value that ``write_signed`` wrote for this place, or for none, as version 0.2 did.

    Raises: OSError; ValueError for a damaged file, or one of another place.
    """
    signed = read_json(require_regular(path).read_bytes())
    match signed:
        case [str(digest), str(content)] if digest in {sha256((p + content).encode()) for p in (place, "")}:
            return json.loads(content)
    raise ValueError(f"{path.name} differs from what was written")


def read_json(content: bytes | str) -> Any:
    """The value of a JSON text. Raises: ValueError, also where it is nested too deeply to be read."""
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


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
    """Text with an apostrophe wherever a spreadsheet would begin a formula.

    Apostrophes before such a character count as escapes too, so that ``unescape_formula`` is the inverse.
    """
    return UNESCAPED.sub(r"\1'", text)


def unescape_formula(text: str) -> str:
    """The text that ``escape_formula`` was given."""
    return ESCAPED.sub(r"\1", text)


def sha256(content: bytes | memoryview) -> str:
    """SHA-256 of bytes in memory, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock at ``path``, waiting until its owner releases it or dies; ``shared`` with its like."""
    with _open_lock(path) as handle:
        fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def try_locked(path: Path, *, create: bool = True, shared: bool = False) -> Iterator[bool]:
    """Hold the lock at ``path`` if it is free; yields whether it was.

    A ``shared`` lock is free while only shared ones are held. Without ``create`` a lock whose file is not
    there counts as not free: nobody knows who holds it.
    """
    if not create and not path.exists():
        yield False
        return
    with _open_lock(path) as handle:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextlib.contextmanager
def _open_lock(path: Path) -> Iterator[int]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        text = f"no lock can be at {path}: {error.filename} is in its way; move it away"
        raise StoreUnreachable(text) from error
    except OSError as error:
        if is_disk_full(error):
            raise NoRoom(f"no room for the lock {path}; free some space") from error
        text = f"no lock can be at {path}: {error.strerror}; make its folder writable, or choose another one"
        raise StoreUnreachable(f"{text} (MLPROJECT_CACHE, MLFLOW_TRACKING_URI)") from error
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
