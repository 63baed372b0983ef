"""Run the reconstruct recipe: features of source and target, linear maps, and information in bits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mlproject.cell import Cell
from mlproject.data import SplitIndices, split_indices
from mlproject.errors import MLProjectError
from mlproject.losses import Floats, Outcome, PerImageLosses
from mlproject.recipes.frozen import FrozenBackbone, feature_cost, feature_tensor, standardized
from mlproject.scaling import Estimate, Information, measure_information
from mlproject.training import (
    HeadSettings,
    LinearHead,
    Schedule,
    generator,
    n_blocks,
    ridge_path,
    train_head,
)

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.losses import Report
    from mlproject.recipes.reconstruct.knobs import Reconstruct
else:
    ImageSet = Reconstruct = Report = Any

BASELINES = {"train mean": "constant", "own mean": "constant_own"}
"""The constant whose loss is l0: the mean of the training targets (standard), or of the split's targets."""


@dataclass(frozen=True, kw_only=True)
class LinearMap:
    """A linear map of standardised features, and its squared errors [n]."""

    head: LinearHead
    mean: Tensor
    std: Tensor
    losses: Floats
    n_seen: int
    facts: dict[str, float]


def run_reconstruct(recipe: Reconstruct, cell: Cell, images: ImageSet, report: Report) -> Outcome:
    """The outcome of a cell. Raises: MLProjectError (a target that does not vary, training that diverges)."""
    rows = split_indices(cell, images)
    source = FrozenBackbone.of(cell, precision=recipe.precision).features(images, rows.every, report)
    target = FrozenBackbone.of_role("target", cell).features(images, rows.every, report)
    targets, n_train = feature_tensor(target), len(rows.train)
    mapped = _map(recipe, cell, feature_tensor(source), targets, n_train, report)
    values = {"mse": mapped.losses, **_constants(targets, rows)}
    if recipe.reference_model:
        reference = FrozenBackbone.of_role("reference", cell).features(images, rows.every, report)
        values["reference"] = _map(recipe, cell, feature_tensor(reference), targets, n_train, report).losses
    losses = PerImageLosses(
        kind="mse",
        image_ids=tuple(images.ids[i] for i in rows.every),
        splits=rows.splits,
        values=values,
    )
    informations = _informations(losses)
    head, n_flops = mapped.head, mapped.head.flops_per_image
    features = n_train * (source.flops_per_image + target.flops_per_image)
    return Outcome(
        losses=losses,
        n_params=source.n_params + head.n_params,
        n_params_trained=head.n_params,
        flops_per_image=source.flops_per_image + n_flops,
        flops_total=features + 3 * n_flops * mapped.n_seen,
        facts=mapped.facts | feature_cost(source) | _facts(informations),
        provenance=dict(source.provenance) | {"target": f"{recipe.target_model} {recipe.target_digest}"},
        tensors=_tensors(mapped),
        tables={"information": _table(informations)},
    )


def _constants(targets: Tensor, rows: SplitIndices) -> dict[str, Floats]:
    """Squared errors [n] of two constants: the training mean, and the mean of each row's split."""
    values, splits = targets.double(), np.array(rows.splits)
    errors = (values - values[: len(rows.train)].mean(0)).square().mean(1).cpu().numpy()
    if not errors[: len(rows.train)].mean() > 0:
        raise MLProjectError(
            "the target's features are the same for all training images: there is nothing to predict"
        )
    by_split = errors.copy()
    for split in set(rows.splits):
        part = values[torch.from_numpy(splits == split).to(values.device)]
        by_split[splits == split] = (part - part.mean(0)).square().mean(1).cpu().numpy()
    return {"constant": errors, "constant_own": by_split}


def _map(
    recipe: Reconstruct, cell: Cell, inputs: Tensor, targets: Tensor, n_train: int, report: Report
) -> LinearMap:
    inputs, mean, std = standardized(inputs, n_train, apply=recipe.standardize)
    solve = _solve if recipe.solver == "ridge" else _train
    head, n_seen, facts = solve(recipe, cell, inputs[:n_train], targets[:n_train], report)
    errors = head(inputs).double() - targets
    return LinearMap(
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
    """Ridge regression; its compute is counted as that of one epoch."""
    report.stage("head", 1)
    path = ridge_path(inputs, targets)
    report.advance(1)
    head = LinearHead(weight=path.weight.float(), bias=path.bias.float())
    facts = {"ridge_lambda": path.best, "left_out_mse": path.left_out.min().item()}
    return head, len(inputs), facts


def _train(
    recipe: Reconstruct, cell: Cell, inputs: Tensor, targets: Tensor, report: Report
) -> tuple[LinearHead, int, dict[str, float]]:
    """Gradient steps from the best constant, so that the information starts at 0."""
    weight = torch.zeros(targets.shape[1], inputs.shape[1], device=inputs.device)
    head = LinearHead(weight=weight, bias=targets.mean(0))
    schedule = Schedule(n_images=len(inputs), batch_size=recipe.batch_size, epochs=0, steps=recipe.steps)
    epochs = schedule.batches(generator(cell.seed, "order"), inputs.device)
    settings = HeadSettings(
        loss="mse", optimizer=recipe.optimizer, lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    report.stage("head", len(epochs) * n_blocks(head, settings))
    seen = train_head(head, inputs, targets, epochs, settings, after_epoch=lambda: report.advance(1))
    return head, len(seen), {"steps": float(schedule.n_steps)}


def _informations(losses: PerImageLosses) -> dict[tuple[str, str], Information]:
    """Information about the target in the source, by split and by the constant whose loss is l0."""
    informations: dict[tuple[str, str], Information] = {}
    for split in dict.fromkeys(losses.splits):
        values = losses.select(split).values
        for baseline, column in BASELINES.items():
            if values[column].mean() > 0:  # a split of one image is its own mean
                informations[split, baseline] = measure_information(
                    values["mse"], values[column], values.get("reference")
                )
    return informations


def _facts(informations: Mapping[tuple[str, str], Information]) -> dict[str, float]:
    """I, I* and r of every split against the training mean, as metrics; infinite limits are left out."""
    facts: dict[str, float] = {}
    for (split, baseline), information in informations.items():
        if baseline == "train mean":
            facts |= {f"{split}.{name}": value for name, value in _numbers(information).items()}
    return {name: value for name, value in facts.items() if math.isfinite(value)}


def _table(informations: Mapping[tuple[str, str], Information]) -> dict[str, list[object]]:
    rows: list[dict[str, object]] = []
    for (split, baseline), information in informations.items():
        row: dict[str, object] = {"split": split, "l0_of": baseline, "n_images": information.n_images}
        undefined = information.ceiling and not information.ratio
        note = "r is undefined: I* is not positive" if undefined else ""
        rows.append(row | _numbers(information) | {"note": note})
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name, "") for row in rows] for name in names}


def _numbers(information: Information) -> dict[str, float]:
    quantities: dict[str, Estimate | None] = {
        "bits": information.bits,
        "bits_ceiling": information.ceiling,
        "ratio": information.ratio,
    }
    numbers = {"l": information.loss, "l0": information.constant}
    for name, quantity in quantities.items():
        if quantity is not None:
            numbers |= {name: quantity.value, f"{name}_low": quantity.low, f"{name}_high": quantity.high}
    return numbers


def _tensors(mapped: LinearMap) -> dict[str, Any]:
    tensors = {"head.weight": mapped.head.weight, "head.bias": mapped.head.bias}
    tensors |= {"standardize.mean": mapped.mean, "standardize.std": mapped.std}
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
