"""From points to cells: repeated scales averaged, dense curves thinned, what is known of the noise kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling.averaging.discrepancy import NOISE_DOF, Cells
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.fitting.robust import huber, huber_weights
from mlproject.scaling.laws.law import Array
from mlproject.scaling.laws.two_axes import PRODUCT, SEPARABLE

Index = NDArray[np.intp]
WITNESSES = {2: (SEPARABLE, PRODUCT)}
WITNESS_ROUNDS = 6  # of reweighting; weights need no digits
ENOUGH_TO_JUDGE = 20  # runs, before one of them can be called an outlier
MOST = 20  # cells along one axis: a denser curve is averaged within equal steps of ln x
KNOWN_DOF = 10.0  # how many residuals noise that the caller gives is worth
ENOUGH_REPEATS = 5  # spare runs at repeated scales that make the noise known
LEAST_NOISE = 1e-4  # relative, however well repeats agree
GUESS = 0.005  # relative noise where nothing is known
GUESS_JOINT = 0.01  # and of several axes, where every cell is another training


def make_cells(points: Points) -> Cells:
    """Cells of the points, in the scaled units of the points."""
    if points.sd is None:
        points = without_copies(points)
    log_x, log_y = points.scaled(points.x), np.log(points.y / points.loss_unit)
    owner = _owners(log_x)
    n = np.bincount(owner).astype(float)
    mean = np.stack([np.bincount(owner, axis) / n for axis in log_x.T], axis=1)
    level = np.bincount(owner, log_y) / n
    if points.sd is not None:
        return _known(points, owner, mean, level)
    same = _same_scale(log_x)
    inside = log_y - (np.bincount(same, log_y) / np.bincount(same))[same]
    repeats = float(len(log_y) - same.max() - 1)
    spare = float(np.sum(inside**2)) if repeats else 0.0
    guess = GUESS if log_x.shape[1] == 1 else GUESS_JOINT
    guess = guess if repeats < 3 else float(np.sqrt(spare / repeats))
    trusted = trust(points) if len(level) == len(log_y) else np.ones(len(log_y))
    return Cells(
        log_x=mean,
        log_y=level,
        noise=np.diag(1.0 / np.bincount(owner, trusted)),
        spare=NOISE_DOF * max(guess, LEAST_NOISE) ** 2 + spare,
        dof=NOISE_DOF + repeats,
        noise_known=repeats >= ENOUGH_REPEATS,
    )


def without_copies(points: Points) -> Points:
    """The points without rows that repeat another in scale and loss: a copy tells nothing of the noise."""
    _, first = np.unique(np.column_stack([points.x, points.y]), axis=0, return_index=True)
    return points.take(np.isin(np.arange(len(points.y)), first))


def trust(points: Points) -> Array:
    """Huber's weights of single runs on several axes: below 1 for a run that every reference law finds wild.

    A run far from one law may tell against the law; far from all of them it is an outlier and counts less.
    """
    laws = WITNESSES.get(points.x.shape[1], ())
    if len(points.y) < ENOUGH_TO_JUDGE or not laws:
        return np.ones(len(points.y))
    weights = []
    for law in laws:
        problem = points.problem(law)
        residual = problem.residuals(huber(problem, rounds=WITNESS_ROUNDS)[None])[0]
        weights.append(huber_weights(residual))
    return np.asarray(np.max(weights, axis=0))


def _known(points: Points, owner: Index, mean: Array, level: Array) -> Cells:
    """Noise as the caller gave it; replicates also tell how cells share images."""
    relative = np.asarray(points.sd) / points.y
    share = (owner[:, None] == np.arange(len(level))).astype(float)
    share /= share.sum(axis=0)
    covariance = np.diag(relative**2)
    if points.draws is not None and len(points.draws) >= 5 * len(relative):
        seen = np.cov(np.log(points.draws), rowvar=False)
        covariance = 0.9 * np.atleast_2d(seen) + 0.1 * covariance
    noise = share.T @ covariance @ share
    typical = float(np.mean(np.diag(noise)))
    noise = noise / typical + 1e-6 * np.eye(len(level))
    return Cells(
        log_x=mean, log_y=level, noise=noise, spare=KNOWN_DOF * typical, dof=KNOWN_DOF, noise_known=True
    )


def _same_scale(log_x: Array) -> Index:
    _, owner = np.unique(np.round(log_x, 9), axis=0, return_inverse=True)
    return np.asarray(owner).reshape(-1)


def _owners(log_x: Array) -> Index:
    """Which cell every row belongs to, cells ordered along the axis."""
    same = _same_scale(log_x)
    if log_x.shape[1] > 1 or same.max() < MOST:
        return same
    edges = np.linspace(log_x.min(), log_x.max() + 1e-9, MOST + 1)
    bins = np.clip(np.searchsorted(edges, log_x[:, 0], side="right") - 1, 0, MOST - 1)
    return np.asarray(np.unique(bins, return_inverse=True)[1]).reshape(-1)
