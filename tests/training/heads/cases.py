"""Small problems for linear heads: inputs, targets and batches."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from mlproject.training import LinearHead, Schedule, generator

LOSSES = ("mse", "mae", "huber", "cross_entropy")
N, WIDTH, N_OUT, BATCH = 40, 24, 16, 8
# Powers of two: signs that cancel then sum to exactly 0 in any order, where Adam would blow up 1e-9.
TORCH_LOSSES = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "huber": F.huber_loss,
    "cross_entropy": F.cross_entropy,
}


def examples(loss: str) -> tuple[torch.Tensor, torch.Tensor]:
    draw = generator(7, "examples")
    inputs = torch.randn(N, WIDTH, generator=draw)
    if loss == "cross_entropy":
        return inputs, torch.eye(N_OUT)[torch.randint(N_OUT, (N,), generator=draw)]
    return inputs, 2 * torch.randn(N, N_OUT, generator=draw)


def epochs(n_epochs: int = 3) -> list[list[torch.Tensor]]:
    return Schedule(n_images=N, batch_size=BATCH, epochs=n_epochs).batches(generator(1, "order"))


def copy(head: LinearHead) -> LinearHead:
    return LinearHead(weight=head.weight.clone(), bias=head.bias.clone())
