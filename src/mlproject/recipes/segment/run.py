"""Run the segment recipe: train, evaluate pixels, confusion matrix, and the accuracy of the largest class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mlproject.cell import Cell
from mlproject.data import UNLABELLED, split_indices
from mlproject.errors import WrongUse
from mlproject.losses import Floats, Outcome
from mlproject.recipes.examples import class_counts, mapped, training_device
from mlproject.recipes.frozen import planned_model
from mlproject.recipes.whole_network import (
    forward_flops,
    outcome,
    sized,
    split_rows,
    train_and_evaluate,
)
from mlproject.training import Examples, Task, Values, evaluate, seeded

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.losses import Report
    from mlproject.recipes.segment.knobs import Segment
else:
    ImageSet = Report = Segment = Any


class PixelClassifier(nn.Module):
    """A body that gives a feature vector for every pixel, and a linear head on each.

    Shapes: [B, 3, S, S] to [B, classes, S, S].
    """

    def __init__(self, body: nn.Module, width: int, n_classes: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Conv2d(width, n_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every pixel."""
        logits: Tensor = self.head(self.body(x))
        return logits


def run_segment(segment: Segment, cell: Cell, images: ImageSet, report: Report) -> Outcome:
    """The outcome of a cell. Raises: WrongUse, BadInput, MLProjectError where training fails."""
    model = planned_model(cell.model, cell.weights, cell.model_digest)
    rows, n_classes = split_indices(cell, images), len(images.classes)
    _require_fit(cell, images, maps=model.maps)
    with seeded(cell.seed, "init"):
        net = PixelClassifier(model.build(), model.width, n_classes)
    task = Task(objective=measure, measure=measure)
    with mapped(images, rows.every.tolist(), sized(model, segment.side)) as examples:
        parts = split_rows(rows, examples)
        counts = class_counts(parts, "train")[:n_classes]
        _require_two_classes(images, counts, len(rows.train))
        training = train_and_evaluate(net, task, segment, cell, parts, report)
        evaluated = parts["train" if cell.in_sample else "eval"]
        matrix = _confusion(net, evaluated, n_classes, segment.batch_size)
    flops = forward_flops(model, segment.side, (1.0,)) + 2.0 * net.head.weight.numel() * segment.side**2
    return outcome(
        training,
        cell,
        model,
        images,
        rows,
        net,
        flops_per_image=flops,
        tables=_tables(matrix, images.classes),
        facts=_facts(matrix, int(counts.argmax())),
    )


def _require_two_classes(images: ImageSet, counts: NDArray[np.int64], n_train: int) -> None:
    if (counts > 0).sum() < 2:
        raise WrongUse(
            f"recipe='segment' needs label maps of at least 2 classes; every pixel of the {n_train} training "
            f"images of {images.name} that counts is of class {images.classes[int(counts.argmax())]!r}"
        )


def _require_fit(cell: Cell, images: ImageSet, *, maps: bool) -> None:
    if not maps:
        rule = "must be a segmenter, such as segmenter_w8_i3, for recipe='segment'"
        raise WrongUse(f"model {rule}, not {cell.model!r}")
    if images.read_map is None:
        raise WrongUse(f"data must have label maps for recipe='segment'; {images.name} has none")
    if cell.image_scales != (1.0,):
        raise WrongUse(f"image_scales must be 1 for recipe='segment', not {cell.image_scales}")


def measure(net: nn.Module, inputs: Tensor, targets: Tensor) -> Values:
    """Mean cross-entropy and share of wrong pixels of every image, over its labelled pixels."""
    logits = net(inputs).permute(0, 2, 3, 1)  # one row a pixel: the spatial form has no determinism on CUDA
    wanted = targets.long()
    known = wanted != UNLABELLED
    losses = functional.cross_entropy(
        logits.flatten(0, 2), wanted.flatten(), reduction="none", ignore_index=UNLABELLED
    ).view_as(wanted)
    total = known.sum((1, 2))
    correct = ((logits.argmax(3) == wanted) & known).sum((1, 2))
    return {
        "loss": losses.sum((1, 2)) / total,
        "error": 1 - correct.double() / total,
        "correct": correct,
        "total": total,
    }


def _confusion(net: nn.Module, examples: Examples, n_classes: int, batch_size: int) -> Floats:
    """Pixels by true class (rows) and predicted class (columns), [classes, classes]."""

    def counted(net: nn.Module, inputs: Tensor, targets: Tensor) -> Values:
        pairs = targets.long() * n_classes + net(inputs).argmax(1)
        pairs[targets == UNLABELLED] = n_classes**2
        counts = torch.zeros(len(pairs), n_classes**2 + 1, dtype=torch.int64, device=pairs.device)
        flat = pairs.flatten(1)
        return {"pairs": counts.scatter_add_(1, flat, torch.ones_like(flat))[:, : n_classes**2]}

    counts = evaluate(net, examples, counted, device=training_device(), batch_size=batch_size)
    matrix: Floats = counts["pairs"].sum(0).view(n_classes, n_classes).numpy()
    return matrix


def iou(matrix: Floats) -> Floats:
    """Intersection over union of every class, NaN for a class that no pixel has, [classes]."""
    hits, support = np.diag(matrix), matrix.sum(1)
    union = support + matrix.sum(0) - hits
    return np.where(support > 0, hits / np.maximum(union, 1), np.nan)


def _facts(matrix: Floats, majority: int) -> dict[str, float]:
    support = matrix.sum(1)
    present = support > 0
    return {
        "miou": float(np.nanmean(iou(matrix))),
        "mean_class_accuracy": float((np.diag(matrix)[present] / support[present]).mean()),
        "majority_accuracy": float(support[majority] / support.sum()),
        "n_classes_present": float(present.sum()),
    }


def _tables(matrix: Floats, classes: Sequence[str]) -> dict[str, dict[str, Sequence[object]]]:
    support, values = matrix.sum(1), iou(matrix)
    whole = matrix.astype(np.int64)
    confusion: dict[str, Sequence[object]] = {"true": list(classes)}
    confusion |= {name: whole[:, i].tolist() for i, name in enumerate(classes)}
    overlaps = ["" if np.isnan(value) else float(value) for value in values]
    accuracies = [float(h / s) if s else "" for h, s in zip(np.diag(matrix), support, strict=True)]
    rows = {"class": list(classes), "support": support.astype(np.int64).tolist()}
    return {"confusion": confusion, "classes": {**rows, "iou": overlaps, "accuracy": accuracies}}
