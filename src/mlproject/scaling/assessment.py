"""What is known of a set of points: fitted laws, their average, the verdict with its reason, predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlproject.scaling.averaging.average import Average
from mlproject.scaling.averaging.library_use import LibraryUse
from mlproject.scaling.fitting.fit import Fit
from mlproject.scaling.fitting.intervals import Estimate
from mlproject.scaling.fitting.points import Points, Prediction
from mlproject.scaling.fitting.slopes import rises


@dataclass(frozen=True, kw_only=True)
class LawFit:
    """One law of an assessment: its weight, verdict with reason, parameters, and ranks from 1.

    ``fit`` is None where the law was only averaged or the data cannot carry it; parameters are then the
    quantiles of its posterior, or empty. A dense grid is fitted averaged (``thinned``). An estimate whose
    ``identified`` is False has limits at most.
    """

    law: str
    weight: float
    verdict: str
    reason: str
    parameters: Mapping[str, Estimate]
    fit: Fit | None = field(default=None, repr=False)
    in_sample_rank: int | None = None
    out_of_sample_rank: int | None = None


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Rows [m] that were left out (the largest scale, or the most expensive cells), and their prediction."""

    rows: NDArray[np.bool_]
    prediction: Prediction


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """The assessment of a set of points. ``laws`` are ordered by weight, heaviest first.

    ``local`` is the local exponent at the largest scale and ``floor`` the irreducible loss of a curve, both
    over all laws. ``exponents`` are those far beyond the data, over the laws that are power laws there.
    ``average`` is None for too few scales or a rising loss, ``points`` where the numbers are refused,
    ``library`` where priors are the usual ones.
    """

    verdict: str
    reason: str
    n_points: int
    n_scales: int
    laws: tuple[LawFit, ...] = ()
    exponents: Mapping[str, Estimate] = field(default_factory=dict)
    local: Estimate | None = None
    floor: Estimate | None = None
    flags: tuple[str, ...] = ()
    average: Average | None = field(default=None, repr=False)
    held_out: HeldOut | None = field(default=None, repr=False)
    points: Points | None = field(default=None, repr=False)
    library: LibraryUse | None = None

    @property
    def heaviest(self) -> LawFit | None:
        """The law of the largest weight, if any law was fitted or averaged."""
        return self.laws[0] if self.laws else None

    @property
    def fits(self) -> dict[str, Fit]:
        """The laws that were fitted on their own, heaviest first."""
        return {row.law: row.fit for row in self.laws if row.fit is not None}

    @property
    def weights(self) -> dict[str, float]:
        """Weight per law, heaviest first."""
        return {row.law: row.weight for row in self.laws}

    @property
    def removed_by_doubling(self) -> Estimate | None:
        """The share of the loss that a doubling removes at the local exponent: 1 - 2^-exponent."""
        if self.local is None:
            return None
        value, low, high = (1.0 - 2.0**-end for end in (self.local.value, self.local.low, self.local.high))
        return Estimate(value=value, low=low, high=high, identified=self.local.identified)

    def law(self, name: str) -> LawFit | None:
        """The law of a name, if it was fitted or averaged."""
        return next((row for row in self.laws if row.law == name), None)

    def predict(self, x: ArrayLike) -> Prediction | None:
        """Predict losses at x [n] or [n, axes]: over all laws, or by a power law alone where the loss rises.

        None where too few scales carry a prediction.
        """
        if self.average is not None:
            return self.average.predict(x)
        rising = self.points is not None and rises(self.points)
        power = self.law("power")
        return power.fit.predict(x) if rising and power is not None and power.fit is not None else None
