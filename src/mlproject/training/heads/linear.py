"""Linear heads: losses per image, gradients in closed form, and training without autograd.

The head is y = x Wᵀ + b. With the mean over the d outputs (PyTorch's definitions):

    mse            Σ (y-t)² / d                 mae    Σ |y-t| / d
    cross_entropy  log Σ exp(y) - Σ t y         huber  Σ (½e² if |e| ≤ 1 else |e|-½) / d,  e = y-t

and G = ∂L/∂y, L the mean over a batch:  ∂L/∂W = Gᵀx,  ∂L/∂b = Σ G.

A training step is two matrix products into buffers that are reused, and one optimiser kernel. mse, mae and
huber are separable over outputs, so the rows of W can be trained independently: a large head is trained one
block of rows at a time *through the whole schedule*, with the block and its Adam state in the CPU's cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlproject.training.schedule import HEAD_UPDATES, Diverged

STD_FLOOR = 0.1
"""Least standard deviation of a feature, as a share of the median: features that hardly vary stay small."""
BLOCK_BYTES = 1 << 21
"""Size of the weights trained at once on a CPU; with Adam's two moments and the gradient four times this."""

EpochBatches = Sequence[Sequence[Tensor]]
"""Row numbers of every batch of every epoch."""


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
    """Mean and standard deviation [d] of inputs [n, d], for standardising a head's inputs.

    The deviation has a floor, so that features that hardly vary are not amplified.
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
    [n, ...]. Targets of None are the outputs themselves, detached: all losses are 0. ``width`` is d
    where these outputs are only a block of them.
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
    """All losses per image that are defined for a head trained on ``loss``: [n] each, by name.

    With ``labels`` the targets are one-hot and ``error`` is added (1 where another class is ranked first).
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


@dataclass(frozen=True, kw_only=True)
class HeadSettings:
    """How a head is trained; ``dropout`` is the probability that an input is set to 0."""

    loss: str
    optimizer: str
    lr: float
    weight_decay: float = 0.0
    dropout: float = 0.0


def train_head(
    head: LinearHead,
    inputs: Tensor,
    targets: Tensor | None,
    epochs: EpochBatches,
    settings: HeadSettings,
    *,
    dropout: torch.Generator | None = None,
    after_epoch: Callable[[], None] = lambda: None,
) -> Tensor:
    """Train ``head`` in place, and return the loss of every image just before its step.

    Shapes: inputs [n, in], targets [n, out] (one-hot for cross-entropy; None: the head's own output),
    result [images seen] in the order of ``epochs``. ``after_epoch`` is called ``n_blocks`` times per epoch.
    Raises: Diverged at the end of the first epoch whose losses are not finite.
    """
    n_seen = sum(len(batch) for batches in epochs for batch in batches)
    seen = torch.zeros(n_seen, device=inputs.device)
    width = len(head.bias)
    for rows in blocks(head, settings):
        part = LinearHead(weight=head.weight[rows], bias=head.bias[rows])
        wanted = None if targets is None else targets[:, rows]
        training = HeadTraining(part, inputs, wanted, settings, width=width, dropout=dropout)
        training.run(epochs, seen, _guarded(settings, after_epoch))
    return seen


def n_blocks(head: LinearHead, settings: HeadSettings) -> int:
    """How many blocks of rows the head is trained in."""
    return len(blocks(head, settings))


def _guarded(settings: HeadSettings, after_epoch: Callable[[], None]) -> Callable[[int, Tensor], None]:
    def check(epoch: int, losses: Tensor) -> None:
        if not math.isfinite(losses.sum().item()):
            raise Diverged(
                f"training diverged in epoch {epoch}: {settings.optimizer} with lr={settings.lr:g}; "
                "try a smaller lr"
            )
        after_epoch()

    return check


def blocks(head: LinearHead, settings: HeadSettings) -> list[slice]:
    """The blocks of rows of W that are trained separately: a single block where the loss couples all rows."""
    rows, n_in = head.weight.shape
    coupled = settings.loss == "cross_entropy" or settings.dropout > 0 or head.weight.is_cuda
    step = rows if coupled else max(1, BLOCK_BYTES // (4 * n_in))
    n = max(1, round(rows / step))
    return [slice(i * rows // n, (i + 1) * rows // n) for i in range(n)]


class HeadTraining:
    """The training of a block of rows of a head: what is fixed for all steps, and the buffers.

    With ``heads`` above 0 the rows belong to so many heads, each with its learning rate and weight decay.
    """

    def __init__(
        self,
        head: LinearHead,
        inputs: Tensor,
        targets: Tensor | None,
        settings: HeadSettings,
        *,
        width: int,
        dropout: torch.Generator | None = None,
        lr: Tensor | None = None,
        decay: Tensor | None = None,
        heads: int = 0,
    ) -> None:
        self.head, self.inputs, self.targets, self.settings = head, inputs, targets, settings
        self.width, self.dropout, self.heads = width, dropout, heads
        self.values = [head.weight, head.bias[:, None]]
        self.gradients = [torch.empty_like(v) for v in self.values]
        rates = (settings.lr if lr is None else lr, settings.weight_decay if decay is None else decay)
        self.update = HEAD_UPDATES[settings.optimizer, heads > 0](self.values, *rates)

    def run(
        self, epochs: EpochBatches, seen: Tensor, after_epoch: Callable[[int, Tensor], None] | None = None
    ) -> None:
        """Take a step for every batch; each image's loss just before it is added to ``seen``."""
        start = 0
        for number, batches in enumerate(epochs, 1):
            begin = start
            for rows in batches:
                seen[start : start + len(rows)] += self._step(rows)
                start += len(rows)
            if after_epoch is not None:
                after_epoch(number, seen[begin:start])

    def _step(self, rows: Tensor) -> Tensor:
        x = self.inputs.index_select(0, rows)
        if self.settings.dropout:
            x.mul_(self._mask(x))
        t = None if self.targets is None else self.targets.index_select(0, rows)
        y = self.head(x)
        if self.heads:
            y, t = y.view(len(rows), self.heads, -1), t if t is None else t[:, None]
        losses, gradient = loss_and_gradient(self.settings.loss, y, t, self.width)
        gradient = gradient.div_(len(rows)).view(len(rows), -1)
        torch.mm(gradient.T, x, out=self.gradients[0])
        torch.sum(gradient, 0, out=self.gradients[1].view(-1))
        self.update(self.gradients)
        return losses

    def _mask(self, x: Tensor) -> Tensor:
        keep = 1 - self.settings.dropout
        return torch.empty(x.shape).bernoulli_(keep, generator=self.dropout).div_(keep).to(x.device)
