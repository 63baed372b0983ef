"""The one training loop: whole networks, one optimiser step at a time, resumed bit for bit.

A run that is killed anywhere and started again gives the losses of one that never was (on a CPU, with
equally many threads): the state is kept every half minute between two steps, and what a step does
depends on nothing else.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mlproject import device as devices
from mlproject.device import Device
from mlproject.errors import MLProjectError
from mlproject.losses import Split
from mlproject.progress import Report
from mlproject.training.checkpoint import read_checkpoint, write_checkpoint
from mlproject.training.evaluation import judge
from mlproject.training.optimizers import build_optimizer
from mlproject.training.schedule import seeded
from mlproject.training.settings import Settings
from mlproject.training.state import Position, Row, State, snapshot
from mlproject.training.task import Examples, Task

SAVE_SECONDS = 30.0
COPY_SECONDS = 1.0
"""How old the good copy in memory may grow before an epoch's end renews it."""
COUNTS = ("correct", "total")


class Diverged(MLProjectError):
    """Training left the finite numbers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What a training gave: the weights of the epoch with the least validation loss, and of the last one.

    Without validation images the best epoch is the last one: nothing else may choose. ``history`` has a
    row for each judged epoch: epoch, step, samples, seconds, lr, and by split the mean of every value
    (``validation.loss``), with ``correct`` and ``total`` as sums. ``accumulate`` is how many pieces a
    batch was computed in at last, ``n_out_of_memory`` how often it had to be more.
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
    judged: Mapping[Split, Examples],
    device: Device,
    report: Report,
    checkpoint: Path | None = None,
    identity: str = "",
    save_seconds: float = SAVE_SECONDS,
) -> Trained:
    """Train what of ``net`` requires gradients, in place; layers that are wholly frozen stay in eval mode.

    ``judged`` are splits to measure after epochs; ``validation`` among them chooses the best one. With a
    ``checkpoint`` path the training goes on from there if the file is of this ``identity``.

    Raises: Diverged when a loss is not finite (the last good state is kept at ``checkpoint``); MLProjectError
    when not even single images fit the memory; NoRoom.
    """
    net = devices.move(net, device)
    loop = _Loop(net, task, settings, seed, examples.on(device), judged, device, report)
    loop.file = (checkpoint, identity, save_seconds)
    with seeded(seed, "training"), devices.deterministic(settings.deterministic):
        loop.resume()
        loop.run()
    return loop.result()


class _Loop:
    """A training at work: what is fixed for all steps, the state, and the last good copy of it."""

    def __init__(
        self,
        net: nn.Module,
        task: Task,
        settings: Settings,
        seed: int,
        examples: Examples,
        judged: Mapping[Split, Examples],
        device: Device,
        report: Report,
    ) -> None:
        self.task, self.settings, self.seed, self.device, self.report = task, settings, seed, device, report
        self.examples, self.others = examples, {split: some.on(device) for split, some in judged.items()}
        self.schedule = settings.plan(len(examples))
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
        """Go on from the checkpoint, where there is one."""
        path, identity, _ = self.file
        found = read_checkpoint(path, identity) if path else None
        if found:
            self.state.unpack(*found)
        self.good = found or self.state.pack()
        self.saved = self.copied = time.monotonic()

    def run(self) -> None:
        """All epochs that are left; a batch that does not fit the memory is computed in more pieces."""
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
        _train_mode(self.state.net)
        for rows in self.schedule.epoch(at.epoch, self.seed)[at.offset :]:
            self._step(rows, sums)
            at.offset, at.step, at.samples = at.offset + 1, at.step + 1, at.samples + len(rows)
            if time.monotonic() - self.saved >= self.file[2]:
                at.seconds = before + time.monotonic() - start
                self._keep(sums, write=True)
        at.seconds = before + time.monotonic() - start
        self._finish(sums)

    def _step(self, rows: Tensor, sums: dict[str, Tensor]) -> None:
        state, settings = self.state, self.settings
        for group in state.optimizer.param_groups:
            group["lr"] = settings.rate(state.at.step, self.schedule.n_steps)
        state.optimizer.zero_grad(set_to_none=True)
        for number, piece in enumerate(torch.split(rows, math.ceil(len(rows) / state.at.accumulate))):
            inputs, targets = self._batch(piece, number)
            with devices.mixed(self.device, settings.precision):
                values = self.task.objective(self.forward, inputs, targets)
            state.scaler.scale(values["loss"].sum() / len(rows)).backward()
            for name, value in values.items():
                added = value.detach().sum(dtype=torch.float64)
                sums[name] = sums[name].to(added.device) + added if name in sums else added
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.follow(settings.ema)

    def _batch(self, rows: Tensor, piece: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets; augmentation has random numbers of its own, whatever else a step draws."""
        if self.task.augment is None:  # seeding costs a millisecond, a tenth of a small network's step
            return self.examples.batch(rows, self.device)
        with seeded(self.seed, f"augmentation of step {self.state.at.step}, piece {piece}"):
            return self.examples.batch(rows, self.device, self.task.augment)

    def _finish(self, sums: dict[str, Tensor]) -> None:
        """An epoch's end: its row, the best weights, a good copy of the state."""
        at = self.state.at
        n_seen = at.samples - (at.history[-1]["samples"] if at.history else 0)
        at.sums = {name: value.item() for name, value in sums.items()}
        self._require_finite("train", at.sums["loss"])
        at.epoch, at.offset = at.epoch + 1, 0
        if not self.settings.judges(at.epoch, self.schedule.n_epochs):
            self.report.advance(1)
            return
        row = {"epoch": at.epoch, "step": at.step, "samples": at.samples, "seconds": at.seconds}
        lr = self.settings.rate(at.step - 1, self.schedule.n_steps)  # the optimiser's is lost in a checkpoint
        row |= {"lr": lr} | _row("train", at.sums, int(n_seen))
        with self.state.judged() as net:
            for split, examples in self.others.items():
                row |= self._measure(net, split, examples)
            self._choose(net, row)
        at.history.append(row)
        at.sums = {}
        self.report.metrics(at.epoch, _told(row))
        self.report.advance(1)
        if time.monotonic() - self.copied >= COPY_SECONDS:
            self._keep({}, write=False)

    def _measure(self, net: nn.Module, split: str, examples: Examples) -> Row:
        size = max(1, self.settings.batch_size // self.state.at.accumulate)
        measure, precision = self.task.measure, self.settings.precision
        values = judge(net, examples, measure, device=self.device, batch_size=size, precision=precision)
        sums = {name: value.sum().item() for name, value in values.items()}
        self._require_finite(split, sums["loss"])
        return _row(split, sums, len(examples))

    def _choose(self, net: nn.Module, row: Row) -> None:
        at, loss = self.state.at, row.get("validation.loss")
        if loss is not None and loss < at.best_loss:
            at.best_loss, at.best_epoch = loss, at.epoch
            self.state.best = snapshot(net)

    def _keep(self, sums: dict[str, Tensor], *, write: bool) -> None:
        """Take a good copy of the state, and write it where asked."""
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
        if wanted > self.settings.batch_size:
            raise MLProjectError(
                f"out of memory on {self.device} with one image at a time; use a smaller side or model"
            ) from error
        self.state.optimizer.zero_grad(set_to_none=True)
        devices.free_memory(self.device)
        self.state.unpack(*self.good)
        self.state.at.accumulate, self.state.at.n_out_of_memory = wanted, times
        self.good = self.state.pack()

    def result(self) -> Trained:
        """What came of it; the network is left with its last weights (the average, where there is one)."""
        at = self.state.at
        with self.state.judged() as net:
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


def _train_mode(net: nn.Module) -> None:
    """Train mode, but for layers whose parameters are all frozen: their statistics must not move."""
    net.train()
    for module in net.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(p.requires_grad for p in own):
            module.eval()


def _row(split: str, sums: Mapping[str, float], n: int) -> Row:
    """Means over images by name, but for the counts ``correct`` and ``total``."""
    row = {f"{split}.{name}": value if name in COUNTS else value / n for name, value in sums.items()}
    if sums.get("total"):
        row[f"{split}.accuracy"] = sums["correct"] / sums["total"]
    return row


def _told(row: Row) -> Row:
    """What a run's history shows: the judged splits by epoch under names of their own (``eval.loss_epoch``),
    since ``eval.loss`` is the loss of the cell."""
    plain = {name: value for name, value in row.items() if "." in name and not name.endswith(COUNTS)}
    return {name if name == "train.loss" else f"{name}_epoch": value for name, value in plain.items()}
