"""The record of an experiment's sealed predictions: what came of each, and how often intervals held it.

A prediction is scored once the cells of all its seeds are finished, against the first run of each that
finished, whether it was deleted since or not. It is left unscored, with its reason, where

- it was *altered*: its file differs from its seal, or others name another seal of its number;
- it is *missing*: others name it and nothing is left of it;
- it is *late*: a run of its cells does not name it, so that nothing shows that the run began after it;
- it is *repeated*: an earlier prediction of the same cells says the same.

Coverage is cumulative in the order in which predictions were settled, with Wilson's interval (Wilson 1927, J.
Amer. Statist. Assoc. 22, 209) of a share of independent trials.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from scipy.stats import binomtest

from mlproject.analysis.comparable import key_of_curve
from mlproject.analysis.predicted_losses import PredictedLoss, log_score
from mlproject.analysis.sealed_prediction import Name, SealedPrediction
from mlproject.cell import Cell
from mlproject.scaling import Estimate

Verdict = Literal["pending", "inside", "outside", "late", "altered", "missing", "repeated"]
SCORED: tuple[Verdict, ...] = ("inside", "outside")
SPOILT: tuple[Verdict, ...] = ("late", "altered", "missing")
CLOCKS_APART = 3600.0
"""Seconds by which the clocks of machines that share a store may differ, at most."""


@dataclass(frozen=True, kw_only=True)
class TargetRun:
    """A finished run of a predicted cell; ``names`` are the predictions that it names, times in seconds."""

    cell: Cell
    run_id: str
    loss: float
    begun: float
    ended: float
    names: tuple[Name, ...]
    deleted: bool


@dataclass(frozen=True, kw_only=True)
class MissingPrediction:
    """A prediction that others name and of which nothing is left; it predicted ``n_losses``, 1 or more."""

    number: int
    seal: str
    n_losses: int


@dataclass(frozen=True, kw_only=True)
class ScoredLoss:
    """What came of a predicted loss: a verdict with its reason, and where it is scored, the scores.

    ``observed`` is the mean over seeds, known as far as ``runs`` are finished; ``error`` is ln(observed /
    predicted); log scores are in nats. ``settled`` is when the last run ended, in seconds.
    """

    prediction: SealedPrediction
    predicted: PredictedLoss
    verdict: Verdict
    reason: str
    runs: tuple[TargetRun, ...] = ()
    observed: float | None = None
    error: float | None = None
    log_score: float | None = None
    power_log_score: float | None = None
    settled: float = math.inf


@dataclass(frozen=True, kw_only=True)
class CoverageStep:
    """How many of the predictions settled so far were inside, and their share with its 95 % interval."""

    n: int
    n_inside: int
    share: Estimate


@dataclass(frozen=True, kw_only=True)
class PredictionRecord:
    """All predictions of an experiment by number, and what came of them."""

    predictions: tuple[SealedPrediction, ...]
    losses: tuple[ScoredLoss, ...]
    missing: tuple[MissingPrediction, ...] = ()

    @cached_property
    def scored(self) -> tuple[ScoredLoss, ...]:
        """The losses that are inside or outside, in the order in which they were settled."""
        scored = [each for each in self.losses if each.verdict in SCORED]
        return tuple(sorted(scored, key=lambda each: each.settled))

    def count(self, *verdicts: Verdict) -> int:
        """How many losses have one of these verdicts."""
        altered = [each.n_losses for each in self.predictions if each.fault and "altered" in verdicts]
        missing = [each.n_losses for each in self.missing if "missing" in verdicts]
        return (
            sum(altered)
            + sum(missing)
            + sum(each.verdict in verdicts for each in self.losses if not each.prediction.fault)
        )

    @cached_property
    def coverage(self) -> tuple[CoverageStep, ...]:
        """Cumulative coverage after each scored loss."""
        inside = np.cumsum([each.verdict == "inside" for each in self.scored], dtype=int)
        return tuple(coverage(int(k), n) for n, k in enumerate(inside, 1))

    @property
    def least_coverage(self) -> CoverageStep | None:
        """The coverage where all that is late, altered or missing is outside; None without any loss."""
        n = self.count(*SCORED, *SPOILT)
        return coverage(self.count("inside"), n) if n else None

    @property
    def mean_log_scores(self) -> tuple[float, float] | None:
        """The mean log score of the scored losses that have a baseline, and that of the baseline."""
        pairs = [(each.log_score, each.power_log_score) for each in self.scored]
        known = [pair for pair in pairs if None not in pair]
        return tuple(np.mean(np.array(known, float), axis=0).tolist()) if known else None

    @cached_property
    def digest(self) -> str:
        """16 digits that change with everything that the record says."""
        rows = [(each.prediction.seal, each.verdict, each.reason, each.observed) for each in self.losses]
        seals = [(each.number, each.seal, each.fault, each.deleted) for each in self.predictions]
        return hashlib.sha256(repr((seals, rows, self.missing)).encode()).hexdigest()[:16]


def coverage(n_inside: int, n: int) -> CoverageStep:
    """The share of n that is inside, with Wilson's 95 % interval."""
    ends = binomtest(n_inside, n).proportion_ci(method="wilson")
    share = Estimate(value=n_inside / n, low=float(ends.low), high=float(ends.high))
    return CoverageStep(n=n, n_inside=n_inside, share=share)


def score_predictions(
    predictions: Iterable[SealedPrediction],
    witnessed: Mapping[Name, int],
    runs: Iterable[TargetRun],
) -> PredictionRecord:
    """Score predictions against the finished runs of their cells.

    ``witnessed`` are further predictions that the experiment names, by number and seal, with how many losses
    each predicts (0 where that is not known).
    """
    known = sorted(predictions, key=lambda each: (each.number, each.sealed))
    finished = _first_runs(runs)
    named = dict(witnessed)
    lists = [each.names for each in known if not each.fault] + [run.names for run in finished.values()]
    for name in itertools.chain.from_iterable(lists):
        named.setdefault(name, 0)
    known, missing = _checked(known, named)
    losses, first_by_content = [], dict[tuple[Any, ...], int]()
    for prediction, predicted in ((each, loss) for each in known for loss in each.losses):
        row = _scored(prediction, predicted, finished)
        if not prediction.fault:
            first = first_by_content.setdefault(_content(predicted), prediction.number)
            row = row if first == prediction.number else _repeated(row, first)
        losses.append(row)
    return PredictionRecord(predictions=tuple(known), losses=tuple(losses), missing=missing)


def _content(predicted: PredictedLoss) -> tuple[Any, ...]:
    """What a prediction says: of which cells, and which interval."""
    cell = predicted.cell
    return key_of_curve(cell), cell.dataset_size, tuple(predicted.seeds), predicted.loss


def _repeated(row: ScoredLoss, first: int) -> ScoredLoss:
    reason = f"prediction {first} says the same"
    return replace(row, verdict="repeated", reason=reason, error=None, log_score=None, power_log_score=None)


Place = tuple[str, int, int]
"""A cell by its curve, size and seed."""


def _first_runs(runs: Iterable[TargetRun]) -> dict[Place, TargetRun]:
    """The run of each cell that finished first: another one, and a deletion, change nothing."""
    first: dict[Place, TargetRun] = {}
    for run in sorted(runs, key=lambda run: run.ended):
        first.setdefault((key_of_curve(run.cell), run.cell.dataset_size, run.cell.seed), run)
    return first


def _checked(
    known: Sequence[SealedPrediction], named: Mapping[Name, int]
) -> tuple[list[SealedPrediction], tuple[MissingPrediction, ...]]:
    """The predictions with the faults that show in how others name them, and those that are missing."""
    gone = {name: n for name, n in named.items() if name not in {each.name for each in known}}
    checked = []
    for prediction in known:
        each = prediction
        others = {name: n for name, n in gone.items() if name[0] == each.number}
        after = [later for later in known if later.number == each.number + 1 and not later.fault]
        if others and each.name not in named:
            gone = {name: n for name, n in gone.items() if name not in others}
            fault = f"it was sealed as {next(iter(others))[1][:16]}…"
            each = each.spoilt(fault, max(others.values()))
        elif after and not any(each.name in later.names for later in after):
            each = each.spoilt(f"prediction {each.number + 1} does not name it, which came after it", 0)
        checked.append(each)
    missing = (
        MissingPrediction(number=number, seal=seal, n_losses=max(1, n))
        for (number, seal), n in sorted(gone.items())
    )
    return checked, tuple(missing)


def _scored(
    prediction: SealedPrediction, predicted: PredictedLoss, finished: Mapping[Place, TargetRun]
) -> ScoredLoss:
    key, size = key_of_curve(predicted.cell), predicted.cell.dataset_size
    runs = [finished[key, size, seed] for seed in predicted.seeds if (key, size, seed) in finished]
    observed = float(np.mean([run.loss for run in runs])) if len(runs) == len(predicted.seeds) else None
    verdict, reason = _verdict(prediction, predicted, runs, observed)
    row = ScoredLoss(
        prediction=prediction,
        predicted=predicted,
        verdict=verdict,
        reason=reason,
        runs=tuple(runs),
        observed=observed,
    )
    if observed is None or verdict not in SCORED:
        return row
    return replace(
        row,
        error=math.log(observed / predicted.loss.value),
        log_score=log_score(predicted.loss, observed),
        power_log_score=None if predicted.power is None else log_score(predicted.power, observed),
        settled=max(run.ended for run in runs),
    )


def _verdict(
    prediction: SealedPrediction, predicted: PredictedLoss, runs: Sequence[TargetRun], observed: float | None
) -> tuple[Verdict, str]:
    if prediction.fault:
        return "altered", prediction.fault
    for run in runs:
        if why := _late(prediction, run):
            return "late", why
    if observed is None:
        return "pending", f"{len(runs)} of {len(predicted.seeds)} runs are finished"
    notes = ["the prediction was deleted since"] if prediction.deleted else []
    if deleted := sum(run.deleted for run in runs):
        notes.append(f"{deleted} of its runs {'were' if deleted > 1 else 'was'} deleted since")
    return ("inside" if predicted.loss.holds(observed) else "outside"), "; ".join(notes)


def _late(prediction: SealedPrediction, run: TargetRun) -> str:
    """Why it is not known that a run began after a prediction; empty where it is."""
    after = any(seal == prediction.seal or number > prediction.number for number, seal in run.names)
    if not after:
        return f"run {run.run_id[:8]} does not name it: its plan may have begun before"
    if run.begun + CLOCKS_APART < prediction.sealed:
        return f"run {run.run_id[:8]} began before it was sealed"
    return ""
