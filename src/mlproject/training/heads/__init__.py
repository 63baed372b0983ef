"""Linear heads on cached features."""

from __future__ import annotations

from mlproject.training.heads.batched_heads import Stack
from mlproject.training.heads.closed_form_gd import FullDescent
from mlproject.training.heads.linear import (
    LinearHead,
    batch_gradient,
    initial_head,
    loss_and_gradient,
    losses_by_kind,
    statistics,
)
from mlproject.training.heads.loop import Diverged, Epochs, Training, n_blocks, train_head

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
