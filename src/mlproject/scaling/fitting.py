"""Fit one law: parameters with intervals, a verdict, predictions for scales that were never run.

Source: the estimator is variable projection on log losses (see ``solve``), the intervals are profile
likelihood, or percentiles of refits where the caller gives replicates of the losses (see ``intervals``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from mlproject.errors import BadInput

from .estimates import estimates, stretch, widen_amplitudes
from .intervals import (
    NORMAL,
    Estimate,
    Noise,
    Profile,
    condition_number,
    derived_errors,
    percentile,
    profile,
    read_noise,
)
from .law import Array, ScalingLaw
from .points import Points, read_points
from .robust import huber, physical_values
from .solve import Problem, solve
from .table import LAWS, find_law
from .verdict import Evidence, Judged, judge

@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Losses [n] with 95 % intervals: of the mean over runs, and of one new run; horizon [n] beyond the data.

    ``horizon`` is how many times further than the largest (or smallest) scale a prediction reaches; 1 inside.
    """

    mean: Array
    low: Array
    high: Array
    new_run_low: Array
    new_run_high: Array
    horizon: Array


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One law on one set of points. ``residuals`` are ln y - ln L [m]; losses and x keep their units.

    ``verdict`` is "scaling", "flat" or "not identifiable"; ``reason`` says why and what would change it;
    ``robust`` are the parameters under Huber's loss, the second opinion;
    ``condition`` is the condition number of the scaled information matrix;
    ``held_out_error`` is ln(predicted / observed) on the largest scale when fitted without it.
    """

    law: str
    parameters: Mapping[str, Estimate]
    robust: Mapping[str, float]
    verdict: str
    reason: str
    flags: tuple[str, ...]
    n_scales: int
    dof: int
    residuals: Array
    residual_sd: float
    space: str
    held_out_error: float | None
    condition: float
    ceiling: float | None
    points: Points = field(repr=False)
    theta: Array = field(repr=False)
    spread: Array = field(repr=False)
    from_draws: bool = field(repr=False)
    noise: Noise = field(repr=False)

    @property
    def _run_sd(points: Points, residuals: Array, dof: int) -> float:
    """Standard deviation of one run around the law, relative: from residuals, at least the known noise."""
    seen = float(np.sqrt(np.sum(residuals**2) / dof)) if dof > 0 else 0.0
    known = 0.0 if points.sd is None else float(np.sqrt(np.mean((points.sd / points.y) ** 2)))
    return max(seen, known)
