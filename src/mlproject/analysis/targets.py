"""The loss at a target of every curve or grid of finished runs, predicted as their study predicts it.

The same points, replicates and laws as in ``analyse``, without the rest of a study.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlproject.analysis.axes import AXES, GRID_AXES
from mlproject.analysis.bootstrap import Replicates, replicates
from mlproject.analysis.comparable import (
    ComparableRuns,
    comparable_runs,
    comparison_key,
    is_informative,
    labels_of,
    shared_by_cells,
)
from mlproject.analysis.curves import Curve, assess_curve, bare_curve
from mlproject.analysis.design import Aim
from mlproject.analysis.grids import make_grids
from mlproject.analysis.runs import EvaluatedRun, ImagePool, image_pools, read_runs
from mlproject.losses import Observation
from mlproject.scaling import FLAT, Assessment, Estimate

Z95 = 1.96
"""Standard deviations from the middle of a normal distribution to the limits of its 95 % interval."""


@dataclass(frozen=True, kw_only=True)
class PredictedTarget:
    """The mean loss at a target with its 95 % interval over images and seeds, and the floor of its curve.

    ``few``: there are too few scales for a verdict, so that the interval is that of a power law as well.
    ``of_images`` is the width of the interval of ln loss that evaluation images alone leave at the largest
    scale, which more cells cannot narrow.
    """

    name: str
    mean: float
    low: float
    high: float
    floor: Estimate | None
    few: bool = False
    of_images: float = 0.0

    @property
    def width(self) -> float:
        """Upper over lower limit, minus 1."""
        return self.high / self.low - 1.0 if self.low > 0 else math.inf

    @property
    def log_width(self) -> float:
        """The width of the interval of ln loss."""
        return math.log(self.high / self.low) if self.low > 0 else math.inf


def target_axes(aim: Aim) -> frozenset[str]:
    """What varies along the curves of a target: the data size, and the model where it has a size."""
    return frozenset(GRID_AXES.varies if aim.params else AXES["images"].varies)


def predict_targets(
    observations: Iterable[Observation],
    aim: Aim,
    *,
    n_draws: int = 1000,
    seed: int = 0,
    mix_weights: bool = False,
) -> dict[str, PredictedTarget]:
    """The predictions by comparison key of the cells of each curve, where laws carry any.

    Raises: BadInput when there is no run, DigestMismatch when two runs of one cell differ.
    """
    runs, _ = read_runs(observations, mix_weights=mix_weights)
    assessed: list[tuple[ComparableRuns, Assessment]] = []
    for pool in image_pools(runs):
        drawn = replicates(pool, n_draws=n_draws, seed=seed)
        if aim.params:
            assessed += [(group, grid.assessment) for group, grid in make_grids(pool, drawn, seed)]
        else:
            curves = image_curves(pool, drawn, seed)
            assessed += [(group, assess_curve(curve, "mean")) for group, curve in curves]
    names = curve_names([group for group, _ in assessed])
    predicted: dict[str, PredictedTarget] = {}
    for (group, assessment), name in zip(assessed, names, strict=True):
        target = _predicted(assessment, aim, name, _width_of_images(group.runs))
        if target is not None:
            keys = (comparison_key(shared_by_cells(run.cell, target_axes(aim))) for run in group.runs)
            predicted |= dict.fromkeys(keys, target)
    return predicted


def image_curves(
    pool: ImagePool, drawn: Mapping[str, Replicates], seed: int
) -> list[tuple[ComparableRuns, Curve]]:
    """The curves over training images of one pool, without laws and labels."""
    groups = filter(is_informative, comparable_runs(pool.runs, AXES["images"]))
    return [(group, bare_curve(group, pool, drawn, seed)) for group in groups]


def curve_names(groups: list[ComparableRuns]) -> Iterator[str]:
    """The series of each group, with its family where two have the same."""
    labels = labels_of(groups)
    series = [name for name, _ in labels]
    for name, family in labels:
        yield name if series.count(name) == 1 else f"{name} · {family}"


def _width_of_images(runs: Sequence[EvaluatedRun]) -> float:
    """The width of the 95 % interval of ln mean loss over the images of the runs of most training images."""
    largest = max(run.cell.dataset_size for run in runs)
    losses = [run.losses for run in runs if run.cell.dataset_size == largest]
    errors = [float(np.std(each) / np.mean(each)) / math.sqrt(len(each)) for each in losses if each.any()]
    return 2 * Z95 * min(errors, default=0.0)


def _predicted(assessment: Assessment, aim: Aim, name: str, of_images: float) -> PredictedTarget | None:
    at = np.array([[aim.params, aim.target]]) if aim.params else np.array([float(aim.target)])
    prediction = assessment.predict(at)
    if prediction is None:
        return None
    mean, low, high = (float(ends[0]) for ends in (prediction.mean, prediction.low, prediction.high))
    average = assessment.average
    few = average is not None and average.least is not None and assessment.verdict != FLAT
    ends = {"mean": mean, "low": low, "high": high}
    return PredictedTarget(name=name, **ends, floor=assessment.floor, few=few, of_images=of_images)
