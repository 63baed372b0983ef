"""Run the finetune recipe: network, loss with a contrastive term, and detection of collapsed features."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from mlproject.cell import Cell
from mlproject.data import split_indices
from mlproject.device import inference
from mlproject.errors import DigestMismatch, WrongUse
from mlproject.losses import Outcome, Split
from mlproject.models import (
    Copies,
    FeatureEncoding,
    PixelEncoding,
    Weights,
    find_weights,
    fitting_inputs,
    freeze_norms,
    load_backbone,
    plain_attention,
    train_last,
    weights_sha256,
)
from mlproject.recipes.examples import labelled, training_device
from mlproject.recipes.frozen import planned_model
from mlproject.recipes.whole_network import (
    outcome,
    require_two_classes,
    sized,
    split_rows,
    train_and_evaluate,
)
from mlproject.training import (
    CONFIDENCE,
    PREDICTED,
    Examples,
    Measure,
    Task,
    Values,
    build_augment,
    collapsed,
    hinged,
    seeded,
    separation,
    signed,
    supcon,
)

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.losses import Report
    from mlproject.models import Model
    from mlproject.recipes.finetune.knobs import Finetune
else:
    ImageSet = Model = Report = Finetune = Any

log = logging.getLogger(__name__)

VALIDATION: tuple[Split, ...] = ("validation",)
"""The splits evaluated after epochs; evaluation images are used once, after the best epoch is chosen."""


class FinetunedNetwork(nn.Module):
    """A pretrained backbone with an optional encoding before or after it, dropout, and a linear head.

    Shapes: [B, 3, S, S] to features [B, d] and logits [B, classes].
    """

    def __init__(self, body: nn.Module, width: int, n_classes: int, knobs: Finetune) -> None:
        super().__init__()
        widened = knobs.encoding in ("features", "copies")
        self.body = body
        self.before = PixelEncoding(knobs.frequencies) if knobs.encoding == "pixels" else nn.Identity()
        after = {"features": FeatureEncoding(knobs.frequencies), "copies": Copies(2 * knobs.frequencies)}
        self.after = after.get(knobs.encoding, nn.Identity())
        self.dropout = nn.Dropout(knobs.dropout)
        self.head = nn.Linear(width * (2 * knobs.frequencies if widened else 1), n_classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits of a batch."""
        features = self.body(self.before(x))
        return features, self.head(self.dropout(self.after(features)))


def run_finetune(knobs: Finetune, cell: Cell, images: ImageSet, report: Report) -> Outcome:
    """The outcome of a cell. Raises: WrongUse, DigestMismatch, MLProjectError where training fails."""
    model = planned_model(cell.model, cell.weights, cell.model_digest)
    rows, n_classes = split_indices(cell, images), len(images.classes)
    _check(knobs, cell, model)
    require_two_classes("finetune", images, rows.train.tolist())
    net = build_tuned(knobs, cell, model, n_classes)
    augment = build_augment(knobs.augmentation, mixup=knobs.mixup, cutmix=knobs.cutmix, n_classes=n_classes)
    task = Task(objective=_objective(knobs), measure=measure, augment=augment)
    flops, training_flops = _flops(net, knobs.side)
    with labelled(images, rows.every.tolist(), sized(model, knobs.side)) as examples:
        parts = split_rows(rows, examples)
        training = train_and_evaluate(net, task, knobs, cell, parts, report, watched=VALIDATION)
        facts = _separation_facts(net, parts["validation" if "validation" in parts else "train"], knobs, cell)
    result = outcome(training, cell, model, images, rows, net, flops_per_image=flops, facts=facts)
    weights = planned_weights(model, cell)
    pretrained = {"weights": cell.weights, "weights_digest": cell.weights_digest}
    pretrained["weights_sha256"] = weights_sha256(model, weights)
    pretrained |= {"weights_revision": weights.revision} if weights.revision else {}
    return replace(
        result,
        flops_total=training_flops * training.trained.n_seen,
        provenance=dict(result.provenance) | pretrained,
    )


def build_tuned(knobs: Finetune, cell: Cell, model: Model, n_classes: int) -> FinetunedNetwork:
    """The network before training: pretrained backbone, head from the cell's seed, frozen parts frozen.

    Raises: WrongUse for more stages than there are, DigestMismatch for weights that changed.
    """
    body = load_backbone(model, planned_weights(model, cell))
    n_stages = train_last(body, knobs.trained_stages)
    if knobs.trained_stages > n_stages:
        rule = f"must be at most {n_stages} for {model.name}"
        raise WrongUse(f"trained_stages {rule}, not {knobs.trained_stages}")
    if knobs.norms == "frozen":
        freeze_norms(body)
    with seeded(cell.seed, "init"):
        return FinetunedNetwork(body, model.width, n_classes, knobs)


def planned_weights(model: Model, cell: Cell) -> Weights:
    """The weights that were planned. Raises: DigestMismatch where they changed."""
    weights = find_weights(model, cell.weights, fetch=True)
    if weights.digest != cell.weights_digest:
        raise DigestMismatch(f"weights {cell.weights} changed after the cell was planned; start again")
    return weights


def measure(net: nn.Module, inputs: Tensor, targets: Tensor) -> Values:
    """Cross-entropy, error (0 or 1), predicted class and its probability, of every image."""
    logits = net(inputs)[1].double()
    predicted = logits.argmax(1)
    wrong = (predicted != targets).double()
    loss = functional.cross_entropy(logits, targets, reduction="none")
    counts = {"correct": 1 - wrong, "total": torch.ones_like(wrong)}
    named = {PREDICTED: predicted, CONFIDENCE: logits.softmax(1).amax(1)}
    return {"loss": loss, "error": wrong} | named | counts


def _check(knobs: Finetune, cell: Cell, model: Model) -> None:
    if model.maps:
        raise WrongUse(f"model must classify whole images for recipe='finetune', not {model.name!r}")
    if model.fixed_side and knobs.side != model.side:
        raise WrongUse(f"side must be {model.side} for {model.name}, not {knobs.side}")
    if cell.image_scales != (1.0,):
        raise WrongUse("image_scales must be 1 for recipe='finetune': use side for the size of the input")


def _objective(knobs: Finetune) -> Measure:
    """Smoothed cross-entropy plus the weighted contrastive term, reported with the cosines of pairs.

    A batch without a pair of the same class reports a cosine of 1, without a pair of two classes one of 0.
    """

    def objective(net: nn.Module, inputs: Tensor, targets: Tensor) -> Values:
        features, logits = net(inputs)
        entropy = functional.cross_entropy(
            logits, targets, reduction="none", label_smoothing=knobs.label_smoothing
        )
        labels = targets if targets.dim() == 1 else targets.argmax(1)
        correct = (logits.argmax(1) == labels).float()
        same, different = separation(features, labels)
        values = {
            "same_cosine": same.nan_to_num(1.0).expand(len(labels)),
            "different_cosine": different.nan_to_num(0.0).expand(len(labels)),
            "correct": correct,
            "total": torch.ones_like(correct),
        }
        if knobs.contrast == "none":
            return {"loss": entropy} | values
        contrast = _contrast(knobs, features, labels)
        loss = entropy + knobs.contrast_weight * contrast
        return {"loss": loss, "cross_entropy": entropy, "contrast": contrast} | values

    return objective


def _contrast(knobs: Finetune, features: Tensor, labels: Tensor) -> Tensor:
    if knobs.contrast == "signed":
        return signed(features, labels)
    if knobs.contrast == "hinged":
        return hinged(features, labels, margin=knobs.margin)
    return supcon(features, labels, temperature=knobs.temperature)


def _separation_facts(
    net: FinetunedNetwork, examples: Examples, knobs: Finetune, cell: Cell
) -> dict[str, float]:
    """Mean cosines of all pairs of these images, and whether features have collapsed (with a warning)."""
    device, batches = training_device(), []
    net.eval()
    order = torch.split(torch.arange(len(examples)), knobs.batch_size)
    for inputs, _ in examples.batches(order, device):
        with inference(device, knobs.precision):
            batches.append(net(inputs)[0].float().cpu())
    features, labels = torch.cat(batches), examples.targets
    assert labels is not None
    same, different = (float(value) for value in separation(features, labels.cpu()))
    is_collapsed = collapsed(different, features)
    if is_collapsed:
        log.warning(
            "%s: features have collapsed (cosine %.3f within classes, %.3f between them): a contrastive "
            "term near 0 is no success here, and the head can only fit noise",
            cell.label, same, different,
        )  # fmt: skip
    facts = {"same_cosine": same, "different_cosine": different, "collapsed": float(is_collapsed)}
    return {name: value for name, value in facts.items() if np.isfinite(value)}


def _flops(net: FinetunedNetwork, side: int) -> tuple[float, float]:
    """Operations of one image: forward, and forward and backward through the trained parts."""
    hollow = copy.deepcopy(net).to("meta").eval()
    image = torch.empty(1, 3, side, side, device="meta")
    with plain_attention(), torch.no_grad(), FlopCounterMode(display=False) as forward, fitting_inputs(side):
        hollow(image)
    with plain_attention(), FlopCounterMode(display=False) as training:
        hollow(image)[1].sum().backward()
    return float(forward.get_total_flops()), float(training.get_total_flops())
