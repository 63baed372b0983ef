"""Observations to fit laws to: checked, without units, weighted by their noise; predictions at new scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlproject.errors import BadInput
from mlproject.scaling.fitting.least_squares import LeastSquares
from mlproject.scaling.laws.law import Array, ScalingLaw


@dataclass(frozen=True, kw_only=True)
class Points:
    """Losses y [m] at scales x [m, axes], in the units of the data.

    ``sd`` [m] is the standard deviation of y where it is known, ``draws`` [b, m] are replicates of y, and
    ``ceiling`` is the uninformed loss where it is known. ``noise_dof`` are the degrees of freedom behind
    ``sd``: infinite where it is known, those of repeated runs where it was estimated from them, 0 where it
    is only part of the noise (images, but not seeds). ``runs`` [m] numbers the runs (or models, or other
    groups) whose rows share an offset, where that is stated. ``bound`` is the largest possible loss, of which
    a library of laws states its floors as shares; unlike the ceiling it fixes no law.
    """

    x: Array
    y: Array
    sd: Array | None = None
    draws: Array | None = None
    ceiling: float | None = None
    noise_dof: float = float("inf")
    runs: NDArray[np.intp] | None = None
    bound: float | None = None

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
        """Number of distinct rows of x."""
        return len(np.unique(self.x, axis=0))

    @property
    def n_runs(self) -> int:
        """Number of stated runs; 0 where none are."""
        return 0 if self.runs is None else int(self.runs.max()) + 1

    @property
    def noise_known(self) -> bool:
        """Whether the noise of y is known, and need not be estimated from residuals."""
        return self.sd is not None

    def scaled(self, x: Array) -> Array:
        """log(x / unit), [m, axes]."""
        return np.log(x) - self.log_unit

    def problem(self, law: ScalingLaw, *, linear: bool = False, draws: bool = False) -> LeastSquares:
        """The least-squares problem of a law on these points, or on their replicates."""
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

    def first_of_each(self) -> NDArray[np.bool_]:
        """Marks rows that repeat no earlier one in scale, loss, noise and run; all of them with draws."""
        if self.draws is not None:
            return np.ones(len(self.y), dtype=bool)
        noise = np.zeros(len(self.y)) if self.sd is None else self.sd
        run = np.zeros(len(self.y)) if self.runs is None else self.runs
        _, first = np.unique(np.column_stack([self.x, self.y, noise, run]), axis=0, return_index=True)
        return np.isin(np.arange(len(self.y)), first)

    def run_sd(self, residuals: Array, dof: int) -> float:
        """Relative standard deviation of one run around a law: of residuals [m], at least the known noise."""
        estimated = float(np.sqrt(np.sum(residuals**2) / dof)) if dof > 0 else 0.0
        known = 0.0 if self.sd is None else float(np.sqrt(np.mean((self.sd / self.y) ** 2)))
        return max(estimated, known)

    def take(self, rows: NDArray[np.bool_]) -> Points:
        """The rows of a mask."""
        return Points(
            x=self.x[rows],
            y=self.y[rows],
            sd=None if self.sd is None else self.sd[rows],
            draws=None if self.draws is None else self.draws[:, rows],
            ceiling=self.ceiling,
            noise_dof=self.noise_dof,
            runs=None if self.runs is None else np.unique(self.runs[rows], return_inverse=True)[1],
            bound=self.bound,
        )


def read_points(
    x: ArrayLike,
    y: ArrayLike,
    *,
    sd: ArrayLike | None = None,
    draws: ArrayLike | None = None,
    ceiling: float | None = None,
    noise_dof: float = float("inf"),
    runs: Sequence[object] | None = None,
) -> Points:
    """Check the arguments of a fit.

    Raises: BadInput for values that are not positive and finite, shapes that differ, fewer than two rows.
    """
    if not noise_dof >= 0:
        raise BadInput(f"noise_dof must be 0 or more degrees of freedom and is {noise_dof}")
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
    noise, replicates = _read_noise(losses, sd, draws)
    return Points(
        x=scales,
        y=losses,
        sd=noise,
        draws=replicates,
        ceiling=ceiling,
        noise_dof=noise_dof,
        runs=None if runs is None else _numbered(runs, len(losses)),
    )


def _read_noise(
    losses: Array, sd: ArrayLike | None, draws: ArrayLike | None
) -> tuple[Array | None, Array | None]:
    """Standard deviations [m], by default those of the replicates, and replicates [b, m] of losses [m]."""
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
    return noise, replicates


def _numbered(runs: Sequence[object], n: int) -> NDArray[np.intp]:
    labels = [str(run) for run in runs]
    if len(labels) != n:
        raise BadInput(f"runs must have one label per loss, {n}, and has {len(labels)}")
    return np.unique(labels, return_inverse=True)[1]


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


def read_influence(influence: ArrayLike | None, points: Points) -> Array | None:
    """Influence [n, m] of images on ln y; raises BadInput without draws or of another shape."""
    if influence is None:
        return None
    values = np.asarray(influence, dtype=np.float64)
    if points.draws is None or values.ndim != 2 or values.shape[1] != len(points.y):
        raise BadInput(f"influence {values.shape} must be [images, {len(points.y)}], beside draws")
    return np.asarray(values / points.y)


def unshared_noise(values: Array, draws: Array) -> Array | None:
    """The standard deviation [points] that scales do not share, from their replicates [draws, points].

    Hard images raise the loss at every scale alike, which moves the amplitude of a law and not its shape.
    Counted as noise of each point it would hide a law that departs from the data, so the common factor of
    each replicate is removed: with z = ln draws and n points, sd(z - mean over points of z) (n / (n - 1))^½.
    None where a replicate is not above zero.
    """
    if not (draws > 0).all():
        return None
    logs = np.log(draws)
    rest = logs - logs.mean(axis=1, keepdims=True)
    n = draws.shape[1]
    relative = np.maximum(rest.std(axis=0, ddof=1) * np.sqrt(n / max(n - 1, 1)), 1e-6)
    return np.asarray(values * relative)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Predicted losses [n] with 95 % intervals of the mean over runs and of one new run.

    ``horizon`` [n] is how many times a scale exceeds the largest observed one (or falls below the smallest);
    1 inside the observed range.
    """

    mean: Array
    low: Array
    high: Array
    new_run_low: Array
    new_run_high: Array
    horizon: Array

    def united(self, other: Prediction) -> Prediction:
        """The same means with limits that hold both intervals."""
        return replace(
            self,
            low=np.minimum(self.low, other.low),
            high=np.maximum(self.high, other.high),
            new_run_low=np.minimum(self.new_run_low, other.new_run_low),
            new_run_high=np.maximum(self.new_run_high, other.new_run_high),
        )


def read_scales(x: ArrayLike, axes: int) -> Array:
    """Scales to predict at as [n, axes]; raises BadInput when they are not positive or of another width."""
    at = np.asarray(x, dtype=np.float64)
    at = at.reshape(-1, 1) if axes == 1 and at.ndim <= 1 else np.atleast_2d(at)
    if at.ndim != 2 or at.shape[1] != axes or not np.all(np.isfinite(at) & (at > 0)):
        raise BadInput(
            f"predictions need positive finite scales with {axes} columns and got shape {np.shape(x)}"
        )
    return at


def horizon(points: Points, at: Array) -> Array:
    """How many times each scale exceeds the observed range, along its furthest axis; 1 inside."""
    above, below = at / points.x.max(axis=0), points.x.min(axis=0) / at
    return np.asarray(np.maximum(np.maximum(above, below).max(axis=1), 1.0))
