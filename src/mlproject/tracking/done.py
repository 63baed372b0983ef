"""Cells that are done: which runs count, and the record of them that is kept beside a SQLite store.

MLflow takes about 2 ms of CPU to give one run, so that listing 100,000 takes minutes; and importing MLflow
takes seconds. The record is used while the store's file is as it was when the record was made: every change
shows in the header of the file, or in its size and time.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from mlproject.cell import Cell
from mlproject.errors import NoRoom
from mlproject.files import read_signed, write_signed
from mlproject.tracking.artifacts import LOSSES_DIGEST, SUSPECT, Artifacts, artifacts_of, seems_intact
from mlproject.tracking.place import local_folder

log = logging.getLogger(__name__)

DONE_FILE = "done.json"
SQLITE_HEADER = 100
"""Bytes of a SQLite file that hold, among others, its change counter."""
COMPLETE = "cell.complete"
FINISHED = f"attributes.status = 'FINISHED' and tags.`{COMPLETE}` = 'true'"
FINISHED_CELLS = f"tags.kind = 'cell' and {FINISHED}"
SUSPECTS = f"{FINISHED_CELLS} and tags.`{SUSPECT}` = 'true'"
RUNNING = "attributes.status = 'RUNNING'"
FEW = 10
"""Cells that are asked for one by one; of more, all finished cells are listed."""
CLOCKS_APART = 3_600_000
"""Milliseconds by which the clocks of machines that share a store may differ, at most."""
_LOGGED: set[str] = set()
"""Damaged runs that this process has reported; a command may open its store twice."""


class DoneRun(NamedTuple):
    """The run of a cell that is done: where its artifacts lie, when it ended (ms), its losses' digest."""

    run_id: str
    uri: str
    ended: int
    digest: str

    @classmethod
    def of(cls, artifacts: Artifacts) -> DoneRun:
        """The run that has these artifacts."""
        digest = artifacts.tags.get(LOSSES_DIGEST, "")
        return cls(run_id=artifacts.run_id, uri=artifacts.uri, ended=artifacts.ended, digest=digest)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All finished cells of an experiment by key, as its store was when it was asked at ``asked`` (ms).

    ``state`` is that of its file; ``names`` are those by which the experiment was asked for, where it is
    recorded.
    """

    experiment_id: str
    state: Sequence[Any]
    asked: int
    runs: Mapping[str, DoneRun]
    names: Sequence[str] | None = None


@dataclass(kw_only=True)
class DoneCells:
    """Asks an experiment which of its cells are done, as seldom and for as little as possible.

    ``search`` gives its runs that match a condition, deleted ones where it is asked to; ``file`` is that of a
    SQLite store, and the record lies in ``folder``. ``damaged`` says, by run, why a finished cell has to run
    again, where no other run of it is intact.
    """

    experiment_id: str
    search: Callable[..., Iterator[Any]]
    client: Any
    file: Path | None
    folder: Path
    damaged: dict[str, str] = field(default_factory=dict)
    _listing: Listing | None = None

    def recorded(self, keys: Collection[str] | None = None) -> dict[str, DoneRun] | None:
        """Finished cells (of ``keys`` where given) as recorded; None where the store has to be asked."""
        listing = self._listing
        if self.file is None:
            return None
        if listing is None or listing.state != state_of(self.file):
            listing = read_record(self.file, self.folder)
        if listing is None or listing.experiment_id != self.experiment_id:
            return None
        self._listing = listing
        wanted = {key: run for key, run in listing.runs.items() if keys is None or key in keys}
        return wanted if all_in_place(wanted.values()) else None

    def known(self, keys: Collection[str] | None = None) -> dict[str, DoneRun] | None:
        """Finished cells as this process listed them, with what changed since; else those ``recorded``."""
        if self._listing is None:
            return self.recorded(keys)
        listing = self._renewed()
        if listing is None:
            return None
        return {key: run for key, run in listing.runs.items() if keys is None or key in keys}

    def artifacts(self, keys: Collection[str] | None = None) -> dict[str, Artifacts]:
        """The artifacts of finished cells by key (of ``keys`` where given), as the store has them now."""
        state, asked = state_of(self.file) if self.file else [], now()
        clauses = [FINISHED_CELLS]
        if keys is not None and len(keys) <= FEW:
            # The key first: databases begin with it, and look at the other tags of that run alone.
            clauses = [f"tags.`cell.key` = '{key}' and {FINISHED_CELLS}" for key in sorted(keys)]
        intact, damaged = intact_cells(itertools.chain.from_iterable(map(self.search, clauses)), self.client)
        report_damaged([v for k, v in damaged.items() if keys is None or k in keys], self.damaged)
        if clauses == [FINISHED_CELLS]:
            runs = {key: DoneRun.of(artifacts) for key, artifacts in intact.items()}
            listing = Listing(experiment_id=self.experiment_id, state=state, asked=asked, runs=runs)
            self._listing = listing if self.file and not damaged else None
        return {key: artifacts for key, artifacts in intact.items() if keys is None or key in keys}

    def among(self, runs: Iterable[Any]) -> dict[str, Artifacts]:
        """The artifacts of the cells that these runs, newest first, show as done; damage is reported."""
        intact, damaged = intact_cells(filter(is_complete, runs), self.client)
        report_damaged(damaged.values(), self.damaged)
        return intact

    def faults(self) -> dict[str, str]:
        """By run, what is wrong with the losses of finished cells that have no intact run; all are read."""
        faults: dict[str, tuple[str, str]] = {}
        intact = set()
        for run in self.search(FINISHED_CELLS):
            key = run.data.tags.get("cell.key", "")
            fault = "" if key in intact else artifacts_of(run, self.client).fault()
            if fault:
                faults.setdefault(key, (run.info.run_id, fault))
            else:
                intact.add(key)
        return dict(fault for key, fault in faults.items() if key not in intact)

    def keep(self, names: Sequence[str]) -> dict[str, DoneRun]:
        """All finished cells, recorded for whoever asks for the experiment by these names."""
        listing = self._renewed()
        if listing is None:
            runs = {key: DoneRun.of(artifacts) for key, artifacts in self.artifacts().items()}
            listing = self._listing
        else:
            runs = dict(listing.runs)
        # Not kept: while losses may be restored, or a run may die, which does not change the file.
        if self.file and listing is not None and listing.names != names and not any(self.search(RUNNING)):
            self._listing = replace(listing, names=names)
            write_record(self.folder, self._listing)
        return runs

    def _renewed(self) -> Listing | None:
        """The last listing with what has changed in the store since; None where all has to be asked for.

        That is the runs that ended since, whoever ran them, and those that were deleted. Runs of earlier
        times that are imported meanwhile are missed: before their cells are run, they are asked about.
        """
        last = self._listing
        if self.file is None or last is None:
            return None
        if (state := state_of(self.file)) == last.state:
            return last
        asked = now()
        since = f"{FINISHED_CELLS} and attributes.end_time >= {last.asked - CLOCKS_APART}"
        intact, damaged = intact_cells(self.search(since), self.client)
        gone = {run.info.run_id for run in self.search(FINISHED_CELLS, deleted=True)}
        if damaged or any(self.search(SUSPECTS)) or any(run.run_id in gone for run in last.runs.values()):
            return None
        runs = {**last.runs, **{key: DoneRun.of(artifacts) for key, artifacts in intact.items()}}
        self._listing = replace(last, state=state, asked=asked, runs=runs, names=None)
        return self._listing


def intact_cells(runs: Iterable[Any], client: Any) -> tuple[dict[str, Artifacts], dict[str, tuple[str, str]]]:
    """The artifacts of finished cells by key, and the damaged run with its damage of the other cells.

    Of several runs of a cell the first counts.
    """
    intact: dict[str, Artifacts] = {}
    damaged: dict[str, tuple[str, str]] = {}
    for run in runs:
        key = run.data.tags.get("cell.key", "")
        if key in intact:
            continue
        artifacts = artifacts_of(run, client)
        if reason := artifacts.damage():
            damaged.setdefault(key, (artifacts.run_id, reason))
        else:
            intact[key] = artifacts
    return intact, {key: run for key, run in damaged.items() if key not in intact}


def report_damaged(damaged: Iterable[tuple[str, str]], reported: dict[str, str]) -> None:
    """Report runs with their damage in one line, and add them to ``reported``; each is reported once."""
    new = [(run_id, reason) for run_id, reason in damaged if run_id not in reported]
    if any(run_id not in _LOGGED for run_id, _ in new):
        more = f"; {len(new) - 1} more runs are damaged (`mlproject ls`)" if len(new) > 1 else ""
        log.warning("run %s does not count as done: %s; its cell runs again%s", *new[0], more)
        _LOGGED.update(run_id for run_id, _ in new)
    reported.update(new)


def is_complete(run: Any) -> bool:
    """Whether a run is that of a finished cell, by its status and tags."""
    tags = run.data.tags
    marks = (run.info.status, tags.get("kind"), tags.get(COMPLETE))
    return marks == ("FINISHED", "cell", "true")


def record_of(run: Any, cell: Cell | None, client: Any, unreadable: str) -> dict[str, Any]:
    """The run of a cell as a plain record; ``unreadable`` says why its tags hold no cell."""
    tags = run.data.tags
    complete = run.info.status == "FINISHED" and tags.get(COMPLETE) == "true"
    damage = unreadable or (artifacts_of(run, client).damage() if complete else "")
    status = "done" if complete else run.info.status.lower()
    return {
        "cell": tags.get("cell.key", ""),
        "label": run.info.run_name,
        "coordinates": {} if cell is None else cell.to_dict(),
        "status": "damaged" if complete and damage else status,
        "damage": damage,
        "run_id": run.info.run_id,
        "digest": tags.get(LOSSES_DIGEST, ""),
        "metrics": dict(run.data.metrics),
    }


def beginning_with(name: str) -> tuple[str, ...]:
    """Conditions on runs whose cell's key, or whose id, begins with a name; none where no key or id does.

    MLflow's patterns ignore case, and ``_`` stands for any letter: the runs are to be compared once more.
    """
    is_beginning = re.fullmatch(r"[\w-]+", name, re.ASCII)
    return (f"tags.`cell.key` LIKE '{name}%'", f"attributes.run_id LIKE '{name}%'") if is_beginning else ()


def read_record(file: Path, folder: Path, *, names: Sequence[str] | None = None) -> Listing | None:
    """The record in ``folder`` of the store in ``file``; None where there is none, or one of another state.

    It is that of the experiment that was asked for by ``names``, where given.
    """
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        asked = now()  # what is true of the same state now was true when it was recorded
        record = read_signed(folder / DONE_FILE)
        *named, state = record["question"]
        if state == state_of(file) and (names is None or named == [*names]):
            runs = {key: DoneRun(*run) for key, run in record["runs"].items()}
            experiment_id = record["experiment"]
            return Listing(experiment_id=experiment_id, state=state, asked=asked, runs=runs, names=named)
    return None


def write_record(folder: Path, listing: Listing) -> None:
    """Keep a listing for those who ask for its experiment by its names."""
    content = {"question": [*(listing.names or ()), listing.state], "experiment": listing.experiment_id}
    with contextlib.suppress(OSError, NoRoom):  # a read-only or full folder: asked again next time
        write_signed(folder / DONE_FILE, content | {"runs": listing.runs})


def now() -> int:
    """Milliseconds since the epoch, as runs record when they ended."""
    return int(time.time() * 1000)


def all_in_place(runs: Iterable[DoneRun]) -> bool:
    """Whether the losses of runs are there and unchanged, as far as a look tells."""
    return all(seems_intact(local_folder(run.uri), run.ended) for run in runs)


def state_of(file: Path) -> list[str | int]:
    """Change counter, size and time of a SQLite store: they differ after every change."""
    with file.open("rb") as opened:
        state: list[str | int] = [opened.read(SQLITE_HEADER).hex()]
    for each in (file, file.with_name(file.name + "-wal")):
        with contextlib.suppress(FileNotFoundError):
            status = each.stat()
            state += [status.st_ino, status.st_size, status.st_mtime_ns]
    return state
