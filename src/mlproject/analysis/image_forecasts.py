"""Which images the next scale gets right: a forecast for each image, scored where the largest scale is known.

    m_s       mean over seeds of ln( p / (1 - p) ),  p = exp(-loss)     margin of an image at scale s
    m*        the line through the margins of the last three known scales, at ln of the next scale
    r         (k + 1/2) / (n + 1) for k of n runs right at the last known scale
    P(right)  = logistic( b0 + b1 m + b2 (m* - m) + b3 ln(r / (1 - r)) )

The coefficients are fitted to what happened before: to every known scale, as forecast from those below it.
With a cross-entropy p is the probability of the true class; with other losses the margin is a monotone
transform. The forecast of the largest scale from the others is scored by Brier's (1950) and the logarithmic
score, which are proper (Gneiting and Raftery 2007), and by the area under the ROC curve, against

    last scale   the same regression on r alone: as it was there, with the changes seen before
    base rate    for every image the accuracy of the last known scale

Differences are paired by image and seed; intervals are over images and seeds. The influence of an image on
the area is its placement (DeLong et al. 1988, Biometrics 44, 837).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy import special

from mlproject.analysis.bootstrap import Floats
from mlproject.analysis.effects import Effect, Range, effect
from mlproject.analysis.trajectories import Trajectory

LEAST_SCALES = 4
"""Two for a line, one to fit the coefficients to, one to score."""
AHEAD = 2.0
"""How many times beyond the largest scale the last forecast lies."""
LINE = 3
RIDGE = 0.01
"""Weight of the squared coefficients in the mean log loss: keeps separable outcomes finite."""
STEPS = 50
METHODS = ("trajectory", "last scale", "base rate")
N_DRAWS = 1000


@dataclass(frozen=True, kw_only=True)
class Score:
    """Mean scores of one method, and by how much the trajectory is better, None for itself.

    ``auc`` is None where a run has all images right, or all wrong.
    """

    method: str
    brier: Effect | None
    log_score: Effect | None
    auc: Effect | None
    brier_gain: Effect | None = None
    log_gain: Effect | None = None
    auc_gain: Effect | None = None


@dataclass(frozen=True, kw_only=True)
class ImageForecast:
    """Forecasts of one curve: of the largest scale, scored; and ``chance`` [images] of ``AHEAD`` times it.

    ``predicted`` [images] is the forecast of the largest scale from the others.
    """

    trajectory: Trajectory
    predicted: Floats
    scores: tuple[Score, ...]
    chance: Floats

    @property
    def next_scale(self) -> float:
        """The scale of ``chance``."""
        return AHEAD * self.trajectory.curve.points[-1].x

    @property
    def gain_over_last(self) -> Effect:
        """By how many nats an image the trajectory's log score is better than that of the last scale."""
        gain = next(score.log_gain for score in self.scores if score.method == METHODS[1])
        assert gain is not None
        return gain


def image_forecasts(known: Iterable[Trajectory]) -> tuple[tuple[ImageForecast, ...], tuple[str, ...]]:
    """The forecasts of curves of enough scales; and why others have none."""
    made, few = [], []
    for trajectory in known:
        if trajectory.curve.n_scales == len(trajectory.wrong) >= LEAST_SCALES:
            made.append(_forecast(trajectory))
        else:
            few.append(trajectory.curve.series)
    reason = f"a scored forecast needs {LEAST_SCALES} distinct scales"
    return tuple(made), ((f"{reason} ({', '.join(few)})",) if few else ())


def _forecast(trajectory: Trajectory) -> ImageForecast:
    x = trajectory.curve.x
    last = len(x) - 1
    right = 1.0 - trajectory.wrong[last]
    predicted = _chance(trajectory, last, float(x[last]), _features)
    rate = np.full(right.shape[1], np.clip(1.0 - trajectory.wrong[last - 1].mean(), 1e-3, 1.0 - 1e-3))
    forecasts = (predicted, _chance(trajectory, last, float(x[last]), _last_share), rate)
    return ImageForecast(
        trajectory=trajectory,
        predicted=predicted,
        scores=tuple(_score(name, p, predicted, right) for name, p in zip(METHODS, forecasts, strict=True)),
        chance=_chance(trajectory, last + 1, AHEAD * float(x[last]), _features),
    )


Features = Callable[[Trajectory, int, float], Floats]
"""Features [images, k] from the first scales, so many, for a forecast of a scale x."""


def _chance(trajectory: Trajectory, n_known: int, x: float, features: Features) -> Floats:
    """The forecast [images] of a scale x from the first ``n_known``, by the scales that they contain."""
    targets = range(2, n_known)
    known = [features(trajectory, t, float(trajectory.curve.x[t])) for t in targets]
    shares = [trajectory.share_right[:, t] for t in targets]
    coefficients = _logistic(np.concatenate(known), np.concatenate(shares))
    return np.asarray(special.expit(features(trajectory, n_known, x) @ coefficients))


def _features(trajectory: Trajectory, n_known: int, x: float) -> Floats:
    first = max(0, n_known - LINE)
    logs = np.log(trajectory.curve.x[first:n_known])
    margins = np.stack([_margin(losses) for losses in trajectory.losses[first:n_known]], axis=1)
    slope = (margins @ (logs - logs.mean())) / np.sum((logs - logs.mean()) ** 2)
    ahead = margins.mean(axis=1) + slope * (np.log(x) - logs.mean())
    margin = margins[:, -1]
    share = _last_share(trajectory, n_known, x)
    return np.column_stack([share[:, 0], margin, ahead - margin, share[:, 1]])


def _last_share(trajectory: Trajectory, n_known: int, x: float) -> Floats:
    n_runs = len(trajectory.seeds[n_known - 1])
    share = (n_runs * trajectory.share_right[:, n_known - 1] + 0.5) / (n_runs + 1)
    return np.column_stack([np.ones_like(share), special.logit(share)])


def _margin(losses: Floats) -> Floats:
    """Mean over seeds [images] of ln(p / (1 - p)) with p = exp(-loss), from losses [seeds, images]."""
    kept = np.clip(losses, 1e-9, 30.0)  # beyond, one image would outweigh all
    return np.asarray(-np.log(np.expm1(kept)).mean(axis=0))


def _logistic(features: Floats, shares: Floats) -> Floats:
    """Coefficients [k] of a logistic regression of shares [n], by Newton's method with a small ridge."""
    n, k = features.shape
    coefficients = np.zeros(k)
    penalty = RIDGE * np.diag([0.0, *[1.0] * (k - 1)])  # the first feature is the constant
    for _ in range(STEPS):
        p = special.expit(features @ coefficients)
        gradient = features.T @ (p - shares) / n + penalty @ coefficients
        curvature = (features.T * (p * (1.0 - p))) @ features / n + penalty + 1e-9 * np.eye(k)
        step = np.linalg.solve(curvature, gradient)
        coefficients -= step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-10:
            break
    return coefficients


def _score(method: str, p: Floats, trajectory: Floats, right: Floats) -> Score:
    """Scores of chances p [images] against what was right [seeds, images], and the gain of the trajectory."""
    rules = {"brier": _brier, "log_score": _log_score, "auc": _area}
    values = {name: rule(p, right) for name, rule in rules.items()}
    gains = {name: rule(trajectory, right) - values[name] for name, rule in rules.items()}
    gains["auc"] *= -1.0  # of the other two less is better
    scored = {
        name: _effect(value, "share" if name == "auc" else "positive") for name, value in values.items()
    }
    gained = {name: _effect(-gain, "any") if method != METHODS[0] else None for name, gain in gains.items()}
    return Score(
        method=method,
        brier=scored["brier"],
        log_score=scored["log_score"],
        auc=scored["auc"],
        brier_gain=gained["brier"],
        log_gain=gained["log_score"],
        auc_gain=gained["auc"],
    )


def _effect(values: Floats, within: Range) -> Effect | None:
    """The mean of values [seeds, images]; None where a run has none, having all images right or wrong."""
    known = not np.isnan(values).any()
    return effect(values, n_draws=N_DRAWS, seed=0, within=within) if known else None


def _brier(p: Floats, right: Floats) -> Floats:
    return (p - right) ** 2


def _log_score(p: Floats, right: Floats) -> Floats:
    """-ln of the chance of what happened, in nats."""
    return -np.where(right > 0.5, np.log(p), np.log1p(-p))


def _area(p: Floats, right: Floats) -> Floats:
    """Values [seeds, images] whose mean over images is the area under the ROC curve: it and the influence."""
    hit = right > 0.5
    n_hit, n_miss = hit.sum(axis=1, keepdims=True), (~hit).sum(axis=1, keepdims=True)
    _, place, n_equal = np.unique(p, return_inverse=True, return_counts=True)
    hits: Floats = np.add.reduceat(hit[:, np.argsort(p)], np.cumsum(n_equal) - n_equal, axis=1, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):  # a run that has all right or all wrong
        above_misses = _below(n_equal - hits)[:, place] / n_miss
        below_hits = 1.0 - _below(hits)[:, place] / n_hit
        placement = np.where(hit, above_misses, below_hits)
        area = np.where(hit, placement, 0.0).sum(axis=1, keepdims=True) / n_hit
        influence = np.where(hit, len(p) / n_hit, len(p) / n_miss) * (placement - area)
    return np.where((n_hit > 0) & (n_miss > 0), area + influence, np.nan)


def _below(counts: Floats) -> Floats:
    """How many are below each of ascending values [seeds, values]; of equal ones half."""
    return np.asarray(np.cumsum(counts, axis=1) - 0.5 * counts)
