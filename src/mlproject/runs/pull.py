"""Copies of losses, figures and tables of finished runs, from any tracking server into a folder."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mlproject.errors import WrongUse, unknown
from mlproject.report import slug
from mlproject.runs.selection import NamedRuns
from mlproject.tracking import (
    Artifacts,
    Copy,
    Store,
    artifact_names,
    artifacts_of,
    copy_artifacts,
    place_of,
    reaching,
)

WHAT = ("losses", "figures", "tables")
LOSSES = {"losses.csv", "losses.parquet", "predictions.parquet"}
FOLDERS = {"figures": "figures", "tables": "tables", "latex": "tables", "data": "tables"}
"""The kind of the artifacts of a fit by their folder."""
ENDINGS = {".png": "figures", ".pdf": "figures", ".csv": "tables", ".tex": "tables"}
"""The kind of artifacts without a folder: those of cells, and of fits of version 0.2."""


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """How many files were copied, and how many were there already with the same content."""

    copied: int
    unchanged: int


def pull_runs(store: Store, runs: NamedRuns, what: Collection[str], folder: Path) -> Pulled:
    """Copy what is wanted of ``WHAT`` below a folder.

    Of one cell directly; of a fit or a plan the figures and tables of the fit by their folders, and the
    losses of each cell as ``losses/<name>-<key>/``.

    Raises: WrongUse for another kind, where nothing matches or a file is in the way; DigestMismatch.
    """
    if folder.exists() and not folder.is_dir():
        raise WrongUse(f"{folder} is no folder: move it away, or choose another one (--to)")
    for kind in what:
        if kind not in WHAT:
            raise unknown("kind of artifacts", kind, WHAT)
    with reaching(store.uri):
        copies = list(_copies(store, runs, set(what), folder.absolute()))
        if not copies:
            hint = "" if runs.fit or len(runs.keys) == 1 else "; figures and tables come with its fit"
            raise WrongUse(f"{runs.name} has no {', '.join(sorted(what))}{hint}")
        copied, unchanged = copy_artifacts(copies, folder.absolute())
    return Pulled(copied=copied, unchanged=unchanged)


def _copies(store: Store, runs: NamedRuns, what: set[str], folder: Path) -> Iterator[Copy]:
    alone = not runs.fit and len(runs.keys) == 1
    if runs.fit:
        fit = artifacts_of(store.client.get_run(runs.fit), store.client)
        yield from _of_run(fit, what - {"losses"}, folder)
    if alone or "losses" in what:
        for key, artifacts in sorted(store.done_artifacts(runs.keys).items()):
            name = artifacts.tags.get("mlflow.runName", "cell")
            below = folder if alone else folder / "losses" / f"{slug(name, 120)}-{key}"
            yield from _of_run(artifacts, what if alone else {"losses"}, below)


def _of_run(artifacts: Artifacts, what: set[str], folder: Path) -> Iterator[Copy]:
    for name in artifact_names(artifacts):
        if kind_of(name) in what:
            yield Copy(artifacts=artifacts, name=name, target=place_of(folder, name))


def kind_of(name: str) -> str:
    """What of ``WHAT`` an artifact is, by its name; nothing for others."""
    path = PurePosixPath(name)
    if len(path.parts) > 1:
        return FOLDERS.get(path.parts[0], "")
    return "losses" if name in LOSSES else ENDINGS.get(path.suffix, "")
