"""Runs of a grid that no law explains: found one by one, left out, and named in a flag.

A run is left out where a shift of its own makes the other points far more probable, under every reference law
and whatever the discrepancy, so that a grid that merely departs from the laws keeps all of its runs. With
whitened residuals r and derivatives J of a law at its robust fit, P the projection off J, n degrees of
freedom and one hypothesis of the discrepancy,

    ln p(points | shift of i) - ln p(points) = -n/2 ln(1 - (u_i'P r)^2 / (u_i'P u_i Q)),   Q = r'P r + prior,

summed over hypotheses with their evidence; u_i is the whitened unit vector of point i. Sources: Beckman and
Cook 1983 (Technometrics 25, 119), the mean-shift model of an outlier; Cook and Weisberg 1982, *Residuals and
Influence in Regression*, section 2.2. Runs that are averaged are compared with each other first; what they
agree on is no outlier.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling.averaging.averaged_points import (
    LEAST_NOISE,
    AveragedPoints,
    average_repeats,
    groups,
    thinned,
)
from mlproject.scaling.averaging.discrepancy import condition, discrepancies
from mlproject.scaling.averaging.importance_sampling import log_sum
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.fitting.robust import FEW_STEPS, huber
from mlproject.scaling.laws.law import Array, ScalingLaw
from mlproject.scaling.laws.several_axes import COUPLED, PRODUCT, SEPARABLE

REFERENCE = (SEPARABLE, PRODUCT, COUPLED)
ROUNDS = 4  # of reweighting of the robust fit
LEAST_CELLS = 12  # from which on a cell can be an outlier: fewer leave hardly any degree of freedom
LEAST_GAIN = 9.0  # log evidence that a shift must bring: 1 in 1,000 runs is one, and its size is unknown
REPEATED = 8.0  # robust standard deviations from the runs that a run is averaged with
LARGE = 0.9  # quantile of these distances that gives their standard deviation, as noise differs by scale
LARGE_NORMAL = 1.645  # the same of a normal number
SHARE = 0.1  # of the cells that may be outliers


def outlying(points: Points) -> NDArray[np.bool_]:
    """The rows [m] of a grid that are outliers under every reference law; none for one axis."""
    out = np.zeros(len(points.y), dtype=bool)
    if points.x.shape[1] != 2:
        return out
    out |= _unlike_repeats(points)
    n_cells = groups(points).max() + 1
    for _ in range(int(SHARE * n_cells) if n_cells >= LEAST_CELLS else 0):
        kept = points.take(~out)
        averaged, single = average_repeats(kept), np.bincount(groups(kept)) == 1
        if not single.any():
            break
        gain = np.where(single, np.min([_gains(averaged, kept, law) for law in REFERENCE], axis=0), 0.0)
        worst = int(np.argmax(gain))
        if gain[worst] < LEAST_GAIN:
            break
        out[np.flatnonzero(~out)[groups(kept) == worst]] = True
    return out


def _unlike_repeats(points: Points) -> NDArray[np.bool_]:
    """Runs far from the median of the three or more that they are averaged with, beside a robust fit."""
    cell = groups(points)
    n = np.bincount(cell)[cell]
    if np.sum(n >= 3) < LEAST_CELLS:
        return np.zeros(len(n), dtype=bool)
    residual = np.log(points.y)
    if len(np.unique(points.x, axis=0)) > cell.max() + 1:
        means = thinned(points)
        theta = huber(means.problem(SEPARABLE), rounds=ROUNDS, steps=FEW_STEPS)[None]
        scale = means.loss_unit, np.log(points.x) - means.log_unit
        residual = residual - np.log(scale[0] * SEPARABLE.mean(theta, scale[1])[0].real)
    apart = np.zeros(len(n))
    for label in np.unique(cell[n >= 3]):
        rows = cell == label
        apart[rows] = np.abs(residual[rows] - np.median(residual[rows]))
    spread = float(np.quantile(apart[n >= 3], LARGE)) / LARGE_NORMAL
    return np.asarray(apart > REPEATED * max(spread, LEAST_NOISE))


def _gains(averaged: AveragedPoints, points: Points, law: ScalingLaw) -> Array:
    """Log evidence [m] that a shift of each averaged point brings under one law."""
    means = Points(x=np.exp(averaged.log_x + points.log_unit), y=np.exp(averaged.log_y) * points.loss_unit)
    problem = means.problem(law)
    theta = huber(problem, rounds=ROUNDS, steps=FEW_STEPS)[None]
    residual, slopes = problem.residuals(theta)[0].real, problem.jacobian(theta)[0]
    low, high = problem.bounds()
    slopes = slopes[:, (theta[0] > low) & (theta[0] < high)]
    dof = averaged.dof + len(residual) - slopes.shape[1]
    without, shifted = [], []
    for part in condition(averaged, discrepancies(averaged)):
        basis, triangle = np.linalg.qr(part.whiten @ slopes)
        white = part.whiten @ residual
        white -= basis @ (basis.T @ white)
        units = part.whiten - basis @ (basis.T @ part.whiten)
        squares = float(white @ white) + averaged.prior_squares
        gained = (units.T @ white) ** 2 / np.maximum(np.sum(units**2, axis=0), 1e-12)
        base = part.discrepancy.log_prior - part.log_det
        base -= float(np.log(np.abs(np.diag(triangle)) + 1e-300).sum())
        without.append(base - 0.5 * dof * np.log(squares))
        shifted.append(base - 0.5 * dof * np.log(np.maximum(squares - gained, averaged.prior_squares)))
    return log_sum(np.array(shifted), axis=0) - log_sum(np.array(without), axis=0)
