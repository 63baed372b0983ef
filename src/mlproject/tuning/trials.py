"""Trials: many cells that differ in their knobs only, judged by their validation losses alone.

A trial is a cell like any other, and its loss is what that cell's run would have. Probes are trained side by
side: heads that share their batches as one stack, with the loss at several lengths of one training;
full-batch descent on squared errors and ridge in closed form. Other recipes are run one by one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mlproject.cell import Cell
from mlproject.errors import MLProjectError
from mlproject.recipes import build_recipe
from mlproject.recipes.probe import Probe
from mlproject.recipes.probing import Examples, examples_of, initial_of, solved
from mlproject.training import Schedule, generator
from mlproject.training.heads import FullDescent, LinearHead, Stack, Training
from mlproject.tuning.tunable import LENGTHS

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.progress import Report
else:
    ImageSet = Report = Any

Prune = Callable[[int, int, float], bool]
"""(position of the trial, length, validation loss) -> whether to give it up."""
OF_THEIR_OWN = ("lr", "weight_decay", "dropout")
"""Knobs in which heads of one stack may differ."""
LARGEST_CLOSED = 3000
"""Images up to which an eigendecomposition is cheaper than training."""


@dataclass(kw_only=True)
class Curve:
    """Mean validation losses of a trial at some lengths of its training; ``reason`` says why it ended."""

    lengths: list[int]
    losses: list[float]
    reason: str = ""

    def add(self, length: int, loss: float) -> bool:
        """Enter a loss; whether it is a finite number, and the trial can go on."""
        if not math.isfinite(loss):
            self.reason = "" if self.losses else f"its validation loss is {loss} at length {length}"
            return False
        self.lengths.append(length)
        self.losses.append(loss)
        return True


def validation_curves(
    cells: Sequence[Cell], images: ImageSet, lengths: Sequence[int], report: Report, prune: Prune
) -> list[Curve]:
    """A curve for each cell; at ``lengths`` (epochs, or steps where steps are set), or at its own alone.

    Cells differ in knobs and image scales only. A trial that cannot be run has a reason and no loss.
    """
    if cells[0].recipe == "probe":
        return _probe_curves(cells, images, lengths, report, prune)
    return [_one(cell, images, report) for cell in cells]


def _one(cell: Cell, images: ImageSet, report: Report) -> Curve:
    curve = Curve(lengths=[], losses=[])
    try:
        outcome = build_recipe(cell.recipe, cell.knobs).run(cell, images, report)
        curve.add(0, float(outcome.losses.select("validation").loss.mean()))
    except MLProjectError as problem:
        if problem.status != 1:
            raise
        curve.reason = str(problem)
    return curve


def _probe_curves(
    cells: Sequence[Cell], images: ImageSet, lengths: Sequence[int], report: Report, prune: Prune
) -> list[Curve]:
    curves = [Curve(lengths=[], losses=[]) for _ in cells]
    groups: dict[str, list[int]] = {}
    for i, cell in enumerate(cells):
        shared = {name: value for name, value in cell.knobs.items() if name not in OF_THEIR_OWN}
        groups.setdefault(json.dumps([shared, cell.image_scales]), []).append(i)
    for members in groups.values():
        probes: list[Any] = [build_recipe("probe", cells[i].knobs) for i in members]
        examples = examples_of(probes[0], cells[members[0]], images, report)
        group = _Group(cell=cells[members[0]], probes=probes, examples=examples)
        own = [curves[i] for i in members]

        def told(position: int, length: int, loss: float, members: list[int] = members) -> bool:
            return prune(members[position], length, loss)

        if probes[0].solver == "ridge":
            _ridge(group, own, report)
        elif group.closed:
            _descend(group, own, group.lengths(lengths))
        else:
            _train(group, own, group.lengths(lengths), told)
    return curves


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Probes that see the same examples in the same batches."""

    cell: Cell
    probes: Sequence[Probe]
    examples: Examples

    @property
    def targets(self) -> Tensor:
        """Targets of all rows; a head that is compared with itself learns nothing and is never tuned."""
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
        """Whether full-batch descent on squared errors is all that is asked for."""
        probe, n = self.probes[0], self.examples.n_train
        plain = all(p.weight_decay == 0 and p.dropout == 0 for p in self.probes)
        whole = n <= min(probe.batch_size, LARGEST_CLOSED)
        return plain and whole and (probe.optimizer, probe.loss) == ("sgd", "mse")

    @property
    def steps_per_length(self) -> int:
        """Optimiser steps for one unit of length."""
        return 1 if self.probes[0].steps else self.schedule.steps_per_epoch

    def lengths(self, asked: Sequence[int]) -> list[int]:
        """The lengths at which losses are taken: those asked for, or that of the training."""
        return list(asked) or [self.probes[0].steps or self.probes[0].epochs]

    def start(self) -> LinearHead:
        """The head that every training starts from."""
        return initial_of(self.cell, self.examples)


def _ridge(group: _Group, curves: Sequence[Curve], report: Report) -> None:
    trained = solved(group.probes[0], group.cell, group.examples, report)
    inputs, targets = group.validation
    loss = (trained.head(inputs).double() - targets.double()).square().mean().item()
    for curve in curves:
        curve.add(1, loss)


_DESCENT: dict[str, FullDescent] = {}
"""The last one: the blocks of a search follow each other, and differ in rates and steps alone."""


def _descend(group: _Group, curves: Sequence[Curve], lengths: Sequence[int]) -> None:
    shared = {n: v for n, v in group.cell.knobs.items() if n not in (*OF_THEIR_OWN, *LENGTHS)}
    key = replace(group.cell, knobs=shared).key
    if key not in _DESCENT:
        _DESCENT.clear()
        _DESCENT[key] = FullDescent.of(group.start(), group.train, group.validation)
    rates = [probe.lr for probe in group.probes]
    steps = [length * group.steps_per_length for length in lengths]
    table = _DESCENT[key].losses(rates, steps)
    for curve, losses in zip(curves, table.tolist(), strict=True):
        for length, loss in zip(lengths, losses, strict=True):
            if not curve.add(length, loss):
                break


def _train(group: _Group, curves: Sequence[Curve], lengths: Sequence[int], prune: Prune) -> None:
    trainings = [
        Training(loss=p.loss, optimizer=p.optimizer, lr=p.lr, weight_decay=p.weight_decay, dropout=p.dropout)
        for p in group.probes
    ]
    dropouts = [generator(group.cell.seed, "dropout") for _ in trainings]
    stack = Stack(group.start(), *group.train, trainings, dropouts=dropouts)
    order = generator(group.cell.seed, "order") if group.probes[0].shuffle else None
    epochs = group.schedule.batches(order, group.examples.inputs.device)
    batches, begin = [batch for epoch in epochs for batch in epoch], 0
    for length in lengths:
        end = length * group.steps_per_length
        stack.run(batches[begin:end])
        begin = end
        found = stack.losses(*group.validation)
        means = torch.stack(list(found.values())).mean(1).tolist()
        ended = set()
        for i, loss in zip(found, means, strict=True):
            if not curves[i].add(length, loss):
                ended.add(i)
            elif prune(i, length, loss):
                curves[i].reason = f"pruned at length {length}"
                ended.add(i)
        stack.drop(ended)
        if not stack.members:
            return
