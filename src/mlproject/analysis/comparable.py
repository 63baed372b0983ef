"""Which runs are comparable: the one rule that every analysis follows.

Runs are comparable along something that varies (an axis, the arms of an ablation, image scale, the region)
when everything else of their cells is equal, and so are the kind of weights (random and pretrained never
meet, and weights of different training only where the analysis is asked to mix them), the kind of loss, and
the split it was computed on. Three things never part runs:

- the seed;
- fields that only name something whose digest is compared (``cell.LABELS_ONLY``);
- knobs that a search chose, where the tuning was the same (space, trials, sampler, validation images). Such
  cells share one protocol, and are never compared to cells whose knobs a person chose.

Groups of comparable runs get labels that are unique along an axis, and as short as the study allows.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlproject.analysis.axes import AXES, GRID_AXES, MODEL_FIELDS, Axis
from mlproject.analysis.runs import EvaluatedRun
from mlproject.cell import LABELS_ONLY, Cell

ARM_FIELDS = frozenset({"recipe", "recipe_version", "knobs", "image_scales"})
"""What the arms of an ablation may differ in."""
IMAGE_SCALE_FIELDS = MODEL_FIELDS | {"image_scales", "large_images"}
"""What varies between larger models and larger images."""
REGION_FIELDS = frozenset({"region", "region_digest"})
"""What varies between regions of the same images."""
SHOWN = (
    "model",
    "data",
    "weights",
    "weights_digest",
    "model_digest",
    "region_digest",
    "checkpoint",
    "dataset_size",
    "recipe",
    "split",
    "kind",
    "weights_kind",
)
"""Fixed fields that a label shows anyway, or shows only to tell two equal labels apart."""
UNTRAINED = ("random", "scratch")
"""Kinds of weights that nothing was trained to before."""
MIXED = "mixed weights"
ASK = (
    "mix_weights = true in the plan, or `mlproject aggregate --mix-weights`, fits them together all the same"
)
TRAINING_LENGTH = {"knobs.steps", "knobs.epochs"}
"""Knobs that a label gives as one: steps where they are set, else epochs."""


@dataclass(frozen=True, kw_only=True)
class ComparableRuns:
    """Comparable runs along one axis; ``fixed`` holds all fields that they share."""

    axis: Axis
    fixed: Mapping[str, Any]
    runs: tuple[EvaluatedRun, ...]


def weights_kind(cell: Cell) -> str:
    """``random``, ``file`` for a checkpoint given by path, else the name of the published weights.

    Of timm it is the tag: ``pretrained lvd142m``.
    """
    if cell.random_features:
        return "random"
    if cell.weights.partition("@")[0] == "pretrained":
        return f"pretrained {cell.model.partition('.')[2]}".rstrip()
    is_path = "/" in cell.weights or cell.weights.endswith((".pt", ".pth", ".bin", ".safetensors"))
    return "file" if is_path else cell.weights.partition(":")[0].lower()


def shared_by_cells(cell: Cell, varies: Collection[str] = ()) -> dict[str, Any]:
    """What a cell shares with all that it is comparable to while the fields or knobs ``varies`` vary."""
    fields = cell.common({*varies, "seed"}) | {"weights_kind": weights_kind(cell)}
    return {name: value for name, value in fields.items() if name not in varies}


def shared_by_runs(run: EvaluatedRun, varies: Collection[str] = ()) -> dict[str, Any]:
    """What a run shares with all that it is comparable to: fields of the cell, split and kind of loss.

    Pretrained weights of all kinds count as one where the analysis was asked to mix them.
    """
    shared = shared_by_cells(run.cell, varies) | {"split": run.split, "kind": run.kind}
    mixed = run.weights_mixed and shared["weights_kind"] not in UNTRAINED
    return shared | {"weights_kind": MIXED} if mixed else shared


def kept_apart(cells: Iterable[Cell]) -> list[str]:
    """Models that one axis would hold but for the training of their weights, a line for each such axis.

    Two training recipes along one axis are no axis: a difference of losses would be that of the recipes.
    """
    groups: dict[str, dict[str, set[str]]] = {}
    for cell in cells:
        if (kind := weights_kind(cell)) not in UNTRAINED:
            shared = shared_by_cells(cell, GRID_AXES.varies) | {"weights_kind": ""}
            groups.setdefault(comparison_key(shared), {}).setdefault(kind, set()).add(cell.model)
    lines = []
    for kinds in groups.values():
        if len(kinds) > 1 and len(set.union(*kinds.values())) > 1:
            named = "; ".join(
                f"{', '.join(sorted(names, key=natural_order))} ({kind})"
                for kind, names in sorted(kinds.items())
            )
            lines.append(f"models whose weights were trained differently share no curve: {named}; {ASK}")
    return list(dict.fromkeys(lines))


def comparison_key(fields: Mapping[str, Any], varies: Collection[str] = ()) -> str:
    """Shared fields as text that is equal for all that is comparable."""
    compared = {k: v for k, v in fields.items() if k not in LABELS_ONLY and k not in varies}
    return json.dumps(compared, sort_keys=True, default=str)


def key_of_curve(cell: Cell) -> str:
    """Text that is equal for the cells of one curve over training images."""
    return comparison_key(shared_by_cells(cell, AXES["images"].varies))


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

    It has as many scales as its axis requires. Compute has to rise with the images, and to depart from
    proportion to them by more than 10 % over the curve.
    """
    values = {group.axis.value(run.observation) for run in group.runs}
    if group.axis is not AXES["flops"]:
        return len(values) >= group.axis.least_scales
    if len(values) < len({run.cell.dataset_size for run in group.runs}):
        return False
    ratios = [group.axis.value(run.observation) / run.cell.dataset_size for run in group.runs]
    return max(ratios) > 1.1 * min(ratios)


def labels_of(groups: Sequence[ComparableRuns]) -> list[tuple[str, str]]:
    """Series and family of each group: together unique along an axis, as short as the study allows.

    A field or knob is named only where it differs between groups that would read the same without it.
    """
    by_base: dict[tuple[str, ...], list[ComparableRuns]] = {}
    for group in groups:
        by_base.setdefault(_base(group), []).append(group)
    differing = {base: _differing(alike) for base, alike in by_base.items()}
    labels = [(_series(group), _family(group, differing[_base(group)])) for group in groups]
    for detail in (_size, *map(_fixed_text, ("weights", "weights_digest", "data_digest")), _mark):
        used = [(group.axis.name, label) for group, label in zip(groups, labels, strict=True)]
        labels = [
            label if used.count(here) == 1 else (f"{label[0]}{detail(group)}", label[1])
            for group, label, here in zip(groups, labels, used, strict=True)
        ]
    return labels


def natural_order(name: str) -> list[tuple[int, str]]:
    """A sort key: ``resnet50`` before ``resnet101``, ``200 images`` before ``1,000 images``."""
    parts = re.split(r"(\d+)", name.replace(",", ""))
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]


def data_name(data: str) -> str:
    """A dataset's name: the last part of the folder where it is one."""
    return data.rstrip("/").rpartition("/")[2]


def _size(group: ComparableRuns) -> str:
    """The training images of a curve of one model along a knob, such as epochs."""
    fixed = group.fixed
    return f", {fixed['dataset_size']:,} images" if {"model", "dataset_size"} <= fixed.keys() else ""


def _fixed_text(field: str) -> Callable[[ComparableRuns], str]:
    return lambda group: f" [{str(group.fixed[field])[:24]}]" if field in group.fixed else ""


def _mark(group: ComparableRuns) -> str:
    """The last resort: a digest of all that is fixed."""
    text = json.dumps(dict(group.fixed), sort_keys=True, default=str)
    return f" [{hashlib.sha256(text.encode()).hexdigest()[:6]}]"


def _differing(groups: Sequence[ComparableRuns]) -> set[str]:
    """Fixed fields and knobs (``knobs.lr``) that are not the same in all these groups."""
    rows = [flat_fields(group.fixed) for group in groups]
    values = {
        name: {json.dumps(row.get(name), default=str) for row in rows if name in row or "." in name}
        for name in {name for row in rows for name in row}
    }
    return {name for name, distinct in values.items() if len(distinct) > 1} - set(SHOWN)


def flat_fields(fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Fixed fields with those of knobs and tuning beside the others: ``knobs.lr``."""
    nested = ("knobs", "tuning")
    plain = {name: value for name, value in fixed.items() if name not in nested}
    return plain | {f"{field}.{name}": value for field in nested for name, value in fixed[field].items()}


def _series(group: ComparableRuns) -> str:
    """What the axis leaves fixed: a model for a curve over sizes, a size for one over models, or neither."""
    fixed = group.fixed
    size = f"{fixed['dataset_size']:,} images" if "dataset_size" in fixed else "models × images"
    name = str(fixed["model"]) if "model" in fixed else size
    kind = fixed["weights_kind"]
    return f"{name} ({kind})" if kind == "random" or "model" not in fixed else name


def _base(group: ComparableRuns) -> tuple[str, ...]:
    """What every family names: data, recipe, target, loss, tuning and protocol."""
    fixed = group.fixed
    tuning = fixed["tuning"]
    target = fixed["knobs"].get("target")
    protocol = {"train": "in-sample", "eval": "held-out"}.get(fixed["split"], str(fixed["split"]))
    return (
        data_name(str(fixed["data"])),
        str(fixed["recipe"]),
        *([f"target {target}"] if target else []),
        str(fixed["kind"]),
        *([f"tuned {tuning['knobs']}"] if tuning else []),
        protocol,
    )


def _family(group: ComparableRuns, differing: set[str]) -> str:
    *head, protocol = _base(group)
    flat = flat_fields(group.fixed)
    named_elsewhere = {"knobs.loss", "eval_size", "data_digest", *TRAINING_LENGTH}
    parts = [
        f"{name.removeprefix('knobs.')}={flat[name]}"
        for name in sorted(differing - named_elsewhere)
        if name in flat
    ]
    if differing & TRAINING_LENGTH:
        steps, epochs = flat.get("knobs.steps", 0), flat.get("knobs.epochs", "default")
        parts.append(f"{steps} steps" if steps else f"{epochs} epochs")
    sizes = f" ({group.fixed['eval_size']} images)" if "eval_size" in differing else ""
    return " · ".join([*head, *parts, protocol + sizes])
