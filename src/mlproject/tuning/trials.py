"""Trials: cells that differ in their knobs only, evaluated by their validation losses.

A trial is a cell like any other, and its loss is that of the cell's run. Trials of probes are trained
together: heads with the same batches as one batch of heads, with losses at several lengths of one training;
full-batch gradient descent on squared errors and ridge regression in closed form. Trials of other recipes
are run one by one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mlproject.cell import Cell
from mlproject.errors import MLProjectError
from mlproject.recipes import (
    Probe,
    ProbeExamples,
    build_recipe,
    initial_probe_head,
    probe_examples,
    solve_ridge,
)
from mlproject.training import BatchedHeads, FullBatchDescent, HeadSettings, LinearHead, Schedule, generator
from mlproject.tuning.coordinate import LENGTHS

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.losses import Report
    from mlproject.tuning.tuner import TrialBlock
else:
    ImageSet = Report = TrialBlock = Any

Prune = Callable[[int, int, float], bool]
"""(position of the trial, length, validation loss) -> whether to stop the trial."""
PER_HEAD = ("lr", "weight_decay", "dropout")
"""Knobs in which heads that are trained together may differ."""
LARGEST_CLOSED = 3000
"""Number of images up to which an eigendecomposition is cheaper than training."""


@dataclass(kw_only=True)
class LossCurve:
    """Mean validation losses of a trial at several lengths of its training; ``reason`` says why it ended."""

    lengths: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    reason: str = ""

    def add(self, length: int, loss: float) -> bool:
        """Append a loss; False if it is not a finite number, which ends the trial."""
        if not math.isfinite(loss):
            self.reason = "" if self.losses else f"its validation loss is {loss} at length {length}"
            return False
        self.lengths.append(length)
        self.losses.append(loss)
        return True

    def cut(self, length: int) -> None:
        """End the curve at a length, at which its trial is pruned."""
        n = self.lengths.index(length) + 1
        self.lengths, self.losses = self.lengths[:n], self.losses[:n]
        self.reason = f"pruned at length {length}"


@dataclass(frozen=True, kw_only=True)
class TrialLosses:
    """The curves of a block, and its losses (position of the trial, length, loss) that no pruner saw yet.

    Losses are in the order in which they came, in which a pruner has to see them.
    """

    curves: Sequence[LossCurve]
    unseen: Sequence[tuple[int, int, float]] = ()

    def pruned(self, prune: Prune) -> Sequence[LossCurve]:
        """The curves, cut where the pruner would have stopped their trials."""
        ended: set[int] = set()
        for position, length, loss in self.unseen:
            if position not in ended and prune(position, length, loss):
                ended.add(position)
                self.curves[position].cut(length)
        return self.curves


@dataclass(kw_only=True)
class DescentCache:
    """The last closed form of gradient descent; the blocks of a search differ in rates and steps only."""

    key: str = ""
    descent: FullBatchDescent | None = None

    def get(self, key: str, compute: Callable[[], FullBatchDescent]) -> FullBatchDescent:
        """The closed form of this key, computed unless it is the last one."""
        if self.descent is None or key != self.key:
            self.descent = None  # frees the memory first
            self.key, self.descent = key, compute()
        return self.descent


def evaluate_block(
    block: TrialBlock, images: ImageSet, report: Report, prune: Prune | None, cache: DescentCache
) -> TrialLosses:
    """The losses of a block of trials; without ``prune`` those are kept that a pruner has to see."""
    unseen: list[tuple[int, int, float]] = []

    def keep(position: int, length: int, loss: float) -> bool:
        if block.pruning:
            unseen.append((position, length, loss))
        return False

    curves = validation_curves(block.cells, images, block.lengths, report, prune or keep, cache)
    return TrialLosses(curves=curves, unseen=unseen)


def validation_curves(
    cells: Sequence[Cell],
    images: ImageSet,
    lengths: Sequence[int],
    report: Report,
    prune: Prune,
    cache: DescentCache | None = None,
) -> list[LossCurve]:
    """A curve for each cell, at ``lengths`` (epochs, or steps where steps are set) or at its own length only.

    Cells differ in knobs and image scales only. A trial that cannot be run has a reason and no loss. A
    ``cache`` that is kept between calls saves the decomposition of gradient descent in closed form.
    """
    if cells[0].recipe == "probe":
        return _probe_curves(cells, images, lengths, report, prune, cache or DescentCache())
    return [_cell_curve(cell, images, report) for cell in cells]


def _cell_curve(cell: Cell, images: ImageSet, report: Report) -> LossCurve:
    """The validation loss of a cell that is run on its own."""
    curve = LossCurve()
    try:
        outcome = build_recipe(cell.recipe, cell.knobs).run(cell, images, report)
        curve.add(0, float(outcome.losses.select("validation").loss.mean()))
    except MLProjectError as error:
        if error.status != 1:
            raise
        curve.reason = str(error)
    return curve


def _probe_curves(
    cells: Sequence[Cell],
    images: ImageSet,
    lengths: Sequence[int],
    report: Report,
    prune: Prune,
    cache: DescentCache,
) -> list[LossCurve]:
    curves = [LossCurve() for _ in cells]
    groups: dict[str, list[int]] = {}
    for i, cell in enumerate(cells):
        shared = {name: value for name, value in cell.knobs.items() if name not in PER_HEAD}
        groups.setdefault(json.dumps([shared, cell.image_scales]), []).append(i)
    for members in groups.values():
        probes: list[Any] = [build_recipe("probe", cells[i].knobs) for i in members]
        examples = probe_examples(probes[0], cells[members[0]], images, report)
        group = _ProbeGroup(cell=cells[members[0]], probes=probes, examples=examples)
        group_curves = [curves[i] for i in members]

        def prune_member(position: int, length: int, loss: float, members: list[int] = members) -> bool:
            return prune(members[position], length, loss)

        if probes[0].solver == "ridge":
            _solve(group, group_curves, report)
        elif group.closed:
            _descend(group, group_curves, group.lengths(lengths), cache)
        else:
            _train(group, group_curves, group.lengths(lengths), prune_member)
    return curves


@dataclass(frozen=True, kw_only=True)
class _ProbeGroup:
    """Probes with the same examples in the same batches."""

    cell: Cell
    probes: Sequence[Probe]
    examples: ProbeExamples

    @property
    def targets(self) -> Tensor:
        """Targets of all rows. Raises: MLProjectError for target self, which has nothing to tune."""
        if self.examples.targets is None:
            raise MLProjectError("target='self' has loss zero for all knobs: there is nothing to tune")
        return self.examples.targets

    @property
    def train(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the training rows."""
        n = self.examples.n_train
        return self.examples.inputs[:n], self.targets[:n]

    @property
    def validation(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the validation rows."""
        n = self.examples.n_train
        rows = slice(n, n + self.cell.validation_size)
        return self.examples.inputs[rows], self.targets[rows]

    @property
    def schedule(self) -> Schedule:
        """Batches of the longest training."""
        probe, n = self.probes[0], self.examples.n_train
        return Schedule(n_images=n, batch_size=probe.batch_size, epochs=probe.epochs, steps=probe.steps)

    @property
    def closed(self) -> bool:
        """Whether the trials are full-batch gradient descent on squared errors, without decay or dropout."""
        probe, n = self.probes[0], self.examples.n_train
        plain = all(p.weight_decay == 0 and p.dropout == 0 for p in self.probes)
        full_batch = n <= min(probe.batch_size, LARGEST_CLOSED)
        return plain and full_batch and (probe.optimizer, probe.loss) == ("sgd", "mse")

    @property
    def steps_per_length(self) -> int:
        """Optimiser steps for one unit of length."""
        return 1 if self.probes[0].steps else self.schedule.steps_per_epoch

    @property
    def descent_key(self) -> str:
        """Identifies the closed form of gradient descent: everything but rates and lengths."""
        free = (*PER_HEAD, *LENGTHS)
        return replace(self.cell, knobs={n: v for n, v in self.cell.knobs.items() if n not in free}).key

    def lengths(self, wanted: Sequence[int]) -> list[int]:
        """The lengths at which losses are taken: those given, else that of the training."""
        return list(wanted) or [self.probes[0].steps or self.probes[0].epochs]

    def start(self) -> LinearHead:
        """The initial head of every training."""
        return initial_probe_head(self.cell, self.examples)


def _solve(group: _ProbeGroup, curves: Sequence[LossCurve], report: Report) -> None:
    trained = solve_ridge(group.probes[0], group.cell, group.examples, report)
    inputs, targets = group.validation
    loss = (trained.head(inputs).double() - targets.double()).square().mean().item()
    for curve in curves:
        curve.add(1, loss)


def _descend(
    group: _ProbeGroup, curves: Sequence[LossCurve], lengths: Sequence[int], cache: DescentCache
) -> None:
    descent = cache.get(
        group.descent_key, lambda: FullBatchDescent.of(group.start(), group.train, group.validation)
    )
    rates = [probe.lr for probe in group.probes]
    steps = [length * group.steps_per_length for length in lengths]
    table = descent.losses(rates, steps)
    for curve, losses in zip(curves, table.tolist(), strict=True):
        for length, loss in zip(lengths, losses, strict=True):
            if not curve.add(length, loss):
                break


def _train(group: _ProbeGroup, curves: Sequence[LossCurve], lengths: Sequence[int], prune: Prune) -> None:
    settings = [
        HeadSettings(
            loss=p.loss, optimizer=p.optimizer, lr=p.lr, weight_decay=p.weight_decay, dropout=p.dropout
        )
        for p in group.probes
    ]
    dropouts = [generator(group.cell.seed, "dropout") for _ in settings]
    heads = BatchedHeads(group.start(), *group.train, settings, dropouts=dropouts)
    order = generator(group.cell.seed, "order") if group.probes[0].shuffle else None
    epochs = group.schedule.batches(order, group.examples.inputs.device)
    batches, begin = [batch for epoch in epochs for batch in epoch], 0
    for length in lengths:
        end = length * group.steps_per_length
        heads.run(batches[begin:end])
        begin = end
        losses = heads.losses(*group.validation)
        means = torch.stack(list(losses.values())).mean(1).tolist()
        ended = set()
        for i, loss in zip(losses, means, strict=True):
            if not curves[i].add(length, loss):
                ended.add(i)
            elif prune(i, length, loss):
                curves[i].cut(length)
                ended.add(i)
        heads.drop(ended)
        if not heads.members:
            return
