"""How a reconstruction is run: features of source, target and reference, their linear maps, and the bits.

Kept apart from the knobs so that plans are built without torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mlproject.cell import Cell
from mlproject.data.splits import Rows, rows_of
from mlproject.errors import MLProjectError
from mlproject.losses import Floats, Outcome, PerImageLosses
from mlproject.recipes.frozen import Source, spent
from mlproject.scaling.information import Information, Quantity, measure
from mlproject.training import Schedule, generator
from mlproject.training.heads import LinearHead, Training, n_blocks, statistics, train_head
from mlproject.training.heads.ridge import ridge_path

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.features import Features
    from mlproject.progress import Report
    from mlproject.recipes.reconstruct import Reconstruct
else:
    Features = ImageSet = Reconstruct = Report = Any

BASELINES = {"train mean": "constant", "own mean": "constant_own"}
"""What l0 is the loss of: the mean of the training targets (the one to read), or of the split's own."""


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """A linear map with its squared errors [n], and what it takes to apply it."""

    head: LinearHead
    mean: Tensor
    std: Tensor
    losses: Floats
    n_seen: int
    facts: dict[str, float]


def run_reconstruct(recipe: Reconstruct, cell: Cell, images: ImageSet, report: Report) -> Outcome:
    """The outcome of a cell. Raises: MLProjectError (a target that does not vary, training that diverges)."""
    rows = rows_of(cell, images)
    source = Source.of(cell, precision=recipe.precision).features(images, rows.every, report)
    target = _other(recipe, "target").features(images, rows.every, report)
    targets, n_train = _tensor(target), len(rows.train)
    mapped = _map(recipe, cell, _tensor(source), targets, n_train, report)
    values = {"mse": mapped.losses, **_constants(targets, rows)}
    if recipe.reference_model:
        giant = _other(recipe, "reference").features(images, rows.every, report)
        values["reference"] = _map(recipe, cell, _tensor(giant), targets, n_train, report).losses
    losses = PerImageLosses(
        kind="mse",
        image_ids=tuple(images.ids[i] for i in rows.every),
        splits=rows.splits,
        values=values,
    )
    found = _informations(losses)
    head, n_flops = mapped.head, mapped.head.flops_per_image
    features = n_train * (source.flops_per_image + target.flops_per_image)
    return Outcome(
        losses=losses,
        n_params=source.n_params + head.n_params,
        n_params_trained=head.n_params,
        flops_per_image=source.flops_per_image + n_flops,
        flops_total=features + 3 * n_flops * mapped.n_seen,
        facts=mapped.facts | spent(source) | _facts(found),
        provenance=dict(source.provenance) | {"target": f"{recipe.target_model} {recipe.target_digest}"},
        tensors=_tensors(mapped),
        tables={"information": _table(found)},
    )


def _other(recipe: Reconstruct, role: str) -> Source:
    """The target or the reference: a backbone at scale 1."""
    return Source(
        model=getattr(recipe, f"{role}_model"),
        weights=getattr(recipe, f"{role}_weights"),
        weights_digest=getattr(recipe, f"{role}_digest"),
        precision=recipe.precision,
    )


def _tensor(features: Features) -> Tensor:
    from mlproject.device import find_device

    device = "cuda" if find_device() == "cuda" else "cpu"  # losses are float64, which mps lacks
    return torch.from_numpy(features.matrix).to(device)


def _constants(targets: Tensor, rows: Rows) -> dict[str, Floats]:
    """Squared errors [n] of two constants: the training mean, and the mean of each row's own split."""
    wanted, splits = targets.double(), np.array(rows.splits)
    mean = wanted[: len(rows.train)].mean(0)
    own = (wanted - mean).square().mean(1).cpu().numpy()
    found = {"constant": own, "constant_own": own.copy()}
    if not own[: len(rows.train)].mean() > 0:
        raise MLProjectError(
            "the target's features are the same for all training images: nothing can be told of them"
        )
    for split in set(rows.splits):
        part = wanted[torch.from_numpy(splits == split).to(wanted.device)]
        found["constant_own"][splits == split] = (part - part.mean(0)).square().mean(1).cpu().numpy()
    return found


def _map(
    recipe: Reconstruct, cell: Cell, inputs: Tensor, targets: Tensor, n_train: int, report: Report
) -> Mapped:
    mean, std = torch.zeros_like(inputs[0]), torch.ones_like(inputs[0])
    if recipe.standardize:
        mean, std = statistics(inputs[:n_train])
        inputs = (inputs - mean) / std
    solve = _solve if recipe.solver == "ridge" else _train
    head, n_seen, facts = solve(recipe, cell, inputs[:n_train], targets[:n_train], report)
    errors = head(inputs).double() - targets
    return Mapped(
        head=head,
        mean=mean,
        std=std,
        losses=errors.square().mean(1).cpu().numpy(),
        n_seen=n_seen,
        facts=facts,
    )


def _solve(
    recipe: Reconstruct, cell: Cell, inputs: Tensor, targets: Tensor, report: Report
) -> tuple[LinearHead, int, dict[str, float]]:
    """The closed form; its compute is counted as that of one epoch."""
    report.stage("head", 1)
    path = ridge_path(inputs, targets)
    report.advance(1)
    head = LinearHead(weight=path.weight.float(), bias=path.bias.float())
    facts = {"ridge_lambda": path.best, "left_out_mse": path.left_out.min().item()}
    return head, len(inputs), facts


def _train(
    recipe: Reconstruct, cell: Cell, inputs: Tensor, targets: Tensor, report: Report
) -> tuple[LinearHead, int, dict[str, float]]:
    """Gradient steps from the best constant, so that I begins at 0."""
    weight = torch.zeros(targets.shape[1], inputs.shape[1], device=inputs.device)
    head = LinearHead(weight=weight, bias=targets.mean(0))
    schedule = Schedule(n_images=len(inputs), batch_size=recipe.batch_size, epochs=0, steps=recipe.steps)
    epochs = schedule.batches(generator(cell.seed, "order"), inputs.device)
    training = Training(
        loss="mse", optimizer=recipe.optimizer, lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    report.stage("head", len(epochs) * n_blocks(head, training))
    seen = train_head(head, inputs, targets, epochs, training, after_epoch=lambda: report.advance(1))
    return head, len(seen), {"steps": float(schedule.n_steps)}


def _informations(losses: PerImageLosses) -> dict[tuple[str, str], Information]:
    """What the source tells, by split and by what l0 is the loss of."""
    found: dict[tuple[str, str], Information] = {}
    for split in dict.fromkeys(losses.splits):
        values = losses.select(split).values
        for baseline, column in BASELINES.items():
            if values[column].mean() > 0:  # a split of one image is its own mean
                found[split, baseline] = measure(values["mse"], values[column], values.get("reference"))
    return found


def _facts(found: Mapping[tuple[str, str], Information]) -> dict[str, float]:
    """I, I* and r of every split against the training mean, as metrics; open limits are left out."""
    facts: dict[str, float] = {}
    for (split, baseline), one in found.items():
        if baseline == "train mean":
            facts |= {f"{split}.{name}": value for name, value in _numbers(one).items()}
    return {name: value for name, value in facts.items() if math.isfinite(value)}


def _table(found: Mapping[tuple[str, str], Information]) -> dict[str, list[object]]:
    rows: list[dict[str, object]] = []
    for (split, baseline), one in found.items():
        head: dict[str, object] = {"split": split, "l0_of": baseline, "n_images": one.n_images}
        note = "r is undefined: I* is not positive" if one.ceiling and not one.ratio else ""
        rows.append(head | _numbers(one) | {"note": note})
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name, "") for row in rows] for name in names}


def _numbers(one: Information) -> dict[str, float]:
    quantities: dict[str, Quantity | None] = {
        "bits": one.bits,
        "bits_ceiling": one.ceiling,
        "ratio": one.ratio,
    }
    numbers = {"l": one.loss, "l0": one.constant}
    for name, found in quantities.items():
        if found is not None:
            numbers |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return numbers


def _tensors(mapped: Mapped) -> dict[str, Any]:
    tensors = {"head.weight": mapped.head.weight, "head.bias": mapped.head.bias}
    tensors |= {"standardize.mean": mapped.mean, "standardize.std": mapped.std}
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
