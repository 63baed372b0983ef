"""Progress callback, independent of the display."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable


@runtime_checkable
class Report(Protocol):
    """Callback through which a recipe reports its progress; the receiver takes the times."""

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of ``total`` units: ``features`` (images), ``head`` or ``training`` (epochs)."""

    def advance(self, count: int) -> None:
        """Count ``count`` more finished units of the current stage."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Receive metrics at a training step, by the names that runs log (``train.loss``)."""


class Silent:
    """A callback that ignores everything."""

    def stage(self, name: str, total: int) -> None:
        """Ignore it."""

    def advance(self, count: int) -> None:
        """Ignore it."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Ignore it."""
