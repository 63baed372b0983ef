"""A coordinate's search run to its end: claim, train side by side, tell; then how flat the best lies."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from mlproject.cell import Cell, Knob
from mlproject.data import ImageSet
from mlproject.errors import MLProjectError, WrongUse
from mlproject.progress import Report
from mlproject.recipes import build_recipe
from mlproject.tuning.coordinate import Coordinate
from mlproject.tuning.search.storage import Storage
from mlproject.tuning.search.study import Asked, Study, Tried
from mlproject.tuning.trials import DescentCache, LossCurve, validation_curves

NATURAL_LOWS = {"epochs": 1, "steps": 1, "batch_size": 1, "weight_decay": 0.0, "dropout": 0.0}
"""Bounds that no range can be widened beyond."""


@runtime_checkable
class TrialWatcher(Report, Protocol):
    """Progress of searches: a report that is also told of trials."""

    def tried(self, name: str, done: int, best: float) -> None:
        """So many trials of a study are done; ``best`` is the least loss so far."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What a finished search found: the best trial, the cells to run with its knobs, and what to say of it.

    ``flatness`` is the best trial's validation loss run again, and at half and twice its learning rate.
    """

    coordinate: Coordinate
    best: Tried
    tried: tuple[Tried, ...]
    flatness: Mapping[str, float]
    importances: Mapping[str, float]
    warnings: tuple[str, ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The coordinate's cells with the best knobs."""
        return self.coordinate.tuned(self.best.knobs)


@dataclass(kw_only=True)
class Tuner:
    """Searches in one storage; other processes may be at work on the same ones."""

    storage: Storage
    watcher: Any
    _studies: dict[str, Study] = field(default_factory=dict)
    _descents: DescentCache = field(default_factory=DescentCache)

    def advance(self, coordinate: Coordinate, images: ImageSet) -> Chosen | None:
        """Run what is free of a coordinate's trials; what was found, or None while others are at work.

        Raises: MLProjectError when no trial has a finite loss, and what data, weights or storage raise.
        """
        study = self._study(coordinate)
        self._tell(study, coordinate)
        while asked := study.claim():
            try:
                self._run(study, coordinate, images, asked)
            except BaseException:
                with contextlib.suppress(Exception):  # the first error is the one to report
                    study.give_up(asked)
                raise
            self._tell(study, coordinate)
        return self._chosen(study, coordinate, images) if study.done else None

    def _study(self, coordinate: Coordinate) -> Study:
        name = coordinate.name
        if name not in self._studies:
            self._studies[name] = Study(
                storage=self.storage,
                name=name,
                tune=coordinate.tune,
                space=coordinate.searched,
                first=coordinate.first,
            )
        return self._studies[name]

    def _tell(self, study: Study, coordinate: Coordinate) -> None:
        losses = [t.loss for t in study.tried() if t.state == "complete" and t.loss is not None]
        self.watcher.tried(study.name, len(study.tried()), min(losses, default=float("nan")))

    def _run(self, study: Study, coordinate: Coordinate, images: ImageSet, asked: Sequence[Asked]) -> None:
        lengths, able, cells = coordinate.lengths, [], []
        longest = {coordinate.length: lengths[-1]} if coordinate.length else {}
        for one in asked:
            cell = coordinate.placed(coordinate.trial, {**one.knobs, **longest})
            try:
                build_recipe(cell.recipe, cell.knobs)
            except WrongUse as fault:  # knobs that exclude each other: no place to look for the best
                study.finish(one, None, chosen={}, reason=str(fault))
                continue
            able.append(one)
            cells.append(cell)
        if not cells:
            return

        def prune(position: int, length: int, loss: float) -> bool:
            pruning = coordinate.tune.pruner != "none" and length < lengths[-1]
            return pruning and able[position].report(length, loss)

        curves = validation_curves(cells, images, lengths, self.watcher, prune, self._descents)
        for one, curve in zip(able, curves, strict=True):
            loss, chosen, reason = _read(curve, coordinate)
            study.finish(one, loss, chosen=chosen, reason=reason)

    def _chosen(self, study: Study, coordinate: Coordinate, images: ImageSet) -> Chosen:
        tried, best = study.tried(), study.best()
        if best is None:
            why = next((t.reason for t in tried if t.reason), "no trial was finished in time")
            raise MLProjectError(f"no knobs found: none of {len(tried)} trials has a validation loss ({why})")
        facts = study.facts
        if facts.get("number") != best.number:
            facts = {"number": best.number, "losses": self._flatness(coordinate, images, best)}
            study.keep_facts(facts)
        return Chosen(
            coordinate=coordinate,
            best=best,
            tried=tuple(tried),
            flatness=facts["losses"],
            importances=study.importances(),
            warnings=tuple(_edges(coordinate, best.knobs)),
        )

    def _flatness(self, coordinate: Coordinate, images: ImageSet, best: Tried) -> dict[str, float]:
        """The best trial once more, and beside it at half and twice its learning rate."""
        if "lr" not in coordinate.tune.space:
            return {}
        lr = float(best.knobs["lr"])
        rates = {"best_lr": lr, "half_lr": lr / 2, "double_lr": lr * 2}
        cells = [coordinate.placed(coordinate.trial, {**best.knobs, "lr": rate}) for rate in rates.values()]
        curves = validation_curves(cells, images, (), self.watcher, lambda *_: False, self._descents)
        found = {name: curve.losses for name, curve in zip(rates, curves, strict=True)}
        return {name: losses[-1] for name, losses in found.items() if losses}


def _read(curve: LossCurve, coordinate: Coordinate) -> tuple[float | None, dict[str, Knob], str]:
    """A trial's loss, the knobs that are read off its curve, and why it has no loss that counts."""
    if not curve.losses:
        return None, {}, curve.reason or "no loss"
    if coordinate.length:
        best = min(range(len(curve.losses)), key=lambda i: curve.losses[i])
        return curve.losses[best], {coordinate.length: curve.lengths[best]}, curve.reason
    ended = coordinate.lengths and curve.lengths[-1] < coordinate.lengths[-1]
    reason = curve.reason or (f"diverged after length {curve.lengths[-1]}" if ended else "")
    return curve.losses[-1], {}, reason


def _edges(coordinate: Coordinate, knobs: Mapping[str, Knob]) -> list[str]:
    """A sentence for each best value that lies at the edge of its range."""
    said = []
    for name, dimension in coordinate.tune.space.items():
        value = knobs[name]
        edge = dimension.edge(float(value)) if isinstance(value, (int, float)) else ""
        if not edge or (edge == "low" and dimension.ends[0] == NATURAL_LOWS.get(name)):
            continue
        bound = dimension.ends[0 if edge == "low" else -1]
        said.append(
            f"{coordinate.label}: the best {name}, {value:.4g}, lies at the {edge} edge of its range"
            f" ({edge} = {bound:g}); widen it, and widen=true keeps the trials"
        )
    return said
