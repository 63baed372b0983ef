"""Progress: how long work tells a person where it is, without knowing how that is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable


@runtime_checkable
class Report(Protocol):
    """What a recipe may say while it works. Times are taken by whoever listens, not by the recipe."""

    def stage(self, name: str, total: int) -> None:
        """A stage begins: ``features`` (total images to embed), ``head`` or ``training`` (total epochs)."""

    def advance(self, count: int) -> None:
        """``count`` more units of the current stage are done."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers at a step of training, by the names of the run contract (``train.loss``)."""


class Silent:
    """A report that nobody listens to."""

    def stage(self, name: str, total: int) -> None:
        """Say nothing."""

    def advance(self, count: int) -> None:
        """Say nothing."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Say nothing."""
