"""Optimisers by name: torch's for networks, and the same arithmetic for linear heads without its bookkeeping.

The numbers are those of torch.optim's Adam (Kingma & Ba 2014, arXiv 1412.6980), AdamW (Loshchilov & Hutter
2017, arXiv 1711.05101) and SGD.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mlproject.errors import MLProjectError, unknown

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
