"""Modes and curvatures of the posterior of a law under single discrepancies, by damped Gauss-Newton steps.

With z standard normal a priori, Q(z) the whitened sum of squares and n the degrees of freedom, minus the log
density is up to a constant

    n/2 ln(Q + prior squares) + |z|^2 / 2,    of Gauss-Newton curvature n J'J / (Q + prior squares) + 1.

Sources: Levenberg 1944 and Marquardt 1963 (damping); Tierney and Kadane 1986 (J. Amer. Statist. Assoc. 81,
82), the Laplace approximation of the evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling.averaging.averaged_points import AveragedPoints
from mlproject.scaling.averaging.discrepancy import Conditioned
from mlproject.scaling.averaging.importance_sampling import FURTHEST, Proposal, around
from mlproject.scaling.laws.law import Array

ROUNDS, ROUNDS_JOINT = 12, 25  # of damped Gauss-Newton steps under laws of one axis, of several
CONVERGED = 1e-3  # change of the log posterior in a round
STUCK = 1e4  # damping from which on a search ends
NEGLIGIBLE = 12.0  # log evidence by which a mode may fall short of the best; others are left out

LogShapes = Callable[[Array, NDArray[np.intp]], tuple[Array, Array]]
"""ln L [n, m] up to the level at z [n, d] for the searches ``of`` [n], and its derivatives [n, d, m]."""


@dataclass(frozen=True, kw_only=True)
class Whitened:
    """Points whitened under k hypotheses, of one set of points or of several, with a discrepancy each.

    Shapes: ``log_y`` [k, 1, m], ``whiten`` [k, w, m], ones of length 1 ``unit`` [k, w, 1], ``dof`` and
    ``prior_squares`` [k, 1]. Sets of fewer points are filled up with rows of no weight. The searches of the
    hypotheses are ``of`` [k]. A free level is projected off.
    """

    log_shapes: LogShapes
    of: NDArray[np.intp]
    log_y: Array
    whiten: Array
    unit: Array
    dof: Array
    prior_squares: Array
    free_level: bool

    def take(self, rows: NDArray[np.bool_]) -> Whitened:
        """The hypotheses of a mask."""
        kept = ("of", "log_y", "whiten", "unit", "dof", "prior_squares")
        return replace(self, **{name: getattr(self, name)[rows] for name in kept})

    def residuals(self, z: Array) -> tuple[Array, Array]:
        """Whitened residuals [k, s, w] at z [k, s, d], and their derivatives [k, s, d, w]."""
        k, s, d = z.shape
        shape, slopes = self.log_shapes(z.reshape(-1, d), np.repeat(self.of, s))
        values = -np.concatenate([shape[:, None], slopes], axis=1).reshape(k, s, 1 + d, -1)
        values[:, :, 0] += self.log_y
        white = self._white(values)
        return white[:, :, 0], white[:, :, 1:]

    def _white(self, values: Array) -> Array:
        """Values [k, s, n, m] without their correlation, and without a free level, as [k, s, n, w]."""
        k, s, n, m = values.shape
        white = values.reshape(k, s * n, m) @ self.whiten.swapaxes(1, 2)
        if self.free_level:
            white = white - (white @ self.unit) * self.unit.swapaxes(1, 2)
        return np.asarray(white.reshape(k, s, n, -1))

    def height(self, z: Array, residual: Array) -> Array:
        """Minus the log density [k, s] up to a constant."""
        squares = np.sum(residual**2, axis=-1) + self.prior_squares
        return np.asarray(0.5 * self.dof * np.log(squares) + 0.5 * np.sum(z**2, axis=-1))

    def curvature(self, z: Array, residual: Array, slopes: Array) -> tuple[Array, Array]:
        """Gauss-Newton curvature [k, s, d, d] and gradient [k, s, d].

        A coordinate on which the losses do not depend has no gradient, so that it keeps its value.
        """
        scale = self.dof / (np.sum(residual**2, axis=-1) + self.prior_squares)
        gradient = scale[..., None] * (slopes @ residual[..., None])[..., 0] + z * slopes.any(axis=-1)
        return scale[..., None, None] * slopes @ slopes.swapaxes(-1, -2) + np.eye(z.shape[-1]), gradient


@dataclass(frozen=True, kw_only=True)
class ModeSearch:
    """A search for modes of one set of points under discrepancies ``given`` [k], from ``begin`` [k, s, d].

    The residuals of the points are whitened by ``whiten`` [k, m, m], or to fewer numbers.
    """

    points: AveragedPoints
    given: Sequence[Conditioned]
    whiten: Sequence[Array]
    level: float | None
    begin: Array

    @property
    def dof(self) -> float:
        """Degrees of freedom of the noise."""
        return self.points.dof + len(self.points.log_y) - (1.0 if self.level is None else 0.0)


def find_modes(log_shapes: LogShapes, searches: Sequence[ModeSearch]) -> list[list[Proposal]]:
    """The highest mode of each search under each of its discrepancies, as proposals.

    All searches take their steps together, as a step costs the same for one as for many. The m points of
    ``log_shapes`` are as many as the largest set has. Modes of little evidence are left out.
    """
    whitened = _whitened(log_shapes, searches)
    rounds = ROUNDS if searches[0].points.log_x.shape[1] == 1 else ROUNDS_JOINT
    z, cost = _descend(whitened, np.concatenate([search.begin for search in searches]), rounds)
    of, best, rows = whitened.of, np.argmin(cost, axis=1), np.arange(len(cost))
    modes, cost = z[rows, best], cost[rows, best]
    curved = whitened.curvature(modes[:, None], *whitened.residuals(modes[:, None]))[0][:, 0]
    volume = 0.5 * np.linalg.slogdet(curved)[1]
    prior = np.array([part.discrepancy.log_prior - part.log_det for s in searches for part in s.given])
    evidence = prior - cost - volume
    keep = [evidence > evidence[of == i].max() - NEGLIGIBLE for i in range(len(searches))]
    return [
        [around(modes[row], np.linalg.inv(curved[row])) for row in np.flatnonzero((of == i) & kept)]
        for i, kept in enumerate(keep)
    ]


def _whitened(log_shapes: LogShapes, searches: Sequence[ModeSearch]) -> Whitened:
    """The points of all searches under all of their discrepancies, filled up to the largest set of points."""
    n = [len(search.given) for search in searches]
    m = max(len(search.points.log_y) for search in searches)
    most = max(len(part) for search in searches for part in search.whiten)
    log_y, whiten, unit = np.zeros((sum(n), 1, m)), np.zeros((sum(n), most, m)), np.zeros((sum(n), most, 1))
    pairs = [(search, part) for search in searches for part in search.whiten]
    for row, (search, part) in enumerate(pairs):
        k, here = part.shape
        ones = part.sum(axis=1)
        log_y[row, 0, :here] = search.points.log_y - (search.level or 0.0)
        whiten[row, :k, :here], unit[row, :k, 0] = part, ones / np.linalg.norm(ones)
    return Whitened(
        log_shapes=log_shapes,
        of=np.repeat(np.arange(len(searches)), n),
        log_y=log_y,
        whiten=whiten,
        unit=unit,
        dof=np.repeat([search.dof for search in searches], n)[:, None],
        prior_squares=np.repeat([search.points.prior_squares for search in searches], n)[:, None],
        free_level=searches[0].level is None,
    )


def _descend(whitened: Whitened, begin: Array, rounds: int) -> tuple[Array, Array]:
    """Local minima z [k, s, d] of the height, and the heights [k, s]; a search ends with its last start."""
    z, (residual, slopes) = begin, whitened.residuals(begin)
    cost, damping = whitened.height(z, residual), np.full(z.shape[:2], 1e-2)
    ends, heights, open_ = np.empty(z.shape), np.empty(z.shape[:2]), np.arange(len(z))
    done = np.zeros(z.shape[:2], dtype=bool)
    for _ in range(rounds):
        curved, gradient = whitened.curvature(z, residual, slopes)
        damped = curved * (1.0 + damping[..., None, None] * np.eye(z.shape[-1]))
        trial = np.clip(z - np.linalg.solve(damped, gradient[..., None])[..., 0], -FURTHEST, FURTHEST)
        moved, moved_slopes = whitened.residuals(trial)
        height = whitened.height(trial, moved)
        better = height < cost
        done = (better & (cost - height < CONVERGED)) | (~better & (done | (damping > STUCK)))
        z, residual = np.where(better[..., None], trial, z), np.where(better[..., None], moved, residual)
        slopes = np.where(better[..., None, None], moved_slopes, slopes)
        cost, damping = np.where(better, height, cost), np.where(better, damping / 8.0, damping * 8.0)
        rest = np.bincount(whitened.of, ~done.all(axis=1))[whitened.of] > 0.0
        ends[open_[~rest]], heights[open_[~rest]] = z[~rest], cost[~rest]
        if rest.all():
            continue
        open_, z, cost, damping, done = open_[rest], z[rest], cost[rest], damping[rest], done[rest]
        residual, slopes, whitened = residual[rest], slopes[rest], whitened.take(rest)
        if not len(open_):
            break
    ends[open_], heights[open_] = z, cost
    return ends, heights
