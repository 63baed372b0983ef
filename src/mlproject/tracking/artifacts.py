"""Artifacts of a finished run read back: where they lie, and whether they match their digests.

Every run logs ``SHA256SUMS`` (as ``sha256sum --check`` reads it), whose own digest is a tag; runs of version
0.2 have none, but all runs have the digest of their losses as a tag. A plan of many cells asks about each of
them, so there a look at the file has to do: losses that are gone are missed, and losses that were changed
after the end of their run are verified. All losses and tables are verified when they are read. A run whose
artifacts were read and do not match is marked as suspect, and verified whenever it is asked about.
"""

from __future__ import annotations

import posixpath
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mlproject.cell import Cell
from mlproject.errors import BadInput, DigestMismatch, StoreUnreachable, command, masked, one_line
from mlproject.files import sha256, sha256_file
from mlproject.losses import Observation, PerImageLosses, read_losses, read_table
from mlproject.tracking.place import holds_runs, local_folder, readable, without_root

LOSSES_FILE = "losses.parquet"
LOSSES_DIGEST = "losses.digest"
PROVENANCE = "provenance."
SUMS_FILE = "SHA256SUMS"
SUMS_DIGEST = "artifacts.sha256"
SUSPECT = "artifacts.suspect"
"""Tag of a run whose artifacts did not match when they were read."""
MISSING = "its {} is missing"
KEPT = (LOSSES_DIGEST, SUMS_DIGEST, SUSPECT, "mlflow.runName")
"""Tags of a run that are kept with its artifacts; the others may take kilobytes a run."""


def deletion(run_id: str) -> str:
    """The command that removes a run."""
    return command("mlflow", "runs", "delete", "--run-id", run_id)


def write_sums(folder: Path) -> str:
    """Write the digests of all files below a folder to ``SHA256SUMS``; the digest of that file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / SUMS_FILE)
    lines = [f"{sha256_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    content = "".join(lines).encode()
    (folder / SUMS_FILE).write_bytes(content)
    return sha256(content)


def seems_intact(folder: Path | None, ended: int) -> bool:
    """Whether the losses of a run that ended at ``ended`` (ms since the epoch) are there and unchanged since.

    Those that cannot be looked at count as intact: on a server, or where the folder of all runs is gone or
    fails (a disk that is not mounted, or is away, must not make every cell run again).
    """
    if folder is None:
        return True
    try:
        status = (folder / LOSSES_FILE).stat()
    except (FileNotFoundError, NotADirectoryError):
        return not holds_runs(folder.parent.parent)
    except OSError:
        return True
    return stat.S_ISREG(status.st_mode) and status.st_mtime * 1000 <= ended


@dataclass(frozen=True, kw_only=True)
class Artifacts:
    """The artifacts of a run. Errors of MLflow are raised as they are."""

    run_id: str
    uri: str
    ended: int
    tags: Mapping[str, str]
    client: Any = field(repr=False)

    @property
    def folder(self) -> Path | None:
        """Their folder on this machine; None where they lie elsewhere."""
        return local_folder(self.uri)

    def path(self, name: str) -> Path:
        """A local path of an artifact, which is downloaded when it lies elsewhere.

        Raises: FileNotFoundError where the run has no such artifact, StoreUnreachable where no artifact of
        the experiment can be reached.
        """
        folder = self.folder
        if folder is not None:
            try:
                there = (folder / name).is_file()
            except OSError as error:
                if holds_runs(folder.parent.parent):
                    raise StoreUnreachable(f"{folder / name} cannot be read: {error.strerror}") from error
                raise without_root(folder.parent.parent, self.run_id) from error
            if there:
                return folder / name
            if holds_runs(folder.parent.parent):
                raise FileNotFoundError(name)
            raise without_root(folder.parent.parent, self.run_id)
        try:
            return Path(self.client.download_artifacts(self.run_id, name))
        except Exception as error:
            if self._is_listed(name):
                raise
            raise FileNotFoundError(name) from error

    def _is_listed(self, name: str) -> bool:
        """Whether the run has an artifact of that name, on a server. Raises: StoreUnreachable."""
        try:
            listed = self.client.list_artifacts(self.run_id, posixpath.dirname(name) or None)
        except (ImportError, OSError) as error:  # no package or no server for an address such as s3://
            place = masked(f"the artifacts of run {self.run_id} at {readable(self.uri)}")
            raise StoreUnreachable(f"{place} cannot be read: {one_line(error)}") from error
        return any(entry.path == name for entry in listed)

    def losses(self) -> PerImageLosses:
        """The losses, verified. Raises: DigestMismatch, which names the run and what to do."""
        try:
            path = self._verified(LOSSES_FILE)
            losses = _parsed(path)
            if losses.digest != self.tags.get(LOSSES_DIGEST):
                raise ValueError(f"its {LOSSES_FILE} differs from what was logged")
        except (FileNotFoundError, ValueError) as error:
            raise self.mismatch(_reason(error)) from error
        return losses

    def table(self, name: str) -> dict[str, list[str]]:
        """A table as columns of text, verified; empty where the run has none.

        Raises: DigestMismatch; BadInput for a table of version 0.2 that cannot be read.
        """
        try:
            files = [
                file for file in (f"{name}.csv", f"{name}.parquet") if file in self.sums or not self.sums
            ]
            return read_table(self._verified(files[0])) if files else {}
        except (OSError, ValueError) as error:
            if SUMS_DIGEST not in self.tags:
                return {}
            raise self.mismatch(_reason(error)) from error
        except BadInput as error:
            raise BadInput(f"run {self.run_id}: {error}; {self._remedy}") from error

    def damage(self) -> str:
        """Why a finished cell has to run again; empty where its losses are there, as far as a look tells.

        Those of a run that is marked as suspect are verified, and so are losses that were changed after the
        end of the run.
        """
        seems_fine = SUSPECT not in self.tags and seems_intact(self.folder, self.ended)
        return "" if seems_fine else self.fault()

    def fault(self) -> str:
        """Why the losses cannot be used (of a suspect run, any artifact); empty where they are verified."""
        if self.folder is not None and not holds_runs(self.folder.parent.parent):
            return f"{MISSING.format(LOSSES_FILE)}, as is all that lay in {self.folder.parent.parent}"
        try:
            self.losses()
            for name in self.sums if SUSPECT in self.tags else ():
                self._verified(name)
        except (FileNotFoundError, ValueError) as error:
            return _reason(error)
        except DigestMismatch as error:
            return _reason(error.__cause__ or error)
        return ""

    def is_whole(self, name: str) -> bool:
        """Whether all artifacts are there and match; of those elsewhere, whether this one does.

        A run of version 0.2 is whole where it has this one.
        """
        if self.folder is not None and not holds_runs(self.folder.parent.parent):
            return False
        try:
            for each in {name, *(self.sums if self.folder is not None else ())}:
                self._verified(each)
        except (FileNotFoundError, ValueError):
            return False
        return True

    @cached_property
    def sums(self) -> dict[str, str]:
        """The recorded digests by name; empty for a run of version 0.2. Raises as ``_verified`` does."""
        expected = self.tags.get(SUMS_DIGEST)
        if expected is None:
            return {}
        content = self.path(SUMS_FILE).read_bytes()
        if sha256(content) != expected:
            raise ValueError(f"its {SUMS_FILE} differs from what was logged")
        lines = [line.partition("  ") for line in content.decode().splitlines()]
        return {name: digest for digest, _, name in lines}

    def _verified(self, name: str) -> Path:
        """Raises: FileNotFoundError for an artifact that is missing, ValueError for one that differs."""
        path = self.path(name)
        expected = self.sums.get(name)
        try:
            differs = expected is not None and sha256_file(path) != expected
        except OSError as error:
            raise ValueError(f"its {name} cannot be read: {one_line(error)}") from error
        if differs:
            raise ValueError(f"its {name} differs from what was logged")
        return path

    @property
    def _remedy(self) -> str:
        return f"the next sweep of its plan runs the cell again, or leave it out: {deletion(self.run_id)}"

    def mismatch(self, reason: str) -> DigestMismatch:
        """The error for an artifact that is missing or differs, with the run and what to do."""
        place = readable(self.uri)
        return DigestMismatch(f"run {self.run_id} is damaged: {reason} ({place}); {self._remedy}")


def artifacts_of(run: Any, client: Any) -> Artifacts:
    """The artifacts of an MLflow run, of which nothing else is kept in memory."""
    info, tags = run.info, run.data.tags
    return Artifacts(
        run_id=info.run_id,
        uri=info.artifact_uri or "",  # a damaged database may hold anything
        ended=info.end_time if isinstance(info.end_time, int) else 0,
        tags={name: tags[name] for name in KEPT if name in tags},
        client=client,
    )


def observation_of(
    run: Any, cell: Cell, artifacts: Artifacts, read: Callable[[Artifacts, Callable[[Artifacts], Any]], Any]
) -> Observation:
    """A finished run as an observation; ``read`` applies a function to its artifacts."""
    tags = run.data.tags
    named = {k.removeprefix(PROVENANCE): v for k, v in tags.items() if k.startswith(PROVENANCE)}
    return Observation(
        cell=cell,
        run_id=artifacts.run_id,
        metrics={sys.intern(name): value for name, value in run.data.metrics.items()},
        losses_digest=tags.get(LOSSES_DIGEST, ""),
        load_losses=lambda: read(artifacts, Artifacts.losses),
        load_table=lambda name: read(artifacts, lambda those: those.table(name)),
        provenance={sys.intern(name): sys.intern(value) for name, value in named.items()},
        damage=artifacts.damage(),
    )


def _parsed(path: Path) -> PerImageLosses:
    """Raises: ValueError for a file that is no table of losses, whatever is wrong with it."""
    try:
        return read_losses(path)
    except Exception as error:  # damaged bytes: the parser may raise anything
        raise ValueError(f"its {LOSSES_FILE} cannot be read: {one_line(error)}") from error


def _reason(error: BaseException) -> str:
    return MISSING.format(error) if isinstance(error, FileNotFoundError) else str(error)
