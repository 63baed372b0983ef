"""A linear head, its losses per image, and its gradient written by hand.

The head is y = x Wᵀ + b. With the mean over the d outputs (PyTorch's own definitions):

    mse            Σ (y-t)² / d                 mae    Σ |y-t| / d
    cross_entropy  log Σ exp(y) - Σ t y         huber  Σ (½e² if |e| ≤ 1 else |e|-½) / d,  e = y-t

and G = ∂L/∂y, L the mean over a batch:  ∂L/∂W = Gᵀx,  ∂L/∂b = Σ G.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

STD_FLOOR = 0.1
"""Least standard deviation of a feature, as a share of the median one: dead features stay small."""


@dataclass(frozen=True, kw_only=True)
class LinearHead:
    """y = x Wᵀ + b. Shapes: ``weight`` [out, in], ``bias`` [out]."""

    weight: Tensor
    bias: Tensor

    def __call__(self, inputs: Tensor) -> Tensor:
        """Outputs [n, out] of inputs [n, in]."""
        return torch.addmm(self.bias, inputs, self.weight.T)

    @property
    def n_params(self) -> int:
        """Weights and biases."""
        return self.weight.numel() + self.bias.numel()

    @property
    def flops_per_image(self) -> float:
        """Operations of one forward pass: a multiply and an add per weight."""
        return 2.0 * self.weight.numel()


def initial_head(n_in: int, n_out: int, draw: torch.Generator) -> LinearHead:
    """A head as ``nn.Linear`` starts it: weights and biases uniform in ±1/√n_in."""
    bound = 1 / math.sqrt(n_in)
    weight = torch.empty(n_out, n_in).uniform_(-bound, bound, generator=draw)
    return LinearHead(weight=weight, bias=torch.empty(n_out).uniform_(-bound, bound, generator=draw))


def statistics(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [d] of inputs [n, d], by which a head's inputs are standardised.

    The deviation has a floor, so that features that hardly vary are not blown up.
    """
    mean = inputs.mean(0)
    std = (inputs - mean).square_().mean(0).sqrt_()
    floor = STD_FLOOR * std.median().item()
    return mean, std.clamp_min(floor or 1.0)


def loss_and_gradient(
    loss: str, outputs: Tensor, targets: Tensor | None, width: int | None = None
) -> tuple[Tensor, Tensor]:
    """Losses per image, and their gradient with respect to the outputs.

    Shapes: outputs and gradient [n, ..., out], targets the same or one that broadcasts to it, losses
    [n, ...]. Targets of None stand for the outputs themselves, detached: all zeros. ``width`` is d
    where these outputs are only some of them.
    """
    if loss == "cross_entropy":
        assert targets is not None
        losses = outputs.logsumexp(-1) - (outputs * targets).sum(-1)
        return losses, outputs.softmax(-1).sub_(targets)
    error = outputs - (outputs if targets is None else targets)
    share = 1 / (width or error.shape[-1])
    if loss == "mse":
        return error.square().sum(-1).mul_(share), error.mul_(2 * share)
    if loss == "mae":
        return error.abs().sum(-1).mul_(share), error.sign_().mul_(share)
    clipped = error.clamp(-1, 1)
    return (clipped * (error - clipped / 2)).sum(-1).mul_(share), clipped.mul_(share)


def batch_gradient(
    head: LinearHead, inputs: Tensor, targets: Tensor | None, loss: str
) -> tuple[float, float]:
    """Mean loss of a batch and the Euclidean norm of the head's gradient."""
    losses, gradient = loss_and_gradient(loss, head(inputs), targets)
    gradient.div_(len(inputs))
    parts = torch.stack([(gradient.T @ inputs).norm(), gradient.sum(0).norm()])
    return losses.mean().item(), parts.norm().item()


def losses_by_kind(loss: str, outputs: Tensor, targets: Tensor, *, labels: bool) -> dict[str, Tensor]:
    """Every loss per image that makes sense for a head trained on ``loss``: [n] each, by name.

    ``labels`` says that targets are one-hot, which adds ``error`` (0 or 1: is another class ranked first).
    Scores become probabilities p for cross_entropy only; ``brier`` is then Brier's (1950) Σ (p - t)².
    """
    if loss == "cross_entropy":
        kinds = {loss: loss_and_gradient(loss, outputs, targets)[0]}
        kinds["brier"] = (outputs.softmax(1) - targets).square().sum(1)
    else:
        kinds = {kind: loss_and_gradient(kind, outputs, targets)[0] for kind in ("mse", "mae", "huber")}
    if labels:
        kinds["error"] = (outputs.argmax(1) != targets.argmax(1)).to(outputs.dtype)
    return kinds
