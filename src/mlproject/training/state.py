"""State: everything that decides how a training goes on, as tensors and plain JSON values.

Weights, their moving average, the best weights so far, the optimiser, the scaler, random numbers, where in
which epoch, and what was measured. The order of images and the learning rate follow from the position alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Row = dict[str, float]


@dataclass(kw_only=True)
class Position:
    """How far a training is: whole epochs, steps into the next one, and totals.

    ``seconds`` are those of training alone, over all attempts; ``sums`` are those of the epoch at work.
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
    """A network in training; ``average`` and ``best`` are empty where there is none (yet)."""

    net: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: Any
    at: Position
    average: dict[str, Tensor] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Copies of all tensors on the CPU, by name, and the rest as JSON values."""
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
        """Go back to what ``pack`` gave. Raises: KeyError, RuntimeError where it is of another network."""
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

    def follow(self, decay: float) -> None:
        """Move the average towards the weights; counters are copied. decay 0 keeps no average."""
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
    def judged(self) -> Iterator[nn.Module]:
        """The network with the weights that are judged: their average where there is one."""
        if not self.average:
            yield self.net
            return
        own = snapshot(self.net)
        self.net.load_state_dict(self.average)
        try:
            yield self.net
        finally:
            self.net.load_state_dict(own)


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
    """Fill the optimiser's slots; each lies where its parameter lies, in the parameter's layout."""
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
