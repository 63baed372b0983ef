"""Run the probe recipe: features of all rows, a linear head, and the losses of every image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mlproject.cell import Cell
from mlproject.data import split_indices
from mlproject.errors import MLProjectError, WrongUse
from mlproject.losses import Floats, Outcome, PerImageLosses, Split, predictions_table
from mlproject.recipes.frozen import FrozenBackbone, feature_cost, feature_tensor, standardized
from mlproject.training import (
    EpochBatches,
    HeadSettings,
    LinearHead,
    Schedule,
    batch_gradient,
    generator,
    initial_head,
    losses_by_kind,
    n_blocks,
    ridge_path,
    train_head,
)

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.features import Features
    from mlproject.losses import Report
    from mlproject.recipes.probe.knobs import Probe
else:
    ImageSet = Features = Report = Probe = Any

MAX_POINTS = 50
"""Epochs whose mean loss is reported, at most."""
CHUNK = 4096
"""Images evaluated at once."""


@dataclass(frozen=True, kw_only=True)
class ProbeExamples:
    """Inputs and targets of a head: training rows first, then validation, then evaluation rows.

    Shapes: ``rows`` and ``splits`` [n], ``inputs`` [n, d], ``targets`` [n, out] or None (the head's
    output), ``mean`` and ``std`` [d].
    """

    rows: np.ndarray[tuple[int], np.dtype[np.int64]]
    splits: tuple[Split, ...]
    n_train: int
    inputs: Tensor
    targets: Tensor | None
    mean: Tensor
    std: Tensor
    features: Features

    @property
    def train(self) -> tuple[Tensor, Tensor | None]:
        """Inputs and targets of the training rows."""
        targets = self.targets
        return self.inputs[: self.n_train], targets if targets is None else targets[: self.n_train]


@dataclass(frozen=True, kw_only=True)
class TrainedHead:
    """A trained head, the number of images seen in training, and numbers to log about the training."""

    head: LinearHead
    n_seen: int
    facts: dict[str, float]
    online: Floats | None = None


def run_probe(probe: Probe, cell: Cell, images: ImageSet, report: Report) -> Outcome:
    """The outcome of a cell. Raises: WrongUse, MLProjectError (zero or not finite loss or gradient)."""
    if probe.target == "labels" and len(images.classes) < 2:
        raise WrongUse(
            f"target='labels' needs at least 2 classes, {images.name} has {len(images.classes)}; "
            "use a folder per class, or target=features"
        )
    examples = probe_examples(probe, cell, images, report)
    trained = (solve_ridge if probe.solver == "ridge" else _train)(probe, cell, examples, report)
    losses, predicted, confidence = _evaluate(probe, trained, examples)
    return _outcome(probe, images, examples, trained, losses, predicted, confidence)


def probe_examples(probe: Probe, cell: Cell, images: ImageSet, report: Report) -> ProbeExamples:
    """Inputs and targets of all rows of a cell. Raises: DigestMismatch when its weights have changed."""
    from mlproject.features import FeatureStore
    from mlproject.models import find_model

    drawn = split_indices(cell, images)
    rows, n_train = drawn.every, len(drawn.train)
    features = FrozenBackbone.of(cell, precision=probe.precision).features(images, rows, report)
    inputs, mean, std = standardized(feature_tensor(features), n_train, apply=probe.standardize is True)
    targets = None if probe.target == "self" else inputs
    if probe.target == "labels":
        targets = torch.eye(len(images.classes))[torch.from_numpy(images.labels[rows])].to(inputs.device)
    elif probe.target == "pixels":
        model = find_model(cell.model, cell.weights)
        pixels = FeatureStore().pixels(model, images, rows, report=report)
        targets = torch.from_numpy(pixels).to(inputs.device)
    return ProbeExamples(
        rows=rows,
        splits=drawn.splits,
        n_train=n_train,
        inputs=inputs,
        targets=targets,
        mean=mean,
        std=std,
        features=features,
    )


def solve_ridge(probe: Probe, cell: Cell, examples: ProbeExamples, report: Report) -> TrainedHead:
    """A head by ridge regression; its compute is counted as that of one epoch."""
    inputs, targets = examples.train
    assert targets is not None
    report.stage("head", 1)
    path = ridge_path(inputs, targets)
    report.advance(1)
    head = LinearHead(weight=path.weight.float(), bias=path.bias.float())
    loss, _ = batch_gradient(head, inputs, targets, probe.loss)
    report.metrics(1, {"train.loss": loss})
    facts = {"ridge_lambda": path.best, "left_out_mse": path.left_out.min().item()}
    return TrainedHead(head=head, n_seen=len(inputs), facts=facts)


def _train(probe: Probe, cell: Cell, examples: ProbeExamples, report: Report) -> TrainedHead:
    inputs, targets = examples.train
    schedule = Schedule(
        n_images=len(inputs), batch_size=probe.batch_size, epochs=probe.epochs, steps=probe.steps
    )
    order = generator(cell.seed, "order") if probe.shuffle else None
    epochs = schedule.batches(order, inputs.device)
    start = initial_probe_head(cell, examples)
    head = LinearHead(weight=start.weight.clone(), bias=start.bias.clone())
    settings = HeadSettings(
        loss=probe.loss,
        optimizer=probe.optimizer,
        lr=probe.lr,
        weight_decay=probe.weight_decay,
        dropout=probe.dropout,
    )
    first = _checked(probe, "at the first step", head, examples, epochs[0][0])
    report.stage("head", len(epochs) * n_blocks(head, settings))
    seen = train_head(
        head,
        inputs,
        targets,
        epochs,
        settings,
        dropout=generator(cell.seed, "dropout"),
        after_epoch=lambda: report.advance(1),
    )
    last = _checked(probe, "after training", head, examples, epochs[-1][-1])
    online = _report_epochs(epochs, seen, report, len(inputs))
    moved = torch.stack([(head.weight - start.weight).norm(), (head.bias - start.bias).norm()]).norm()
    facts = {"grad_norm_first": first, "grad_norm_last": last, "update_norm": moved.item()}
    facts |= {"steps": float(schedule.n_steps), "epochs": float(schedule.n_epochs)}
    return TrainedHead(
        head=head, n_seen=len(seen), facts=facts, online=online if probe.online_losses else None
    )


def initial_probe_head(cell: Cell, examples: ProbeExamples) -> LinearHead:
    """The head that the training of a cell starts from."""
    n_in = examples.inputs.shape[1]
    n_out = n_in if examples.targets is None else examples.targets.shape[1]
    head = initial_head(n_in, n_out, generator(cell.seed, "init"))
    device = examples.inputs.device
    return LinearHead(weight=head.weight.to(device), bias=head.bias.to(device))


def _checked(probe: Probe, when: str, head: LinearHead, examples: ProbeExamples, batch: Tensor) -> float:
    """The gradient's norm on a batch. Raises: MLProjectError when loss or gradient are 0 or not finite."""
    inputs, targets = examples.train
    batch_targets = targets if targets is None else targets[batch]
    loss, norm = batch_gradient(head, inputs[batch], batch_targets, probe.loss)
    for name, value in (("loss", loss), ("gradient of the head", norm)):
        if not math.isfinite(value):
            raise MLProjectError(
                f"the {name} is {value} {when}: check the images' features, or use a smaller lr"
            )
        if value == 0 and not probe.allow_degenerate:
            raise MLProjectError(
                f"the {name} is exactly zero {when} (target={probe.target!r}, loss={probe.loss!r}): "
                "nothing is being learned and no loss of this cell means anything; "
                "allow_degenerate=true runs it all the same"
            )
    return norm


def _report_epochs(epochs: EpochBatches, seen: Tensor, report: Report, n: int) -> Floats:
    """Report mean losses of at most 50 epochs; return each image's loss just before its last step [n]."""
    online = np.full(n, np.nan)
    values = seen.cpu().double().numpy()
    stride, start = math.ceil(len(epochs) / MAX_POINTS), 0
    for number, batches in enumerate(epochs, 1):
        rows = torch.cat(list(batches)).cpu().numpy()
        part = values[start : start + len(rows)]
        start += len(rows)
        online[rows] = part
        if number % stride == 0 or number == len(epochs):
            report.metrics(number, {"train.loss": float(part.mean())})
    return online


def _evaluate(
    probe: Probe, trained: TrainedHead, examples: ProbeExamples
) -> tuple[dict[str, Floats], Tensor, Tensor | None]:
    """Losses of every row, by kind, the output [n] that is largest (the predicted class), and its probability
    [n], None where outputs are no probabilities."""
    has_confidence = probe.target == "labels" and probe.loss == "cross_entropy"
    parts: list[dict[str, Tensor]] = []
    largest: list[Tensor] = []
    shares: list[Tensor] = []
    for start in range(0, len(examples.rows), CHUNK):
        part = slice(start, start + CHUNK)
        outputs = trained.head(examples.inputs[part]).double()
        targets = examples.targets
        part_targets = outputs if targets is None else targets[part].double()
        parts.append(losses_by_kind(probe.loss, outputs, part_targets, labels=probe.target == "labels"))
        largest.append(outputs.argmax(1))
        if has_confidence:
            shares.append(outputs.softmax(1).amax(1))
    losses = {name: torch.cat([p[name] for p in parts]).cpu().numpy() for name in parts[0]}
    targets = examples.train[1]
    spread = 0.0 if targets is None else targets.double().var(0, correction=0).mean().item()
    if "mse" in losses and spread > 0:
        losses["nmse"] = losses["mse"] / spread
    if trained.online is not None:
        unseen = np.full(len(examples.rows) - examples.n_train, np.nan)
        losses[f"online_{probe.loss}"] = np.concatenate([trained.online, unseen])
    return losses, torch.cat(largest).cpu(), torch.cat(shares).cpu() if has_confidence else None


def _outcome(
    probe: Probe,
    images: ImageSet,
    examples: ProbeExamples,
    trained: TrainedHead,
    losses: dict[str, Floats],
    predicted: Tensor,
    confidence: Tensor | None,
) -> Outcome:
    facts = trained.facts | feature_cost(examples.features)
    evaluated = "eval" if "eval" in examples.splits else "train"
    if "error" in losses:
        wrong = losses["error"][np.array(examples.splits) == evaluated]
        facts |= {"n_correct": float((wrong == 0).sum()), "n_total": float(len(wrong))}
        facts["accuracy"] = facts["n_correct"] / facts["n_total"]
    head, features = trained.head, examples.features
    tensors = {"head.weight": head.weight, "head.bias": head.bias}
    tensors |= {"standardize.mean": examples.mean, "standardize.std": examples.std}
    per_image = PerImageLosses(
        kind=probe.loss,
        image_ids=tuple(images.ids[i] for i in examples.rows),
        splits=examples.splits,
        values=losses,
    )
    tables: dict[str, dict[str, Sequence[object]]] = {}
    if probe.target == "labels":
        labels = images.labels[examples.rows]
        known = None if confidence is None else confidence.numpy()
        tables = predictions_table(per_image, labels, predicted.numpy(), images.classes, known)
    return Outcome(
        losses=per_image,
        n_params=features.n_params + head.n_params,
        n_params_trained=head.n_params,
        flops_per_image=features.flops_per_image + head.flops_per_image,
        flops_total=examples.n_train * features.flops_per_image + 3 * head.flops_per_image * trained.n_seen,
        facts=facts,
        provenance=dict(features.provenance),
        tensors={name: tensor.cpu().numpy() for name, tensor in tensors.items()},
        tables=tables,
    )
