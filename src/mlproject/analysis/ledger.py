"""The iteration ledger: which network came from which, by what difference, and what it gained at equal cost.

An arm is what runs share that differ in their seed alone; a family is arms that were judged on the same
images. A parent is an arm of the family that was there before: the model's own parent where models differ
in nothing else, or the smaller arm with the fewest differences.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlproject.analysis.iterations import BUDGETS, Iteration, arm_key, described, iterations
from mlproject.losses import Observation
from mlproject.scaling.fitting.intervals import t_quantile

WHATS = ("accuracy", "loss")
FAMILY = ("recipe", "recipe_version", "data_digest", "eval_size", "region")


@dataclass(frozen=True, kw_only=True, eq=False)
class Arm:
    """Runs that differ in their seed alone.

    ``parent`` is the label of the arm it came from ("" for the first), ``difference`` one line. ``equal``
    holds, by (budget, what), the mean over seeds at the largest amount that every arm of the same family and
    dataset size reached. ``gain`` is the accuracy over the parent's at the best epochs, mean and 95 % t
    interval over shared seeds.
    """

    label: str
    runs: tuple[Iteration, ...]
    parent: str = ""
    difference: str = ""
    equal: Mapping[tuple[str, str], float] = field(default_factory=dict)
    gain: tuple[float, float, float] = (math.nan, math.nan, math.nan)

    def values(self, metric: str) -> list[float]:
        """A metric of every run."""
        return [run.metric(metric) for run in self.runs]

    def mean_sd(self, metric: str) -> tuple[float, float]:
        """Mean and standard deviation (n - 1) over seeds; the deviation of one seed is not known."""
        values = self.values(metric)
        return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """Arms that were judged on the same images, in the order of their parameters, then images."""

    name: str
    arms: tuple[Arm, ...]
    budgets: Mapping[tuple[int, str], float]
    """By dataset size and budget: the amount at which arms are compared."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ledger:
    """All families, and what has to be said with them."""

    families: tuple[Family, ...]
    notes: tuple[str, ...]


def build_ledger(observations: Iterable[Observation]) -> Ledger | None:
    """The ledger of the runs that were trained whole; None where there are none."""
    by_family: dict[tuple[Any, ...], list[Iteration]] = {}
    for run in iterations(observations):
        by_family.setdefault(tuple(run.cell.to_dict()[name] for name in FAMILY), []).append(run)
    families = tuple(_family(runs) for _, runs in sorted(by_family.items(), key=lambda item: str(item[0])))
    return Ledger(families=families, notes=tuple(_notes(families))) if families else None


def _family(runs: Sequence[Iteration]) -> Family:
    by_arm: dict[str, list[Iteration]] = {}
    for run in sorted(runs, key=_order):
        by_arm.setdefault(arm_key(run.cell), []).append(run)
    budgets = _budgets(runs)
    arms: list[Arm] = []
    for some in by_arm.values():
        parent, difference = _parent(some[0], arms)
        size = some[0].cell.dataset_size
        equal = {
            (budget, what): float(np.mean([run.at(budget, budgets[size, budget], what) for run in some]))
            for budget in BUDGETS
            for what in WHATS
        }
        arms.append(
            Arm(
                label=_label(some[0], by_arm),
                runs=tuple(some),
                parent=parent.label if parent else "",
                difference=difference,
                equal=equal,
                gain=_gain(some, parent),
            )
        )
    first = runs[0].cell
    name = f"{first.recipe} on {first.data.rstrip('/').rpartition('/')[2]}"
    return Family(name=name, arms=tuple(arms), budgets=budgets)


def _order(run: Iteration) -> tuple[float, int, float, str, int]:
    epochs = run.metric("epochs")
    return run.metric("params"), run.cell.dataset_size, epochs, arm_key(run.cell), run.cell.seed


def _label(run: Iteration, arms: Mapping[str, Sequence[Iteration]]) -> str:
    """Model and images, and what else is needed to tell this arm from those that share both."""
    cell = run.cell
    plain = f"{cell.model} · {cell.dataset_size:,} images"
    same = [described(some[0].cell) for some in arms.values() if some[0].cell.model == cell.model]
    same = [other for other in same if other["dataset_size"] == cell.dataset_size]
    own = described(cell)
    differing = sorted(name for name in own if len({str(other.get(name)) for other in same}) > 1)
    return " · ".join([plain, *(f"{name.removeprefix('knobs.')}={own[name]}" for name in differing)])


def _parent(run: Iteration, before: Sequence[Arm]) -> tuple[Arm | None, str]:
    """The arm that a run's arm came from, and the difference in one line."""
    if not before:
        return None, ""
    own = described(run.cell)
    others = [described(arm.runs[0].cell) for arm in before]
    differing = [_differences(own, other) for other in others]
    grown = run.observation.provenance.get("parent")
    for arm, names in zip(before, differing, strict=True):
        if names == ["model"] and arm.runs[0].cell.model == grown:
            return arm, run.observation.provenance.get("change", "")
    fewest = min(range(len(before)), key=lambda i: (len(differing[i]), -i))
    other = others[fewest]
    changes = [f"{name.removeprefix('knobs.')} {other.get(name)} → {own[name]}" for name in differing[fewest]]
    return before[fewest], "; ".join(changes)


def _differences(own: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of what differs; another model has other weights, which is no difference of its own."""
    names = [name for name in own if own[name] != other.get(name)]
    return [name for name in names if name != "weights_digest" or "model" not in names]


def _budgets(runs: Sequence[Iteration]) -> dict[tuple[int, str], float]:
    """What every run of a dataset size reached."""
    sizes = {run.cell.dataset_size for run in runs}
    return {
        (size, budget): min(float(r.history[budget][-1]) for r in runs if r.cell.dataset_size == size)
        for size in sizes
        for budget in BUDGETS
    }


def _gain(runs: Sequence[Iteration], parent: Arm | None) -> tuple[float, float, float]:
    """Accuracy over the parent's, by shared seeds: mean, and its 95 % t interval."""
    theirs = {run.cell.seed: run.metric("accuracy") for run in parent.runs} if parent else {}
    shared = [r.metric("accuracy") - theirs[r.cell.seed] for r in runs if r.cell.seed in theirs]
    if not shared:
        return math.nan, math.nan, math.nan
    mean = float(np.mean(shared))
    if len(shared) < 2:
        return mean, math.nan, math.nan
    half = t_quantile(len(shared) - 1) * float(np.std(shared, ddof=1)) / math.sqrt(len(shared))
    return mean, mean - half, mean + half


def _notes(families: Sequence[Family]) -> Iterator[str]:
    for family in families:
        runs = [run for arm in family.arms for run in arm.runs]
        yield from _split_direction(family.name, runs)
        yield from _granularity(family.name, runs)
        devices = sorted({run.device for run in runs})
        if len(devices) > 1:
            yield f"{family.name}: trained on {' and '.join(devices)}; equal seconds compare devices too."
        if any(len(arm.runs) == 1 for arm in family.arms):
            yield f"{family.name}: arms with one seed have no deviation; their differences may be chance."


def _split_direction(name: str, runs: Sequence[Iteration]) -> Iterator[str]:
    """A split used the wrong way round trains on the small part and judges on the large one."""
    largest = max(run.cell.dataset_size for run in runs)
    judged = max(run.cell.eval_size for run in runs)
    if judged > largest:
        yield (
            f"{name}: no run trains on as many images as judge it ({largest:,} against {judged:,}); "
            "was the split used the wrong way round?"
        )


def _granularity(name: str, runs: Sequence[Iteration]) -> Iterator[str]:
    """Accuracies are whole numbers of images (or pixels), or they were computed over something else."""
    odd = [r for r in runs if abs(r.metric("accuracy") * r.metric("n_total") - r.metric("n_correct")) > 1e-3]
    odd += [r for r in runs if not r.metric("n_correct").is_integer() and r not in odd]
    if odd:
        yield f"{name}: {len(odd)} runs have an accuracy that is not n_correct / n_total of whole numbers."
