"""Run the search of a coordinate: claim trials, train them together, finish them, test the optimum."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mlproject.cell import Cell, Knob
from mlproject.data import ImageSet
from mlproject.errors import MLProjectError, WrongUse
from mlproject.progress import Report
from mlproject.recipes import build_recipe
from mlproject.tuning.coordinate import Coordinate

if TYPE_CHECKING:
    from mlproject.tuning.search.storage import Storage
    from mlproject.tuning.search.study import ClaimedTrial, FinishedTrial, TrialStudy
    from mlproject.tuning.trials import DescentCache, LossCurve
else:
    # Optuna and torch are imported when a search runs.
    ClaimedTrial = DescentCache = FinishedTrial = LossCurve = Storage = TrialStudy = Any

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


@dataclass(kw_only=True)
class Tuner:
    """Searches in one storage, which other processes may run at the same time."""

    storage: Storage
    watcher: Any
    _studies: dict[str, TrialStudy] = field(default_factory=dict)
    _descents: DescentCache | None = None

    def advance(self, coordinate: Coordinate, images: ImageSet) -> SearchResult | None:
        """Run the free trials of a coordinate; its result, or None while other processes run its last trials.

        Raises: MLProjectError when no trial has a finite loss, and what data, weights or storage raise.
        """
        study = self._study(coordinate)
        self._count(study)
        while trials := study.claim():
            try:
                self._run(study, coordinate, images, trials)
            except BaseException:
                with contextlib.suppress(Exception):  # the first error is reported
                    study.give_up(trials)
                raise
            self._count(study)
        return self._result(study, coordinate, images) if study.done else None

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

    def _run(
        self,
        study: TrialStudy,
        coordinate: Coordinate,
        images: ImageSet,
        claimed: Sequence[ClaimedTrial],
    ) -> None:
        from mlproject.tuning.trials import DescentCache, validation_curves

        lengths, trials, cells = coordinate.lengths, [], []
        longest = {coordinate.length: lengths[-1]} if coordinate.length else {}
        for trial in claimed:
            cell = coordinate.placed(coordinate.trial, {**trial.knobs, **longest})
            try:
                build_recipe(cell.recipe, cell.knobs)
            except WrongUse as fault:  # knobs that exclude each other cost this trial only
                study.finish(trial, None, chosen={}, reason=str(fault))
                continue
            trials.append(trial)
            cells.append(cell)
        if not cells:
            return

        def prune(position: int, length: int, loss: float) -> bool:
            pruning = coordinate.tune.pruner != "none" and length < lengths[-1]
            return pruning and trials[position].report(length, loss)

        self._descents = self._descents or DescentCache()
        curves = validation_curves(cells, images, lengths, self.watcher, prune, self._descents)
        for trial, curve in zip(trials, curves, strict=True):
            loss, chosen, reason = _read(curve, coordinate)
            study.finish(trial, loss, chosen=chosen, reason=reason)

    def _result(self, study: TrialStudy, coordinate: Coordinate, images: ImageSet) -> SearchResult:
        trials, best = study.finished(), study.best()
        if best is None:
            why = next((t.reason for t in trials if t.reason), "no trial was finished in time")
            raise MLProjectError(
                f"no knobs found: none of {len(trials)} trials has a validation loss ({why})"
            )
        facts = study.facts
        if facts.get("number") != best.number:
            facts = {"number": best.number, "losses": self._flatness(coordinate, images, best)}
            study.keep_facts(facts)
        return SearchResult(
            coordinate=coordinate,
            best=best,
            trials=tuple(trials),
            flatness=facts["losses"],
            importances=study.importances(),
            warnings=tuple(_edges(coordinate, best.knobs)),
        )

    def _flatness(self, coordinate: Coordinate, images: ImageSet, best: FinishedTrial) -> dict[str, float]:
        """Validation losses of the best knobs again, and at half and twice the learning rate."""
        from mlproject.tuning.trials import DescentCache, validation_curves

        if "lr" not in coordinate.tune.space:
            return {}
        lr = float(best.knobs["lr"])
        rates = {"best_lr": lr, "half_lr": lr / 2, "double_lr": lr * 2}
        cells = [coordinate.placed(coordinate.trial, {**best.knobs, "lr": rate}) for rate in rates.values()]
        self._descents = self._descents or DescentCache()
        curves = validation_curves(cells, images, (), self.watcher, lambda *_: False, self._descents)
        return {name: curve.losses[-1] for name, curve in zip(rates, curves, strict=True) if curve.losses}


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
