"""Sealed predictions: runs that hold what cells were predicted to give before they ran.

A prediction is a file whose SHA-256 is its seal. It names the newest predictions before it, and so does every
run of a cell that starts after it (the tag ``prediction.head``): a prediction that was changed or is gone
does not match what these say, and a cell that does not name it is not known to have run after it. The
experiment has a tag for each seal too. Deleted runs are read as the others are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlproject.cell import Cell
from mlproject.errors import BadInput
from mlproject.files import locked, sha256, temporary_folder
from mlproject.losses import cell_loss
from mlproject.tracking.artifacts import artifacts_of
from mlproject.tracking.done import COMPLETE
from mlproject.tracking.reach import reaching
from mlproject.tracking.store import Store
from mlproject.tracking.tracked_run import PREDICTION_HEAD, read_cell

KIND = "prediction"
FILE = "prediction.json"
KEY, SEAL, NUMBER, N_LOSSES = "prediction.key", "prediction.seal", "prediction.number", "prediction.losses"
LOCK = "predictions"
WITNESS = "prediction."
"""Begins the tags of an experiment that name its predictions."""


@dataclass(frozen=True, kw_only=True, order=True)
class Named:
    """A prediction as others name it; ``n_losses`` is 0 where they do not say how many losses it predicts."""

    number: int
    seal: str
    n_losses: int = 0

    @property
    def text(self) -> str:
        """``3:SEAL``."""
        return f"{self.number}:{self.seal}"


@dataclass(frozen=True, kw_only=True)
class LoggedPrediction:
    """The run of a prediction: what its tags say, and its file, empty where that is missing.

    ``key`` is equal for predictions of the same content; ``begun`` is when the run was, in ms.
    """

    run_id: str
    key: str
    named: Named
    content: bytes
    deleted: bool
    begun: int


@dataclass(frozen=True, kw_only=True)
class LoggedPredictions:
    """The predictions of an experiment by number, deleted ones too, and those that its tags name."""

    runs: tuple[LoggedPrediction, ...]
    witnessed: tuple[Named, ...]


@dataclass(frozen=True, kw_only=True)
class CellAttempt:
    """A run of a cell, finished or not, deleted or not, with times in ms; ``loss`` is None for none."""

    run_id: str
    cell: Cell
    status: str
    complete: bool
    loss: float | None
    begun: int
    ended: int
    head: tuple[Named, ...]
    deleted: bool


def read_predictions(store: Store) -> LoggedPredictions:
    """The predictions of an experiment, and what its tags and the newest run of a cell name."""
    runs = sorted(
        (_logged(store, run, deleted) for run, deleted in _all(store, f"tags.kind = '{KIND}'")),
        key=lambda run: (run.named.number, run.begun),
    )
    with reaching(store.uri):
        tags = store.client.get_experiment(store.experiment_id).tags
        newest = store.client.search_runs(
            [store.experiment_id], f"tags.`{PREDICTION_HEAD}` LIKE '%'", max_results=1
        )
    texts = [value for name, value in sorted(tags.items()) if name.startswith(WITNESS)]
    texts += [run.data.tags[PREDICTION_HEAD] for run in newest]
    return LoggedPredictions(
        runs=tuple(runs), witnessed=tuple(each for text in texts for each in names(text))
    )


def prediction_head(store: Store) -> str:
    """The newest predictions of the experiment as later runs name them; empty where there is none."""
    named = [_named(run.data.tags) for run, _ in _all(store, f"tags.kind = '{KIND}'")]
    return " ".join(each.text for each in _newest(named))


def _newest(named: Sequence[Named]) -> list[Named]:
    """Those of the largest number: two, where machines that share a server sealed at the same time."""
    largest = max((each.number for each in named), default=0)
    return sorted(each for each in named if each.number == largest)


def names(text: str) -> Iterator[Named]:
    """The predictions that a text names, as ``NUMBER:SEAL`` or ``NUMBER:SEAL:LOSSES``; others are passed."""
    for word in text.split():
        number, seal, n_losses = (*word.split(":"), "", "")[:3]
        if number.isdecimal() and seal:
            yield Named(number=int(number), seal=seal, n_losses=_count(n_losses))


def seal_prediction(
    store: Store, *, key: str, name: str, n_losses: int, write: Callable[[int, Sequence[Named]], bytes]
) -> tuple[LoggedPrediction, bool]:
    """Track a prediction, or give the earlier one of the same ``key``; and whether it is new.

    ``write`` gives its file for a number and the newest predictions before it. A prediction that is killed
    before its seal is logged is none. One process at a time seals.
    """
    with locked(store.lock_path(LOCK)):
        known = read_predictions(store)
        for earlier in known.runs:
            if earlier.key == key:
                _witness(store, earlier.named)
                return earlier, False
        numbers = [run.named.number for run in known.runs] + [each.number for each in known.witnessed]
        number = 1 + max(numbers, default=0)
        content = write(number, _newest([run.named for run in known.runs]))
        named = Named(number=number, seal=sha256(content), n_losses=n_losses)
        with (
            store.run(kind=KIND, name=f"prediction {number} · {name}", tags={}, adopt=True) as run,
            temporary_folder() as folder,
        ):
            (folder / FILE).write_bytes(content)
            run.log_files(folder)
            tags = {KEY: key, NUMBER: str(number), N_LOSSES: str(n_losses), SEAL: named.seal}
            run.log(tags=tags)
        _witness(store, named)
        begun = store.client.get_run(run.run_id).info.start_time
    return LoggedPrediction(
        run_id=run.run_id, key=key, named=named, content=content, deleted=False, begun=begun
    ), True


def attempts_at_size(store: Store, size: int, *, everywhere: bool = False) -> Iterator[CellAttempt]:
    """All runs of cells of so many training images, finished or not, deleted or not.

    With ``everywhere`` those of all experiments of the tracking store.
    """
    clause = f"tags.kind = 'cell' and tags.`cell.json` LIKE '%\"dataset_size\": {size},%'"
    for run, deleted in _all(store, clause, everywhere):
        with contextlib.suppress(BadInput):  # tags that hold no cell
            yield CellAttempt(
                run_id=run.info.run_id,
                cell=read_cell(run.data.tags),
                status=run.info.status,
                complete=run.info.status == "FINISHED" and run.data.tags.get(COMPLETE) == "true",
                loss=cell_loss(run.data.metrics),
                begun=run.info.start_time or 0,
                ended=run.info.end_time or 0,
                head=tuple(names(run.data.tags.get(PREDICTION_HEAD, ""))),
                deleted=deleted,
            )


def _all(store: Store, clause: str, everywhere: bool = False) -> Iterator[tuple[Any, bool]]:
    """The runs that match a condition, and those that were deleted."""
    for deleted in (False, True):
        for run in store.search(clause, deleted=deleted, everywhere=everywhere):
            if run.data.tags.get("kind") != KIND or SEAL in run.data.tags:
                yield run, deleted


def _named(tags: Mapping[str, str]) -> Named:
    number, n_losses = (_count(tags.get(name, "")) for name in (NUMBER, N_LOSSES))
    return Named(number=number, seal=tags[SEAL], n_losses=n_losses)


def _count(text: str) -> int:
    """A count that was written as text; 0 where it is none."""
    return int(text) if text.isdecimal() else 0


def _logged(store: Store, run: Any, deleted: bool) -> LoggedPrediction:
    content = b""
    with reaching(store.uri), contextlib.suppress(FileNotFoundError):
        content = artifacts_of(run, store.client).path(FILE).read_bytes()
    return LoggedPrediction(
        run_id=run.info.run_id,
        key=run.data.tags.get(KEY, ""),
        named=_named(run.data.tags),
        content=content,
        deleted=deleted,
        begun=run.info.start_time or 0,
    )


def _witness(store: Store, named: Named) -> None:
    """Name a prediction among the tags of its experiment."""
    with reaching(store.uri):
        text = f"{named.text}:{named.n_losses}"
        store.client.set_experiment_tag(store.experiment_id, f"{WITNESS}{named.seal[:16]}", text)
