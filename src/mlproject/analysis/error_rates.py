"""Error rates along scale, with the laws of published studies as their prior (``--prior vision``).

Published laws of vision are those of error rates far more often than those of cross-entropies, and the
exponents of the two differ. The prior is therefore that of the error rate of a curve's runs, the share of
evaluated images whose class is wrong, whatever loss they trained; the laws of the trained loss stay as they
are without it. Images and seeds are resampled as for every other curve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlproject.analysis.axes import AXES
from mlproject.analysis.bootstrap import replicates
from mlproject.analysis.curves import Curve, assess_curve
from mlproject.analysis.points import HORIZONS, LEAST_SCALES, make_points
from mlproject.analysis.runs import ERROR, EvaluatedRun, ImagePool
from mlproject.errors import WrongUse
from mlproject.scaling import Assessment, Library, Prediction, PriorChoice, find_library

PUBLISHED_AXES = {"images": "images", "params": "parameters", "flops": "compute"}
"""The axis of a library by the name of an axis of ``AXES``."""
MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class ErrorRate:
    """The error rate of the runs of ``curve``, whose losses are 1 where the class of an image is wrong."""

    curve: Curve
    assessment: Assessment

    @property
    def predictions(self) -> tuple[Prediction, Prediction] | None:
        """At ``HORIZONS`` times the largest scale, with the library and without; None where it is unused."""
        average = self.assessment.average
        if self.assessment.library is None or average is None or average.usual is None:
            return None
        at = self.curve.x[-1] * np.array(HORIZONS)
        return average.predict(at), average.usual.predict(at)


@dataclass(frozen=True, kw_only=True)
class PriorUse:
    """What a library said of a study: the error rates that it was a prior of, and why there are no others."""

    choice: PriorChoice
    rates: tuple[ErrorRate, ...]
    left_out: tuple[str, ...]


def published_laws(choice: PriorChoice) -> dict[str, Library]:
    """The laws of error rates of a library by the name of an axis.

    Raises: WrongUse where another loss was asked for, BadInput where the library has none along the axis.
    """
    if choice.loss not in ("", ERROR):
        raise WrongUse(f"runs log the error of images, not {choice.loss}: write {choice.name}:{ERROR}")
    wanted = {name: axis for name, axis in PUBLISHED_AXES.items() if choice.axis in ("", axis)}
    return {AXES[name].name: find_library(choice.name, axis, ERROR) for name, axis in wanted.items()}


def use_prior(
    choice: PriorChoice, curves: Sequence[Curve], pools: Sequence[ImagePool], *, n_draws: int, seed: int = 0
) -> PriorUse:
    """Assess the error rate of every held-out curve of trained networks along an axis of a library."""
    libraries = published_laws(choice)
    by_id = {run.run_id: run for pool in pools for run in pool.runs}
    kept: list[Curve] = []
    reasons: dict[str, list[str]] = {}
    for curve in curves:
        reason = _not_asked(curve, choice) if curve.axis.name not in libraries else _unusable(curve, by_id)
        if reason:
            reasons.setdefault(f"{reason}, along {curve.axis.name}", []).append(curve.series)
        else:
            kept.append(curve)
    rates = [rate for pool in pools for rate in _rates(kept, pool, libraries, n_draws, seed)]
    order = {curve.label: place for place, curve in enumerate(curves)}
    return PriorUse(
        choice=choice,
        rates=tuple(sorted(rates, key=lambda rate: order[rate.curve.label])),
        left_out=tuple(f"{why} ({_counted(names)})" for why, names in reasons.items()),
    )


def _not_asked(curve: Curve, choice: PriorChoice) -> str:
    """Why a choice has no laws along the axis of a curve, and which would."""
    if curve.axis.name in {AXES[name].name for name in PUBLISHED_AXES}:
        return f"{choice.text} are other laws: write {choice.name} for those of every axis that it has"
    return f"{choice.name} has no laws"


def _unusable(curve: Curve, runs: Mapping[str, EvaluatedRun]) -> str:
    """Why a library is no prior of a curve; empty where it is."""
    if curve.n_scales < LEAST_SCALES:
        return f"fewer than {LEAST_SCALES} scales"
    if curve.random:
        return "random backbones, which no published study has"
    if curve.split == "in-sample":
        return "the images of the training itself, where published errors are held out"
    every = (runs[run_id] for point in curve.points for run_id in point.run_ids)
    if any(ERROR not in run.columns or run.columns[ERROR].dtype != np.bool_ for run in every):
        return "the runs log no error of 0 or 1 for each image: nothing is classified"
    return ""


def _counted(names: Sequence[str]) -> str:
    """A few names of curves, or how many there are."""
    return ", ".join(names) if len(names) <= MOST_NAMED else f"{len(names)} curves"


def _rates(
    curves: Sequence[Curve], pool: ImagePool, libraries: Mapping[str, Library], n_draws: int, seed: int
) -> list[ErrorRate]:
    """The error rates of the curves whose runs are in a pool."""
    here = {run.run_id: run for run in pool.runs}
    curves = [curve for curve in curves if curve.points[0].run_ids[0] in here]
    wanted = {run_id for curve in curves for point in curve.points for run_id in point.run_ids}
    if not wanted:
        return []
    errors = {run_id: _errors(run) for run_id, run in here.items() if run_id in wanted}
    drawn = replicates(replace(pool, runs=tuple(errors.values())), n_draws=n_draws, seed=seed)
    rates = []
    for curve in curves:
        scales = [(p.name, p.x, [errors[run_id] for run_id in p.run_ids]) for p in curve.points]
        points, losses = make_points(scales, len(pool.image_ids), drawn, seed)
        measured = Curve(
            axis=curve.axis, series=curve.series, family=curve.family, fixed={**curve.fixed, "kind": ERROR},
            points=points, image_ids=curve.image_ids, losses=losses,
        )  # fmt: skip
        assessment = assess_curve(measured, "mean", libraries[curve.axis.name])
        rates.append(ErrorRate(curve=measured, assessment=assessment))
    return rates


def _errors(run: EvaluatedRun) -> EvaluatedRun:
    """A run whose loss is its error: 1 where the class of an image is wrong."""
    return replace(run, kind=ERROR, losses=run.columns[ERROR].astype(np.float64))
