"""Run the memorise recipe: features of the training images, a class for each, and the bits memorised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mlproject.cell import Cell
from mlproject.data import split_indices
from mlproject.errors import MLProjectError, WrongUse
from mlproject.losses import Floats, Outcome, PerImageLosses, predictions_table
from mlproject.recipes.frozen import FrozenBackbone, feature_cost, feature_tensor, standardized
from mlproject.training import (
    HeadSettings,
    LinearHead,
    Schedule,
    build_optimizer,
    generator,
    initial_head,
    n_blocks,
    train_head,
)

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.losses import Report
    from mlproject.recipes.memorise.knobs import Memorise
else:
    ImageSet = Memorise = Report = Any

CHUNK = 1024
"""Images scored at once."""
UNTRAINED = 1e-4
"""Greatest allowed difference of the loss before training from ln n, in nats."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Scores [B, n] of inputs [B, d]: a linear head, or normalised vectors against a memory [n, m]."""

    head: LinearHead
    vectors: Tensor | None = None
    temperature: float = 1.0

    def scores(self, inputs: Tensor) -> Tensor:
        """One score for every memorised image."""
        if self.vectors is None:
            return self.head(inputs)
        return F.normalize(self.head(inputs), dim=1) @ self.vectors.T / self.temperature

    def losses(self, inputs: Tensor) -> tuple[Floats, NDArray[np.int64], Floats]:
        """Cross-entropy [n] of every image among all, the image [n] that ranks first, its probability [n]."""
        nats, first, confidence = [], [], []
        for start in range(0, len(inputs), CHUNK):
            rows = torch.arange(start, min(start + CHUNK, len(inputs)), device=inputs.device)
            scores = self.scores(inputs[rows]).double()
            nats.append(F.cross_entropy(scores, rows, reduction="none"))
            first.append(scores.argmax(1))
            confidence.append(scores.softmax(1).amax(1))
        joined = [torch.cat(part).cpu().numpy() for part in (nats, first, confidence)]
        return joined[0], joined[1], joined[2]

    @property
    def n_params(self) -> int:
        """Values set by training: weights, biases and the memory."""
        return self.head.n_params + (0 if self.vectors is None else self.vectors.numel())

    @property
    def flops_per_image(self) -> float:
        """Operations of one image's scores."""
        return self.head.flops_per_image + (0.0 if self.vectors is None else 2.0 * self.vectors.numel())

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The trained tensors by name."""
        named = {"head.weight": self.head.weight, "head.bias": self.head.bias}
        return named if self.vectors is None else named | {"memory": self.vectors}


def run_memorise(recipe: Memorise, cell: Cell, images: ImageSet, report: Report) -> Outcome:
    """The outcome of a cell. Raises: WrongUse, MLProjectError (untrained loss not ln n, divergence)."""
    _check(cell)
    rows = split_indices(cell, images)
    features = FrozenBackbone.of(cell, precision=recipe.precision).features(images, rows.train, report)
    inputs, _, _ = standardized(feature_tensor(features), len(rows.train), apply=recipe.standardize)
    memory = _empty(recipe, cell, inputs)
    before = float(memory.losses(inputs)[0].mean())
    if abs(before - math.log(len(inputs))) > UNTRAINED:
        raise MLProjectError(f"the loss before training is {before:.5f}, not ln {len(inputs)}")
    n_seen = (_train_linear if recipe.form == "linear" else _train_instance)(
        recipe, cell, memory, inputs, report
    )
    nats, first, confidence = memory.losses(inputs)
    wrong = (first != np.arange(len(first))).astype(np.float64)
    losses = PerImageLosses(
        kind="cross_entropy",
        image_ids=tuple(images.ids[i] for i in rows.train),
        splits=rows.splits,
        values={"cross_entropy": nats, "error": wrong},
    )
    tables: dict[str, dict[str, Sequence[object]]] = {}
    if len(images.classes) > 1:
        labels = images.labels[rows.train]
        tables = predictions_table(losses, labels, labels[first], images.classes, confidence)
    return Outcome(
        losses=losses,
        n_params=features.n_params + memory.n_params,
        n_params_trained=memory.n_params,
        flops_per_image=features.flops_per_image + memory.flops_per_image,
        flops_total=len(inputs) * features.flops_per_image + 3 * memory.flops_per_image * n_seen,
        facts=_facts(before, nats, wrong, memory.n_params) | feature_cost(features),
        provenance=dict(features.provenance),
        tensors={name: tensor.cpu().numpy() for name, tensor in memory.tensors.items()},
        tables=tables,
    )


def _check(cell: Cell) -> None:
    if cell.eval_size or cell.validation_size:
        raise WrongUse(
            "recipe memorise has no held-out images (only training images have a class): "
            "use eval_size=in-sample and validation_size=0"
        )
    if cell.dataset_size < 2:
        raise WrongUse(f"dataset_size must be at least 2 for recipe memorise, not {cell.dataset_size}")


def _empty(recipe: Memorise, cell: Cell, inputs: Tensor) -> Memory:
    """The untrained memory: weights of 0, or a memory of 0 behind a random projection."""
    n, width = inputs.shape
    if recipe.form == "linear":
        weight = torch.zeros(n, width, device=inputs.device)
        return Memory(head=LinearHead(weight=weight, bias=torch.zeros(n, device=inputs.device)))
    head = initial_head(width, recipe.dimensions, generator(cell.seed, "init"))
    head = LinearHead(weight=head.weight.to(inputs.device), bias=head.bias.to(inputs.device))
    vectors = torch.zeros(n, recipe.dimensions, device=inputs.device)
    return Memory(head=head, vectors=vectors, temperature=recipe.temperature)


def _batches(recipe: Memorise, cell: Cell, inputs: Tensor) -> list[list[Tensor]]:
    schedule = Schedule(n_images=len(inputs), batch_size=recipe.batch_size, epochs=0, steps=recipe.steps)
    return schedule.batches(generator(cell.seed, "order"), inputs.device)


def _train_linear(recipe: Memorise, cell: Cell, memory: Memory, inputs: Tensor, report: Report) -> int:
    epochs = _batches(recipe, cell, inputs)
    settings = HeadSettings(
        loss="cross_entropy", optimizer=recipe.optimizer, lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    report.stage("head", len(epochs) * n_blocks(memory.head, settings))
    targets = torch.eye(len(inputs), device=inputs.device)
    seen = train_head(memory.head, inputs, targets, epochs, settings, after_epoch=lambda: report.advance(1))
    return len(seen)


def _train_instance(recipe: Memorise, cell: Cell, memory: Memory, inputs: Tensor, report: Report) -> int:
    """Wu et al. 2018, equations 2 and 6, without the proximal term: the softmax is exact, not sampled."""
    assert memory.vectors is not None
    parameters = [memory.head.weight.requires_grad_(), memory.head.bias.requires_grad_()]
    optimizer = build_optimizer(recipe.optimizer, parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
    epochs, n_seen = _batches(recipe, cell, inputs), 0
    report.stage("head", len(epochs))
    for batches in epochs:
        for rows in batches:
            vectors = F.normalize(memory.head(inputs[rows]), dim=1)
            loss = F.cross_entropy(vectors @ memory.vectors.T / recipe.temperature, rows)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            kept = recipe.momentum * memory.vectors[rows] + (1 - recipe.momentum) * vectors.detach()
            memory.vectors[rows] = F.normalize(kept, dim=1)
            n_seen += len(rows)
        if not math.isfinite(loss.item()):
            raise MLProjectError(
                f"training diverged: {recipe.optimizer} with lr={recipe.lr:g}; try a smaller lr"
            )
        report.advance(1)
    for parameter in parameters:
        parameter.requires_grad_(False)
    return n_seen


def _facts(before: float, nats: Floats, wrong: Floats, n_params: int) -> dict[str, float]:
    """Capacity: ln n minus the loss is the information that training stored about an image's identity."""
    bits = (math.log(len(nats)) - float(nats.mean())) / math.log(2)
    return {
        "loss_before": before,
        "memorised": float((wrong == 0).mean()),
        "bits_per_image": bits,
        "capacity_bits": len(nats) * bits,
        "bits_per_parameter": len(nats) * bits / n_params,
    }
