"""Optimisers by name, with their usual betas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from mlproject.errors import unknown

Optimizer = Literal["adam", "adamw", "sgd"]
OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


def build_optimizer(
    name: str, parameters: Iterable[Tensor], *, lr: float, weight_decay: float, momentum: float = 0.0
) -> torch.optim.Optimizer:
    """The named optimiser, updating all tensors in one kernel; ``momentum`` is that of sgd.

    Raises: WrongUse for a name that does not exist.
    """
    if name not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS)
    own: dict[str, Any] = {"momentum": momentum} if name == "sgd" else {}
    chosen: torch.optim.Optimizer = OPTIMIZERS[name](
        parameters,  # type: ignore[call-arg]
        lr=lr,
        weight_decay=weight_decay,
        fused=True,
        **own,
    )
    return chosen
