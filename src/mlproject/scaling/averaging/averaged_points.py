"""Average points at repeated scales, thin dense curves, and collect estimates of the noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling.fitting.points import Points
from mlproject.scaling.fitting.robust import FEW_STEPS, huber, huber_weights
from mlproject.scaling.fitting.shared_noise import components, membership
from mlproject.scaling.laws.law import Array
from mlproject.scaling.laws.several_axes import PRODUCT, SEPARABLE

Index = NDArray[np.intp]
REFERENCE_LAWS = {2: (SEPARABLE, PRODUCT)}
REFERENCE_ROUNDS = 6  # of reweighting; weights need not be precise
LEAST_RUNS = 20  # from which on a run can be an outlier
MOST_POINTS = 20  # along one axis: denser curves are averaged within equal steps of ln x
NOISE_DOF = 2.0  # residuals that the guess of the noise is worth
NOISE_DOF_JOINT = 4.0  # the same for several axes
MOST_CELLS = 250  # of a grid; denser grids are averaged model by model within equal steps of ln D
MOST_OF_FEW = 150  # the same where there are few models, none of which is averaged with another
STEPS = (6, 12)  # fewest and most of these steps
AVERAGED_CELLS = 120  # the number of averaged cells at which they are aimed
MOST_MODELS = 20  # of a dense grid; of more, those of like size count as one
KNOWN_DOF = 10.0  # residuals that noise given by the caller is worth
PARTIAL_DOF = 1.0  # the same where only part of the noise is given, so that it is mostly estimated
ENOUGH_REPEATS = 5  # additional runs at repeated scales from which on the noise is known
MOST_DEGREE = 4  # of the polynomial around which offsets of runs are estimated
LEAST_NOISE = 1e-4  # relative, however well repeated scales agree
GUESS = 0.005  # relative noise where nothing is known
GUESS_JOINT = 0.01  # the same for several axes, where every point is a separate training


@dataclass(frozen=True, kw_only=True)
class AveragedPoints:
    """Mean log losses [m] at distinct scales log_x [m, axes], and their noise.

    The noise covariance is sigma^2 times ``noise`` [m, m]. The prior of sigma^2 is a sum of squares
    ``prior_squares`` worth ``dof`` residuals. ``noise_known`` marks noise that is known independently of any
    law, from repeated scales or from the caller. ``shared`` is the relative variance of a factor that all
    losses share, which is no part of ``noise``. A new run has ``run`` times the variance of a row, more
    than 1 where the rows of a run share an offset. ``reached`` is the loss at the largest scale as a share
    of the largest possible loss, where that is known.
    """

    log_x: Array
    log_y: Array
    noise: Array
    prior_squares: float
    dof: float
    noise_known: bool = False
    shared: float = 0.0
    run: float = 1.0
    reached: float | None = None


def average_repeats(points: Points) -> AveragedPoints:
    """Average the points at repeated scales, in scaled units.

    Offsets of runs are shared by the averages too. Where runs are the models of a grid, the discrepancy has
    these offsets already.
    """
    runs = None if points.runs is None or _are_models(points) else membership(points)
    averaged = _average(points) if runs is None else _with_runs(points, runs)
    if points.bound is None:
        return averaged
    last = float(averaged.log_y[np.argmax(averaged.log_x.sum(axis=1))])
    return replace(averaged, reached=min(float(np.exp(last)) * points.loss_unit / points.bound, 1.0))


def _average(points: Points) -> AveragedPoints:
    """Average points whose noise is independent."""
    if points.sd is None:
        points = points.take(points.first_of_each())  # repeated rows carry no noise
    log_x, log_y = points.scaled(points.x), np.log(points.y / points.loss_unit)
    group = _groups(log_x)
    n = np.bincount(group).astype(float)
    mean = np.stack([np.bincount(group, axis) / n for axis in log_x.T], axis=1)
    level = np.bincount(group, log_y) / n
    if points.sd is not None:
        return _with_known_noise(points, group, mean, level)
    same = _same_scale(log_x)
    within = log_y - (np.bincount(same, log_y) / np.bincount(same))[same]
    repeats = float(len(log_y) - same.max() - 1)
    squares = float(np.sum(within**2)) if repeats else 0.0
    guess, guess_dof = (GUESS, NOISE_DOF) if log_x.shape[1] == 1 else (GUESS_JOINT, NOISE_DOF_JOINT)
    guess = guess if repeats < 3 else float(np.sqrt(squares / repeats))
    weights = robust_weights(points) if len(level) == len(log_y) else np.ones(len(log_y))
    return AveragedPoints(
        log_x=mean,
        log_y=level,
        noise=np.diag(1.0 / np.bincount(group, weights)),
        prior_squares=guess_dof * max(guess, LEAST_NOISE) ** 2 + squares,
        dof=guess_dof + repeats,
        noise_known=repeats >= ENOUGH_REPEATS,
    )


def _are_models(points: Points) -> bool:
    """Whether every run is a model of a grid, and every model a run."""
    if points.runs is None or points.x.shape[1] == 1:
        return False
    models = _same_scale(np.log(points.x[:, :1]))
    n_pairs = len(np.unique(np.column_stack([models, points.runs]), axis=0))
    return bool(n_pairs == models.max() + 1 == points.runs.max() + 1)


def _with_runs(points: Points, runs: Array) -> AveragedPoints:
    """Average points whose runs [m, g] have offsets, of a variance estimated around a polynomial.

    The noise of rows is that of the points without these offsets.
    """
    log_x, log_y = points.scaled(points.x), np.log(points.y)
    weights = np.ones(len(log_y)) if points.sd is None else points.y / points.sd
    smooth = _polynomial(log_x) * weights[:, None]
    target = (log_y - log_y.mean()) * weights
    around = target - smooth @ np.linalg.lstsq(smooth, target)[0]
    known = points.noise_known and points.noise_dof > 0.0
    parts, averaged = components(smooth, around, runs, weights, known=known), _average(points)
    if parts is None or parts.ratio <= 0.0:
        return averaged
    group = _groups(log_x)
    share = (group[:, None] == np.arange(len(averaged.log_y))).astype(float)
    offsets = (share / share.sum(axis=0)).T @ runs
    if points.sd is not None:
        ratio = parts.ratio * parts.variance * averaged.dof / averaged.prior_squares
        return replace(averaged, noise=averaged.noise + ratio * offsets @ offsets.T, run=1.0 + ratio)
    both = np.linalg.lstsq(np.concatenate([smooth, runs], axis=1), target)[0]
    rows = _average(replace(points, y=np.exp(log_y - runs @ both[smooth.shape[1] :])))
    return replace(
        averaged,
        noise=rows.noise + parts.ratio * offsets @ offsets.T,
        prior_squares=rows.prior_squares,
        dof=max(rows.dof - (runs.shape[1] - 1.0), NOISE_DOF),
        run=1.0 + parts.ratio,
    )


def _polynomial(log_x: Array) -> Array:
    """Columns [m, k] of a polynomial in the logarithms of the scales, of more terms with more of them."""
    columns = [np.ones(len(log_x))]
    for axis in log_x.T:
        degree = int(np.clip(len(np.unique(np.round(axis, 9))) // 3, 1, MOST_DEGREE))
        columns += [axis**power for power in range(1, degree + 1)]
    if log_x.shape[1] > 1:
        columns.append(log_x[:, 0] * log_x[:, 1])
    return np.stack(columns, axis=1)


def thinned(points: Points) -> Points:
    """The points of a dense grid averaged (geometric means of scales and losses), for fits of single laws.

    Other points, and those with replicates, come back as they are.
    """
    log_x = np.log(points.x)
    if points.x.shape[1] == 1 or points.draws is not None or not _is_dense(log_x):
        return points
    group, runs = groups(points), points.runs
    if runs is not None:
        group = _numbered(np.column_stack([group, runs]))
    n = np.bincount(group).astype(float)
    mean = np.stack([np.bincount(group, axis) / n for axis in log_x.T], axis=1)
    losses = np.exp(np.bincount(group, np.log(points.y)) / n)
    relative = None if points.sd is None else np.sqrt(np.bincount(group, (points.sd / points.y) ** 2)) / n
    return replace(
        points,
        x=np.exp(mean),
        y=losses,
        sd=None if relative is None else losses * relative,
        runs=None if runs is None else runs[np.unique(group, return_index=True)[1]],
    )


def robust_weights(points: Points) -> Array:
    """Huber's weights of single runs on several axes: below 1 for an outlier under every reference law.

    A run that is far from one law may be evidence against that law, so only outliers under all count less.
    """
    laws = REFERENCE_LAWS.get(points.x.shape[1], ())
    if len(points.y) < LEAST_RUNS or not laws:
        return np.ones(len(points.y))
    weights = []
    for law in laws:
        problem = points.problem(law)
        residual = problem.residuals(huber(problem, rounds=REFERENCE_ROUNDS, steps=FEW_STEPS)[None])[0]
        weights.append(huber_weights(residual))
    return np.asarray(np.max(weights, axis=0))


def _with_known_noise(points: Points, group: Index, mean: Array, level: Array) -> AveragedPoints:
    """Noise as given; replicates also give the correlation of points by shared images.

    Noise that is given in part is scaled by the residuals, which do not show the factor that all points
    share: that is kept apart (``shared``), so that it is not scaled with the rest.
    """
    partial = points.noise_dof == 0.0
    relative = np.asarray(points.sd) / points.y
    share = (group[:, None] == np.arange(len(level))).astype(float)
    share /= share.sum(axis=0)
    noise = (share.T * relative**2) @ share
    if points.draws is not None and not partial and len(points.draws) >= 5 * len(relative):
        observed = np.cov(np.log(points.draws), rowvar=False)
        noise = 0.9 * share.T @ np.atleast_2d(observed) @ share + 0.1 * noise
    typical = float(np.mean(np.diag(noise)))
    noise = noise / typical + 1e-6 * np.eye(len(level))
    dof = PARTIAL_DOF if partial else min(KNOWN_DOF, points.noise_dof)
    return AveragedPoints(
        log_x=mean,
        log_y=level,
        noise=noise,
        prior_squares=dof * typical,
        dof=dof,
        noise_known=not partial,
        shared=_shared_variance(points.draws) if partial else 0.0,
    )


def _shared_variance(draws: Array | None) -> float:
    """Variance of the mean over points of ln draws [b, m]: of the factor that all points share."""
    return 0.0 if draws is None else float(np.var(np.log(draws).mean(axis=1)))


def groups(points: Points) -> Index:
    """The averaged point, as of ``average_repeats``, that every row belongs to."""
    return _groups(points.scaled(points.x))


def _same_scale(log_x: Array) -> Index:
    _, group = np.unique(np.round(log_x, 9), axis=0, return_inverse=True)
    return np.asarray(group).reshape(-1)


def _groups(log_x: Array) -> Index:
    """The averaged point that every row belongs to, ordered along the axes.

    Grids of more than MOST_CELLS cells (with few models MOST_OF_FEW) are averaged within equal steps of the
    logarithm of the last axis (the data), model by model, as runs of one model share what the model has of
    its own; only where there are more than MOST_MODELS models are these averaged too.
    """
    axes = log_x.shape[1]
    if not _is_dense(log_x):
        return _same_scale(log_x)
    if axes == 1:
        return _numbered(_steps(log_x, MOST_POINTS))
    models = _same_scale(log_x[:, :-1])
    if models.max() >= MOST_MODELS:
        models = _numbered(_steps(log_x[:, :-1], round(MOST_MODELS ** (1.0 / (axes - 1)))))
    steps = int(np.clip(AVERAGED_CELLS // (models.max() + 1), *STEPS))
    return _numbered(np.column_stack([models, _steps(log_x[:, -1:], steps)]))


def _is_dense(log_x: Array) -> bool:
    """Whether points are so many that they are averaged within steps."""
    most = MOST_POINTS
    if log_x.shape[1] > 1:
        most = MOST_CELLS if _same_scale(log_x[:, :-1]).max() >= MOST_MODELS else MOST_OF_FEW
    return bool(_same_scale(log_x).max() >= most)


def _steps(log_x: Array, n: int) -> Index:
    """The number [m, axes] of the equal step of each axis that a row lies in."""
    low = log_x.min(axis=0)
    width = (log_x.max(axis=0) + 1e-9 - low) / n
    return np.asarray(np.clip((log_x - low) / width, 0, n - 1).astype(np.intp))


def _numbered(labels: Index) -> Index:
    """Rows [m] numbered by their distinct labels [m, k]."""
    return np.asarray(np.unique(labels, axis=0, return_inverse=True)[1]).reshape(-1)
