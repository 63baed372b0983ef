"""Training: seeds, schedules and optimisers for all recipes; whole networks; linear heads.

    Settings + Task + Examples -> train(network, …) -> Trained          networks/
    LinearHead + HeadSettings -> train_head(…) -> losses                heads/

``train`` changes the network in place and resumes from a checkpoint where there is one; ``evaluate`` returns
values for every image. What is learned (loss, extra terms, augmentation) is the recipe's, as a ``Task``.
Names that need torch are loaded on first use: the knobs alone do not need it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlproject.training.settings import (
    MOST_STEPS,
    STRICT,
    BatchSize,
    Epochs,
    LearningRate,
    OptimizerName,
    PrecisionName,
    Settings,
    Steps,
    WeightDecay,
)
from mlproject.training.speed import keep_speed, training_seconds

if TYPE_CHECKING:
    from mlproject.training.heads.batched_heads import BatchedHeads
    from mlproject.training.heads.closed_form import FullBatchDescent, RidgePath, ridge_path
    from mlproject.training.heads.linear import (
        EpochBatches,
        HeadSettings,
        LinearHead,
        batch_gradient,
        initial_head,
        loss_and_gradient,
        losses_by_kind,
        n_blocks,
        statistics,
        train_head,
    )
    from mlproject.training.networks.contrastive import collapsed, hinged, separation, signed, supcon
    from mlproject.training.networks.loop import Trained, train
    from mlproject.training.networks.state import CHECKPOINT, checkpoint_fault
    from mlproject.training.networks.task import (
        CONFIDENCE,
        PREDICTED,
        Examples,
        Measure,
        Task,
        Values,
        build_augment,
        evaluate,
    )
    from mlproject.training.schedule import OPTIMIZERS, Diverged, Schedule, build_optimizer, generator, seeded

MODULES = {
    "heads.batched_heads": ("BatchedHeads",),
    "heads.closed_form": ("FullBatchDescent", "RidgePath", "ridge_path"),
    "heads.linear": (
        "EpochBatches",
        "HeadSettings",
        "LinearHead",
        "batch_gradient",
        "initial_head",
        "loss_and_gradient",
        "losses_by_kind",
        "n_blocks",
        "statistics",
        "train_head",
    ),
    "networks.contrastive": ("collapsed", "hinged", "separation", "signed", "supcon"),
    "networks.loop": ("Trained", "train"),
    "networks.state": ("CHECKPOINT", "checkpoint_fault"),
    "networks.task": (
        "CONFIDENCE",
        "PREDICTED",
        "Examples",
        "Measure",
        "Task",
        "Values",
        "build_augment",
        "evaluate",
    ),
    "schedule": ("OPTIMIZERS", "Diverged", "Schedule", "build_optimizer", "generator", "seeded"),
}
"""Modules that need torch, and the names that they provide."""

__all__ = [
    "CHECKPOINT",
    "CONFIDENCE",
    "MOST_STEPS",
    "OPTIMIZERS",
    "PREDICTED",
    "STRICT",
    "BatchSize",
    "BatchedHeads",
    "Diverged",
    "EpochBatches",
    "Epochs",
    "Examples",
    "FullBatchDescent",
    "HeadSettings",
    "LearningRate",
    "LinearHead",
    "Measure",
    "OptimizerName",
    "PrecisionName",
    "RidgePath",
    "Schedule",
    "Settings",
    "Steps",
    "Task",
    "Trained",
    "Values",
    "WeightDecay",
    "batch_gradient",
    "build_augment",
    "build_optimizer",
    "checkpoint_fault",
    "collapsed",
    "evaluate",
    "generator",
    "hinged",
    "initial_head",
    "keep_speed",
    "loss_and_gradient",
    "losses_by_kind",
    "n_blocks",
    "ridge_path",
    "seeded",
    "separation",
    "signed",
    "statistics",
    "supcon",
    "train",
    "train_head",
    "training_seconds",
]


def __getattr__(name: str) -> Any:
    """Load a name that needs torch on first use (PEP 562)."""
    for module, names in MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
