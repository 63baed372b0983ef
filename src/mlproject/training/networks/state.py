"""The state of a training, and its checkpoint file.

The state is everything that later steps depend on: weights, their moving average, the best weights so far,
the optimiser, the scaler, random numbers, the position and the measured history. The order of images and the
learning rate follow from the position alone. A checkpoint is one safetensors file with JSON in its header
(no pickle), written atomically. Its header holds the SHA-256 of the whole file, as it was with zeros in the
place of these digits: any changed byte and any cut is recognised. A file that is damaged, that belongs to
another training, or that version 0.2 wrote (without a digest) is reported and deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from mlproject.device import is_out_of_memory
from mlproject.errors import one_line
from mlproject.files import read_json, require_regular, write_atomic

log = logging.getLogger(__name__)

CHECKPOINT = "training.safetensors"
"""Name of the checkpoint in the folder of a cell's training state."""
UNUSABLE = (OSError, ValueError, KeyError, SafetensorError)
"""Errors of a checkpoint that is damaged, cut, or not one of this training."""
FORMAT = "mlproject training 2"
UNSIGNED = b"0" * 64
LENGTH_BYTES = 8
"""A safetensors file begins with the length of its JSON header, little-endian."""
PIECE = 1 << 20
"""Bytes read at once."""

Row = dict[str, float]
Packed = tuple[dict[str, Tensor], dict[str, Any]]
"""A state as tensors on the CPU and JSON values."""


@dataclass(kw_only=True)
class Position:
    """How far a training has come: finished epochs, steps into the current one, and totals.

    ``seconds`` count training alone, over all attempts; ``sums`` are those of the current epoch.
    """

    epoch: int = 0
    offset: int = 0
    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    accumulate: int = 1
    n_out_of_memory: int = 0
    best_epoch: int = 0
    best_loss: float = float("inf")
    sums: dict[str, float] = field(default_factory=dict)
    history: list[Row] = field(default_factory=list)


@dataclass(kw_only=True)
class State:
    """A network in training; ``average`` and ``best`` are empty until there is one."""

    net: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: Any
    at: Position
    average: dict[str, Tensor] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Copies of all tensors on the CPU, and everything else as JSON values."""
        groups = {"net": self.net.state_dict(), "average": self.average, "best": self.best}
        tensors = {f"{name}.{key}": value for name, group in groups.items() for key, value in group.items()}
        for i, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {
                f"optimizer.{i}.{key}": value for key, value in slots.items() if isinstance(value, Tensor)
            }
        tensors |= {f"random.{device}": value for device, value in _random_states().items()}
        copies = {name: _copy(value) for name, value in tensors.items()}
        position = {
            **vars(self.at),
            "sums": dict(self.at.sums),
            "history": [dict(r) for r in self.at.history],
        }
        if not self.best:
            position["best_loss"] = None
        return copies, {"position": position, "scaler": self.scaler.state_dict()}

    def unpack(self, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
        """Restore what ``pack`` returned. Raises: KeyError, RuntimeError for the state of another network."""
        groups: dict[str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            group, _, key = name.partition(".")
            groups.setdefault(group, {})[key] = value
        self.net.load_state_dict(groups["net"])
        _restore(self.optimizer, groups.get("optimizer", {}))
        like = self.net.state_dict()
        for group in ("average", "best"):
            saved = groups.get(group, {})
            setattr(self, group, {key: torch.empty_like(like[key]).copy_(v) for key, v in saved.items()})
        self.scaler.load_state_dict(rest["scaler"])
        position = dict(rest["position"])
        if position["best_loss"] is None:
            position["best_loss"] = float("inf")
        self.at = Position(
            **position | {"sums": dict(position["sums"]), "history": list(position["history"])}
        )
        torch.set_rng_state(groups["random"]["cpu"])
        if "cuda" in groups["random"] and torch.cuda.is_available():
            torch.cuda.set_rng_state(groups["random"]["cuda"])

    def resume(self, path: Path, identity: str) -> Packed:
        """Restore the checkpoint at ``path`` where there is a usable one; returns the packed state.

        One that this network cannot take (its layers have changed) counts as unusable too.
        """
        fresh = self.pack()
        packed = read_checkpoint(path, identity)
        if packed is None:
            return fresh
        try:
            self.unpack(*packed)
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            self.unpack(*fresh)
            _discard(path, f"it is of another version of this network: {one_line(error)}")
            return fresh
        return packed

    def follow(self, decay: float) -> None:
        """Update the moving average of the weights; counters are copied. With decay 0 there is no average."""
        if not decay:
            return
        now = self.net.state_dict()
        if not self.average:
            self.average = {name: value.clone() for name, value in now.items()}
            return
        floats = [name for name, value in now.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.average[n] for n in floats], [now[n] for n in floats], 1 - decay)
        for name in now.keys() - set(floats):
            self.average[name].copy_(now[name])

    @contextlib.contextmanager
    def evaluated(self) -> Iterator[nn.Module]:
        """The network with the weights to evaluate: their moving average where there is one."""
        if not self.average:
            yield self.net
            return
        trained = snapshot(self.net)
        self.net.load_state_dict(self.average)
        try:
            yield self.net
        finally:
            self.net.load_state_dict(trained)


def snapshot(net: nn.Module) -> dict[str, Tensor]:
    """A copy of a network's weights and buffers, where they are."""
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def _copy(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True).contiguous()


def _random_states() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _restore(optimizer: torch.optim.Optimizer, saved: dict[str, Tensor]) -> None:
    """Load the optimiser's tensors, each with the device and memory layout of its parameter."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in saved.items():
        number, _, key = name.partition(".")
        like = parameters[int(number)]
        slot = (
            torch.empty_like(like)
            if value.shape == like.shape
            else torch.empty_like(value, device=like.device)
        )
        state.setdefault(int(number), {})[key] = slot.copy_(value)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def write_checkpoint(path: Path, packed: Packed, identity: str) -> None:
    """Write a packed state; ``identity`` names its training. Raises: NoRoom."""
    tensors, rest = packed
    header = {"format": FORMAT, "identity": identity, "rest": json.dumps(rest, allow_nan=False)}
    content = memoryview(safetensors.torch.save(tensors, header | {"sha256": UNSIGNED.decode()}))
    end = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    digest = hashlib.sha256(content).hexdigest().encode()
    write_atomic(path, bytes(content[:end]).replace(UNSIGNED, digest, 1), content[end:])


def read_checkpoint(path: Path, identity: str) -> Packed | None:
    """The packed state at ``path``, or None where there is no usable one, which is reported and deleted."""
    if not path.exists():
        return None
    try:
        rest = read_json(_checked_header(path, identity)["rest"])
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, rest  # noqa: SIM118
    except UNUSABLE as error:
        _discard(path, error)
        return None


def checkpoint_fault(path: Path, identity: str) -> str:
    """Why a checkpoint cannot be used by the training ``identity``; empty where it can."""
    try:
        _checked_header(path, identity)
    except UNUSABLE as error:
        return str(error)
    return ""


def _discard(path: Path, reason: object) -> None:
    """Delete a checkpoint that cannot be used, and report it."""
    log.warning("checkpoint %s is not used (%s); it is deleted, and training starts anew", path, reason)
    with contextlib.suppress(OSError):
        path.unlink()


def _checked_header(path: Path, identity: str) -> dict[str, str]:
    """The header of a verified checkpoint. Raises: UNUSABLE."""
    with safe_open(require_regular(path), "pt") as file:
        header: dict[str, str] = file.metadata() or {}
    if "sha256" not in header:
        raise ValueError("it has no digest, as those of version 0.2, so that damage could not be recognised")
    with path.open("rb") as content:
        length = content.read(LENGTH_BYTES)
        start = length + content.read(int.from_bytes(length, "little"))
        sha = hashlib.sha256(start.replace(header["sha256"].encode(), UNSIGNED, 1))
        while piece := content.read(PIECE):
            sha.update(piece)
    if sha.hexdigest() != header["sha256"]:
        raise ValueError("it is damaged: its SHA-256 differs from the recorded one")
    if (header["format"], header["identity"]) != (FORMAT, identity):
        raise ValueError("it belongs to another training")
    return header
