"""Modes and curvatures of the posterior of a law without a smooth discrepancy, by damped Gauss-Newton steps.

With z standard normal a priori, Q(z) the whitened sum of squares and n the degrees of freedom, minus the log
density is up to a constant

    n/2 ln(Q + prior squares) + |z|^2 / 2,    of Gauss-Newton curvature n J'J / (Q + prior squares) + 1.

Sources: Levenberg 1944 and Marquardt 1963 (damping); Tierney and Kadane 1986 (J. Amer. Statist. Assoc. 81,
82), the Laplace approximation of the evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mlproject.scaling.averaging.averaged_points import AveragedPoints
from mlproject.scaling.averaging.discrepancy import Conditioned
from mlproject.scaling.averaging.importance_sampling import FURTHEST, Proposal, around
from mlproject.scaling.laws.law import Array

ROUNDS = 25  # of damped Gauss-Newton steps
STEP = 1e-5  # of central differences along z
CONVERGED = 1e-3  # change of the log posterior in a round
STUCK = 1e4  # damping from which on a search ends
NEGLIGIBLE = 12.0  # log evidence by which a mode may fall short of the best; others are left out


@dataclass(frozen=True, kw_only=True)
class Whitened:
    """Points whitened under k discrepancies: ``whiten`` [k, m, m], ones of length 1 ``unit`` [k, m, 1]."""

    log_shape: Callable[[Array], Array]
    points: AveragedPoints
    whiten: Array
    unit: Array
    level: float | None

    @property
    def dof(self) -> float:
        """Degrees of freedom of the noise."""
        return self.points.dof + len(self.points.log_y) - (1.0 if self.level is None else 0.0)

    def residuals(self, z: Array) -> Array:
        """Whitened residuals [k, ..., m] at z [k, ..., d]."""
        m, d = len(self.points.log_y), z.shape[-1]
        shape = self.log_shape(z.reshape(-1, d)).reshape(len(z), -1, m)
        white = (self.points.log_y - shape - (self.level or 0.0)) @ self.whiten.swapaxes(1, 2)
        if self.level is None:
            white = white - (white @ self.unit) * self.unit.swapaxes(1, 2)
        return np.asarray(white.reshape(*z.shape[:-1], m))

    def height(self, z: Array, residual: Array) -> Array:
        """Minus the log density [k, ...] up to a constant."""
        squares = np.sum(residual**2, axis=-1) + self.points.prior_squares
        return np.asarray(0.5 * self.dof * np.log(squares) + 0.5 * np.sum(z**2, axis=-1))

    def curvature(self, z: Array, residual: Array) -> tuple[Array, Array]:
        """Gauss-Newton curvature [k, s, d, d] and gradient [k, s, d].

        A coordinate on which the losses do not depend has no gradient, so that it keeps its value.
        """
        d = z.shape[-1]
        steps = STEP * np.concatenate([np.eye(d), -np.eye(d)])
        ends = self.residuals(z[:, :, None] + steps)
        slopes = (ends[:, :, :d] - ends[:, :, d:]) / (2.0 * STEP)
        scale = self.dof / (np.sum(residual**2, axis=-1) + self.points.prior_squares)
        gradient = scale[..., None] * (slopes @ residual[..., None])[..., 0] + z * slopes.any(axis=-1)
        return scale[..., None, None] * slopes @ slopes.swapaxes(-1, -2) + np.eye(d), gradient


def find_modes(
    log_shape: Callable[[Array], Array],
    points: AveragedPoints,
    given: Sequence[Conditioned],
    level: float | None,
    begin: Array,
) -> list[Proposal]:
    """The highest mode under each discrepancy ``given`` [k], from ``begin`` [k, s, d], as proposals.

    ``log_shape(z)`` is ln L [s, m] up to the level. Modes of little evidence are left out.
    """
    whitened = Whitened(
        log_shape=log_shape,
        points=points,
        whiten=np.stack([part.whiten for part in given]),
        unit=np.stack([part.ones / np.sqrt(part.weight) for part in given])[..., None],
        level=level,
    )
    z, cost = _descend(whitened, begin)
    best = np.argmin(cost, axis=1)
    rows = np.arange(len(best))
    modes = z[rows, best]
    curved, _ = whitened.curvature(modes[:, None], whitened.residuals(modes[:, None]))
    evidence = np.array([part.discrepancy.log_prior - part.log_det for part in given]) - cost[rows, best]
    evidence -= 0.5 * np.linalg.slogdet(curved[:, 0])[1]
    keep = np.flatnonzero(evidence > evidence.max() - NEGLIGIBLE)
    return [around(modes[i], np.linalg.inv(curved[i, 0])) for i in keep]


def _descend(whitened: Whitened, z: Array) -> tuple[Array, Array]:
    """Local minima z [k, s, d] of the height, and the heights [k, s]."""
    residual, damping = whitened.residuals(z), np.full(z.shape[:2], 1e-2)
    cost, done = whitened.height(z, residual), np.zeros(z.shape[:2], dtype=bool)
    better = ~done
    for _ in range(ROUNDS):
        if better.any():
            curved, gradient = whitened.curvature(z, residual)
        damped = curved * (1.0 + damping[..., None, None] * np.eye(z.shape[-1]))
        trial = np.clip(z - np.linalg.solve(damped, gradient[..., None])[..., 0], -FURTHEST, FURTHEST)
        moved = whitened.residuals(trial)
        height = whitened.height(trial, moved)
        better = height < cost
        done = (better & (cost - height < CONVERGED)) | (~better & (done | (damping > STUCK)))
        z, residual = np.where(better[..., None], trial, z), np.where(better[..., None], moved, residual)
        cost, damping = np.where(better, height, cost), np.where(better, damping / 8.0, damping * 8.0)
        if done.all():
            break
    return z, cost
