"""How a probe is run: features of train and eval rows, a head, and the losses of every image.

Kept apart from the knobs so that plans are built without torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mlproject.cell import Cell
from mlproject.data.splits import rows_of
from mlproject.errors import MLProjectError, WrongUse
from mlproject.losses import Floats, Outcome, PerImageLosses, Split
from mlproject.recipes.frozen import Source, spent
from mlproject.training import Schedule, generator
from mlproject.training.heads import (
    Epochs,
    LinearHead,
    Training,
    batch_gradient,
    initial_head,
    losses_by_kind,
    n_blocks,
    statistics,
    train_head,
)
from mlproject.training.heads.ridge import ridge_path

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.features import Features
    from mlproject.progress import Report
    from mlproject.recipes.probe import Probe
else:
    ImageSet = Features = Report = Probe = Any

MAX_POINTS = 50
CHUNK = 4096


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What the head sees: training rows first, then those of validation and evaluation.

    Shapes: ``rows`` and ``splits`` [n], ``inputs`` [n, d], ``targets`` [n, out] or None (the head's own
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
class Trained:
    """A head, what training it cost in images seen, and the facts about its way there."""

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
    examples = examples_of(probe, cell, images, report)
    trained = (solved if probe.solver == "ridge" else _train)(probe, cell, examples, report)
    losses = _judge(probe, trained, examples)
    return _outcome(probe, images, examples, trained, losses)


def examples_of(probe: Probe, cell: Cell, images: ImageSet, report: Report) -> Examples:
    """Inputs and targets of all rows of a cell. Raises: DigestMismatch when its weights are others now."""
    from mlproject.device import find_device
    from mlproject.features import FeatureStore
    from mlproject.models import find_model

    drawn = rows_of(cell, images)
    rows, n_train = drawn.every, len(drawn.train)
    features = Source.of(cell, precision=probe.precision).features(images, rows, report)
    device = "cuda" if find_device() == "cuda" else "cpu"  # losses are float64, which mps lacks
    inputs = torch.from_numpy(features.matrix).to(device)
    mean, std = torch.zeros_like(inputs[0]), torch.ones_like(inputs[0])
    if probe.standardize:
        mean, std = statistics(inputs[:n_train])
        inputs = (inputs - mean).div_(std)
    targets = None if probe.target == "self" else inputs
    if probe.target == "labels":
        targets = torch.eye(len(images.classes))[torch.from_numpy(images.labels[rows])].to(device)
    elif probe.target == "pixels":
        model = find_model(cell.model)
        targets = torch.from_numpy(FeatureStore().pixels(model, images, rows, report=report)).to(device)
    return Examples(
        rows=rows,
        splits=drawn.splits,
        n_train=n_train,
        inputs=inputs,
        targets=targets,
        mean=mean,
        std=std,
        features=features,
    )


def solved(probe: Probe, cell: Cell, examples: Examples, report: Report) -> Trained:
    """The closed form; its compute is counted as that of one epoch."""
    inputs, targets = examples.train
    assert targets is not None
    report.stage("head", 1)
    path = ridge_path(inputs, targets)
    report.advance(1)
    head = LinearHead(weight=path.weight.float(), bias=path.bias.float())
    loss, _ = batch_gradient(head, inputs, targets, probe.loss)
    report.metrics(1, {"train.loss": loss})
    facts = {"ridge_lambda": path.best, "left_out_mse": path.left_out.min().item()}
    return Trained(head=head, n_seen=len(inputs), facts=facts)


def _train(probe: Probe, cell: Cell, examples: Examples, report: Report) -> Trained:
    inputs, targets = examples.train
    schedule = Schedule(
        n_images=len(inputs), batch_size=probe.batch_size, epochs=probe.epochs, steps=probe.steps
    )
    order = generator(cell.seed, "order") if probe.shuffle else None
    epochs = schedule.batches(order, inputs.device)
    start = initial_of(cell, examples)
    head = LinearHead(weight=start.weight.clone(), bias=start.bias.clone())
    training = Training(
        loss=probe.loss,
        optimizer=probe.optimizer,
        lr=probe.lr,
        weight_decay=probe.weight_decay,
        dropout=probe.dropout,
    )
    first = _checked(probe, "at the first step", head, examples, epochs[0][0])
    report.stage("head", len(epochs) * n_blocks(head, training))
    seen = train_head(
        head,
        inputs,
        targets,
        epochs,
        training,
        dropout=generator(cell.seed, "dropout"),
        after_epoch=lambda: report.advance(1),
    )
    last = _checked(probe, "after training", head, examples, epochs[-1][-1])
    online = _report_epochs(epochs, seen, report, len(inputs))
    moved = torch.stack([(head.weight - start.weight).norm(), (head.bias - start.bias).norm()]).norm()
    facts = {"grad_norm_first": first, "grad_norm_last": last, "update_norm": moved.item()}
    facts |= {"steps": float(schedule.n_steps), "epochs": float(schedule.n_epochs)}
    return Trained(head=head, n_seen=len(seen), facts=facts, online=online if probe.online_losses else None)


def initial_of(cell: Cell, examples: Examples) -> LinearHead:
    """The head that the training of a cell starts from."""
    n_in = examples.inputs.shape[1]
    n_out = n_in if examples.targets is None else examples.targets.shape[1]
    head = initial_head(n_in, n_out, generator(cell.seed, "init"))
    device = examples.inputs.device
    return LinearHead(weight=head.weight.to(device), bias=head.bias.to(device))


def _checked(probe: Probe, when: str, head: LinearHead, examples: Examples, batch: Tensor) -> float:
    """The gradient's norm on a batch. Raises: MLProjectError when there is nothing to learn, or no number."""
    inputs, targets = examples.train
    wanted = targets if targets is None else targets[batch]
    loss, norm = batch_gradient(head, inputs[batch], wanted, probe.loss)
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


def _report_epochs(epochs: Epochs, seen: Tensor, report: Report, n: int) -> Floats:
    """Report mean losses of at most 50 epochs; give the last loss before a step for every image [n]."""
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


def _judge(probe: Probe, trained: Trained, examples: Examples) -> dict[str, Floats]:
    """Losses of every row, by kind."""
    parts: list[dict[str, Tensor]] = []
    for start in range(0, len(examples.rows), CHUNK):
        part = slice(start, start + CHUNK)
        outputs = trained.head(examples.inputs[part]).double()
        targets = examples.targets
        wanted = outputs if targets is None else targets[part].double()
        parts.append(losses_by_kind(probe.loss, outputs, wanted, labels=probe.target == "labels"))
    losses = {name: torch.cat([p[name] for p in parts]).cpu().numpy() for name in parts[0]}
    targets = examples.train[1]
    spread = 0.0 if targets is None else targets.double().var(0, correction=0).mean().item()
    if "mse" in losses and spread > 0:
        losses["nmse"] = losses["mse"] / spread
    if trained.online is not None:
        unseen = np.full(len(examples.rows) - examples.n_train, np.nan)
        losses[f"online_{probe.loss}"] = np.concatenate([trained.online, unseen])
    return losses


def _outcome(
    probe: Probe, images: ImageSet, examples: Examples, trained: Trained, losses: dict[str, Floats]
) -> Outcome:
    facts = trained.facts | spent(examples.features)
    judged = "eval" if "eval" in examples.splits else "train"
    if "error" in losses:
        wrong = losses["error"][np.array(examples.splits) == judged]
        facts |= {"n_correct": float((wrong == 0).sum()), "n_total": float(len(wrong))}
        facts["accuracy"] = facts["n_correct"] / facts["n_total"]
    head, features = trained.head, examples.features
    tensors = {"head.weight": head.weight, "head.bias": head.bias}
    tensors |= {"standardize.mean": examples.mean, "standardize.std": examples.std}
    return Outcome(
        losses=PerImageLosses(
            kind=probe.loss,
            image_ids=tuple(images.ids[i] for i in examples.rows),
            splits=examples.splits,
            values=losses,
        ),
        n_params=features.n_params + head.n_params,
        n_params_trained=head.n_params,
        flops_per_image=features.flops_per_image + head.flops_per_image,
        flops_total=examples.n_train * features.flops_per_image + 3 * head.flops_per_image * trained.n_seen,
        facts=facts,
        provenance=dict(features.provenance),
        tensors={name: tensor.cpu().numpy() for name, tensor in tensors.items()},
    )
