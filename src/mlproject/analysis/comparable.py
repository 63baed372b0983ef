"""Comparable: which runs may be set against each other. The one rule that every analysis follows.

Runs are comparable along something that varies (an axis, the arms of an ablation, image scale, the region)
when everything else of their cells is equal, and so are the kind of weights (random and pretrained never
meet), the kind of loss, and the split it was computed on. Three things never part runs:

- the seed;
- fields that only name something whose digest is compared (``cell.LABELS_ONLY``);
- knobs that a search chose, where the tuning was the same (space, trials, sampler, validation images). Such
  cells share one protocol, and are never compared to cells whose knobs a person chose.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlproject.analysis.axes import AXES, MODEL_FIELDS, Axis
from mlproject.analysis.runs import EvaluatedRun
from mlproject.cell import LABELS_ONLY, Cell

ARM_FIELDS = frozenset({"recipe", "recipe_version", "knobs", "image_scales"})
"""What the arms of an ablation may differ in."""
IMAGE_SCALE_FIELDS = MODEL_FIELDS | {"image_scales", "large_images"}
"""What varies between larger models and larger images."""
REGION_FIELDS = frozenset({"region", "region_digest"})
"""What varies between regions of the same images."""


@dataclass(frozen=True, kw_only=True)
class ComparableRuns:
    """Comparable runs along one axis; ``fixed`` holds all fields that they share."""

    axis: Axis
    fixed: Mapping[str, Any]
    runs: tuple[EvaluatedRun, ...]


def weights_kind(cell: Cell) -> str:
    """``random``, ``file`` for a checkpoint given by path, else the name of the published weights."""
    if cell.random_features:
        return "random"
    is_path = "/" in cell.weights or cell.weights.endswith((".pt", ".pth", ".bin", ".safetensors"))
    return "file" if is_path else cell.weights.partition(":")[0].lower()


def shared_by_cells(cell: Cell, varies: Collection[str] = ()) -> dict[str, Any]:
    """What a cell shares with all that it is comparable to while the fields or knobs ``varies`` vary."""
    fields = cell.common({*varies, "seed"}) | {"weights_kind": weights_kind(cell)}
    return {name: value for name, value in fields.items() if name not in varies}


def shared_by_runs(run: EvaluatedRun, varies: Collection[str] = ()) -> dict[str, Any]:
    """What a run shares with all that it is comparable to: fields of the cell, split and kind of loss."""
    return shared_by_cells(run.cell, varies) | {"split": run.split, "kind": run.kind}


def comparison_key(fields: Mapping[str, Any], varies: Collection[str] = ()) -> str:
    """Shared fields as text that is equal for all that is comparable."""
    compared = {k: v for k, v in fields.items() if k not in LABELS_ONLY and k not in varies}
    return json.dumps(compared, sort_keys=True, default=str)


def by_key(runs: Iterable[EvaluatedRun], varies: Collection[str]) -> dict[str, list[EvaluatedRun]]:
    """Comparable runs by their key, the keys in order."""
    groups: dict[str, list[EvaluatedRun]] = {}
    for run in runs:
        groups.setdefault(comparison_key(shared_by_runs(run, varies)), []).append(run)
    return {key: groups[key] for key in sorted(groups)}


def comparable_runs(runs: Iterable[EvaluatedRun], axis: Axis) -> list[ComparableRuns]:
    """Comparable runs along an axis; runs without a value on it are left out."""
    known = [run for run in runs if not math.isnan(axis.value(run.observation))]
    return [
        ComparableRuns(axis=axis, fixed=shared_by_runs(group[0], axis.varies), runs=tuple(group))
        for group in by_key(known, axis.varies).values()
    ]


def is_informative(group: ComparableRuns) -> bool:
    """Whether a curve over these runs adds something to those along other axes.

    Compute does when it rises with the images, and departs from proportion to them by more than 10 % over
    the curve. Epochs do where they differ. Images and models always do.
    """
    values = {group.axis.value(run.observation) for run in group.runs}
    if group.axis is AXES["epochs"]:
        return len(values) > 1
    if group.axis is not AXES["flops"]:
        return True
    if len(values) < len({run.cell.dataset_size for run in group.runs}):
        return False
    ratios = [group.axis.value(run.observation) / run.cell.dataset_size for run in group.runs]
    return max(ratios) > 1.1 * min(ratios)
