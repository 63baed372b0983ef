"""Predicted losses and local exponents along an axis, as figures draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling import Assessment, Fit, LawFit, Prediction, bca

Floats = NDArray[np.float64]
STEP = 1e-4
"""Of ln x, for the slope of a law."""
N_ALONG, N_SLOPES, N_BEYOND, N_MODEL = 80, 40, 16, 24
"""Scales at which a law, its slope, an extrapolation, and a grid's prediction are evaluated."""
MARGIN = 0.08
"""A law is drawn so far beyond the data, as a power of their range."""


@dataclass(frozen=True, kw_only=True)
class LocalExponents:
    """-d ln L / d ln x [k] half-way (in ln x) between neighbouring scales, with 95 % limits."""

    x: Floats
    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, kw_only=True)
class PredictedLine:
    """Predicted losses along an axis: scales, means and 95 % limits [n]."""

    x: Floats
    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, kw_only=True)
class LawLine:
    """A law fitted by itself: losses [n] at scales x [n], local exponents, residuals [points] in percent."""

    law: LawFit
    x: Floats
    losses: Floats
    slope_x: Floats
    slopes: Floats
    residuals: Floats

    @cached_property
    def band(self) -> PredictedLine:
        """The 95 % limits, a search: only for the law that a figure draws."""
        assert self.law.fit is not None
        return predicted_line(self.x, self.law.fit.predict(self.x))


@dataclass(frozen=True, kw_only=True)
class ModelLine:
    """The cells of one model size and the losses predicted over D, inside the data and beyond.

    ``rows`` [cells] are those of this model size; ``residuals`` are those of the heaviest law in percent,
    empty where it was not fitted by itself.
    """

    n: float
    model: str
    rows: NDArray[np.bool_]
    inside: PredictedLine
    beyond: PredictedLine
    residuals: Floats


def predicted_line(x: Floats, losses: Prediction) -> PredictedLine:
    """Predictions with the scales [n] that they are for."""
    return PredictedLine(x=x, mean=losses.mean, low=losses.low, high=losses.high)


def extrapolation(assessment: Assessment, largest: float, times: float) -> PredictedLine | None:
    """All laws from the largest scale to so many times it; None where laws were not averaged."""
    x = np.geomspace(largest, times * largest, N_BEYOND)
    return None if assessment.average is None else predicted_line(x, assessment.average.predict(x))


def law_line(law: LawFit, x: Floats, values: Floats, *, beyond: bool) -> LawLine:
    """A fitted law along points x [m] with losses values [m], a little ``beyond`` the largest on demand."""
    assert law.fit is not None
    margin = (x[-1] / x[0]) ** MARGIN
    along = np.geomspace(x[0] / margin, x[-1] * (margin if beyond else 1.0), N_ALONG)
    slope_x = np.geomspace(x[0], x[-1], N_SLOPES)
    return LawLine(
        law=law,
        x=along,
        losses=law.fit.mean(along),
        slope_x=slope_x,
        slopes=law_slopes(law.fit, slope_x),
        residuals=_residuals(law.fit, x, values),
    )


def law_slopes(fitted: Fit, x: Floats) -> Floats:
    """The local exponent [k] of a law that was fitted, at scales x [k]."""
    ends = [np.log(fitted.mean(x * np.exp(step))) for step in (-STEP, STEP)]
    return np.asarray((ends[0] - ends[1]) / (2.0 * STEP))


def local_exponents(x: Floats, values: Floats, draws: Floats, *, known: bool = True) -> LocalExponents | None:
    """Slopes between neighbouring scales x [m] of values [m] and draws [b, m].

    Two points leave no residual to estimate noise from, so the limits are not numbers where draws do not hold
    all of it (``known``).

    Scales that hold several points (two models of one size) are averaged first. None where a loss is not
    above zero, or there is one scale.
    """
    scales, owner = np.unique(x, return_inverse=True)
    if len(scales) < 2 or not ((values > 0).all() and (draws > 0).all()):
        return None
    mean = np.eye(len(scales))[owner] / np.bincount(owner)
    steps = np.diff(np.log(scales))
    value = -np.diff(np.log(values) @ mean) / steps
    low, high = bca(value, -np.diff(np.log(draws) @ mean, axis=1) / steps)
    low, high = (low, high) if known else (np.full_like(low, np.nan), np.full_like(high, np.nan))
    return LocalExponents(x=np.sqrt(scales[1:] * scales[:-1]), value=value, low=low, high=high)


def model_lines(
    assessment: Assessment, x: Floats, values: Floats, models: Sequence[str], times: float
) -> tuple[ModelLine, ...]:
    """A line for each model size of cells x [m, 2], ascending, up to so many times the largest data size."""
    heaviest = assessment.laws[0].fit
    lines = []
    for n in np.unique(x[:, 0]).tolist():
        rows = x[:, 0] == n
        d = x[rows, 1]
        inside, beyond = (
            _over_data(assessment, n, np.geomspace(low, high, N_MODEL))
            for low, high in ((d.min(), d.max()), (d.max(), times * x[:, 1].max()))
        )
        lines.append(
            ModelLine(
                n=n,
                model=models[int(np.flatnonzero(rows)[0])],
                rows=rows,
                inside=inside,
                beyond=beyond,
                residuals=np.array([]) if heaviest is None else _residuals(heaviest, x[rows], values[rows]),
            )
        )
    return tuple(lines)


def _over_data(assessment: Assessment, n: float, d: Floats) -> PredictedLine:
    losses = assessment.predict(np.stack([np.full(len(d), n), d], axis=1))
    assert losses is not None
    return predicted_line(d, losses)


def _residuals(fitted: Fit, x: Floats, values: Floats) -> Floats:
    """How far losses lie from a law, in percent."""
    return np.asarray(100 * np.log(values / fitted.mean(x)))
