"""How far a predicted loss can move while the data still hold it: the profile likelihood of the prediction.

Source: Bjornstad 1990 (Statist. Sci. 5, 242), predictive profile likelihood; Kreutz et al. 2012 (BMC Syst.
Biol. 6, 120), the prediction as an observation that pulls the fit. The range of a prediction over the
profiles of single parameters falls short of this: to first order by the largest correlation between the
prediction and any one parameter.

Each prediction is pulled up and down by an added observation. Wherever the pulled fit settles, it has the
least cost of all that predict as much; so how strong the pull is does not matter.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling.averaging.interpolation import between_knots
from mlproject.scaling.fitting.intervals import derived_errors
from mlproject.scaling.fitting.least_squares import STEP, TINY, LeastSquares, polish
from mlproject.scaling.laws.law import Array, Values

PULL = 30.0  # of the added observation, in standard errors of the prediction: it gets within a part in 900
SEARCHES = 5  # for the pull that ends at the limit
ROUNDS = 12  # of polishing in each, from where the last ended
NEAR = 0.02  # a cost this near to the limit is there
AT_ONCE = 64  # predictions, to bound memory


def furthest(problem: LeastSquares, theta: Array, limit: float, at: Array) -> tuple[Array, Array]:
    """Lowest and highest ln L [n] at log scales at [n, axes] that cost at most ``limit`` above the optimum.

    ``theta`` [p] is the optimum of the one data set of ``problem``.
    """
    middle = _told(problem, theta[None], at)[0].real
    low, high = between_knots(lambda some: _moves(problem, theta, limit, some), at)
    return middle + low, middle + high


def _moves(problem: LeastSquares, theta: Array, limit: float, at: Array) -> Array:
    """How far each prediction can move down (at most zero) and up [2, n]."""
    parts = [
        _some(problem, theta, limit, at[first : first + AT_ONCE]) for first in range(0, len(at), AT_ONCE)
    ]
    return np.concatenate(parts, axis=1)


def _some(problem: LeastSquares, theta: Array, limit: float, at: Array) -> Array:
    """The same for a few predictions at once."""
    n = len(at)
    middle = _told(problem, theta[None], at)[0].real
    errors = derived_errors(problem, theta, _slopes(problem, theta, at))
    own, side = np.tile(np.arange(n), 2), np.repeat([-1.0, 1.0], n)
    strength = PULL / np.maximum(errors[own], 1e-12)
    move = np.sqrt(limit) * np.maximum(errors[own], 1e-12)
    free, best = float(problem.cost(theta[None])[0]), np.zeros(2 * n)
    found = np.repeat(theta[None], 2 * n, axis=0)
    for _ in range(SEARCHES):
        pulled = _pulled(problem, at, own, middle[own] + side * move, strength)
        found = polish(pulled, found, rounds=ROUNDS)
        excess = problem.repeat(2 * n).cost(found) - free
        reached = side * (_told(problem, found, at)[np.arange(2 * n), own].real - middle[own])
        held = excess <= (1.0 + NEAR) * limit
        best = np.maximum(best, np.where(held, reached, 0.0))
        if np.all(np.abs(excess - limit) <= NEAR * limit):
            break
        move = move * np.clip(np.sqrt(limit / np.maximum(excess, TINY)), 0.3, 3.0)
    return np.asarray((side * best).reshape(2, n))


def _told(problem: LeastSquares, theta: Values, at: Array) -> Values:
    """ln L [b, n]."""
    mean = problem.law.mean(theta, at)
    return np.asarray(np.log(np.where(mean.real > TINY, mean, TINY)))


def _slopes(problem: LeastSquares, theta: Array, at: Array) -> Array:
    """Derivatives of every prediction [n, p] by complex steps."""
    moved = theta + 1j * STEP * np.eye(len(theta))
    return np.asarray(_told(problem, moved, at).imag.T / STEP)


def _pulled(
    problem: LeastSquares, at: Array, own: NDArray[np.intp], target: Array, strength: Array
) -> LeastSquares:
    """The data set once for each pull [b], with the prediction that is pulled as one more observation."""
    n_pulls, n = len(own), len(at)
    extra, weights = np.ones((n_pulls, n)), np.zeros((n_pulls, n))
    rows, losses = np.arange(n_pulls), np.exp(np.clip(target, -300.0, 300.0))
    extra[rows, own] = losses
    weights[rows, own] = strength / losses if problem.linear else strength
    many = problem.repeat(n_pulls)
    return replace(
        many,
        log_x=np.concatenate([problem.log_x, at]),
        y=np.concatenate([many.y, extra], axis=1),
        weights=np.concatenate([many.weights, weights], axis=1),
    )
