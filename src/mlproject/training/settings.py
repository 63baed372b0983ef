"""Settings: how a network is trained, whatever it learns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mlproject.device import Precision
from mlproject.training.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a network is trained.

    ``warmup`` is the share of all steps in which the rate rises linearly to ``lr``; after it, it stays
    (``constant``) or falls to 0 as half a cosine (Loshchilov & Hutter 2016, arXiv 1608.03983, without
    restarts). ``ema`` above 0 judges the exponential moving average of the weights with that decay a step.
    ``accumulate`` computes each batch in so many pieces (BatchNorm then sees pieces). At most
    ``judged_epochs`` epochs are judged, spread evenly, the last one always.
    """

    optimizer: str
    lr: float
    weight_decay: float
    batch_size: int
    epochs: int
    steps: int = 0
    momentum: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: float = 0.0
    ema: float = 0.0
    accumulate: int = 1
    judged_epochs: int = 50
    precision: Precision = "fp32"
    compile: bool = False
    deterministic: bool = False

    def plan(self, n_images: int) -> Schedule:
        """The schedule for so many images."""
        return Schedule(n_images=n_images, batch_size=self.batch_size, epochs=self.epochs, steps=self.steps)

    def rate(self, step: int, n_steps: int) -> float:
        """The learning rate of a step (from 0) of ``n_steps``."""
        rising = round(self.warmup * n_steps)
        if step < rising:
            return self.lr * (step + 1) / rising
        if self.schedule == "constant":
            return self.lr
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, n_steps - rising)))

    def judges(self, epoch: int, n_epochs: int) -> bool:
        """Whether the network is judged after an epoch (from 1)."""
        return epoch % math.ceil(n_epochs / self.judged_epochs) == 0 or epoch == n_epochs
