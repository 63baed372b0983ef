"""Training a linear head on cached features without autograd.

A step is two matrix products into buffers that are kept and one optimiser kernel. mse, mae and huber are
separable over outputs: rows of W never meet. A large head is therefore trained a block of rows at a time
*through the whole schedule*, with the block and its Adam state held in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlproject.errors import MLProjectError
from mlproject.training.heads.linear import LinearHead, loss_and_gradient
from mlproject.training.heads.updates import UPDATES

BLOCK_BYTES = 1 << 21
"""Weights trained at once on a CPU; with Adam's two moments and the gradient four times this."""

Epochs = Sequence[Sequence[Tensor]]


class Diverged(MLProjectError):
    """Training left the finite numbers."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a step does. ``dropout`` is the chance that an input is set to zero (others are scaled up)."""

    loss: str
    optimizer: str
    lr: float
    weight_decay: float = 0.0
    dropout: float = 0.0


def train_head(
    head: LinearHead,
    inputs: Tensor,
    targets: Tensor | None,
    epochs: Epochs,
    training: Training,
    *,
    dropout: torch.Generator | None = None,
    after_epoch: Callable[[], None] = lambda: None,
) -> Tensor:
    """Train ``head`` in place; gives the loss of every image at the moment before its step.

    Shapes: inputs [n, in], targets [n, out] (one-hot for cross-entropy; None: the head's own output),
    result [images seen] in the order of ``epochs``. ``after_epoch`` is called ``n_blocks`` times per epoch.
    Raises: Diverged at the end of the first epoch whose losses are not finite.
    """
    seen = torch.zeros(_n_seen(epochs), device=inputs.device)
    width = len(head.bias)
    for rows in blocks(head, training):
        part = LinearHead(weight=head.weight[rows], bias=head.bias[rows])
        wanted = None if targets is None else targets[:, rows]
        loop = Loop(part, inputs, wanted, training, width=width, dropout=dropout)
        loop.run(epochs, seen, _guarded(training, after_epoch))
    return seen


def n_blocks(head: LinearHead, training: Training) -> int:
    """How many blocks of rows the head is trained in."""
    return len(blocks(head, training))


def _guarded(training: Training, after_epoch: Callable[[], None]) -> Callable[[int, Tensor], None]:
    def check(epoch: int, losses: Tensor) -> None:
        if not math.isfinite(losses.sum().item()):
            raise Diverged(
                f"training diverged in epoch {epoch}: {training.optimizer} with lr={training.lr:g}; "
                "try a smaller lr"
            )
        after_epoch()

    return check


def _n_seen(epochs: Epochs) -> int:
    return sum(len(batch) for batches in epochs for batch in batches)


def blocks(head: LinearHead, training: Training) -> list[slice]:
    """The rows of W in parts that are trained one after another: all at once where the loss joins them."""
    rows, n_in = head.weight.shape
    whole = training.loss == "cross_entropy" or training.dropout > 0 or head.weight.is_cuda
    step = rows if whole else max(1, BLOCK_BYTES // (4 * n_in))
    n = max(1, round(rows / step))
    return [slice(i * rows // n, (i + 1) * rows // n) for i in range(n)]


class Loop:
    """The training of some rows of a head: what is fixed for all steps, and the buffers.

    With ``heads`` above 0 the rows are those of so many heads, with a column of learning rates and decays.
    """

    def __init__(
        self,
        head: LinearHead,
        inputs: Tensor,
        targets: Tensor | None,
        training: Training,
        *,
        width: int,
        dropout: torch.Generator | None = None,
        lr: Tensor | None = None,
        decay: Tensor | None = None,
        heads: int = 0,
    ) -> None:
        self.head, self.inputs, self.targets, self.training = head, inputs, targets, training
        self.width, self.dropout, self.heads = width, dropout, heads
        self.values = [head.weight, head.bias[:, None]]
        self.gradients = [torch.empty_like(v) for v in self.values]
        rates = (training.lr if lr is None else lr, training.weight_decay if decay is None else decay)
        self.update = UPDATES[training.optimizer, heads > 0](self.values, *rates)

    def run(
        self, epochs: Epochs, seen: Tensor, after_epoch: Callable[[int, Tensor], None] | None = None
    ) -> None:
        """Take a step for every batch, adding each image's loss before it to ``seen``."""
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
        if self.training.dropout:
            x.mul_(self._mask(x))
        t = None if self.targets is None else self.targets.index_select(0, rows)
        y = self.head(x)
        if self.heads:
            y, t = y.view(len(rows), self.heads, -1), t if t is None else t[:, None]
        losses, gradient = loss_and_gradient(self.training.loss, y, t, self.width)
        gradient = gradient.div_(len(rows)).view(len(rows), -1)
        torch.mm(gradient.T, x, out=self.gradients[0])
        torch.sum(gradient, 0, out=self.gradients[1].view(-1))
        self.update(self.gradients)
        return losses

    def _mask(self, x: Tensor) -> Tensor:
        keep = 1 - self.training.dropout
        return torch.empty(x.shape).bernoulli_(keep, generator=self.dropout).div_(keep).to(x.device)
