"""Probe: a frozen backbone and a trained linear head; the seed study's two experiments and their repair.

Linear probes: Alain & Bengio 2016, arXiv 1610.01644. What the head is asked for (``target``):

    features   its own input: identity map d -> d (the seed's model study). The optimum is 0 at every size,
               so its curve against size shows the number of optimiser steps
    pixels     the first 512 values of the normalised input, head d -> 512 (the seed's dataset study)
    labels     the class, by cross-entropy or by mse on one-hot vectors
    self       its own output, criterion(out, out.detach()) (the seed's printed listing): loss and gradient
               are exactly zero for every model, so it is refused unless ``allow_degenerate``
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mlproject.cell import Cell
from mlproject.errors import WrongUse
from mlproject.losses import Outcome
from mlproject.recipes.knobs import check_choices, require

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.progress import Report
else:
    ImageSet = Report = Any

SELF_EXPLAINED = (
    "target='self' compares the head's output with itself, criterion(out, out.detach()): its loss and "
    "gradient are exactly zero for every model and no exponent can come from it; use target=features "
    "(the seed's identity map), pixels or labels, or allow_degenerate=true to see the zeros"
)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Train a linear head on frozen features; losses are per image and taken after training.

    ``loss`` and ``standardize`` resolve ``auto`` when built (labels: cross_entropy and true; else mse and
    false, as the seed). ``steps`` above 0 trains for that many optimiser steps whatever the size; epochs
    is then 0. ``solver`` ridge takes the closed form with the penalty of least leave-one-out error, and
    uses no knob of the gradient. ``standardize`` divides by training statistics with a floor on the
    deviation. ``shuffle`` false shows images in their order (the seed's dataset study).
    ``online_losses`` adds each image's loss just before its last step. ``precision`` is the backbone's;
    heads are fp32.

    Raises: WrongUse, naming knob, rule and value.
    """

    reference: ClassVar[str] = "Alain & Bengio 2016, arXiv 1610.01644"
    version: ClassVar[int] = 1
    validates: ClassVar[bool] = False
    from_scratch: ClassVar[bool] = False
    only_in_sample: ClassVar[bool] = False

    target: Literal["features", "pixels", "labels", "self"] = "features"
    loss: Literal["auto", "mse", "mae", "huber", "cross_entropy"] = "auto"
    solver: Literal["gradient", "ridge"] = "gradient"
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = 1e-3
    epochs: int = 5
    steps: int = 0
    batch_size: int = 32
    weight_decay: float = 0.0
    dropout: float = 0.0
    shuffle: bool = True
    standardize: bool | Literal["auto"] = "auto"
    online_losses: bool = False
    allow_degenerate: bool = False
    precision: Literal["fp32", "amp"] = "fp32"

    def __post_init__(self) -> None:
        check_choices(self)
        labels = self.target == "labels"
        if self.loss == "auto":
            object.__setattr__(self, "loss", "cross_entropy" if labels else "mse")
        if self.standardize == "auto":
            object.__setattr__(self, "standardize", labels)
        if self.steps > 0:
            object.__setattr__(self, "epochs", 0)
        self._check_ranges()
        self._check_combinations()

    def run(self, cell: Cell, images: ImageSet, report: Report) -> Outcome:
        """Draw, embed, train, judge. Raises: WrongUse, MLProjectError where the losses would mean nothing."""
        from mlproject.recipes.probing import run_probe

        return run_probe(self, cell, images, report)

    def _check_ranges(self) -> None:
        require(0 < self.lr < float("inf"), "lr", "must be positive and finite", self.lr)
        require(self.steps >= 0, "steps", "must be 0 (use epochs) or more", self.steps)
        require(self.epochs >= 1 or self.steps > 0, "epochs", "must be at least 1", self.epochs)
        require(self.batch_size >= 1, "batch_size", "must be at least 1", self.batch_size)
        decay = self.weight_decay
        require(0 <= decay < float("inf"), "weight_decay", "must be 0 or more and finite", decay)
        require(0 <= self.dropout < 1, "dropout", "must be at least 0 and below 1", self.dropout)

    def _check_combinations(self) -> None:
        if self.target == "self" and not self.allow_degenerate:
            raise WrongUse(SELF_EXPLAINED)
        on_labels = self.target == "labels"
        classes = self.loss == "cross_entropy"
        require(on_labels or not classes, "target", "must be labels for loss='cross_entropy'", self.target)
        known = not on_labels or self.loss in ("cross_entropy", "mse")
        require(known, "loss", "must be cross_entropy or mse for target='labels'", self.loss)
        if self.solver == "ridge":
            require(self.loss == "mse", "loss", "must be mse for solver='ridge'", self.loss)
            require(self.target != "self", "target", "must not be self for solver='ridge'", self.target)
            decay = self.weight_decay
            require(decay == 0, "weight_decay", "must be 0: ridge finds its own penalty", decay)
            require(self.dropout == 0, "dropout", "must be 0 for solver='ridge'", self.dropout)
            online = self.online_losses
            require(not online, "online_losses", "must be false: ridge takes no steps", online)
