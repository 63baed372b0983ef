"""Curves: comparable cells along one axis, their points, and the assessments of laws fitted to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from mlproject.analysis.axes import AXES, MODEL_FIELDS, Axis
from mlproject.analysis.bootstrap import STATISTICS, Floats, Replicates, Statistic
from mlproject.analysis.comparable import (
    ComparableRuns,
    comparable_runs,
    is_informative,
    labels_of,
    natural_order,
)
from mlproject.analysis.lines import (
    LawLine,
    LocalExponents,
    PredictedLine,
    extrapolation,
    law_line,
    local_exponents,
)
from mlproject.analysis.points import (
    HORIZONS,
    Correlation,
    LossKind,
    Point,
    correlations,
    influence,
    loss_kinds,
    make_points,
    noise_dof,
)
from mlproject.analysis.runs import EvaluatedRun, ImagePool
from mlproject.errors import MLProjectError
from mlproject.scaling import (
    UNIDENTIFIABLE,
    Assessment,
    ImageExponents,
    LawFit,
    Library,
    Prediction,
    assess,
    image_exponents,
    unshared_noise,
)

REPORTED = ("power", "power_floor")
"""The laws that reports give for every curve, whatever their weights."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Comparable cells along one axis.

    ``series`` tells curves of one figure apart (a model, a dataset size), ``family`` the figures.
    ``fixed`` is what all cells of the curve share. ``assessments`` are empty for a curve of one scale.
    Shapes: ``losses`` is [images, points], NaN where a point did not evaluate an image; the arrays of
    ``image_exponents`` are [images].
    """

    axis: Axis
    series: str
    family: str
    fixed: Mapping[str, Any]
    points: tuple[Point, ...]
    image_ids: tuple[str, ...]
    losses: Floats
    assessments: Mapping[Statistic, Assessment] = field(default_factory=dict)
    correlations: tuple[Correlation, ...] = ()
    image_exponents: ImageExponents | None = None
    loss_kinds: tuple[LossKind, ...] = ()

    @property
    def label(self) -> str:
        """The name of the curve in every table."""
        return f"{self.series} · {self.family}"

    @property
    def split(self) -> str:
        """``eval``, or ``in-sample`` where losses are those of the training images."""
        return "in-sample" if self.fixed["split"] == "train" else str(self.fixed["split"])

    @property
    def random(self) -> bool:
        """Whether the backbones carry random weights."""
        return bool(self.fixed["weights_kind"] == "random")

    @property
    def target(self) -> str:
        """The knob ``target``, or nothing where the recipe has none."""
        return str(self.fixed["knobs"].get("target", ""))

    @property
    def x(self) -> Floats:
        """The scales, ascending; two models of one size are two points."""
        return np.array([point.x for point in self.points])

    @property
    def n_scales(self) -> int:
        """How many distinct scales the curve has."""
        return len({point.x for point in self.points})

    @property
    def n_images(self) -> int:
        """The most images that a point evaluated."""
        return max(point.n_images for point in self.points)

    @property
    def n_seeds(self) -> tuple[int, int]:
        """The fewest and the most seeds that a point has."""
        counts = [point.n_seeds for point in self.points]
        return min(counts), max(counts)

    def values(self, statistic: Statistic) -> Floats:
        """The losses of the points."""
        return np.array([point.value(statistic) for point in self.points])

    def draws(self, statistic: Statistic) -> Floats:
        """The replicates of the points [draws, points]."""
        return np.stack([point.draws[statistic] for point in self.points], axis=1)

    def csv_points(self, statistic: Statistic) -> list[dict[str, float | None]]:
        """Scale, loss and sd of every point, which ``assess`` turns into the same verdicts as this curve.

        ``sd`` is the noise that a point does not share with the others, None where it is not known, as where
        a point has one seed.
        """
        values = self.values(statistic)
        noise = unshared_noise(values, self.draws(statistic)) if self.n_seeds[0] > 1 else None
        sds = [None] * len(values) if noise is None else noise.tolist()
        rows = zip(self.x.tolist(), values.tolist(), sds, strict=True)
        return [{"x": x, "loss": loss, "sd": sd} for x, loss, sd in rows]

    def law(self, statistic: Statistic, name: str) -> LawFit | None:
        """What is said of one law, where anything was."""
        assessment = self.assessments.get(statistic)
        return None if assessment is None else assessment.law(name)

    def reported_laws(self, statistic: Statistic) -> tuple[LawFit, ...]:
        """The power law without and with a floor, fitted or with the reason why not."""
        assessment = self.assessments.get(statistic)
        if assessment is None:
            return ()
        return tuple(assessment.law(name) or _not_fitted(name, assessment) for name in REPORTED)

    def fitted_laws(self, statistic: Statistic) -> tuple[LawFit, ...]:
        """The reported laws that could be fitted."""
        return tuple(law for law in self.reported_laws(statistic) if law.fit is not None)

    def preferred(self, statistic: Statistic) -> LawFit | None:
        """The fitted law that is reported first: with a floor where that is identifiable, else without."""
        fitted = list(self.fitted_laws(statistic))
        fitted.sort(key=lambda law: (law.verdict == UNIDENTIFIABLE, law.law != "power_floor"))
        return fitted[0] if fitted else None

    @property
    def refusal(self) -> str:
        """Why no law was fitted; empty where one was, and for a curve of one scale."""
        if not self.assessments or any(self.fitted_laws(statistic) for statistic in STATISTICS):
            return ""
        return self.reported_laws("mean")[0].reason

    @cached_property
    def predictions(self) -> Mapping[Statistic, Prediction]:
        """Losses over all laws at ``HORIZONS`` times the largest scale, where laws were averaged."""
        at = self.x[-1] * np.array(HORIZONS)
        averages = {name: assessment.average for name, assessment in self.assessments.items()}
        return {name: average.predict(at) for name, average in averages.items() if average is not None}

    @cached_property
    def local_exponents(self) -> Mapping[Statistic, LocalExponents]:
        """Slopes between neighbouring scales, where losses are above zero; with one seed without limits."""
        known = self.n_seeds[0] > 1
        slopes = {s: local_exponents(self.x, self.values(s), self.draws(s), known=known) for s in STATISTICS}
        return {statistic: slope for statistic, slope in slopes.items() if slope is not None}

    @cached_property
    def law_lines(self) -> Mapping[Statistic, Mapping[str, LawLine]]:
        """The fitted laws along the axis by name, for drawing."""
        return {
            s: {
                law.law: law_line(
                    law, self.x, self.values(s),
                    beyond=s not in self.predictions,  # else all laws go on from the largest scale
                )
                for law in self.fitted_laws(s)
            }
            for s in STATISTICS
        }  # fmt: skip

    @cached_property
    def extrapolations(self) -> Mapping[Statistic, PredictedLine]:
        """All laws from the largest scale to the first horizon, for drawing."""
        largest = float(self.x[-1])
        lines = {s: extrapolation(a, largest, HORIZONS[0]) for s, a in self.assessments.items()}
        return {statistic: line for statistic, line in lines.items() if line is not None}


def _not_fitted(name: str, why: Assessment) -> LawFit:
    return LawFit(law=name, weight=0.0, verdict=why.verdict, reason=why.reason, parameters={})


def make_curves(
    pool: ImagePool, drawn: Mapping[str, Replicates], seed: int
) -> list[tuple[ComparableRuns, Curve]]:
    """The curves of one pool along every axis; their labels come later, when all groups are known."""
    groups = [group for axis in AXES.values() for group in comparable_runs(pool.runs, axis)]
    return [(group, _curve(group, pool, drawn, seed)) for group in groups if is_informative(group)]


def label_curves(pairs: Sequence[tuple[ComparableRuns, Curve]]) -> tuple[Curve, ...]:
    """Curves with labels that tell them apart, in the order that people read them."""
    curves = []
    for axis in AXES.values():
        along = [pair for pair in pairs if pair[0].axis is axis]
        labels = labels_of([group for group, _ in along])
        for (_, curve), (series, family) in zip(along, labels, strict=True):
            curves.append(replace(curve, series=series, family=family))
    axes = list(AXES.values())
    curves.sort(key=lambda c: (axes.index(c.axis), c.family, c.random, natural_order(c.series)))
    return tuple(curves)


def _curve(group: ComparableRuns, pool: ImagePool, drawn: Mapping[str, Replicates], seed: int) -> Curve:
    curve, scales = bare_curve(group, pool, drawn, seed), tuple(_scales(group).values())
    return replace(
        curve,
        correlations=correlations(tuple(point.name for point in curve.points), curve.losses),
        loss_kinds=loss_kinds(scales, [point.x for point in curve.points], len(pool.image_ids)),
        assessments=_assess(curve),
        image_exponents=_image_exponents(curve) if group.axis is AXES["images"] else None,
    )


def bare_curve(group: ComparableRuns, pool: ImagePool, drawn: Mapping[str, Replicates], seed: int) -> Curve:
    """The curve of comparable runs: points and losses, and nothing that follows from them."""
    scales = [(name, group.axis.value(runs[0].observation), runs) for name, runs in _scales(group).items()]
    points, losses = make_points(scales, len(pool.image_ids), drawn, seed)
    return Curve(
        axis=group.axis, series="", family="", fixed=group.fixed, points=points, image_ids=pool.image_ids,
        losses=losses,
    )  # fmt: skip


def _assess(curve: Curve) -> dict[Statistic, Assessment]:
    return {s: assess_curve(curve, s) for s in STATISTICS} if curve.n_scales > 1 else {}


def assess_curve(curve: Curve, statistic: Statistic, library: Library | None = None) -> Assessment:
    """The assessment of a curve's mean or median loss; ``library`` gives the priors of known studies."""
    return assess(
        curve.x,
        curve.values(statistic),
        draws=curve.draws(statistic),
        influence=influence(curve.losses) if statistic == "mean" else None,
        noise_dof=noise_dof(curve.points, statistic),
        axes=(curve.axis.name,),
        library=library,
    )


def _image_exponents(curve: Curve) -> ImageExponents | None:
    """Exponents per image; None below three sizes, or where no image was evaluated at every size."""
    if curve.n_scales < 3 or np.isnan(curve.losses).any(axis=1).all():
        return None
    try:
        return image_exponents(curve.x, curve.losses)
    except MLProjectError:
        return None


def _scales(group: ComparableRuns) -> dict[str, list[EvaluatedRun]]:
    """A group's runs by scale, ascending, under names that differ: two checkpoints are no two seeds.

    Where scales have the same name, the digest of the weights is added along models, else the scale's value.
    """
    along_models = group.axis.varies >= MODEL_FIELDS
    by_scale: dict[tuple[float, str, str], list[EvaluatedRun]] = {}
    for run in group.runs:
        model = (run.cell.model, run.cell.weights_digest) if along_models else ("", "")
        by_scale.setdefault((group.axis.value(run.observation), *model), []).append(run)
    keys = sorted(by_scale)
    scales = [by_scale[key] for key in keys]
    plain = [group.axis.scale_name(runs[0].observation) for runs in scales]
    details = [digest[:12] if along_models else f"{value:.12g}" for value, _, digest in keys]
    names = [n if plain.count(n) == 1 else f"{n} [{d}]" for n, d in zip(plain, details, strict=True)]
    return dict(zip(names, scales, strict=True))
