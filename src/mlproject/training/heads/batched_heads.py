"""Heads trained side by side from checkpoint to checkpoint, so that their losses on the way can be compared.

Small heads are stacked into few wide ones, [heads x out, in], each keeping its own learning rate and weight
decay; a large head, or one with dropout, is trained alone, a block of rows at a time, as ``train_head`` does.
One training to the largest number of steps gives the losses at every smaller one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mlproject.training.heads.linear import LinearHead, loss_and_gradient
from mlproject.training.heads.loop import BLOCK_BYTES, Loop, Training, blocks
from mlproject.training.heads.updates import RowAdam


@dataclass(kw_only=True)
class _Wide:
    """Some heads as one; ``members`` are their positions among those the stack began with."""

    members: list[int]
    loop: Any
    rates: tuple[Tensor, Tensor]


class Stack:
    """Heads that start alike and share inputs, targets, batches, loss and optimiser.

    Shapes: inputs [n, in], targets [n, out]. Raises: ValueError when loss or optimiser differ.
    """

    def __init__(
        self,
        start: LinearHead,
        inputs: Tensor,
        targets: Tensor,
        trainings: Sequence[Training],
        *,
        dropouts: Sequence[torch.Generator] = (),
    ) -> None:
        if len({(t.loss, t.optimizer) for t in trainings}) > 1:
            raise ValueError("stacked heads share loss and optimizer")
        self.start, self.inputs, self.targets = start, inputs, targets
        self.trainings, self.dropouts = list(trainings), list(dropouts)
        self.width = len(start.bias)
        together = max(1, BLOCK_BYTES // 2 // (4 * start.weight.numel()))
        plain = [i for i, t in enumerate(trainings) if not t.dropout]
        self.wide: list[_Wide] = []
        self.alone: dict[int, list[Any]] = {}
        if together == 1:
            plain = []
        for first in range(0, len(plain), together):
            self.wide.append(self._joined(plain[first : first + together]))
        for i in sorted(set(range(len(trainings))) - set(plain)):
            self.alone[i] = self._parts(i)

    @property
    def members(self) -> list[int]:
        """Positions of the heads that are still trained."""
        return sorted([i for wide in self.wide for i in wide.members] + list(self.alone))

    def run(self, batches: Sequence[Tensor]) -> None:
        """Train every head on these batches, one after another."""
        n_seen = sum(len(batch) for batch in batches)
        for wide in self.wide:
            wide.loop.run([batches], torch.zeros(n_seen, len(wide.members), device=self.inputs.device))
        for parts in self.alone.values():
            for _, loop in parts:
                loop.run([batches], torch.zeros(n_seen, device=self.inputs.device))

    def losses(self, inputs: Tensor, targets: Tensor) -> dict[int, Tensor]:
        """Losses of images [n] under every head, float64, by position."""
        found: dict[int, Tensor] = {}
        for wide in self.wide:
            outputs = wide.loop.head(inputs).double().view(len(inputs), len(wide.members), -1)
            losses = self._losses(outputs, targets[:, None])
            found |= {i: losses[:, j] for j, i in enumerate(wide.members)}
        for i, parts in self.alone.items():
            found[i] = torch.stack(
                [self._losses(loop.head(inputs).double(), targets[:, rows]) for rows, loop in parts]
            ).sum(0)
        return found

    def drop(self, positions: set[int]) -> None:
        """Train these heads no longer."""
        self.alone = {i: parts for i, parts in self.alone.items() if i not in positions}
        narrowed = []
        for wide in self.wide:
            kept = [j for j, i in enumerate(wide.members) if i not in positions]
            if kept and len(kept) < len(wide.members):
                narrowed.append(self._narrowed(wide, kept))
            elif kept:
                narrowed.append(wide)
        self.wide = narrowed

    def _losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return loss_and_gradient(self.trainings[0].loss, outputs, targets.double(), self.width)[0]

    def _joined(self, members: list[int]) -> _Wide:
        n = len(members)
        head = LinearHead(weight=self.start.weight.repeat(n, 1), bias=self.start.bias.repeat(n))
        some = [self.trainings[i] for i in members]
        columns = [torch.tensor([t.lr for t in some]), torch.tensor([t.weight_decay for t in some])]
        lr, decay = (c.repeat_interleave(self.width)[:, None].to(self.inputs.device) for c in columns)
        return self._widened(members, head, (lr, decay))

    def _widened(self, members: list[int], head: LinearHead, rates: tuple[Tensor, Tensor]) -> _Wide:
        loop = Loop(
            head,
            self.inputs,
            self.targets,
            self.trainings[members[0]],
            width=self.width,
            lr=rates[0],
            decay=rates[1],
            heads=len(members),
        )
        return _Wide(members=members, loop=loop, rates=rates)

    def _narrowed(self, wide: _Wide, kept: list[int]) -> _Wide:
        rows = torch.cat([torch.arange(j * self.width, (j + 1) * self.width) for j in kept])
        rows = rows.to(self.inputs.device)
        head = LinearHead(weight=wide.loop.head.weight[rows], bias=wide.loop.head.bias[rows])
        rates = (wide.rates[0][rows], wide.rates[1][rows])
        narrow = self._widened([wide.members[j] for j in kept], head, rates)
        before, after = wide.loop.update, narrow.loop.update
        if isinstance(before, RowAdam):
            after.count = before.count
            after.means = [mean[rows] for mean in before.means]
            after.squares = [square[rows] for square in before.squares]
        return narrow

    def _parts(self, position: int) -> list[tuple[slice, Any]]:
        """A head alone, as blocks of rows with a loop each."""
        training = self.trainings[position]
        dropout = self.dropouts[position] if training.dropout else None
        parts = []
        for rows in blocks(self.start, training):
            head = LinearHead(weight=self.start.weight[rows].clone(), bias=self.start.bias[rows].clone())
            loop = Loop(head, self.inputs, self.targets[:, rows], training, width=self.width, dropout=dropout)
            parts.append((rows, loop))
        return parts
