"""The iteration ledger: the parent of every network, the change that was made, and its gain at equal cost.

For runs of networks that were trained whole and have a history by epoch. An arm is what runs share that
differ in their seed alone; a family is arms that were evaluated on the same images. The parent of an arm is
an earlier arm of its family: the model's own parent where nothing but the model differs, or the smaller arm
with the fewest differences.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlproject.analysis.comparable import comparison_key, data_name, shared_by_cells
from mlproject.analysis.effects import effective_total, wilson
from mlproject.analysis.runs import ERROR, EvaluatedRun, Floats
from mlproject.cell import LABELS_ONLY, Cell
from mlproject.losses import Observation
from mlproject.scaling import t_interval

BUDGETS = ("epoch", "samples", "seconds")  # columns of the history; arms are compared at equal amounts
QUANTITIES = ("accuracy", "loss")
FAMILY = ("recipe", "recipe_version", "data_digest", "eval_size", "region")
HISTORY = "best_epoch"  # the metric that only runs with a history by epoch have


@dataclass(frozen=True, kw_only=True, eq=False)
class IterationRun:
    """One run. ``history`` holds the columns of ``epochs.csv`` as numbers [evaluated epochs].

    ``interval`` is Wilson's 95 % interval of the accuracy at the best epoch; pixels count as the number of
    independent trials that they equal.
    """

    observation: Observation
    history: Mapping[str, Floats]
    interval: tuple[float, float]

    @property
    def cell(self) -> Cell:
        """The cell that was run."""
        return self.observation.cell

    @property
    def split(self) -> str:
        """The split that is evaluated."""
        return "train" if self.cell.in_sample else "eval"

    def metric(self, name: str) -> float:
        """A metric of the run, NaN where it has none."""
        return float(self.observation.metrics.get(name, math.nan))

    @property
    def gmac(self) -> float:
        """Billions of multiply-adds for one image."""
        return self.metric("flops_per_image") / 2e9

    @property
    def device(self) -> str:
        """The device it was trained on."""
        return self.observation.provenance.get("device", "")

    @property
    def validation_accuracy(self) -> float:
        """The accuracy on the validation images at the best epoch, NaN where there is none."""
        best = self.history["epoch"] == self.metric("best_epoch")
        column = self.history.get("validation_accuracy")
        return float(column[best][0]) if column is not None and best.any() else math.nan

    @property
    def peak_accuracy(self) -> float:
        """The largest accuracy of the evaluated split at any epoch, NaN where it was not recorded."""
        return float(np.max(self.history.get(f"{self.split}_accuracy", np.array([math.nan]))))

    def at(self, budget: str, amount: float, quantity: str) -> float:
        """``accuracy`` or ``loss`` of the evaluated split after the last evaluated epoch within a budget."""
        within = np.flatnonzero(self.history[budget] <= amount * (1 + 1e-9))
        column = self.history.get(f"{self.split}_{quantity}")
        return float(column[within[-1]]) if len(within) and column is not None else math.nan


@dataclass(frozen=True, kw_only=True, eq=False)
class IterationArm:
    """Runs that differ in their seed alone.

    ``parent`` is the label of the arm it came from ("" for the first), ``difference`` one line. ``equal``
    holds, by (budget, quantity), the mean over seeds at the largest amount that every arm of the same family
    and dataset size reached. ``gain`` is the accuracy over the parent's at the best epochs, mean and 95 % t
    interval over shared seeds.
    """

    label: str
    runs: tuple[IterationRun, ...]
    parent: str = ""
    difference: str = ""
    equal: Mapping[tuple[str, str], float] = field(default_factory=dict)
    gain: tuple[float, float, float] = (math.nan, math.nan, math.nan)

    @property
    def interval(self) -> tuple[float, float]:
        """The limits of the accuracy's interval, averaged over seeds."""
        low, high = np.mean([run.interval for run in self.runs], axis=0)
        return float(low), float(high)

    @property
    def baseline(self) -> float:
        """The accuracy of guessing the most common class, NaN where no run logged it."""
        return self.mean_sd("majority_accuracy")[0]

    def mean_sd(self, metric: str) -> tuple[float, float]:
        """Mean and standard deviation (n - 1) over seeds; the deviation of one seed is not known."""
        values = [run.metric(metric) for run in self.runs]
        return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


@dataclass(frozen=True, kw_only=True, eq=False)
class IterationFamily:
    """Arms that were evaluated on the same images, in the order of their parameters, then images."""

    name: str
    arms: tuple[IterationArm, ...]
    budgets: Mapping[tuple[int, str], float]
    """By dataset size and budget: the amount at which arms are compared."""


@dataclass(frozen=True, kw_only=True, eq=False)
class IterationLedger:
    """All families, and notes on how to read them."""

    families: tuple[IterationFamily, ...]
    notes: tuple[str, ...]


def iteration_ledger(runs: Sequence[EvaluatedRun]) -> IterationLedger | None:
    """The ledger of the runs that were trained whole; None where there are none."""
    by_family: dict[str, list[IterationRun]] = {}
    for run in filter(None, map(_with_history, runs)):
        by_family.setdefault(str([run.cell.to_dict()[name] for name in FAMILY]), []).append(run)
    families = tuple(_family(group) for _, group in sorted(by_family.items()))
    return IterationLedger(families=families, notes=tuple(_notes(families))) if families else None


def _with_history(run: EvaluatedRun) -> IterationRun | None:
    observation = run.observation
    columns = observation.load_table("epochs") if HISTORY in observation.metrics else {}
    if not columns:
        return None
    history = {name: np.array([float(v) for v in column]) for name, column in columns.items()}
    return IterationRun(observation=observation, history=history, interval=_interval(run))


def _interval(run: EvaluatedRun) -> tuple[float, float]:
    metrics = run.observation.metrics
    total = float(metrics.get("n_total", math.nan))
    if not total > 0:
        return math.nan, math.nan
    errors = run.columns.get(ERROR)
    if errors is not None:
        total = effective_total(np.asarray(errors, dtype=np.float64), total)
    return wilson(float(metrics.get("accuracy", math.nan)) * total, total)


def _arm_key(cell: Cell) -> str:
    return comparison_key(shared_by_cells(cell))


def _described(cell: Cell) -> dict[str, Any]:
    """What distinguishes arms: all that comparable cells share, knobs flat, without mere names."""
    hidden = (*LABELS_ONLY, "knobs", "weights_kind")
    shared = shared_by_cells(cell)
    plain = {name: value for name, value in shared.items() if name not in hidden}
    return plain | {f"knobs.{name}": value for name, value in shared["knobs"].items()}


def _family(runs: Sequence[IterationRun]) -> IterationFamily:
    by_arm: dict[str, list[IterationRun]] = {}
    for run in sorted(runs, key=_order):
        by_arm.setdefault(_arm_key(run.cell), []).append(run)
    budgets = _budgets(runs)
    arms: list[IterationArm] = []
    for group in by_arm.values():
        parent, difference = _parent(group[0], arms)
        arms.append(
            IterationArm(
                label=_label(group[0], by_arm),
                runs=tuple(group),
                parent=parent.label if parent else "",
                difference=difference,
                equal=_at_equal_amounts(group, budgets),
                gain=_gain(group, parent),
            )
        )
    name = f"{runs[0].cell.recipe} on {data_name(runs[0].cell.data)}"
    return IterationFamily(name=name, arms=tuple(arms), budgets=budgets)


def _order(run: IterationRun) -> tuple[float, int, float, str, int]:
    cell = run.cell
    return run.metric("params"), cell.dataset_size, run.metric("epochs"), _arm_key(cell), cell.seed


def _at_equal_amounts(
    runs: Sequence[IterationRun], budgets: Mapping[tuple[int, str], float]
) -> dict[tuple[str, str], float]:
    size = runs[0].cell.dataset_size
    return {
        (budget, what): float(np.mean([run.at(budget, budgets[size, budget], what) for run in runs]))
        for budget, what in itertools.product(BUDGETS, QUANTITIES)
    }


def _label(run: IterationRun, arms: Mapping[str, Sequence[IterationRun]]) -> str:
    """Model and images, and what else is needed to distinguish this arm from those that share both."""
    cell = run.cell
    cells = [group[0].cell for group in arms.values()]
    same = [_described(c) for c in cells if (c.model, c.dataset_size) == (cell.model, cell.dataset_size)]
    fields = _described(cell)
    differing = sorted(name for name in fields if len({str(other.get(name)) for other in same}) > 1)
    details = [f"{name.removeprefix('knobs.')}={fields[name]}" for name in differing]
    return " · ".join([cell.model, f"{cell.dataset_size:,} images", *details])


def _parent(run: IterationRun, before: Sequence[IterationArm]) -> tuple[IterationArm | None, str]:
    """The arm that a run's arm came from, and the difference in one line."""
    if not before:
        return None, ""
    fields = _described(run.cell)
    others = [_described(arm.runs[0].cell) for arm in before]
    differing = [_differences(fields, other) for other in others]
    model_parent = run.observation.provenance.get("parent")
    for arm, names in zip(before, differing, strict=True):
        if names == ["model"] and arm.runs[0].cell.model == model_parent:
            return arm, run.observation.provenance.get("change", "")
    fewest = min(range(len(before)), key=lambda i: (len(differing[i]), -i))
    changes = [_change(name, others[fewest], fields) for name in differing[fewest]]
    return before[fewest], "; ".join(changes)


def _change(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    return f"{name.removeprefix('knobs.')} {before.get(name)} → {after[name]}"


def _differences(fields: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of what differs; another model has other digests, which is no further difference."""
    names = [name for name in fields if fields[name] != other.get(name)]
    return [n for n in names if n not in ("model_digest", "weights_digest") or "model" not in names]


def _budgets(runs: Sequence[IterationRun]) -> dict[tuple[int, str], float]:
    """What every run of a dataset size reached."""
    pairs = itertools.product({run.cell.dataset_size for run in runs}, BUDGETS)
    return {(n, b): min(float(r.history[b][-1]) for r in runs if r.cell.dataset_size == n) for n, b in pairs}


def _gain(runs: Sequence[IterationRun], parent: IterationArm | None) -> tuple[float, float, float]:
    """Accuracy over the parent's, by shared seeds: mean, and its 95 % t interval."""
    before = {run.cell.seed: run.metric("accuracy") for run in parent.runs} if parent else {}
    gains = [r.metric("accuracy") - before[r.cell.seed] for r in runs if r.cell.seed in before]
    if not gains:
        return math.nan, math.nan, math.nan
    if len(gains) == 1:
        return gains[0], math.nan, math.nan
    mean = float(np.mean(gains))
    interval = t_interval(mean, float(np.std(gains, ddof=1)) / math.sqrt(len(gains)), len(gains) - 1)
    return mean, max(interval.low, -1.0), min(interval.high, 1.0)  # as a difference of two shares


def _notes(families: Sequence[IterationFamily]) -> Iterator[str]:
    for family in families:
        runs = [run for arm in family.arms for run in arm.runs]
        yield from (*_split_direction(family.name, runs), *_granularity(family.name, runs))
        devices = sorted({run.device for run in runs})
        if len(devices) > 1:
            yield f"{family.name}: trained on {' and '.join(devices)}; equal seconds compare devices too."
        if any(len(arm.runs) == 1 for arm in family.arms):
            yield f"{family.name}: arms with one seed have no deviation; their differences may be chance."


def _split_direction(name: str, runs: Sequence[IterationRun]) -> Iterator[str]:
    """A split used the wrong way round trains on the small part and evaluates on the large one."""
    largest = max(run.cell.dataset_size for run in runs)
    evaluated = max(run.cell.eval_size for run in runs)
    if evaluated > largest:
        yield (
            f"{name}: no run trains on as many images as it is evaluated on ({largest:,} against "
            f"{evaluated:,}); was the split used the wrong way round?"
        )


def _granularity(name: str, runs: Sequence[IterationRun]) -> Iterator[str]:
    """Accuracies are whole numbers of images (or pixels), or they were computed over something else."""
    odd = [r for r in runs if abs(r.metric("accuracy") * r.metric("n_total") - r.metric("n_correct")) > 1e-3]
    odd += [r for r in runs if not r.metric("n_correct").is_integer() and r not in odd]
    if odd:
        yield f"{name}: {len(odd)} runs have an accuracy that is not n_correct / n_total of whole numbers."
