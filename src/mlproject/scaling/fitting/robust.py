"""The second fit: Huber's loss on the same residuals, to see whether a few points carry the answer.

Sources: Huber 1964 (Ann. Math. Statist. 35, 73); solved by iteratively reweighted least squares (Holland and
Welsch 1977), whose fixed point is the minimum of the summed Huber loss. Hoffmann et al. 2022 and Besiroglu et
al. 2024 use delta = 0.001 on ln L; otherwise delta is 1.345 robust standard deviations of the residuals.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mlproject.scaling.fitting.least_squares import LeastSquares, polish, solve
from mlproject.scaling.fitting.points import Points, read_points
from mlproject.scaling.laws.law import Array, ScalingLaw
from mlproject.scaling.laws.table import find_law

EFFICIENT = 1.345  # 95 % efficient for Gaussian residuals
ROUNDS = 500


def robust_parameters(
    x: ArrayLike, y: ArrayLike, *, law: str = "power_floor", delta: float | None = None
) -> dict[str, float]:
    """Parameters that minimise the summed Huber loss of ln y - ln L, in the units of the data."""
    form = find_law(law)
    points = read_points(x, y, sd=None, draws=None, ceiling=None)
    theta = huber(points.problem(form), delta=delta)
    return physical_values(points, form, theta)


def physical_values(points: Points, law: ScalingLaw, theta: Array) -> dict[str, float]:
    """Scaled parameters [p] in the units of the data, by name."""
    values = law.physical(theta[None], points.log_unit, points.loss_unit)
    return {name: float(value[0]) for name, value in values.items()}


def huber(
    problem: LeastSquares, *, delta: float | None = None, start: Array | None = None, rounds: int = ROUNDS
) -> Array:
    """The scaled parameters [p] of least summed Huber loss for one data set."""
    theta = solve(problem)[0] if start is None else start
    for _ in range(rounds):
        residual = problem.residuals(theta[None])[0]
        pull = np.sqrt(huber_weights(residual, delta))
        weighted = problem.of(problem.y, problem.weights * pull)
        new = polish(weighted, theta[None], rounds=30)[0]
        moved = np.max(np.abs(new - theta) / (np.abs(theta) + 1e-9))
        theta = new
        if moved < 1e-9:
            break
    return theta


def huber_weights(residual: Array, delta: float | None = None) -> Array:
    """1 within delta, delta / |residual| beyond; delta is 1.345 robust deviations unless given."""
    limit = EFFICIENT * _spread(residual) if delta is None else delta
    return np.asarray(np.minimum(1.0, limit / np.maximum(np.abs(residual), 1e-300)))


def huber_loss(residual: Array, delta: float) -> float:
    """Sum of Huber losses, quadratic within delta."""
    size = np.abs(residual)
    return float(np.sum(np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))))


def _spread(residual: Array) -> float:
    """Normalised median absolute residual; never zero."""
    return max(float(np.median(np.abs(residual))) / 0.6745, 1e-12)
