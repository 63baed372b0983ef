"""Aim: whose loss is to be predicted, and what the cells that help may cost in all."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlproject.errors import WrongUse, unknown

UNITS = {"images": "", "flops": "flops", "gmac": "flops", "seconds": "seconds"}
"""Units of a budget, and the metric of finished runs that each is measured by."""
FLOPS_IN_A_GMAC = 2e9
"""One multiply-accumulate counts as two operations."""


@dataclass(frozen=True, kw_only=True)
class Aim:
    """The images (and for several models the parameters: 0 for the largest model) to predict the loss at."""

    target: int
    budget: float
    unit: str = "images"
    params: float = 0.0

    def __post_init__(self) -> None:
        if self.target < 1 or not (math.isfinite(self.budget) and self.budget > 0):
            raise WrongUse(f"target and budget must be above zero, not {self.target} and {self.budget:g}")
        if not (math.isfinite(self.params) and self.params >= 0):
            raise WrongUse(f"the target's parameters must be above zero, not {self.params:g}")
        if self.unit not in UNITS:
            raise unknown("unit", self.unit, UNITS)

    @property
    def words(self) -> str:
        """The target as people say it."""
        return f"{self.target:,} images" + (f" and {self.params:,.4g} parameters" if self.params else "")
