"""Runs that lie off every reference law fitted to the others: found, named, and left out of the fits.

Sources: Cook and Weisberg 1982 (Residuals and Influence in Regression, section 2.2), externally studentised
residuals with Bonferroni's limit; Hampel 1974 (J. Am. Statist. Assoc. 69, 383), the median absolute
deviation, so that several outliers do not hide each other.

A run far from one law may be evidence against that law, so it is an outlier only under all of them, and only
where the other runs at its scale do not agree with it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlproject.scaling.fitting.grid_search import search
from mlproject.scaling.fitting.least_squares import LeastSquares, one_thread, refine
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.laws.bounded import BOUNDED
from mlproject.scaling.laws.broken import BNSL1
from mlproject.scaling.laws.law import Array, ScalingLaw
from mlproject.scaling.laws.one_axis import POWER, POWER_FLOOR, SHIFTED

RICHEST = BNSL1
REFERENCE_LAWS: tuple[ScalingLaw, ...] = (POWER, POWER_FLOOR, SHIFTED, BOUNDED, RICHEST)
CHANCE = 1e-3  # of naming any run of clean data, under normal noise
SUITED = 2.0  # times the least noise around a law up to which a law fits well enough to judge
SUSPECT = 2.5  # studentised residuals from a power law from which on a run is judged by the other laws
LEAST_DOF = 3  # residuals beyond the parameters of a law from which on it can judge a run
MOST_SHARE = 0.1  # of the runs: more are no outliers but another regime
LEAST_SD = 1e-4  # relative noise below which no run is judged
SEARCHED = 100  # runs up to which each fit without one of them is searched from the start
ROUNDS = 30  # of refinement of these fits
ENOUGH = 20  # residuals from which on their median gives the noise, so that a second outlier does not count
MEDIAN_EFFICIENCY = 0.4  # of the median absolute deviation, relative to the standard deviation
AGREEMENT = 5.0  # times the usual distance to the nearest other run at the same scale


@one_thread
def outliers(points: Points) -> NDArray[np.bool_]:
    """Which rows of a curve are outliers [m]; none with too few points to tell."""
    m = len(points.y)
    off = np.zeros(m, dtype=bool)
    for _ in range(max(1, int(MOST_SHARE * m))):
        kept = np.flatnonzero(~off)
        distance = _distances(points.take(~off))
        if distance is None:
            break
        worst = int(np.argmax(distance))
        if distance[worst] <= 1.0:
            break
        off = off | (np.arange(m) == kept[worst])
    return off


def _distances(points: Points) -> Array | None:
    """Distance of every run from the laws fitted to the others, in units of the limit [m]; 1 is the limit.

    The least over the laws that fit the others well and over the other runs at its scale; None where no run
    can be judged. The richest law holds most others, so it fits well where any does: what it explains is not
    compared with the others.
    """
    m, least = len(points.y), LEAST_SD if points.sd is None else 1.0
    laws = [law for law in REFERENCE_LAWS if m - 1 - len(law.names) >= LEAST_DOF]
    if not laws:
        return None
    distance = _from_repeats(points)
    rows = np.flatnonzero(distance > 1.0)
    if len(rows):
        line = _from_law(points.problem(POWER), rows, least)[0]
        rows = rows[line * _limit(m, len(POWER.names)) > SUSPECT]
    if not len(rows):
        return None
    judged = np.zeros(m)
    if RICHEST in laws:
        judged[rows] = _from_law(points.problem(RICHEST), rows, least)[0]
        rows = rows[judged[rows] > 1.0]
    if len(rows):
        apart, spread = np.stack([_from_law(points.problem(law), rows, least) for law in laws], axis=1)
        apart[spread > SUITED * spread.min(axis=0)] = np.inf
        judged[rows] = np.minimum(distance[rows], apart.min(axis=0))
    return judged


def _from_law(problem: LeastSquares, rows: NDArray[np.intp], least: float) -> Array:
    """Studentised residuals of rows under a law fitted without each, over their limit; its noise [2, b]."""
    m, p = len(problem.log_x), len(problem.law.names)
    others = problem.repeat(len(rows))
    others = others.of(others.y, others.weights * (rows[:, None] != np.arange(m)))
    shapes = problem.law.grid()
    whole = refine(problem, search(problem, shapes), rounds=ROUNDS)
    theta = refine(others, np.repeat(whole, len(rows), axis=0), rounds=ROUNDS)
    searched = refine(others, search(others, shapes), rounds=ROUNDS) if m <= SEARCHED else theta
    theta = np.where((others.cost(searched) < others.cost(theta))[:, None], searched, theta)
    residual = others.residuals(theta).real
    slopes = others.jacobian(theta)
    inverse = np.linalg.pinv(np.einsum("bmp,bmq->bpq", slopes, slopes), rcond=1e-12, hermitian=True)
    every = problem.repeat(len(rows))
    here = np.arange(len(rows))
    left_out, at = every.residuals(theta).real[here, rows], every.jacobian(theta)[here, rows]
    spread = np.array([_spread(np.delete(r, i), p) for r, i in zip(residual, rows, strict=True)])
    spread = np.maximum(spread, least)
    leverage = np.einsum("bp,bpq,bq->b", at, inverse, at)
    return np.stack([np.abs(left_out) / (spread * np.sqrt(1.0 + leverage) * _limit(m, p)), spread])


def _from_repeats(points: Points) -> Array:
    """Distance of every run from the nearest other run at its scale, over the limit; infinite without one."""
    log_y = np.log(points.y)
    apart = np.abs(log_y[:, None] - log_y)
    same = (points.x[:, None] == points.x).all(axis=2) & ~np.eye(len(log_y), dtype=bool)
    nearest = np.where(same, apart, np.inf).min(axis=1)
    usual = float(np.median(nearest[np.isfinite(nearest)])) if np.isfinite(nearest).any() else 0.0
    return np.where(np.isfinite(nearest), nearest / max(AGREEMENT * usual, LEAST_SD), np.inf)


def _spread(residual: Array, p: int) -> float:
    """Standard deviation of residuals [n] around p parameters; by their median from 20 on."""
    n = len(residual)
    squares = float(np.sum(residual**2)) / (n - p)
    if n >= ENOUGH:
        squares = min(squares, float(np.median(np.abs(residual)) / 0.6745) ** 2 * n / (n - p))
    return float(np.sqrt(squares))


def _limit(m: int, p: int) -> float:
    """Limit of the largest of m studentised residuals of clean data (Bonferroni)."""
    dof = (m - 1 - p) * (1.0 if m - 1 < ENOUGH else MEDIAN_EFFICIENCY)
    return float(special.stdtrit(dof, 1.0 - CHANCE / (2.0 * m)))
