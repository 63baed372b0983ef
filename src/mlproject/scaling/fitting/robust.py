"""Fits under Huber's loss, in which single points count less.

Sources: Huber 1964 (Ann. Math. Statist. 35, 73); Holland and Welsch 1977 (Commun. Statist. A 6, 813),
iteratively reweighted least squares.
"""

from __future__ import annotations

import numpy as np

from mlproject.scaling.fitting.grid_search import solve
from mlproject.scaling.fitting.least_squares import LeastSquares, refine
from mlproject.scaling.laws.law import Array

EFFICIENT = 1.345  # limit of Huber's loss in robust deviations: 95 % efficiency for Gaussian residuals
HUBER_ROUNDS = 500  # of reweighting, at most
STEPS = 30  # of refinement for each reweighting, at most
FEW_STEPS = 3  # the same where the fit need not be precise
REFIT_ROUNDS = 30  # of reweighting from an optimum
REFIT_CHANGE = 1e-5  # relative change at which it ends: a fraction of a standard error is enough


def huber(
    problem: LeastSquares, *, delta: float | None = None, rounds: int = HUBER_ROUNDS, steps: int = STEPS
) -> Array:
    """The scaled parameters [p] that minimise the summed Huber loss of one data set.

    Hoffmann et al. 2022 and Besiroglu et al. 2024 use ``delta`` = 0.001 on ln L; the default is
    ``EFFICIENT`` robust standard deviations of the residuals.
    """
    theta = solve(problem)[0]
    for _ in range(rounds):
        residual = problem.residuals(theta[None])[0]
        weighted = problem.of(problem.y, problem.weights * np.sqrt(huber_weights(residual, delta)))
        new = refine(weighted, theta[None], rounds=steps)[0]
        moved = np.max(np.abs(new - theta) / (np.abs(theta) + 1e-9))
        theta = new
        if moved < 1e-9:
            break
    return np.asarray(theta)


def huber_weights(residual: Array, delta: float | None = None) -> Array:
    """1 within delta, delta / |residual| beyond."""
    spread = max(float(np.median(np.abs(residual))) / 0.6745, 1e-12)
    limit = EFFICIENT * spread if delta is None else delta
    return np.asarray(np.minimum(1.0, limit / np.maximum(np.abs(residual), 1e-300)))


def refit_robustly(problem: LeastSquares, theta: Array) -> Array:
    """Huber's fit from the optimum, with two steps for each reweighting: not to full precision."""
    for _ in range(REFIT_ROUNDS):
        robust = np.sqrt(huber_weights(problem.residuals(theta[None])[0].real))
        new = refine(problem.of(problem.y, problem.weights * robust), theta[None], rounds=2)[0]
        moved = np.max(np.abs(new - theta) / (np.abs(theta) + 1e-6))
        theta = new
        if moved < REFIT_CHANGE:
            break
    return theta
