"""Linear heads on cached features: one large head or many small ones, trained without autograd.

The head is y = x Wᵀ + b. Its gradient is written by hand, G = ∂L/∂y, ∂L/∂W = Gᵀx, ∂L/∂b = Σ G, so a step
is two matrix products into buffers that are kept and one optimiser kernel. Losses per image, with the
mean over the d outputs (PyTorch's own definitions) and L the mean over the batch:

    mse            Σ (y-t)² / d                 mae    Σ |y-t| / d
    cross_entropy  log Σ exp(y) - Σ t y         huber  Σ (½e² if |e| ≤ 1 else |e|-½) / d,  e = y-t

mse, mae and huber are separable over outputs: rows of W never meet. A large head is therefore trained a
block of rows at a time *through the whole schedule*, with the block and its Adam state held in cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from mlproject.errors import Problem

BLOCK_BYTES = 1 << 21
"""Weights trained at once on a CPU; with Adam's two moments and the gradient four times this."""
BETAS, EPSILON = (0.9, 0.999), 1e-8

Epochs = Sequence[Sequence[Tensor]]
Rate = float | Tensor
"""A learning rate or weight decay: one for all, or a column with one value per row of W."""


class Diverged(Problem):
    """Training left the finite numbers."""


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


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a step does. ``dropout`` is the chance that an input is set to zero (others are scaled up)."""

    loss: str
    optimizer: str
    lr: float
    weight_decay: float = 0.0
    dropout: float = 0.0


def initial_head(n_in: int, n_out: int, draw: torch.Generator) -> LinearHead:
    """A head as ``nn.Linear`` starts it: weights and biases uniform in ±1/√n_in."""
    bound = 1 / math.sqrt(n_in)
    weight = torch.empty(n_out, n_in).uniform_(-bound, bound, generator=draw)
    return LinearHead(weight=weight, bias=torch.empty(n_out).uniform_(-bound, bound, generator=draw))


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
    seen = torch.zeros(sum(len(b) for batches in epochs for b in batches), device=inputs.device)
    width = len(head.bias)
    for rows in _blocks(head, training):
        part = LinearHead(weight=head.weight[rows], bias=head.bias[rows])
        wanted = None if targets is None else targets[:, rows]
        loop = _Loop(part, inputs, wanted, training, width=width, dropout=dropout)
        loop.run(epochs, seen, after_epoch)
    return seen


def n_blocks(head: LinearHead, training: Training) -> int:
    """How many blocks of rows the head is trained in."""
    return len(_blocks(head, training))


def train_stacked(
    heads: Sequence[LinearHead],
    inputs: Tensor,
    targets: Tensor,
    epochs: Epochs,
    trainings: Sequence[Training],
) -> Tensor:
    """Train small heads at once, as one matrix [heads x out, in]; each keeps its own lr and weight decay.

    They share inputs, targets, batches, loss and optimiser, and have no dropout. Trained in place, as
    ``train_head`` would one by one; gives losses [images seen, heads]. Pays below about 10⁵ weights a head.
    Raises: Diverged, ValueError when loss or optimiser differ.
    """
    first = trainings[0]
    if len({(t.loss, t.optimizer, t.dropout) for t in trainings}) > 1 or first.dropout:
        raise ValueError("stacked heads share loss and optimizer, and have no dropout")
    width = len(heads[0].bias)
    wide = LinearHead(weight=torch.cat([h.weight for h in heads]), bias=torch.cat([h.bias for h in heads]))
    rates = [torch.tensor([t.lr for t in trainings]), torch.tensor([t.weight_decay for t in trainings])]
    lr, decay = (r.repeat_interleave(width)[:, None].to(inputs.device) for r in rates)
    seen = torch.zeros(sum(len(b) for e in epochs for b in e), len(heads), device=inputs.device)
    loop = _Loop(wide, inputs, targets, first, width=width, lr=lr, decay=decay, heads=len(heads))
    loop.run(epochs, seen, lambda: None)
    for i, head in enumerate(heads):
        head.weight.copy_(wide.weight[i * width : (i + 1) * width])
        head.bias.copy_(wide.bias[i * width : (i + 1) * width])
    return seen


def _blocks(head: LinearHead, training: Training) -> list[slice]:
    rows, n_in = head.weight.shape
    whole = training.loss == "cross_entropy" or training.dropout > 0 or head.weight.is_cuda
    step = rows if whole else max(1, BLOCK_BYTES // (4 * n_in))
    n = max(1, round(rows / step))
    return [slice(i * rows // n, (i + 1) * rows // n) for i in range(n)]


class _Loop:
    """The training of some rows of a head: what is fixed for all steps, and the buffers."""

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
        self.update = _UPDATES[training.optimizer, heads > 0](self.values, *rates)

    def run(self, epochs: Epochs, seen: Tensor, after_epoch: Callable[[], None]) -> None:
        start = 0
        for number, batches in enumerate(epochs, 1):
            begin = start
            for rows in batches:
                seen[start : start + len(rows)] += self._step(rows)
                start += len(rows)
            if not math.isfinite(seen[begin:start].sum().item()):
                name, lr = self.training.optimizer, self.training.lr
                raise Diverged(
                    f"training diverged in epoch {number}: {name} with lr={lr:g}; try a smaller lr"
                )
            after_epoch()

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


class _FusedAdam:
    """torch.optim.Adam or AdamW as one kernel, without its bookkeeping for each step."""

    def __init__(self, kernel: Callable[..., None], values: list[Tensor], lr: float, decay: float) -> None:
        self.kernel, self.values, self.lr, self.decay = kernel, values, lr, decay
        self.means, self.squares = ([torch.zeros_like(v) for v in values] for _ in range(2))
        self.counts = [torch.zeros((), device=v.device) for v in values]

    def __call__(self, gradients: list[Tensor]) -> None:
        torch._foreach_add_(self.counts, 1)
        self.kernel(
            self.values, gradients, self.means, self.squares, [], self.counts,
            lr=self.lr, beta1=BETAS[0], beta2=BETAS[1], weight_decay=self.decay, eps=EPSILON,
            amsgrad=False, maximize=False,
        )  # fmt: skip


class _RowAdam:
    """Adam or AdamW with a learning rate and a weight decay for every row."""

    def __init__(self, decoupled: bool, values: list[Tensor], lr: Rate, decay: Rate) -> None:
        self.decoupled, self.values, self.lr, self.decay, self.count = decoupled, values, lr, decay, 0
        self.means, self.squares = ([torch.zeros_like(v) for v in values] for _ in range(2))

    def __call__(self, gradients: list[Tensor]) -> None:
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


class _Descent:
    """Gradient descent without momentum."""

    def __init__(self, values: list[Tensor], lr: Rate, decay: Rate) -> None:
        self.values, self.lr, self.decay = values, lr, decay

    def __call__(self, gradients: list[Tensor]) -> None:
        for value, gradient in zip(self.values, gradients, strict=True):
            value.mul_(1 - self.lr * self.decay).sub_(gradient.mul_(self.lr))


_UPDATES: dict[tuple[str, bool], Callable[..., Callable[[list[Tensor]], None]]] = {
    ("adam", False): partial(_FusedAdam, torch._fused_adam_),
    ("adamw", False): partial(_FusedAdam, torch._fused_adamw_),
    ("adam", True): partial(_RowAdam, False),
    ("adamw", True): partial(_RowAdam, True),
    ("sgd", False): _Descent,
    ("sgd", True): _Descent,
}
