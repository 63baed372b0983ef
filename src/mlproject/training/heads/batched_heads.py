"""Many linear heads trained together on the same batches, with losses available after any number of steps.

Small heads are stacked into a few wide ones, [heads x out, in], in which each head has its learning rate and
weight decay; a large head, or one with dropout, is trained separately, a block of rows at a time, as
``train_head`` does. A training to the largest number of steps gives the losses at every smaller number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mlproject.training.heads.linear import (
    BLOCK_BYTES,
    HeadSettings,
    HeadTraining,
    LinearHead,
    blocks,
    loss_and_gradient,
)
from mlproject.training.schedule import RowAdam


@dataclass(kw_only=True)
class _WideHead:
    """Several heads as one wide head; ``members`` are their positions among all heads."""

    members: list[int]
    training: Any
    rates: tuple[Tensor, Tensor]


class BatchedHeads:
    """Heads with the same initial weights, inputs, targets, batches, loss and optimiser, trained together.

    Shapes: inputs [n, in], targets [n, out]. Raises: ValueError when loss or optimiser differ.
    """

    def __init__(
        self,
        start: LinearHead,
        inputs: Tensor,
        targets: Tensor,
        settings: Sequence[HeadSettings],
        *,
        dropouts: Sequence[torch.Generator] = (),
    ) -> None:
        if len({(s.loss, s.optimizer) for s in settings}) > 1:
            raise ValueError("batched heads share loss and optimizer")
        self.start, self.inputs, self.targets = start, inputs, targets
        self.settings, self.dropouts = list(settings), list(dropouts)
        self.width = len(start.bias)
        together = max(1, BLOCK_BYTES // 2 // (4 * start.weight.numel()))
        plain = [i for i, s in enumerate(settings) if not s.dropout] if together > 1 else []
        self.wide: list[_WideHead] = []
        self.separate: dict[int, list[Any]] = {}
        for first in range(0, len(plain), together):
            self.wide.append(self._stacked(plain[first : first + together]))
        for i in sorted(set(range(len(settings))) - set(plain)):
            self.separate[i] = self._blocks(i)

    @property
    def members(self) -> list[int]:
        """Positions of the heads that are still trained."""
        return sorted([i for wide in self.wide for i in wide.members] + list(self.separate))

    def run(self, batches: Sequence[Tensor]) -> None:
        """Train every head on these batches, in their order."""
        n_seen = sum(len(batch) for batch in batches)
        for wide in self.wide:
            wide.training.run([batches], torch.zeros(n_seen, len(wide.members), device=self.inputs.device))
        for parts in self.separate.values():
            for _, training in parts:
                training.run([batches], torch.zeros(n_seen, device=self.inputs.device))

    def losses(self, inputs: Tensor, targets: Tensor) -> dict[int, Tensor]:
        """Losses of images [n] under every head, float64, by position."""
        by_position: dict[int, Tensor] = {}
        for wide in self.wide:
            outputs = wide.training.head(inputs).double().view(len(inputs), len(wide.members), -1)
            losses = self._losses(outputs, targets[:, None])
            by_position |= {i: losses[:, j] for j, i in enumerate(wide.members)}
        for i, parts in self.separate.items():
            by_position[i] = torch.stack(
                [self._losses(training.head(inputs).double(), targets[:, rows]) for rows, training in parts]
            ).sum(0)
        return by_position

    def drop(self, positions: set[int]) -> None:
        """Stop training these heads."""
        self.separate = {i: parts for i, parts in self.separate.items() if i not in positions}
        narrowed = []
        for wide in self.wide:
            kept = [j for j, i in enumerate(wide.members) if i not in positions]
            if kept and len(kept) < len(wide.members):
                narrowed.append(self._narrowed(wide, kept))
            elif kept:
                narrowed.append(wide)
        self.wide = narrowed

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return loss_and_gradient(self.settings[0].loss, outputs, targets.double(), self.width)[0]

    def _stacked(self, members: list[int]) -> _WideHead:
        n = len(members)
        head = LinearHead(weight=self.start.weight.repeat(n, 1), bias=self.start.bias.repeat(n))
        settings = [self.settings[i] for i in members]
        columns = [torch.tensor([s.lr for s in settings]), torch.tensor([s.weight_decay for s in settings])]
        lr, decay = (c.repeat_interleave(self.width)[:, None].to(self.inputs.device) for c in columns)
        return self._wide_head(members, head, (lr, decay))

    def _wide_head(self, members: list[int], head: LinearHead, rates: tuple[Tensor, Tensor]) -> _WideHead:
        training = HeadTraining(
            head,
            self.inputs,
            self.targets,
            self.settings[members[0]],
            width=self.width,
            lr=rates[0],
            decay=rates[1],
            heads=len(members),
        )
        return _WideHead(members=members, training=training, rates=rates)

    def _narrowed(self, wide: _WideHead, kept: list[int]) -> _WideHead:
        """The wide head reduced to the members at these places, with their optimiser state."""
        rows = torch.cat([torch.arange(j * self.width, (j + 1) * self.width) for j in kept])
        rows = rows.to(self.inputs.device)
        head = LinearHead(weight=wide.training.head.weight[rows], bias=wide.training.head.bias[rows])
        rates = (wide.rates[0][rows], wide.rates[1][rows])
        narrow = self._wide_head([wide.members[j] for j in kept], head, rates)
        before, after = wide.training.update, narrow.training.update
        if isinstance(before, RowAdam):
            after.count = before.count
            after.means = [mean[rows] for mean in before.means]
            after.squares = [square[rows] for square in before.squares]
        return narrow

    def _blocks(self, position: int) -> list[tuple[slice, Any]]:
        """A head that is trained separately: its blocks of rows, each with its training."""
        settings = self.settings[position]
        dropout = self.dropouts[position] if settings.dropout else None
        parts = []
        for rows in blocks(self.start, settings):
            head = LinearHead(weight=self.start.weight[rows].clone(), bias=self.start.bias[rows].clone())
            targets = self.targets[:, rows]
            training = HeadTraining(head, self.inputs, targets, settings, width=self.width, dropout=dropout)
            parts.append((rows, training))
        return parts
