"""Checkpoints: the state of a training as one file, safetensors with JSON in its header; no pickle.

The file appears whole or not at all. One that cannot be read, or that is of another training, is as good
as none: the training starts anew, and says so.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mlproject.files import write_atomic

log = logging.getLogger(__name__)

FORMAT = "mlproject training 1"

Packed = tuple[dict[str, Tensor], dict[str, Any]]


def write_checkpoint(path: Path, packed: Packed, identity: str) -> None:
    """Write a packed state. ``identity`` says of which training. Raises: NoRoom."""
    tensors, rest = packed
    header = {"format": FORMAT, "identity": identity, "rest": json.dumps(rest, allow_nan=False)}
    write_atomic(path, safetensors.torch.save(tensors, header))


def read_checkpoint(path: Path, identity: str) -> Packed | None:
    """The packed state at ``path``; None where there is none that can be used."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            if (header.get("format"), header.get("identity")) != (FORMAT, identity):
                raise ValueError("it is of another training")
            rest = json.loads(header["rest"])
            return {name: file.get_tensor(name) for name in file.keys()}, rest  # noqa: SIM118
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        log.warning("checkpoint %s is not used (%s); training starts anew", path, error)
        return None
