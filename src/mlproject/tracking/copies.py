"""Artifacts copied into a folder: names from a server never lead out of it, and no file is replaced.

A server decides what its artifacts are called, so that a name is checked as text (absolute, ``..``) and its
place on the disk for symbolic links. Contents are verified where the run recorded their digests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mlproject.errors import BadInput, WrongUse
from mlproject.files import sha256, temporary_folder, write_atomic
from mlproject.tracking.artifacts import MISSING, Artifacts


@dataclass(frozen=True, kw_only=True)
class Copy:
    """An artifact of a run by its name, and the file that it is copied to."""

    artifacts: Artifacts
    name: str
    target: Path


def artifact_names(artifacts: Artifacts) -> list[str]:
    """The artifacts of a run: those with a recorded digest; of a run of version 0.2 all that are listed."""
    return sorted(artifacts.sums) or sorted(_listed(artifacts, ""))


def _listed(artifacts: Artifacts, folder: str) -> Iterator[str]:
    for entry in artifacts.client.list_artifacts(artifacts.run_id, folder or None):
        if not entry.is_dir:
            yield entry.path
        elif PurePosixPath(entry.path).parent == PurePosixPath(folder):  # else it would lead in circles
            yield from _listed(artifacts, entry.path)


def place_of(folder: Path, name: str) -> Path:
    """The path of an artifact below a folder. Raises: BadInput for a name that leads out of the folder."""
    parts = PurePosixPath(name).parts
    odd = "\\" in name or any(ord(letter) < 32 for letter in name)
    if not parts or name.startswith("/") or ".." in parts or odd:
        raise BadInput(f"an artifact named {name!r} is refused: it would lie outside {folder}")
    return folder.joinpath(*parts)


def copy_artifacts(copies: Sequence[Copy], folder: Path) -> tuple[int, int]:
    """Copy artifacts below a folder; how many were written, and how many were there already, byte for byte.

    Raises: WrongUse where a place is taken by another content, a link or a folder (nothing is written then);
    DigestMismatch; BadInput for an artifact that is a link out of its run.
    """
    for copy in copies:
        _require_free_way(folder, copy.target)
    taken = [copy for copy in copies if copy.target.exists()]
    with temporary_folder() as temporary:
        kept = {copy.target for copy in taken if _is_there(copy, temporary)}
        other = [copy.target for copy in taken if copy.target not in kept]
        if other:
            more = f" and {len(other) - 1} more are" if len(other) > 1 else " is"
            remedy = "move it away, or choose another folder (--to)"
            raise WrongUse(f"{other[0]}{more} there with another content, and nothing was copied: {remedy}")
        for copy in copies:
            if copy.target not in kept:
                write_atomic(copy.target, _content(copy, temporary))
    return len(copies) - len(kept), len(kept)


def _is_there(copy: Copy, temporary: Path) -> bool:
    """Whether the file at a place is this artifact, by the recorded digest where there is one."""
    content, expected = copy.target.read_bytes(), copy.artifacts.sums.get(copy.name)
    return content == _content(copy, temporary) if expected is None else sha256(content) == expected


def _require_free_way(folder: Path, target: Path) -> None:
    """Refuse places that are links, or that lie behind one or behind a file. Raises: WrongUse."""
    for path in (target, *target.parents):
        if path == folder or not path.is_relative_to(folder):
            break
        if path.is_symlink():
            raise WrongUse(
                f"{path} is a symbolic link, which is not followed: remove it, or choose another --to"
            )
        if path.exists() and path.is_dir() == (path == target):
            what = "a folder" if path == target else "no folder"
            raise WrongUse(f"{path} is {what}: move it away, or choose another --to")


def _content(copy: Copy, temporary: Path) -> bytes:
    """The bytes of an artifact, verified. Raises: DigestMismatch, BadInput, StoreUnreachable."""
    artifacts, name = copy.artifacts, copy.name
    try:
        if artifacts.folder is None:
            path = Path(artifacts.client.download_artifacts(artifacts.run_id, name, str(temporary)))
        else:
            path = artifacts.path(name)
            if not path.resolve().is_relative_to(artifacts.folder.resolve()):
                raise BadInput(f"{path} of run {artifacts.run_id} is a link out of its run, which is refused")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise artifacts.mismatch(MISSING.format(name)) from error
    expected = artifacts.sums.get(name)
    if expected is not None and sha256(content) != expected:
        raise artifacts.mismatch(f"its {name} differs from what was logged")
    return content
