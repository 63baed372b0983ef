"""Run the scratch recipe: train backbone and head by cross-entropy, and evaluate every image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlproject.cell import Cell
from mlproject.data import split_indices
from mlproject.errors import WrongUse
from mlproject.losses import Outcome
from mlproject.multiscale import embed
from mlproject.recipes.examples import labelled
from mlproject.recipes.frozen import planned_model
from mlproject.recipes.whole_network import (
    forward_flops,
    outcome,
    require_two_classes,
    sized,
    split_rows,
    train_and_evaluate,
)
from mlproject.training import CONFIDENCE, PREDICTED, Measure, Task, Values, seeded

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.losses import Report
    from mlproject.models import Model
    from mlproject.recipes.scratch.knobs import Scratch
else:
    ImageSet = Model = Report = Scratch = Any


class Classifier(nn.Module):
    """A backbone, its features at one or more image scales, and a linear head.

    Shapes: [B, 3, S, S] to [B, classes].
    """

    def __init__(self, body: nn.Module, width: int, n_classes: int, image_scales: tuple[float, ...]) -> None:
        super().__init__()
        self.body, self.image_scales = body, image_scales
        self.head = nn.Linear(width * len(image_scales), n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        plain = self.image_scales == (1.0,)
        logits: Tensor = self.head(self.body(x) if plain else embed(self.body, x, self.image_scales))
        return logits


def run_scratch(scratch: Scratch, cell: Cell, images: ImageSet, report: Report) -> Outcome:
    """The outcome of a cell. Raises: WrongUse, MLProjectError where training fails."""
    model = planned_model(cell.model, cell.weights, cell.model_digest)
    rows = split_indices(cell, images)
    if model.maps:
        raise WrongUse(f"model must classify whole images for recipe='scratch', not {model.name!r}")
    if cell.large_images != "interpolated":
        rule = "large_images must be interpolated for recipe='scratch'"
        raise WrongUse(f"{rule}, not {cell.large_images!r}")
    n_classes = len(images.classes)
    require_two_classes("scratch", images, rows.train.tolist())
    with seeded(cell.seed, "init"):
        net = Classifier(model.build(), model.width, n_classes, cell.image_scales)
    task = Task(objective=smoothed(scratch.label_smoothing), measure=measure)
    with labelled(images, rows.every.tolist(), sized(model, scratch.side)) as examples:
        training = train_and_evaluate(net, task, scratch, cell, split_rows(rows, examples), report)
    flops = forward_flops(model, scratch.side, cell.image_scales) + 2.0 * net.head.weight.numel()
    return outcome(training, cell, model, images, rows, net, flops_per_image=flops)


def measure(net: nn.Module, inputs: Tensor, targets: Tensor) -> Values:
    """Cross-entropy, Brier score Σ (p - t)², error (0 or 1), predicted class and its probability p."""
    logits = net(inputs).double()
    one_hot = functional.one_hot(targets, logits.shape[1])
    predicted, chances = logits.argmax(1), logits.softmax(1)
    wrong = (predicted != targets).double()
    return {
        "loss": functional.cross_entropy(logits, targets, reduction="none"),
        "brier": (chances - one_hot).square().sum(1),
        "error": wrong,
        "correct": 1 - wrong,
        "total": torch.ones_like(wrong),
        PREDICTED: predicted,
        CONFIDENCE: chances.amax(1),
    }


def smoothed(smoothing: float) -> Measure:
    """Cross-entropy with label smoothing (Szegedy et al. 2015, arXiv 1512.00567)."""

    def objective(net: nn.Module, inputs: Tensor, targets: Tensor) -> Values:
        logits = net(inputs)
        loss = functional.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
        correct = (logits.argmax(1) == targets).float()
        return {"loss": loss, "correct": correct, "total": torch.ones_like(correct)}

    return objective
