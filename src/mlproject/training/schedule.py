"""Seeds, schedules and optimisers: random numbers of a training, the order of its images, its steps.

A cell's seed gives independent streams of random numbers by name, so that a longer schedule or a wider
head never changes the numbers that another stream draws.

The optimisers are torch's for networks, and the same arithmetic for linear heads without its bookkeeping. The
numbers are those of torch.optim's Adam (Kingma & Ba 2014, arXiv 1412.6980), AdamW (Loshchilov & Hutter
2017, arXiv 1711.05101) and SGD.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mlproject.errors import MLProjectError, unknown


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
    may be smaller; one of less than ``fewest`` images joins the batch before it. ``steps`` above 0 gives
    exactly that many steps, whatever the number of images, and ``epochs`` is then not used.
    """

    n_images: int
    batch_size: int
    epochs: int
    steps: int = 0
    fewest: int = 1

    @property
    def steps_per_epoch(self) -> int:
        """Batches in a whole epoch."""
        whole, rest = divmod(self.n_images, self.batch_size)
        return max(1, whole + (rest >= self.fewest))

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
            batches = split(self._rows(order).to(device), self.batch_size, self.fewest)[:left]
            left -= len(batches)
            epochs.append(batches)
        return epochs

    def epoch(self, number: int, seed: int) -> list[Tensor]:
        """Row numbers of the batches of one epoch (from 0); they depend on no earlier epoch, for resuming."""
        left = self.n_steps - number * self.steps_per_epoch
        rows = self._rows(generator(seed, f"order of epoch {number}"))
        return split(rows, self.batch_size, self.fewest)[:left]

    def _rows(self, order: torch.Generator | None) -> Tensor:
        if order is None:
            return torch.arange(self.n_images)
        return torch.randperm(self.n_images, generator=order)


def split(rows: Tensor, size: int, fewest: int) -> list[Tensor]:
    """Parts of ``size`` rows, at least ``fewest``; a last part of fewer joins the one before it."""
    parts = list(torch.split(rows, max(size, fewest)))
    if len(parts) > 1 and len(parts[-1]) < fewest:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}
BETAS, EPSILON = (0.9, 0.999), 1e-8

Rate = float | Tensor
"""A learning rate or weight decay: one for all rows, or a column [rows, 1] with a value for each."""
Update = Callable[[list[Tensor]], None]
"""One step: moves weight and bias by their gradients."""


class Diverged(MLProjectError):
    """A training whose loss is no longer a finite number."""


def build_optimizer(
    name: str, parameters: Iterable[Tensor], *, lr: float, weight_decay: float, momentum: float = 0.0
) -> torch.optim.Optimizer:
    """The named optimiser, updating all tensors in one kernel; ``momentum`` is used by sgd alone.

    Raises: WrongUse for a name that does not exist.
    """
    if name not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS)
    sgd_only: dict[str, Any] = {"momentum": momentum} if name == "sgd" else {}
    optimizer: torch.optim.Optimizer = OPTIMIZERS[name](
        parameters,  # type: ignore[call-arg]
        lr=lr,
        weight_decay=weight_decay,
        fused=True,
        **sgd_only,
    )
    return optimizer


class FusedAdam:
    """Adam or AdamW of a linear head as one kernel, without torch.optim's bookkeeping at each step."""

    def __init__(self, kernel: Callable[..., None], values: list[Tensor], lr: float, decay: float) -> None:
        self.kernel, self.values, self.lr, self.decay = kernel, values, lr, decay
        self.means, self.squares = ([torch.zeros_like(v) for v in values] for _ in range(2))
        self.counts = [torch.zeros((), device=v.device) for v in values]

    def __call__(self, gradients: list[Tensor]) -> None:
        """Take one step."""
        torch._foreach_add_(self.counts, 1)
        self.kernel(
            self.values, gradients, self.means, self.squares, [], self.counts,
            lr=self.lr, beta1=BETAS[0], beta2=BETAS[1], weight_decay=self.decay, eps=EPSILON,
            amsgrad=False, maximize=False,
        )  # fmt: skip


class RowAdam:
    """Adam or AdamW of a linear head with a learning rate and a weight decay for every row."""

    def __init__(self, decoupled: bool, values: list[Tensor], lr: Rate, decay: Rate) -> None:
        self.decoupled, self.values, self.lr, self.decay, self.count = decoupled, values, lr, decay, 0
        self.means, self.squares = ([torch.zeros_like(v) for v in values] for _ in range(2))

    def __call__(self, gradients: list[Tensor]) -> None:
        """Take one step."""
        self.count += 1
        rate = self.lr / (1 - BETAS[0] ** self.count)
        root = math.sqrt(1 - BETAS[1] ** self.count)
        for value, gradient, mean, square in zip(
            self.values, gradients, self.means, self.squares, strict=True
        ):
            if self.decoupled:
                value.mul_(1 - self.lr * self.decay)
            else:
                gradient.addcmul_(value, torch.as_tensor(self.decay))
            mean.lerp_(gradient, 1 - BETAS[0])
            square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            value.sub_((mean / square.sqrt().div_(root).add_(EPSILON)).mul_(rate))


class PlainSgd:
    """Gradient descent of a linear head without momentum, with rates for all rows or for each."""

    def __init__(self, values: list[Tensor], lr: Rate, decay: Rate) -> None:
        self.values, self.lr, self.decay = values, lr, decay

    def __call__(self, gradients: list[Tensor]) -> None:
        """Take one step."""
        for value, gradient in zip(self.values, gradients, strict=True):
            value.mul_(1 - self.lr * self.decay).sub_(gradient.mul_(self.lr))


HEAD_UPDATES: dict[tuple[str, bool], Callable[..., Update]] = {
    ("adam", False): partial(FusedAdam, torch._fused_adam_),
    ("adamw", False): partial(FusedAdam, torch._fused_adamw_),
    ("adam", True): partial(RowAdam, False),
    ("adamw", True): partial(RowAdam, True),
    ("sgd", False): PlainSgd,
    ("sgd", True): PlainSgd,
}
"""By optimiser, and by whether every row has rates of its own."""
