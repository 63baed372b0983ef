"""Groups: which runs may stand on one curve, and what people call it.

A group shares everything of its cells but the axis' own fields and the seed. Random and pretrained
weights never meet, nor in-sample and held-out losses, kinds of loss, data, recipes or knobs. Knobs that
were tuned may differ where the tuning was the same (space, trials, sampler, validation images): such a
curve is one protocol, and never meets cells whose knobs a person chose.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlproject.analysis.axes import AXES, Axis
from mlproject.analysis.runs import Run
from mlproject.cell import LABELS_ONLY, Cell

SHOWN = (
    "model",
    "data",
    "weights",
    "weights_digest",
    "region_digest",
    "checkpoint",
    "dataset_size",
    "recipe",
    "split",
    "kind",
    "weights_kind",
)
"""Fixed fields that a label shows anyway, or shows only to tell two equal labels apart."""
TRAINING_LENGTH = {"knobs.steps", "knobs.epochs"}
"""Knobs that a label gives as one: steps where they are set, else epochs."""


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
    own = run.cell.common(axis.varies | {"seed"})
    return own | {"split": run.split, "kind": run.kind, "weights_kind": weights_kind(run.cell)}


def worth_drawing(group: Group) -> bool:
    """Whether a group says something of its own: always, but for compute that only repeats the images.

    Compute counts when it rises with the images, and departs from proportion to them by more than 10 %
    over the curve. Epochs count where they differ.
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


def names(found: Sequence[Group]) -> list[tuple[str, str]]:
    """Series and family of each group: together unique along an axis, as short as the study allows.

    A field or knob is named only where it differs between groups that would read the same without it.
    """
    alike: dict[tuple[str, ...], list[Group]] = {}
    for group in found:
        alike.setdefault(_base(group), []).append(group)
    differing = {base: _differing(some) for base, some in alike.items()}
    labels = [(_series(group), _family(group, differing[_base(group)])) for group in found]
    for detail in (_fixed_text("weights"), _fixed_text("weights_digest"), _fixed_text("data_digest"), _mark):
        seen = [(group.axis.name, label) for group, label in zip(found, labels, strict=True)]
        labels = [
            label if seen.count(own) == 1 else (f"{label[0]}{detail(group)}", label[1])
            for group, label, own in zip(found, labels, seen, strict=True)
        ]
    return labels


def _fixed_text(field: str) -> Callable[[Group], str]:
    return lambda group: f" [{str(group.fixed[field])[:24]}]" if field in group.fixed else ""


def _mark(group: Group) -> str:
    """The last resort: a digest of all that is fixed."""
    text = json.dumps(dict(group.fixed), sort_keys=True, default=str)
    return f" [{hashlib.sha256(text.encode()).hexdigest()[:6]}]"


def _differing(found: Sequence[Group]) -> set[str]:
    """Fixed fields and knobs (``knobs.lr``) that are not the same in all these groups."""
    rows = [_flat(group.fixed) for group in found]
    seen = {
        name: {json.dumps(row.get(name), default=str) for row in rows if name in row or "." in name}
        for name in {name for row in rows for name in row}
    }
    return {name for name, values in seen.items() if len(values) > 1} - set(SHOWN)


def _flat(fixed: Mapping[str, Any]) -> dict[str, Any]:
    nested = ("knobs", "tuning")
    plain = {name: value for name, value in fixed.items() if name not in nested}
    return plain | {f"{field}.{name}": value for field in nested for name, value in fixed[field].items()}


def _series(group: Group) -> str:
    """What the axis holds still: a model for a curve over sizes, a size for one over models, or neither."""
    fixed = group.fixed
    size = f"{fixed['dataset_size']:,} images" if "dataset_size" in fixed else "models × images"
    name = str(fixed["model"]) if "model" in fixed else size
    kind = fixed["weights_kind"]
    return f"{name} ({kind})" if kind == "random" or "model" not in fixed else name


def _base(group: Group) -> tuple[str, ...]:
    """What every family says: data, recipe, target, loss, tuning and protocol."""
    fixed = group.fixed
    tuning = fixed["tuning"]
    target = fixed["knobs"].get("target")
    data = str(fixed["data"]).rstrip("/").rpartition("/")[2]
    protocol = {"train": "in-sample", "eval": "held-out"}.get(fixed["split"], str(fixed["split"]))
    return (
        data,
        str(fixed["recipe"]),
        *([f"target {target}"] if target else []),
        str(fixed["kind"]),
        *([f"tuned {tuning['knobs']}"] if tuning else []),
        protocol,
    )


def _family(group: Group, differing: set[str]) -> str:
    *head, protocol = _base(group)
    flat = _flat(group.fixed)
    told = {"knobs.loss", "eval_size", "data_digest", *TRAINING_LENGTH}
    parts = [
        f"{name.removeprefix('knobs.')}={flat[name]}" for name in sorted(differing - told) if name in flat
    ]
    if differing & TRAINING_LENGTH:
        steps, epochs = flat.get("knobs.steps", 0), flat.get("knobs.epochs", "default")
        parts.append(f"{steps} steps" if steps else f"{epochs} epochs")
    sizes = f" ({group.fixed['eval_size']} images)" if "eval_size" in differing else ""
    return " · ".join([*head, *parts, protocol + sizes])
