"""Linear heads on cached features."""

from __future__ import annotations

from mlproject.heads.descent import FullDescent
from mlproject.heads.linear import (
    LinearHead,
    batch_gradient,
    initial_head,
    loss_and_gradient,
    losses_by_kind,
    statistics,
)
from mlproject.heads.loop import Diverged, Epochs, Training, n_blocks, train_head
from mlproject.heads.stack import Stack

__all__ = [
    "Diverged",
    "Epochs",
    "FullDescent",
    "LinearHead",
    "Stack",
    "Training",
    "batch_gradient",
    "initial_head",
    "loss_and_gradient",
    "losses_by_kind",
    "n_blocks",
    "statistics",
    "train_head",
]
