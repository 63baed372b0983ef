"""Noise that the rows of one run or model share: a random effect in the residuals of a law.

    w (ln y - ln L) = Z b + e,    var e = sigma^2,    var b = ratio sigma^2

with w the weights and Z [m, g] the membership of rows in runs, times w. Taken as independent, rows that share
an offset claim more of it than is known: the exponent of an axis that varies only between runs then has the
degrees of freedom of rows and not of runs.

- ``Components.chance``: Wald's test of the runs as columns beside the law's own, exact in a linear model
  whatever the design (Seely and El-Bassiouni 1983, Ann. Statist. 11, 197).
- ``Components.ratio``: by restricted maximum likelihood (Patterson and Thompson 1971, Biometrika 58, 545) of
  the law linearised at its fit. It may be slightly negative, since a variance that is cut at zero makes the
  intervals of many data sets too narrow (Nelder 1954, Biometrika 41, 544).
- ``Components.dof``: degrees of freedom of any quantity (Satterthwaite 1946, Biometrics Bull. 2, 110; of two
  components of variance Giesbrecht and Burns 1985, Biometrics 41, 477).

The models of a grid are such runs too. Without a column of runs they are tested, and have no effect where the
test does not contradict that, at the level that Bancroft 1964 (Biometrics 20, 427) advises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from mlproject.scaling.fitting.intervals import REJECTED, Estimate, Noise, t_quantile
from mlproject.scaling.fitting.least_squares import TINY, LeastSquares, refine
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.fitting.profile_likelihood import gradients_of
from mlproject.scaling.laws.law import Array, ScalingLaw

POOLED = 0.25  # chance of the residuals from which on models of a grid have no effect
SHOWN = 0.01  # chance below which a column of runs is asked for
LEAST_RATIO, LARGEST_RATIO = 0.05, 1e8  # of the variance of a run's mean to that of independent rows
ZOOMS, PLACES = 5, 15  # of the search for the ratio
ROUNDING = 1e-9  # relative residuals below which nothing is estimated
ROUNDS = 3  # of fits and ratios in turn
SAME = 1e-9  # relative size of a singular value that is rounding
DIGITS = 9  # of the logarithm of a scale, to which rows of one model agree


def membership(points: Points) -> Array | None:
    """Membership [m, g] of rows in runs, or in models of a grid; None where no two rows belong together."""
    if points.runs is not None:
        labels = points.runs
    elif points.x.shape[1] > 1:
        labels = np.unique(np.round(np.log(points.x[:, 0]), DIGITS), return_inverse=True)[1].reshape(-1)
    else:
        return None
    n = np.bincount(labels)
    return np.eye(len(n))[labels] if len(n) > 1 and n.max() > 1 else None


@dataclass(frozen=True, kw_only=True)
class Components:
    """Variance of rows and of runs around a (linearised) model, by restricted maximum likelihood.

    ``variance`` is that of a whitened row, ``known`` where it is that of known noise. ``inverse`` [p, m] is
    the pseudo-inverse of the whitened derivatives ``slopes`` [m, p], ``units`` [m, g] are the whitened
    ``runs`` [m, g]. ``chance`` is the probability of runs as different if they shared nothing.
    """

    ratio: float
    variance: float
    known: bool
    chance: float
    inverse: Array
    units: Array
    slopes: Array
    runs: Array

    def whitened(self, problem: LeastSquares) -> LeastSquares:
        """A problem of the same points with these runs."""
        return replace(problem, runs=self.runs, ratio=self.ratio)

    @property
    def correlation(self) -> float:
        """The correlation of two rows of a run (intra-class), at least 0."""
        return max(self.ratio, 0.0) / (1.0 + max(self.ratio, 0.0))

    def estimates(self, target: Array, weights: Array) -> tuple[Estimate, ...]:
        """The coefficients [p] of a linear model of a weighted target [m], with 95 % intervals."""
        values = self.inverse @ _whiten(target[:, None], self.runs * weights[:, None], self.ratio)[:, 0]
        errors = np.linalg.norm(self.inverse, axis=1) * np.sqrt(self.variance)
        halves = self.factors(np.eye(len(values))) * errors
        return tuple(
            Estimate(value=float(value), low=float(value - half), high=float(value + half))
            for value, half in zip(values, halves, strict=True)
        )

    def factors(self, gradients: Array) -> Array:
        """Factors [k] of 95 % intervals of quantities with gradients [k, p]: Student's t of their ``dof``."""
        return np.array([t_quantile(max(float(dof), 1.0)) for dof in self.dof(gradients)])

    def dof(self, gradients: Array) -> Array:
        """Degrees of freedom [k] of quantities with gradients [k, p] by Satterthwaite's formula."""
        moves = gradients @ self.inverse
        squares, runs = np.sum(moves**2, axis=1), np.sum((moves @ self.units) ** 2, axis=1)
        rows = squares - self.ratio * runs
        left = self.units - self.slopes @ (self.inverse @ self.units)
        inner = self.units.T @ left
        each = len(self.units) - np.linalg.matrix_rank(self.slopes)
        both, of_runs = float(np.trace(inner)), float(np.sum(inner**2))
        cross = both - self.ratio * of_runs
        information = 0.5 * np.array([[each - self.ratio * (both + cross), cross], [cross, of_runs]])
        if self.known:
            spread = runs**2 / max(information[1, 1], TINY)
        else:
            slopes = np.stack([rows, runs])
            spread = np.sum(slopes * (np.linalg.pinv(information) @ slopes), axis=0)
        with np.errstate(divide="ignore"):
            return np.asarray(np.where(squares > 0.0, 2.0 * squares**2 / np.maximum(spread, TINY), np.inf))


def components(
    slopes: Array, residual: Array, runs: Array, weights: Array, *, known: bool, most: float = 1.0
) -> Components | None:
    """Components of variance from weighted residuals [m], derivatives [m, p], and runs [m, g].

    ``known`` says that rows have variance 1, which is kept unless their residuals within runs reject it. None
    where the parameters leave no degree of freedom to rows or to runs, residuals are those of rounding, or
    runs as different have a chance above ``most``.
    """
    units = runs * weights[:, None]
    within = _outside(np.concatenate([slopes, units], axis=1), residual)
    without = _outside(slopes, residual)
    of_rows, of_runs = within[1], without[1] - within[1]
    if of_rows < 1 or of_runs < 1:
        return None
    least = ROUNDING**2 * float(np.sum(weights**2))
    if without[0] <= least:
        return None
    by_run, by_row = (without[0] - within[0]) / of_runs, max(within[0], least) / of_rows
    chance = float(special.fdtrc(of_runs, of_rows, max(by_run / by_row, 0.0)))
    if chance > most:
        return None
    known = known and bool(special.chdtrc(of_rows, within[0]) >= REJECTED)
    ratio = _ratio(slopes, residual, units, known, least)
    white = [_whiten(values, units, ratio) for values in (slopes, residual[:, None], units)]
    cost, dof = _outside(white[0], white[1][:, 0])
    size = np.maximum(np.linalg.norm(white[0], axis=0), 1e-12)
    inverse = np.linalg.pinv(white[0] / size, rcond=SAME) / size[:, None]
    return Components(
        ratio=ratio,
        variance=1.0 if known else cost / dof,
        known=known,
        chance=chance,
        inverse=inverse,
        units=white[2],
        slopes=white[0],
        runs=runs,
    )


def share_noise(
    problem: LeastSquares, theta: Array, points: Points
) -> tuple[LeastSquares, Array, Components | None]:
    """The problem and its optimum [p] with an effect of each run, or as they are where rows share none."""
    runs = membership(points)
    if runs is None:
        return problem, theta, None
    known = points.noise_known and points.noise_dof > 0.0
    low, high = problem.bounds()
    shared, most = None, POOLED if points.runs is None else 1.0
    for _ in range(ROUNDS):
        alone = replace(problem, runs=None)
        slopes = alone.jacobian(theta[None])[0] * (low < high)
        residual = alone.residuals(theta[None])[0].real
        parts = components(slopes, residual, runs, alone.weights[0], known=known, most=most)
        if parts is None:
            break
        shared, problem, most = parts, parts.whitened(problem), 1.0
        theta = refine(problem, theta[None])[0]
    return problem, theta, shared


def noise_with_runs(noise: Noise, shared: Components, points: Points, law: ScalingLaw, theta: Array) -> Noise:
    """The noise of whitened residuals, with the factor of every parameter.

    Replicates do not know what rows of a run share, so they are then one of two sources of the intervals.
    """
    values = law.physical(theta[None], points.log_unit, points.loss_unit)

    def scaled(moved: Array) -> Array:
        rows = law.physical(moved, points.log_unit, points.loss_unit)
        return np.stack([row / (abs(float(values[name][0])) or 1.0) for name, row in rows.items()], axis=1)

    with np.errstate(all="ignore"):  # amplitudes of steep laws overflow for a flat loss
        gradients = np.nan_to_num(gradients_of(scaled, theta))
    factors = dict(zip(values, map(float, shared.factors(gradients)), strict=True))
    dof = float(shared.dof(np.eye(len(theta))).min())
    return replace(
        noise,
        variance=noise.variance if noise.partial else shared.variance,
        factor=max(t_quantile(max(dof, 1.0)), *factors.values()),
        dof=dof,
        rejected=noise.rejected and not shared.known,
        partial=points.draws is not None,
        factors=factors,
    )


def _outside(columns: Array, residual: Array) -> tuple[float, int]:
    """The sum of squares of residuals [m] outside the span of columns [m, k], and its degrees of freedom."""
    size = np.maximum(np.linalg.norm(columns, axis=0), TINY)
    basis, singular, _ = np.linalg.svd(columns / size, full_matrices=False)
    basis = basis[:, singular > SAME * max(singular.max(), TINY)]
    rest = residual - basis @ (basis.T @ residual)
    return float(rest @ rest), len(residual) - basis.shape[1]


def _whiten(values: Array, units: Array, ratio: float) -> Array:
    """Values [m, k] without the correlation of rows that share ``ratio`` times the variance of a row."""
    size = np.maximum(np.sum(units**2, axis=0), TINY)
    share = (1.0 - 1.0 / np.sqrt(1.0 + ratio * size)) / size
    return np.asarray(values - units @ (share[:, None] * (units.T @ values)))


def _ratio(slopes: Array, residual: Array, units: Array, known: bool, least: float) -> float:
    """The ratio of the largest restricted likelihood; ``least`` is the sum of squares of rounding."""
    size = np.sum(units**2, axis=0)
    typical = float(size.max())

    def height(log_share: float) -> float:
        ratio = (np.exp(log_share) - 1.0) / typical
        white = _whiten(slopes, units, ratio)
        cost, dof = _outside(white, _whiten(residual[:, None], units, ratio)[:, 0])
        scale = np.maximum(np.linalg.norm(slopes, axis=0), TINY)
        singular = np.linalg.svd(white / scale, compute_uv=False)
        spread = 2.0 * np.log(singular[singular > SAME * singular.max()]).sum()
        spread += np.log1p(ratio * size).sum()
        return float(spread + (cost if known else dof * np.log(max(cost, least))))

    low, high = np.log(LEAST_RATIO), np.log(LARGEST_RATIO)
    return float(np.exp(_lowest(height, low, high)) - 1.0) / typical


def _lowest(height: Callable[[float], float], low: float, high: float) -> float:
    """Where a function is lowest between two ends, by a search on finer and finer grids."""
    best = low
    for _ in range(ZOOMS):
        places = np.linspace(low, high, PLACES)
        best = float(places[int(np.argmin([height(float(place)) for place in places]))])
        step = places[1] - places[0]
        low, high = max(low, best - step), min(high, best + step)
    return best
