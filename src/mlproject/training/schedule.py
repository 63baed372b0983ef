"""Seeds and schedules: the random numbers of a training, and the order in which images are shown.

A cell's seed gives independent streams of random numbers by name, so that a longer schedule or a wider
head never changes the numbers that another stream draws.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


def generator(seed: int, stream: str) -> torch.Generator:
    """The stream of random numbers named ``stream`` (``init``, ``order``, ``dropout``) of a seed.

    It is on the CPU, so that every device uses the same numbers.
    """
    return torch.Generator().manual_seed(_stream(seed, stream))


@contextlib.contextmanager
def seeded(seed: int, stream: str) -> Iterator[None]:
    """Seed torch's global random numbers with this stream; afterwards their former state is restored."""
    with torch.random.fork_rng():
        torch.manual_seed(_stream(seed, stream))
        yield


def _stream(seed: int, stream: str) -> int:
    digest = hashlib.sha256(f"{stream}:{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The batches of a training.

    An optimiser step takes one batch; batches do not cross the end of an epoch, so the last one of an epoch
    may be smaller. ``steps`` above 0 gives exactly that many steps, whatever the number of images, and
    ``epochs`` is then not used.
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
        """Optimiser steps in total."""
        return self.steps or self.epochs * self.steps_per_epoch

    @property
    def n_epochs(self) -> int:
        """Epochs begun; with ``steps`` the last one may be incomplete."""
        return math.ceil(self.n_steps / self.steps_per_epoch)

    def batches(
        self, order: torch.Generator | None, device: torch.device | str = "cpu"
    ) -> list[list[Tensor]]:
        """Row numbers of every batch of every epoch: shuffled by ``order``, or in order (None)."""
        left, epochs = self.n_steps, []
        for _ in range(self.n_epochs):
            batches = list(torch.split(self._rows(order).to(device), self.batch_size))[:left]
            left -= len(batches)
            epochs.append(batches)
        return epochs

    def epoch(self, number: int, seed: int) -> list[Tensor]:
        """Row numbers of the batches of one epoch (from 0); they depend on no earlier epoch, for resuming."""
        left = self.n_steps - number * self.steps_per_epoch
        rows = self._rows(generator(seed, f"order of epoch {number}"))
        return list(torch.split(rows, self.batch_size))[:left]

    def _rows(self, order: torch.Generator | None) -> Tensor:
        if order is None:
            return torch.arange(self.n_images)
        return torch.randperm(self.n_images, generator=order)
