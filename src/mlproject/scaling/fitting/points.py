"""Observations as laws see them: checked, free of units, weighted by what is known of their noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlproject.errors import BadInput
from mlproject.scaling.fitting.least_squares import LeastSquares
from mlproject.scaling.laws.law import Array, ScalingLaw


@dataclass(frozen=True, kw_only=True)
class Points:
    """Rows x [m, axes] and y [m] in the units of the data, their noise, and the units taken out.

    ``sd`` [m] is the standard deviation of y where it is known, ``draws`` [b, m] replicates of y.
    """

    x: Array
    y: Array
    sd: Array | None = None
    draws: Array | None = None
    ceiling: float | None = None

    @property
    def log_unit(self) -> Array:
        """Logarithm of the geometric mean of x, per axis."""
        return np.asarray(np.log(self.x).mean(axis=0))

    @property
    def loss_unit(self) -> float:
        """Geometric mean of y."""
        return float(np.exp(np.log(self.y).mean()))

    @property
    def n_scales(self) -> int:
        """Distinct rows of x."""
        return len(np.unique(self.x, axis=0))

    @property
    def noise_known(self) -> bool:
        """Whether the noise of y is given and need not be read from residuals."""
        return self.sd is not None

    def scaled(self, x: Array) -> Array:
        """log(x / unit), [m, axes]."""
        return np.log(x) - self.log_unit

    def problem(self, law: ScalingLaw, *, linear: bool = False, draws: bool = False) -> LeastSquares:
        """The least-squares problem of a law on these points, or on their draws."""
        y = self.draws if draws and self.draws is not None else self.y[None]
        weights = (
            np.ones(len(self.y)) if self.sd is None else (self.loss_unit if linear else self.y) / self.sd
        )
        return LeastSquares(
            law=law,
            log_x=self.scaled(self.x),
            y=y / self.loss_unit,
            weights=weights[None],
            linear=linear,
            ceiling=None if self.ceiling is None else self.ceiling / self.loss_unit,
        )

    def take(self, rows: NDArray[np.bool_]) -> Points:
        """Some of the rows."""
        return Points(
            x=self.x[rows],
            y=self.y[rows],
            sd=None if self.sd is None else self.sd[rows],
            draws=None if self.draws is None else self.draws[:, rows],
            ceiling=self.ceiling,
        )


def read_points(
    x: ArrayLike, y: ArrayLike, *, sd: ArrayLike | None, draws: ArrayLike | None, ceiling: float | None
) -> Points:
    """Check what the caller gave and put it in order.

    Raises: BadInput for values that are not positive and finite, shapes that differ, fewer than two rows.
    """
    losses = _positive("y", y)
    scales = _positive("x", x)
    scales = scales[:, None] if scales.ndim == 1 else scales
    if losses.ndim != 1 or scales.ndim != 2 or len(scales) != len(losses):
        raise BadInput(
            f"x {np.shape(x)} and y {np.shape(y)} do not match: give one x (or one row of x) per loss"
        )
    if len(losses) < 2:
        raise BadInput(f"a law needs at least two points and got {len(losses)}")
    if ceiling is not None and not (np.isfinite(ceiling) and ceiling > 0):
        raise BadInput(f"the ceiling must be a positive loss and is {ceiling}")
    replicates = None if draws is None else _positive("draws", draws)
    if replicates is not None and (
        replicates.ndim != 2 or replicates.shape[1] != len(losses) or len(replicates) < 2
    ):
        raise BadInput(f"draws {replicates.shape} must be [replicates, {len(losses)}], at least two")
    noise = None if sd is None else _positive("sd", sd)
    if noise is not None and noise.shape != losses.shape:
        raise BadInput(f"sd {noise.shape} must have one value per loss, {losses.shape}")
    if noise is None and replicates is not None:
        noise = np.maximum(np.std(np.log(replicates), axis=0, ddof=1), 1e-9) * losses
    return Points(x=scales, y=losses, sd=noise, draws=replicates, ceiling=ceiling)


def _positive(name: str, values: ArrayLike) -> Array:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name} must be numbers: {error}") from error
    bad = ~(np.isfinite(array) & (array > 0))
    if array.size == 0 or bad.any():
        where = (
            "it is empty"
            if array.size == 0
            else f"{int(bad.sum())} are not, the first is {array[bad].flat[0]}"
        )
        raise BadInput(f"{name} must be positive finite numbers; {where}")
    return array
