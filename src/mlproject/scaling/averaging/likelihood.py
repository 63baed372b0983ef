"""The likelihood of points under every discrepancy at once, for many shapes of a law.

    ln p(points | shape, discrepancy) = ln prior - ln det C / 2 - n/2 ln(r' C^-1 r + prior squares),

where r are the residuals without the level that fits best, and n the degrees of freedom; the noise and an
unknown level are integrated out in closed form. The residuals of many points lie close to a space of far
fewer dimensions, since a law is smooth and has few parameters: there the quadratic forms are those of
coordinates. Such a space is made of random combinations of given residuals (Halko, Martinsson and Tropp
2011, SIAM Rev. 53, 217). Residuals of which more than ``OUTSIDE`` lies outside are computed in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mlproject.scaling.averaging.averaged_points import AveragedPoints
from mlproject.scaling.averaging.discrepancy import Conditioned
from mlproject.scaling.laws.law import Array

MANY = 64  # points from which on residuals are reduced
COMBINED = 96  # random combinations that a space is made of
SMALLEST = 1e-14  # squared size of a direction, relative to the largest, below which it is left out
OUTSIDE = 1e-5  # share of a residual, by its norm, that may lie outside of the space
AT_ONCE = 1 << 17  # whitened residuals at once, so that they stay in the cache


@dataclass(frozen=True, kw_only=True)
class Space:
    """A basis [m, k] of residuals, and the whitening matrices [h, k, k] of their coordinates."""

    basis: Array
    whiten: Array


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """That of points under the discrepancies ``given``; in a ``space`` of residuals, where there is one."""

    points: AveragedPoints
    given: Sequence[Conditioned]
    space: Space | None = None

    def log_density(self, log_shape: Array, level: float | None) -> Array:
        """ln p(points | shape, discrepancy) [s, h] up to a constant, without sigma^2 and an unknown level."""
        residual = self.points.log_y - log_shape
        residual -= residual.mean(axis=1, keepdims=True) if level is None else level
        squares, n_levels = self._squares(residual), 0.0
        if level is None:
            squares -= (residual @ self._across.T) ** 2
            n_levels = 1.0
        dof = self.points.dof + len(self.points.log_y) - n_levels
        likely = np.log(np.maximum(squares, 0.0) + self.points.prior_squares)
        return np.asarray(self._prior - 0.5 * n_levels * self._log_weight - 0.5 * dof * likely)

    def reduced(self, log_shape: Array, level: float | None) -> Likelihood:
        """The same for many points in the space of the residuals of shapes [s, m]; else as it is."""
        if len(self.points.log_y) < MANY:
            return self
        residual = self.points.log_y - log_shape
        residual -= residual.mean(axis=1, keepdims=True) if level is None else level
        size = np.maximum(np.linalg.norm(residual, axis=1), 1e-300)
        mixed = np.random.default_rng(0).standard_normal((COMBINED, len(size))) @ (residual / size[:, None])
        mixed[-1] = np.linalg.norm(mixed[0]) / np.sqrt(mixed.shape[1])  # a level
        variance, directions = np.linalg.eigh(mixed @ mixed.T)
        kept = directions[:, variance > SMALLEST * variance[-1]]
        basis = np.linalg.qr(mixed.T @ kept)[0]
        white = np.stack([part.whiten @ basis for part in self.given])
        factor = np.linalg.cholesky(white.swapaxes(1, 2) @ white)
        space = Space(basis=basis, whiten=factor.swapaxes(1, 2))
        return Likelihood(points=self.points, given=self.given, space=space)

    def whitening(self, hypothesis: int) -> Array:
        """The whitening matrix [m or k, m] under one of the discrepancies, of residuals in the space."""
        if self.space is None:
            return self.given[hypothesis].whiten
        return np.asarray(self.space.whiten[hypothesis] @ self.space.basis.T)

    def _squares(self, residual: Array) -> Array:
        """r' C^-1 r [s, h] of residuals [s, m]."""
        if self.space is None:
            return _sum_of_squares(self._whiten, residual)
        inside = residual @ self.space.basis
        squares = _sum_of_squares(self.space.whiten, inside)
        total = np.vecdot(residual, residual)
        outside = total - np.vecdot(inside, inside) > OUTSIDE**2 * total
        if outside.any():
            squares[outside] = _sum_of_squares(self._whiten, residual[outside])
        return squares

    @cached_property
    def _whiten(self) -> Array:
        """Whitening matrices [h, m, m]."""
        return np.stack([part.whiten for part in self.given])

    @cached_property
    def _across(self) -> Array:
        """What a residual counts for the level [h, m], in standard errors of it."""
        return np.stack([part.ones @ part.whiten / np.sqrt(part.weight) for part in self.given])

    @cached_property
    def _prior(self) -> Array:
        return np.array([part.discrepancy.log_prior - part.log_det for part in self.given])

    @cached_property
    def _log_weight(self) -> Array:
        return np.log([part.weight for part in self.given])


def _sum_of_squares(whiten: Array, residual: Array) -> Array:
    """Sums of squares [s, h] of residuals [s, m] whitened by matrices [h, k, m]."""
    h, k, m = whiten.shape
    step, out = max(1, AT_ONCE // (k * len(residual))), np.empty((h, len(residual)))
    for first in range(0, h, step):
        white = whiten[first : first + step].reshape(-1, m) @ residual.T
        np.square(white, out=white)
        white.reshape(-1, k, len(residual)).sum(axis=1, out=out[first : first + step])
    return out.T
