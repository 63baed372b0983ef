"""Predictions of cells that were not run yet: their mean loss on the images that their curve evaluates.

The report's interval of a prediction is over images and seeds. Cells that evaluate the same images share the
noise of these images and scatter less around the prediction than that interval allows, so that it would hold
nearly all that comes. Here the loss on these very images is predicted, from laws fitted without the noise
that all scales share. On either side of the mean over k seeds the interval has the half-width

    h_k² = h² + (h_new² - h²) n / k        in ln L,

h and h_new those of the mean over runs and of a new point, n the harmonic mean of the seeds of the points:
the noise of training falls with the number of seeds, and nothing else does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy import stats

from mlproject.analysis.bootstrap import replicates
from mlproject.analysis.comparable import ComparableRuns, key_of_curve
from mlproject.analysis.curves import Curve, assess_curve
from mlproject.analysis.points import noise_dof
from mlproject.analysis.runs import image_pools, read_runs
from mlproject.analysis.targets import curve_names, image_curves
from mlproject.cell import Cell
from mlproject.losses import Observation
from mlproject.scaling import Assessment, Estimate, Prediction, assess, unshared_noise

NORMAL = float(stats.norm.ppf(0.975))
NARROWEST = 1e-9
"""The least half-width in ln L of a density."""


@dataclass(frozen=True, kw_only=True)
class PlannedCells:
    """Cells of one curve and size that are to be predicted: that of the first seed, and the seeds of all."""

    cell: Cell
    seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class PredictedLoss:
    """The predicted mean loss, over ``seeds``, of cells on the images that their curve evaluates.

    ``loss`` has the 95 % limits of that mean; ``power`` is what the power law without a floor predicts, the
    baseline, where it could be fitted; ``report`` is the mean over runs with its interval over images too, as
    reports give it. ``cell`` is that of the first seed; ``horizon`` says how many times beyond the finished
    sizes it lies.
    """

    curve: str
    cell: Cell
    seeds: tuple[int, ...]
    loss: Estimate
    power: Estimate | None
    report: Estimate
    horizon: float
    n_scales: int

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values; ``from_dict`` is the inverse."""
        estimates = {name: getattr(self, name) for name in ("loss", "power", "report")}
        return {
            "curve": self.curve,
            "cell": self.cell.to_dict(),
            "seeds": list(self.seeds),
            **{name: None if each is None else asdict(each) for name, each in estimates.items()},
            "horizon": self.horizon,
            "n_scales": self.n_scales,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PredictedLoss:
        """Rebuild a prediction. Raises: ValueError, TypeError, LookupError, WrongUse for what is none."""
        return cls(
            curve=str(values["curve"]),
            cell=Cell.from_dict(values["cell"]),
            seeds=tuple(int(seed) for seed in values["seeds"]),
            loss=_read_estimate(values["loss"]),
            power=None if values["power"] is None else _read_estimate(values["power"]),
            report=_read_estimate(values["report"]),
            horizon=float(values["horizon"]),
            n_scales=int(values["n_scales"]),
        )


def _read_estimate(values: Mapping[str, Any]) -> Estimate:
    value, low, high = (float(values[name]) for name in ("value", "low", "high"))
    if not 0 < low <= value <= high < math.inf:
        raise ValueError("these are no loss and its limits")
    return Estimate(value=value, low=low, high=high)


def log_score(predicted: Estimate, loss: float) -> float:
    """The log density of ln loss, in nats (larger is better), of the two-piece normal of a prediction.

    2 / (s₁ + s₂) φ((ln L - ln mode) / s) with s = s₁ below the mode and s₂ above it (Wallis 2014, Statist.
    Sci. 29, 106): 95 % of either part lie within 1.96 s, so that s is a half-width of the interval over 1.96.
    """
    below = max(math.log(predicted.value / predicted.low), NARROWEST) / NORMAL
    above = max(math.log(predicted.high / predicted.value), NARROWEST) / NORMAL
    error = math.log(loss / predicted.value)
    scaled = error / (below if error < 0 else above)
    return math.log(2.0 / (below + above)) - 0.5 * (scaled**2 + math.log(2.0 * math.pi))


def predict_losses(
    observations: Iterable[Observation],
    planned: Sequence[PlannedCells],
    *,
    n_draws: int = 1000,
    seed: int = 0,
) -> list[PredictedLoss]:
    """The predictions of planned cells, in their order, without those whose curves carry none.

    Raises: BadInput where there is no run, DigestMismatch where two runs of one cell differ.
    """
    runs, _ = read_runs(observations)
    curves: list[tuple[ComparableRuns, Curve]] = []
    for pool in image_pools(runs):
        curves += image_curves(pool, replicates(pool, n_draws=n_draws, seed=seed), seed)
    names = curve_names([group for group, _ in curves])
    of_key = {
        key_of_curve(run.cell): (name, curve)
        for name, (group, curve) in zip(names, curves, strict=True)
        for run in group.runs
    }
    assessed: dict[str, tuple[Assessment, Assessment]] = {}
    predicted = []
    for cells in planned:
        name, curve = of_key.get(key_of_curve(cells.cell), ("", None))
        if curve is None:
            continue
        if name not in assessed:
            assessed[name] = (_on_these_images(curve), assess_curve(curve, "mean"))
        predicted += _predicted(name, curve, cells, *assessed[name])
    return predicted


def _on_these_images(curve: Curve) -> Assessment:
    """The assessment of a curve's mean loss on the images that it evaluates."""
    values = curve.values("mean")
    noise, dof = unshared_noise(values, curve.draws("mean")), noise_dof(curve.points, "mean")
    return assess(curve.x, values, sd=noise, noise_dof=dof, axes=(curve.axis.name,))


def _predicted(
    name: str, curve: Curve, cells: PlannedCells, here: Assessment, over_images: Assessment
) -> list[PredictedLoss]:
    """The prediction of planned cells; none where the curve carries no finite interval."""
    at = [float(cells.cell.dataset_size)]
    prediction, reported, power = here.predict(at), over_images.predict(at), here.law("power")
    n_usual = float(stats.hmean([point.n_seeds for point in curve.points]))
    loss = _of_seeds(prediction, n_usual / len(cells.seeds))
    report = _estimate(reported)
    if prediction is None or loss is None or report is None:
        return []
    alone = None if power is None or power.fit is None else power.fit.predict(at)
    return [
        PredictedLoss(
            curve=name,
            cell=cells.cell,
            seeds=cells.seeds,
            loss=loss,
            power=_of_seeds(alone, n_usual / len(cells.seeds)),
            report=report,
            horizon=float(prediction.horizon[0]),
            n_scales=curve.n_scales,
        )
    ]


def _of_seeds(prediction: Prediction | None, share: float) -> Estimate | None:
    """The mean over seeds, of which a new point has ``share`` times as many."""
    estimate = _estimate(prediction)
    if prediction is None or estimate is None:
        return None
    low, high = (
        estimate.value * math.exp(sign * math.sqrt(half**2 + max(0.0, new**2 - half**2) * share))
        for sign, half, new in (
            (-1, math.log(estimate.value / estimate.low), _log_ratio(prediction, "new_run_low")),
            (1, math.log(estimate.high / estimate.value), _log_ratio(prediction, "new_run_high")),
        )
    )
    return Estimate(value=estimate.value, low=low, high=high)


def _log_ratio(prediction: Prediction, limit: str) -> float:
    return math.log(float(getattr(prediction, limit)[0]) / float(prediction.mean[0]))


def _estimate(prediction: Prediction | None) -> Estimate | None:
    """The mean over runs with its limits; None where a limit is open."""
    if prediction is None:
        return None
    ends = (prediction.mean, prediction.low, prediction.high, prediction.new_run_low, prediction.new_run_high)
    value, low, high, *new = (float(end[0]) for end in ends)
    finite = all(math.isfinite(end) and end > 0 for end in (value, low, high, *new))
    return Estimate(value=value, low=low, high=high) if finite else None
