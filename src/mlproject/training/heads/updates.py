"""One optimiser step on the tensors of a head, without the bookkeeping of torch.optim.

The numbers are those of torch.optim's Adam (Kingma & Ba 2014, arXiv 1412.6980), AdamW (Loshchilov & Hutter
2017, arXiv 1711.05101) and SGD without momentum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

BETAS, EPSILON = (0.9, 0.999), 1e-8

Rate = float | Tensor
"""A learning rate or weight decay: one for all, or a column with one value per row of W."""
Update = Callable[[list[Tensor]], None]


class FusedAdam:
    """torch.optim.Adam or AdamW as one kernel, without its bookkeeping for each step."""

    def __init__(self, kernel: Callable[..., None], values: list[Tensor], lr: float, decay: float) -> None:
        self.kernel, self.values, self.lr, self.decay = kernel, values, lr, decay
        self.means, self.squares = ([torch.zeros_like(v) for v in values] for _ in range(2))
        self.counts = [torch.zeros((), device=v.device) for v in values]

    def __call__(self, gradients: list[Tensor]) -> None:
        """Move the values by one step."""
        torch._foreach_add_(self.counts, 1)
        self.kernel(
            self.values, gradients, self.means, self.squares, [], self.counts,
            lr=self.lr, beta1=BETAS[0], beta2=BETAS[1], weight_decay=self.decay, eps=EPSILON,
            amsgrad=False, maximize=False,
        )  # fmt: skip


class RowAdam:
    """Adam or AdamW with a learning rate and a weight decay for every row."""

    def __init__(self, decoupled: bool, values: list[Tensor], lr: Rate, decay: Rate) -> None:
        self.decoupled, self.values, self.lr, self.decay, self.count = decoupled, values, lr, decay, 0
        self.means, self.squares = ([torch.zeros_like(v) for v in values] for _ in range(2))

    def __call__(self, gradients: list[Tensor]) -> None:
        """Move the values by one step."""
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


class Descent:
    """Gradient descent without momentum."""

    def __init__(self, values: list[Tensor], lr: Rate, decay: Rate) -> None:
        self.values, self.lr, self.decay = values, lr, decay

    def __call__(self, gradients: list[Tensor]) -> None:
        """Move the values by one step."""
        for value, gradient in zip(self.values, gradients, strict=True):
            value.mul_(1 - self.lr * self.decay).sub_(gradient.mul_(self.lr))


UPDATES: dict[tuple[str, bool], Callable[..., Update]] = {
    ("adam", False): partial(FusedAdam, torch._fused_adam_),
    ("adamw", False): partial(FusedAdam, torch._fused_adamw_),
    ("adam", True): partial(RowAdam, False),
    ("adamw", True): partial(RowAdam, True),
    ("sgd", False): Descent,
    ("sgd", True): Descent,
}
"""By name, and by whether rows have rates of their own."""
