"""Groups: which runs may stand on one curve, and what people call it.

A group shares everything of its cells but the axis' own fields and the seed. Random and pretrained
weights never meet, nor in-sample and held-out losses, kinds of loss, data, recipes or knobs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlproject.aggregate.axes import AXES, Axis
from mlproject.aggregate.runs import Run
from mlproject.cell import LABELS_ONLY, Cell

SHOWN = (
    "model",
    "data",
    "weights",
    "weights_digest",
    "dataset_size",
    "recipe",
    "split",
    "kind",
    "weights_kind",
)
"""Fixed fields that a label shows anyway, or shows only to tell two equal labels apart."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Comparable runs along one axis; ``fixed`` is what they share, labels included."""

    axis: Axis
    fixed: Mapping[str, Any]
    runs: tuple[Run, ...]


def weights_kind(cell: Cell) -> str:
    """``random``, ``file`` for a checkpoint given by path, else the name of the published weights."""
    if cell.random_features:
        return "random"
    is_path = "/" in cell.weights or cell.weights.endswith((".pt", ".pth", ".bin", ".safetensors"))
    return "file" if is_path else cell.weights.partition(":")[0].lower()


def groups(runs: Iterable[Run], axis: Axis) -> list[Group]:
    """Runs by all that must be equal along an axis; runs without a value on it stay out."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        if not math.isnan(axis.value(run.observation)):
            key = {k: v for k, v in _fixed(run, axis).items() if k not in LABELS_ONLY}
            found.setdefault(json.dumps(key, sort_keys=True), []).append(run)
    return [Group(axis=axis, fixed=_fixed(found[k][0], axis), runs=tuple(found[k])) for k in sorted(found)]


def _fixed(run: Run, axis: Axis) -> dict[str, Any]:
    free = axis.varies | {"seed"}
    own = {name: value for name, value in run.cell.to_dict().items() if name not in free}
    return own | {"split": run.split, "kind": run.kind, "weights_kind": weights_kind(run.cell)}


def worth_drawing(group: Group) -> bool:
    """Whether a group says something of its own: always, but for compute that only repeats the images.

    Compute counts when it departs from proportion to the images by more than 1 % over the curve.
    """
    if group.axis is not AXES["flops"]:
        return True
    ratios = [group.axis.value(run.observation) / run.cell.dataset_size for run in group.runs]
    return max(ratios) > 1.01 * min(ratios)


def names(found: Sequence[Group]) -> list[tuple[str, str]]:
    """Series and family of each group: together unique, as short as the study allows."""
    differing = _differing(found)
    labels = [(_series(group), _family(group, differing)) for group in found]
    for field in ("weights", "weights_digest", "data_digest"):
        counts = {label: labels.count(label) for label in labels}
        labels = [
            label
            if counts[label] == 1 or field not in group.fixed
            else _add(label, str(group.fixed[field])[:24])
            for label, group in zip(labels, found, strict=True)
        ]
    return labels


def _add(label: tuple[str, str], detail: str) -> tuple[str, str]:
    return f"{label[0]} [{detail}]", label[1]


def _differing(found: Sequence[Group]) -> set[str]:
    """Fixed fields and knobs (``knobs.lr``) that are not the same throughout the study."""
    seen: dict[str, set[str]] = {}
    rows = [_flat(group.fixed) for group in found]
    for name in {name for row in rows for name in row}:
        seen[name] = {json.dumps(row.get(name), default=str) for row in rows if name in row or "." in name}
    return {name for name, values in seen.items() if len(values) > 1} - set(SHOWN)


def _flat(fixed: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in fixed.items() if name != "knobs"}
    return plain | {f"knobs.{name}": value for name, value in fixed["knobs"].items()}


def _series(group: Group) -> str:
    """What the axis holds still: the model of a curve over sizes, the size of a curve over models."""
    fixed = group.fixed
    name = str(fixed["model"]) if "model" in fixed else f"{fixed['dataset_size']:,} images"
    kind = fixed["weights_kind"]
    return f"{name} ({kind})" if kind == "random" or "model" not in fixed else name


def _family(group: Group, differing: set[str]) -> str:
    fixed = group.fixed
    target = fixed["knobs"].get("target")
    parts = [str(fixed["data"]).rstrip("/").rpartition("/")[2], str(fixed["recipe"])]
    parts += [f"target {target}"] if target else []
    parts.append(str(fixed["kind"]))
    told = {"knobs.target", "knobs.loss", "eval_size", "data_digest"}
    flat = _flat(fixed)
    parts += [
        f"{name.removeprefix('knobs.')}={flat[name]}" for name in sorted(differing - told) if name in flat
    ]
    return " · ".join([*parts, _protocol(fixed, differing)])


def _protocol(fixed: Mapping[str, Any], differing: set[str]) -> str:
    if fixed["split"] == "train":
        return "in-sample"
    sizes = f" ({fixed['eval_size']} images)" if "eval_size" in differing else ""
    return f"held-out{sizes}" if fixed["split"] == "eval" else str(fixed["split"])
