"""Run the search of a coordinate: claim trials, finish them with their losses, test the optimum."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mlproject.cell import Cell, Knob
from mlproject.errors import MLProjectError, WrongUse
from mlproject.losses import Report
from mlproject.recipes import build_recipe
from mlproject.tracking import sqlite_path
from mlproject.tuning.coordinate import Coordinate

if TYPE_CHECKING:
    from mlproject.tuning.search.storage import Storage
    from mlproject.tuning.search.study import ClaimedTrial, FinishedTrial, TrialStudy
    from mlproject.tuning.trials import LossCurve, TrialLosses
else:
    # Optuna and torch are imported when a search runs.
    ClaimedTrial = FinishedTrial = LossCurve = Storage = TrialLosses = TrialStudy = Any

FLATNESS = ("best_lr", "half_lr", "double_lr")
"""Learning rates at which the best knobs are run again."""
NATURAL_LOWS = {"epochs": 1, "steps": 1, "batch_size": 1, "weight_decay": 0.0, "dropout": 0.0}
"""Lower bounds of the knobs themselves: an optimum there needs no wider range."""


@runtime_checkable
class TrialWatcher(Report, Protocol):
    """Progress callback of searches, which also counts trials."""

    def count_trials(self, name: str, done: int, best: float) -> None:
        """``done`` trials of the study ``name`` are finished; ``best`` is the smallest loss so far."""


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """A finished search: the best trial, all trials, and the evidence on the optimum.

    ``flatness`` is the validation loss of the best knobs run again, and at half and twice the learning rate;
    ``importances`` are the shares of the loss' variance that knobs explain.
    """

    coordinate: Coordinate
    best: FinishedTrial
    trials: tuple[FinishedTrial, ...]
    flatness: Mapping[str, float]
    importances: Mapping[str, float]
    warnings: tuple[str, ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The coordinate's cells with the best knobs."""
        return self.coordinate.tuned(self.best.knobs)


@dataclass(frozen=True, kw_only=True)
class TrialBlock:
    """Cells of trials that any process can evaluate together, at these lengths of one training each.

    ``pruning``: a pruner looks at their losses at each length.
    """

    cells: tuple[Cell, ...]
    lengths: tuple[int, ...] = ()
    pruning: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Claim:
    """Trials of a coordinate that this process has claimed, and the block that evaluates them."""

    coordinate: Coordinate
    trials: tuple[ClaimedTrial, ...]
    block: TrialBlock

    def prune(self, position: int, length: int, loss: float) -> bool:
        """Report a trial's loss at a length to the pruner; whether it is to be stopped there."""
        pruning = self.block.pruning and length < self.block.lengths[-1]
        return pruning and self.trials[position].report(length, loss)


@dataclass(kw_only=True)
class Tuner:
    """Searches in one storage, which other processes may run at the same time.

    Trials are asked for and reported here; whoever has a claim evaluates its block, in any process.
    """

    storage: Storage
    watcher: Any
    _studies: dict[str, TrialStudy] = field(default_factory=dict)
    _claims: list[Claim] = field(default_factory=list)

    def claim(self, coordinate: Coordinate) -> Claim | None:
        """Claim free trials of a coordinate; None where all are finished, or run by other processes."""
        study = self._study(coordinate)
        self._count(study)
        while claimed := study.claim():
            if claim := self._runnable(study, coordinate, claimed):
                self._claims.append(claim)
                return claim
            self._count(study)
        return None

    def finish(self, claim: Claim, losses: TrialLosses) -> None:
        """Finish the claimed trials with their losses, those of another process pruned as they came."""
        study = self._study(claim.coordinate)
        for trial, curve in zip(claim.trials, losses.pruned(claim.prune), strict=True):
            loss, chosen, reason = _read(curve, claim.coordinate)
            study.finish(trial, loss, chosen=chosen, reason=reason)
        self._claims.remove(claim)

    def give_up(self, claim: Claim | None = None) -> None:
        """Give up the trials of a claim, or all that are not finished: other processes may claim them."""
        for each in [claim] if claim else list(self._claims):
            with contextlib.suppress(Exception):  # the first error is reported
                self._study(each.coordinate).give_up(each.trials)
            self._claims.remove(each)

    def checks(self, coordinate: Coordinate) -> TrialBlock | None:
        """What shows how flat the optimum of a search is; None while other processes run its last trials.

        The cells are the best knobs again, and at half and twice the learning rate; there are none where
        that is known already, or no learning rate is tuned. Raises: MLProjectError when no trial has a loss.
        """
        study = self._study(coordinate)
        if not study.done:
            return None
        best = self._best(study)
        if study.facts.get("number") == best.number or "lr" not in coordinate.tune.space:
            return TrialBlock(cells=())
        lr = float(best.knobs["lr"])
        knobs = [{**best.knobs, "lr": rate} for rate in (lr, lr / 2, lr * 2)]
        return TrialBlock(cells=tuple(coordinate.placed(coordinate.trial, each) for each in knobs))

    def result(self, coordinate: Coordinate, checked: TrialLosses | None) -> SearchResult:
        """The result of a search whose trials are finished, and whose ``checks`` have these losses."""
        study = self._study(coordinate)
        best, facts = self._best(study), study.facts
        if facts.get("number") != best.number:
            curves = zip(FLATNESS, checked.curves, strict=True) if checked else ()
            losses = {name: curve.losses[-1] for name, curve in curves if curve.losses}
            facts = {"number": best.number, "losses": losses}
            study.keep_facts(facts)
        return SearchResult(
            coordinate=coordinate,
            best=best,
            trials=tuple(study.finished()),
            flatness=facts["losses"],
            importances=study.importances(),
            warnings=tuple(_edges(coordinate, best.knobs)),
        )

    def _study(self, coordinate: Coordinate) -> TrialStudy:
        from mlproject.tuning.search.study import TrialStudy

        name = coordinate.name
        if name not in self._studies:
            self._studies[name] = TrialStudy(
                storage=self.storage,
                name=name,
                tune=coordinate.tune,
                space=coordinate.searched,
                first=coordinate.first,
            )
        return self._studies[name]

    def _count(self, study: TrialStudy) -> None:
        trials = study.finished()
        losses = [t.loss for t in trials if t.state == "complete" and t.loss is not None]
        self.watcher.count_trials(study.name, len(trials), min(losses, default=float("nan")))

    def _runnable(
        self, study: TrialStudy, coordinate: Coordinate, claimed: Sequence[ClaimedTrial]
    ) -> Claim | None:
        """The claim of those trials whose knobs do not exclude each other; the others are finished."""
        lengths, trials, cells = coordinate.lengths, [], []
        longest = {coordinate.length: lengths[-1]} if coordinate.length else {}
        for trial in claimed:
            cell = coordinate.placed(coordinate.trial, {**trial.knobs, **longest})
            try:
                build_recipe(cell.recipe, cell.knobs)
            except WrongUse as fault:  # costs this trial only
                study.finish(trial, None, chosen={}, reason=str(fault))
                continue
            trials.append(trial)
            cells.append(cell)
        block = TrialBlock(
            cells=tuple(cells), lengths=tuple(lengths), pruning=coordinate.tune.pruner != "none"
        )
        return Claim(coordinate=coordinate, trials=tuple(trials), block=block) if cells else None

    @staticmethod
    def _best(study: TrialStudy) -> FinishedTrial:
        from mlproject.tuning.search.study import best_of

        trials = study.finished()
        best = best_of(trials)
        if best is None:
            why = next((t.reason for t in trials if t.reason), "no trial was finished in time")
            raise MLProjectError(
                f"no knobs found: none of {len(trials)} trials has a validation loss ({why})"
            )
        return best


@contextlib.contextmanager
def open_tuner(url: str, default: Path, watcher: TrialWatcher) -> Iterator[Tuner]:
    """Open a tuner whose studies are stored at ``url`` (default: the journal file ``default``)."""
    from mlproject.tuning.search.storage import open_storage

    with open_storage(url, default) as storage:
        yield Tuner(storage=storage, watcher=watcher)


def fail_trials(url: str, default: Path, host: str) -> tuple[int, set[str]]:
    """Fail the running trials of a host that is gone, in all studies, as ``Storage.fail_trials`` does."""
    from mlproject.tuning.search.storage import open_storage

    if not url and not default.exists():  # no study yet
        return 0, set()
    with open_storage(url, default) as storage:
        return storage.fail_trials(host)


@dataclass(frozen=True, kw_only=True)
class StoredSearch:
    """How far the search of a coordinate is: its finished trials, and its cells once all are finished."""

    coordinate: Coordinate
    n_finished: int = 0
    cells: tuple[Cell, ...] = ()


def stored_searches(url: str, default: Path, searched: Sequence[Coordinate]) -> list[StoredSearch]:
    """How far searches are by what their storage holds; where there is none yet, none is made.

    Raises: StoreUnreachable.
    """
    journal = url.removeprefix("journal:") if url else str(default)
    file = sqlite_path(url) if "://" in url else Path(journal)
    if file is not None and not file.exists():
        return [StoredSearch(coordinate=coordinate) for coordinate in searched]
    from mlproject.tuning.search.storage import open_storage
    from mlproject.tuning.search.study import stored_trials

    with open_storage(url, default) as storage:
        trials = stored_trials(storage)
    return [_stored(coordinate, trials.get(coordinate.name, [])) for coordinate in searched]


def _stored(coordinate: Coordinate, trials: Sequence[FinishedTrial]) -> StoredSearch:
    from mlproject.tuning.search.study import best_of

    best = best_of(trials) if len(trials) >= coordinate.tune.trials else None
    cells = coordinate.tuned(best.knobs) if best else ()
    return StoredSearch(coordinate=coordinate, n_finished=len(trials), cells=cells)


def _read(curve: LossCurve, coordinate: Coordinate) -> tuple[float | None, dict[str, Knob], str]:
    """A trial's loss, the knobs that are read off its curve, and the reason where it has no valid loss."""
    if not curve.losses:
        return None, {}, curve.reason or "no loss"
    if coordinate.length:
        best = min(range(len(curve.losses)), key=lambda i: curve.losses[i])
        return curve.losses[best], {coordinate.length: curve.lengths[best]}, curve.reason
    ended = coordinate.lengths and curve.lengths[-1] < coordinate.lengths[-1]
    reason = curve.reason or (f"diverged after length {curve.lengths[-1]}" if ended else "")
    return curve.losses[-1], {}, reason


def _edges(coordinate: Coordinate, knobs: Mapping[str, Knob]) -> list[str]:
    """A warning for each best value that lies at the edge of its range."""
    warnings = []
    for name, dimension in coordinate.tune.space.items():
        value = knobs[name]
        edge = dimension.edge(float(value)) if isinstance(value, (int, float)) else ""
        if not edge or (edge == "low" and dimension.ends[0] == NATURAL_LOWS.get(name)):
            continue
        bound = dimension.ends[0 if edge == "low" else -1]
        warnings.append(
            f"{coordinate.label}: the best {name}, {value:.4g}, lies at the {edge} edge of its range"
            f" ({edge} = {bound:g}); widen it, and widen=true keeps the trials"
        )
    return warnings
