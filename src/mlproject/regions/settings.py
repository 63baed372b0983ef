"""Settings: everything that decides a mask but the image, as one value with a digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from mlproject.errors import unknown
from mlproject.regions.checkpoints import Checkpoint, find_checkpoint
from mlproject.regions.limits import Limits, find_limits

Method = Literal["blobs", "sam", "sam-auto"]
VERSION = 1
"""Raised whenever the same settings give other masks."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How regions are found: ``blobs`` alone; ``sam`` with the blobs' points as prompts; ``sam-auto``, where
    the automatic mask generator proposes and the blobs' points choose."""

    method: str
    limits: Limits
    checkpoint: Checkpoint | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides a mask."""
        checkpoint = self.checkpoint.sha256 if self.checkpoint else ""
        content = {"version": VERSION, "method": self.method, "limits": asdict(self.limits)}
        text = json.dumps({**content, "checkpoint": checkpoint}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def label(self) -> str:
        """The method, and the network where there is one, as a person would say it."""
        return f"{self.method} {self.checkpoint.model}" if self.checkpoint else self.method


def find_settings(method: str, *, limits: str = "relative", checkpoint: str = "") -> Settings:
    """The settings that words name; ``checkpoint`` is a path and only read where a network is needed.

    Raises: WrongUse, BadInput, DigestMismatch (see ``find_checkpoint``).
    """
    if method not in get_args(Method):
        raise unknown("method", method, get_args(Method))
    found = None if method == "blobs" else find_checkpoint(checkpoint)
    return Settings(method=method, limits=find_limits(limits), checkpoint=found)
