"""Images along the scales of a curve: at which scale each is learned, which are lost, which get worse.

An image is right at a scale where most of its runs classify it rightly. It is learned at the smallest scale
from which it stays right at all larger ones: the analogue along scale of the prediction depth of Baldock et
al. (2021, arXiv 2106.09647) along layers; an image that was right and is wrong at the largest scale is lost,
the analogue of the forgetting events of Toneva et al. (2019, arXiv 1812.05159) along training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mlproject.analysis.axes import AXES
from mlproject.analysis.bootstrap import Floats
from mlproject.analysis.curves import Curve
from mlproject.analysis.effects import wilson
from mlproject.analysis.runs import ERROR, EvaluatedRun
from mlproject.scaling import Estimate, ImageTrends, image_trends

NEVER, LOST = -2, -1
"""Images that are wrong at every scale; that were right at a smaller scale and are wrong at the largest."""
SOUGHT = ("images", "params", "epochs")
"""Axes along which images are followed: the first that has a curve of several scales."""


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """The images that all runs of a curve evaluated, along its scales.

    Shapes: ``rows`` [images] are places in the curve's images; ``wrong`` and ``losses`` hold, by scale, an
    array [seeds, images]; ``seeds`` holds, by scale, those seeds.
    """

    curve: Curve
    rows: NDArray[np.intp]
    seeds: tuple[tuple[int, ...], ...]
    wrong: tuple[Floats, ...]
    losses: tuple[Floats, ...]

    @cached_property
    def share_right(self) -> Floats:
        """The share of runs that have an image right [images, scales]."""
        return np.stack([1.0 - of_scale.mean(axis=0) for of_scale in self.wrong], axis=1)

    @cached_property
    def learned(self) -> NDArray[np.intp]:
        """The place of the scale at which an image is learned [images]; ``NEVER`` or ``LOST`` else."""
        right = self.share_right > 0.5
        n_scales = right.shape[1]
        stays = np.cumprod(right[:, ::-1], axis=1).sum(axis=1).astype(np.intp)
        wrong_last = np.where(right.any(axis=1), LOST, NEVER)
        return np.where(stays > 0, n_scales - stays, wrong_last)

    @property
    def outcomes(self) -> tuple[tuple[int, str], ...]:
        """Every value of ``learned`` with what it means, the easiest images first."""
        names = [point.name for point in self.curve.points]
        learned = [(i, f"learned at {name}") for i, name in enumerate(names)]
        learned[0] = (0, "right at every scale")
        return (*learned, (LOST, "lost"), (NEVER, "never right"))

    def count(self, *outcomes: int) -> int:
        """How many images have one of these outcomes."""
        return int(np.isin(self.learned, outcomes).sum())

    def share(self, *outcomes: int) -> Estimate:
        """The share of images with one of these outcomes; Wilson's interval, over images."""
        n, total = self.count(*outcomes), len(self.rows)
        low, high = wilson(n, total)
        return Estimate(value=n / total, low=low, high=high)

    @cached_property
    def trends(self) -> ImageTrends | None:
        """Which losses rise or fall beyond what seeds differ by; None where a scale has one seed."""
        if min(map(len, self.seeds)) < 2 or self.curve.n_scales < 2:
            return None
        return image_trends([point.x for point in self.curve.points], self.losses)


def trajectories(
    curves: Sequence[Curve], runs: Mapping[str, EvaluatedRun]
) -> tuple[tuple[Trajectory, ...], tuple[str, ...]]:
    """The trajectories of curves along one axis; and, for each curve that has none, the reason.

    ``runs`` are those of the pools, by id.
    """
    kept: list[Trajectory] = []
    reasons: dict[str, list[str]] = {}
    along = ([c for c in curves if c.axis.slug == slug and c.n_scales > 1] for slug in _slugs(curves))
    for curve in next((several for several in along if several), []):
        scales = [[runs[run_id] for run_id in point.run_ids] for point in curve.points]
        made = _trajectory(curve, scales)
        if isinstance(made, Trajectory):
            kept.append(made)
        else:
            reasons.setdefault(made, []).append(curve.series)
    if not kept and not reasons:
        return (), ("no curve has two scales, so that no image can be followed from scale to scale",)
    return tuple(kept), tuple(f"{reason} ({', '.join(names)})" for reason, names in reasons.items())


def _slugs(curves: Sequence[Curve]) -> Iterator[str]:
    known = {curve.axis.slug for curve in curves}
    yield from (AXES[name].slug for name in SOUGHT if AXES[name].slug in known)


def _trajectory(curve: Curve, scales: Sequence[Sequence[EvaluatedRun]]) -> Trajectory | str:
    """A trajectory, or why there is none."""
    every = [run for of_scale in scales for run in of_scale]
    if any(ERROR not in run.columns or run.columns[ERROR].dtype != np.bool_ for run in every):
        return "the runs log no error of 0 or 1 for each image: nothing is classified"
    shared = np.zeros(len(curve.image_ids), np.intp)
    for run in every:
        shared[run.rows] += 1
    rows = np.flatnonzero(shared == len(every))
    if not len(rows):
        return "no image was evaluated by all runs"
    n_images = len(curve.image_ids)
    ordered = [sorted(of_scale, key=lambda run: run.cell.seed) for of_scale in scales]
    return Trajectory(
        curve=curve,
        rows=rows,
        seeds=tuple(tuple(run.cell.seed for run in of_scale) for of_scale in ordered),
        wrong=tuple(_placed(of_scale, ERROR, n_images, rows) for of_scale in ordered),
        losses=tuple(_placed(of_scale, of_scale[0].kind, n_images, rows) for of_scale in ordered),
    )


def _placed(runs: Sequence[EvaluatedRun], name: str, n_images: int, rows: NDArray[np.intp]) -> Floats:
    """A column of runs as [seeds, images]."""
    columns = [run.placed(name, n_images) for run in runs]
    return np.stack([column[rows] for column in columns if column is not None])
