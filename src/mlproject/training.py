"""The parts of the one training loop that every recipe shares: seeds, schedule and optimiser.

A cell's seed opens independent streams of random numbers by name, so that a longer schedule or a wider
head never shifts the numbers that something else draws.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mlproject.errors import unknown

Optimizer = Literal["adam", "adamw", "sgd"]
OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


def generator(seed: int, stream: str) -> torch.Generator:
    """The stream of random numbers called ``stream`` (``init``, ``order``, ``dropout``) of a seed.

    It lives on the CPU, so that every device draws the same numbers.
    """
    digest = hashlib.sha256(f"{stream}:{seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def build_optimizer(
    name: str, parameters: Iterable[Tensor], *, lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    """The named optimiser with its usual betas and no momentum, updating all tensors in one kernel.

    Raises: WrongUse for a name that does not exist.
    """
    if name not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS)
    chosen: torch.optim.Optimizer = OPTIMIZERS[name](
        parameters,  # type: ignore[call-arg]
        lr=lr,
        weight_decay=weight_decay,
        fused=True,
    )
    return chosen


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How often and in which groups the images are shown.

    An optimiser step sees one batch; batches never reach over the end of an epoch, so the last one of
    an epoch may be smaller. ``steps`` above 0 asks for exactly that many steps whatever the number of
    images, and ``epochs`` is then not used.
    """

    n_images: int
    batch_size: int
    epochs: int
    steps: int = 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches in a whole epoch."""
        return math.ceil(self.n_images / self.batch_size)

    @property
    def n_steps(self) -> int:
        """Optimiser steps in all."""
        return self.steps or self.epochs * self.steps_per_epoch

    @property
    def n_epochs(self) -> int:
        """Epochs begun; the last one is cut short where ``steps`` asks for it."""
        return math.ceil(self.n_steps / self.steps_per_epoch)

    def batches(
        self, order: torch.Generator | None, device: torch.device | str = "cpu"
    ) -> list[list[Tensor]]:
        """Row numbers of every batch of every epoch: shuffled by ``order``, or as they stand (None)."""
        left, epochs = self.n_steps, []
        for _ in range(self.n_epochs):
            batches = list(torch.split(self._rows(order).to(device), self.batch_size))[:left]
            left -= len(batches)
            epochs.append(batches)
        return epochs

    def _rows(self, order: torch.Generator | None) -> Tensor:
        if order is None:
            return torch.arange(self.n_images)
        return torch.randperm(self.n_images, generator=order)
