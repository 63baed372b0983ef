"""The training loop of whole networks, which resumes bit for bit.

A training that is killed anywhere and started again gives the losses of an uninterrupted one (on a CPU, with
equally many threads): the state is saved every half minute between two steps, and a step depends on nothing
but the state.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mlproject import device as devices
from mlproject.device import Device
from mlproject.errors import MLProjectError
from mlproject.losses import Report, Split
from mlproject.models import fewest_images, set_train_mode
from mlproject.training.networks.state import (
    Position,
    Row,
    State,
    snapshot,
    write_checkpoint,
)
from mlproject.training.networks.task import CONFIDENCE, PREDICTED, Examples, Task, evaluate
from mlproject.training.schedule import Diverged, build_optimizer, seeded, split
from mlproject.training.settings import Settings

SAVE_SECONDS = 30.0
COPY_SECONDS = 1.0
"""Greatest age of the copy of the state in memory before the end of an epoch renews it."""
COUNTS = ("correct", "total")
Sums = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """The result of a training: weights of the epoch with the least validation loss, and of the last epoch.

    Without validation images the best epoch is the last. ``history`` has a row for each evaluated epoch:
    epoch, step, samples, seconds, lr, and for each split the mean of every value (``validation.loss``), with
    ``correct`` and ``total`` as sums. ``accumulate`` is the final number of pieces of a batch,
    ``n_out_of_memory`` how often that number was doubled.
    """

    best: dict[str, Tensor]
    final: dict[str, Tensor]
    best_epoch: int
    history: tuple[Row, ...]
    n_seen: int
    seconds: float
    accumulate: int
    n_out_of_memory: int


def train(
    net: nn.Module,
    task: Task,
    settings: Settings,
    *,
    seed: int,
    examples: Examples,
    evaluated: Mapping[Split, Examples],
    device: Device,
    report: Report,
    checkpoint: Path | None = None,
    identity: str = "",
    save_seconds: float = SAVE_SECONDS,
) -> Trained:
    """Train the parameters of ``net`` that require gradients, in place; frozen layers stay in eval mode.

    ``evaluated`` are the splits to evaluate after epochs; ``validation`` among them chooses the best epoch.
    With a ``checkpoint`` path, training resumes from that file if it belongs to this ``identity``.

    Where a BatchNorm would see one value per channel of a single image, a last image by itself joins the
    batch (or the piece of a batch) before it.

    Raises: Diverged when a loss is not finite (the last good state is kept at ``checkpoint``); WrongUse for
    sides and batches that the network cannot take; MLProjectError when memory has no room for the smallest
    pieces; NoRoom.
    """
    net = devices.move(net, device)
    loop = _NetworkTraining(net, task, settings, seed, examples.on(device), evaluated, device, report)
    loop.file = (checkpoint, identity, save_seconds)
    with seeded(seed, "training"), devices.deterministic(settings.deterministic):
        loop.resume()
        loop.run()
    return loop.result()


class _NetworkTraining:
    """A running training: what is fixed for all steps, the state, and the last good copy of it."""

    def __init__(
        self,
        net: nn.Module,
        task: Task,
        settings: Settings,
        seed: int,
        examples: Examples,
        evaluated: Mapping[Split, Examples],
        device: Device,
        report: Report,
    ) -> None:
        self.task, self.settings, self.seed, self.device, self.report = task, settings, seed, device, report
        self.examples = examples
        self.evaluated = {split: part.on(device) for split, part in evaluated.items()}
        self.fewest = fewest_images(net, examples.side)
        self.schedule = settings.plan(len(examples), self.fewest)
        self.forward: Any = torch.compile(net) if settings.compile else net
        trained = [p for p in net.parameters() if p.requires_grad]
        rates = {"lr": settings.lr, "weight_decay": settings.weight_decay, "momentum": settings.momentum}
        self.state = State(
            net=net,
            optimizer=build_optimizer(settings.optimizer, trained, **rates),
            scaler=devices.scaler(device, settings.precision),
            at=Position(accumulate=settings.accumulate),
        )
        self.file: tuple[Path | None, str, float] = (None, "", SAVE_SECONDS)

    def resume(self) -> None:
        """Resume from the checkpoint, where there is a usable one."""
        path, identity, _ = self.file
        self.good = self.state.resume(path, identity) if path else self.state.pack()
        self.saved = self.copied = time.monotonic()

    def run(self) -> None:
        """Run the remaining epochs; a batch that does not fit into memory is computed in more pieces."""
        self.report.stage("training", self.schedule.n_epochs)
        self.report.advance(self.state.at.epoch)
        while self.state.at.epoch < self.schedule.n_epochs:
            try:
                self._epoch()
            except (RuntimeError, MemoryError) as error:
                if not devices.is_out_of_memory(error):
                    raise
                self._smaller(error)

    def _epoch(self) -> None:
        at = self.state.at
        sums = {name: torch.tensor(v, dtype=torch.float64) for name, v in at.sums.items()}
        start, before = time.monotonic(), at.seconds
        set_train_mode(self.state.net)
        steps = self.schedule.epoch(at.epoch, self.seed)[at.offset :]
        pieces = [split(rows, math.ceil(len(rows) / at.accumulate), self.fewest) for rows in steps]
        augment = self._augment if self.task.augment else None  # seeding takes a millisecond
        batches = self.examples.batches(list(chain(*pieces)), self.device, augment)
        for rows, parts in zip(steps, pieces, strict=True):
            self._step(rows, islice(batches, len(parts)), sums)
            at.offset, at.step, at.samples = at.offset + 1, at.step + 1, at.samples + len(rows)
            if time.monotonic() - self.saved >= self.file[2]:
                at.seconds = before + time.monotonic() - start
                self._keep(sums, write=True)
        at.seconds = before + time.monotonic() - start
        self._finish(sums)

    def _step(self, rows: Tensor, batches: Iterable[tuple[Tensor, Tensor]], sums: Sums) -> None:
        state, settings = self.state, self.settings
        for group in state.optimizer.param_groups:
            group["lr"] = settings.rate(state.at.step, self.schedule.n_steps)
        state.optimizer.zero_grad(set_to_none=True)
        self.piece = 0
        for inputs, targets in batches:
            self.piece += 1
            with devices.mixed(self.device, settings.precision):
                values = self.task.objective(self.forward, inputs, targets)
            state.scaler.scale(values["loss"].sum() / len(rows)).backward()
            for name, value in values.items():
                added = value.detach().sum(dtype=torch.float64)
                sums[name] = sums[name].to(added.device) + added if name in sums else added
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.follow(settings.ema)

    def _augment(self, pixels: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Augmentation whose random numbers depend on no other draws, nor on who reads the images."""
        assert self.task.augment is not None
        with seeded(self.seed, f"augmentation of step {self.state.at.step}, piece {self.piece}"):
            return self.task.augment(pixels, targets)

    def _finish(self, sums: Sums) -> None:
        """End an epoch: its row of the history, the best weights, a good copy of the state."""
        at = self.state.at
        n_seen = at.samples - (at.history[-1]["samples"] if at.history else 0)
        at.sums = {name: value.item() for name, value in sums.items()}
        self._require_finite("train", at.sums["loss"])
        at.epoch, at.offset = at.epoch + 1, 0
        if not self.settings.evaluates(at.epoch, self.schedule.n_epochs):
            self.report.advance(1)
            return
        row = {"epoch": at.epoch, "step": at.step, "samples": at.samples, "seconds": at.seconds}
        lr = self.settings.rate(at.step - 1, self.schedule.n_steps)  # the optimiser's is lost in a checkpoint
        row |= {"lr": lr} | _row("train", at.sums, int(n_seen))
        with self.state.evaluated() as net:
            for split, examples in self.evaluated.items():
                row |= self._measure(net, split, examples)
            self._choose(net, row)
        at.history.append(row)
        at.sums = {}
        self.report.metrics(at.epoch, _reported(row))
        self.report.advance(1)
        if time.monotonic() - self.copied >= COPY_SECONDS:
            self._keep({}, write=False)

    def _measure(self, net: nn.Module, split: str, examples: Examples) -> Row:
        size = max(1, self.settings.batch_size // self.state.at.accumulate)
        measure, precision = self.task.measure, self.settings.precision
        values = evaluate(net, examples, measure, device=self.device, batch_size=size, precision=precision)
        sums = {n: value.sum().item() for n, value in values.items() if n not in (PREDICTED, CONFIDENCE)}
        self._require_finite(split, sums["loss"])
        return _row(split, sums, len(examples))

    def _choose(self, net: nn.Module, row: Row) -> None:
        at, loss = self.state.at, row.get("validation.loss")
        if loss is not None and loss < at.best_loss:
            at.best_loss, at.best_epoch = loss, at.epoch
            self.state.best = snapshot(net)

    def _keep(self, sums: Sums, *, write: bool) -> None:
        """Copy the state in memory, and to the checkpoint if ``write``."""
        self.state.at.sums = {name: value.item() for name, value in sums.items()}
        self._require_finite("train", self.state.at.sums.get("loss", 0.0))
        self.good, self.copied = self.state.pack(), time.monotonic()
        if write:
            self._write()

    def _write(self) -> str:
        path, identity, _ = self.file
        self.saved = time.monotonic()
        if path is None:
            return ""
        write_checkpoint(path, self.good, identity)
        return f"; the last good state is kept at {path}"

    def _require_finite(self, split: str, loss: float) -> None:
        if math.isfinite(loss):
            return
        kept = self._write()
        raise Diverged(
            f"training diverged: the {split} loss is {loss} at step {self.state.at.step} "
            f"({self.settings.optimizer}, lr={self.settings.lr:g}); try a smaller lr{kept}"
        )

    def _smaller(self, error: BaseException) -> None:
        """Back to the last good state, with every batch in twice as many pieces."""
        wanted = 2 * self.state.at.accumulate
        times = self.state.at.n_out_of_memory + 1
        if wanted * self.fewest > self.settings.batch_size:
            least = "one image" if self.fewest == 1 else "two images (BatchNorm needs both)"
            raise MLProjectError(
                f"out of memory on {self.device} with {least} at a time; use a smaller side or model"
            ) from error
        self.state.optimizer.zero_grad(set_to_none=True)
        devices.free_memory(self.device)
        self.state.unpack(*self.good)
        self.state.at.accumulate, self.state.at.n_out_of_memory = wanted, times
        self.good = self.state.pack()

    def result(self) -> Trained:
        """The result; the network is left with its last weights (their average, where there is one)."""
        at = self.state.at
        with self.state.evaluated() as net:
            final = snapshot(net)
        self.state.net.load_state_dict(final)
        return Trained(
            best=self.state.best or final,
            final=final,
            best_epoch=at.best_epoch or at.epoch,
            history=tuple(at.history),
            n_seen=at.samples,
            seconds=at.seconds,
            accumulate=at.accumulate,
            n_out_of_memory=at.n_out_of_memory,
        )


def _row(split: str, sums: Mapping[str, float], n: int) -> Row:
    """Means over images by name; the counts ``correct`` and ``total`` stay sums."""
    row = {f"{split}.{name}": value if name in COUNTS else value / n for name, value in sums.items()}
    if sums.get("total"):
        row[f"{split}.accuracy"] = sums["correct"] / sums["total"]
    return row


def _reported(row: Row) -> Row:
    """The metrics of an epoch in a run's history.

    All but ``train.loss`` end in ``_epoch`` (``eval.loss_epoch``), since ``eval.loss`` is the cell's loss.
    """
    values = {name: value for name, value in row.items() if "." in name and not name.endswith(COUNTS)}
    return {name if name == "train.loss" else f"{name}_epoch": value for name, value in values.items()}
