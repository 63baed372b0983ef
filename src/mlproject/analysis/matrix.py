"""The values of an ablation: arms against a baseline, how differences change along an axis, exponents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlproject.analysis.effects import Discordant, Effect
from mlproject.scaling import Difference, Estimate

ALPHA = 0.05
COLUMNS = ("validation", "final", "eval")
"""Where an arm is seen: on the validation images that chose its epoch, under its last weights on the
evaluation images, and on them once under the chosen weights. Only the last is free of a choice."""


@dataclass(frozen=True, kw_only=True)
class Versus:
    """An arm less the baseline in one quantity; ``holm`` is p adjusted for all arms of the matrix."""

    effect: Effect
    holm: float

    @property
    def verdict(self) -> str:
        """Which is lower, after the correction for many arms; losses and errors are better when lower."""
        if self.holm >= ALPHA:
            return "no difference seen"
        return "better" if self.effect.value < 0 else "worse"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One arm of a matrix. ``loss`` and ``error`` are its own, by column; the baseline has no ``versus``.

    ``mcnemar`` counts images that only this arm, or only the baseline, has wrong, over all seeds.
    """

    arm: str
    n_seeds: int
    n_params: float
    loss: Mapping[str, Effect]
    error: Mapping[str, Effect]
    versus_loss: Versus | None = None
    versus_error: Versus | None = None
    mcnemar: Discordant | None = None


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """The arms of one setting, the baseline first."""

    setting: Mapping[str, Any]
    baseline: Mapping[str, Any]
    rows: tuple[Row, ...]

    @property
    def label(self) -> str:
        """``resnet50 · 200 images · tench``."""
        data = str(self.setting["data"]).rstrip("/").rpartition("/")[2]
        return f"{self.setting['model']} · {self.setting['dataset_size']:,} images · {data}"


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """How an arm's difference from the baseline changes for each doubling along an axis.

    ``series`` is what the axis holds still; ``steps`` are the differences at each of ``scales``.
    """

    arm: str
    axis: str
    series: str
    scales: tuple[float, ...]
    steps: tuple[Effect, ...]
    loss: Versus
    error: Versus | None


@dataclass(frozen=True, kw_only=True)
class Steeper:
    """The exponents of an arm and of the baseline under one law, and their difference."""

    arm: str
    axis: str
    series: str
    law: str
    own: Estimate
    baseline: Estimate
    difference: Difference
    identified: bool


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """All that a study says of arms."""

    matrices: tuple[Matrix, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    exponents: tuple[Steeper, ...] = ()
