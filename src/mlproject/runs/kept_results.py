"""Results of cells that could not be logged: kept beside the store's locks, for the next start to log.

A file holds the cell, the digest of this package's source code, everything that a cell's run logs, and its
artifacts, behind a SHA-256 of all of it. It is used once, and only for the same cell (data and weights by
their digests) by the same code; else the cell is computed again.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mlproject.cell import Cell
from mlproject.errors import MLProjectError, one_line, printable
from mlproject.files import read_json, require_regular, sha256, write_atomic
from mlproject.tracking import Store, TrackedRun

log = logging.getLogger(__name__)

RECORD = "record.json"
DIGEST_LENGTH = 64


@dataclass(frozen=True, kw_only=True)
class CellRecord:
    """What the run of a finished cell logs beside its artifacts; ``dataset`` as ``log_dataset`` takes it."""

    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    history: Sequence[tuple[int, Mapping[str, float]]]
    dataset: Mapping[str, str]
    loss: float
    accuracy: float

    def log(self, run: TrackedRun, artifacts: Path) -> None:
        """Log everything to a run: one batch, the data set, and the folder of artifacts."""
        run.log(params=self.params, metrics=self.metrics, tags=self.tags, history=self.history)
        run.log_dataset(**self.dataset)
        run.log_files(artifacts)


def kept_path(store: Store, cell: Cell) -> Path:
    """The file of a cell's result that could not be logged."""
    return store.locks / f"{cell.key}.result"


def keep_result(path: Path, cell: Cell, record: CellRecord, artifacts: Path) -> str:
    """Keep a result; what to say of it. The caller holds the cell's lock."""
    content = {"cell": cell.to_dict(), "code": source_digest(), "record": asdict(record)}
    packed = io.BytesIO()
    try:
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(RECORD, json.dumps(content, default=float))
            for file in sorted(artifacts.iterdir()):
                archive.write(file, f"artifacts/{file.name}")
        write_atomic(path, sha256(packed.getbuffer()).encode() + packed.getvalue())
    except (OSError, MLProjectError) as error:
        return f"its result cannot be kept either ({one_line(error)})"
    return f"the result is kept in {path}: the same command logs it without computing it again"


def read_result(path: Path, cell: Cell, artifacts: Path) -> CellRecord | None:
    """The kept result of a cell, its artifacts extracted into ``artifacts``; None where none is usable."""
    try:
        with zipfile.ZipFile(io.BytesIO(_verified(path))) as archive:
            saved: dict[str, Any] = read_json(archive.read(RECORD))
            if Cell.from_dict(saved["cell"]).to_dict() != cell.to_dict():
                raise ValueError("it is of another cell")
            if saved["code"] != source_digest():
                raise ValueError("another version of the code computed it")
            for name in archive.namelist():
                if name != RECORD:
                    (artifacts / Path(name).name).write_bytes(archive.read(name))
        record = saved["record"]
        return CellRecord(**record | {"history": [(step, values) for step, values in record["history"]]})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, LookupError, zipfile.BadZipFile, MLProjectError) as error:
        log.warning("%s is not used (%s); the cell is computed again", printable(str(path)), error)
        return None


def _verified(path: Path) -> bytes:
    """The archive of a kept result. Raises: FileNotFoundError; ValueError for one that cannot be used."""
    try:
        content = require_regular(path).read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from error
    if sha256(memoryview(content)[DIGEST_LENGTH:]).encode() != content[:DIGEST_LENGTH]:
        raise ValueError("it is damaged")
    return content[DIGEST_LENGTH:]


def discard_result(path: Path) -> None:
    """Delete the kept result of a cell that is done. One that cannot be deleted is reported."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning(
            "%s is not needed any more and cannot be deleted (%s)", printable(str(path)), error.strerror
        )


@cache
def source_digest() -> str:
    """SHA-256 of this package's source files, their names included."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()
