"""Losses of single images: by model, size and seed, which rise with more data, where models disagree.

    study -> curves over dataset sizes of one family -> losses of every image in every run

A family is a set of curves that one figure may show, so that data, recipe, loss and protocol never mix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from mlproject.analysis.ablations import PairedDifference
from mlproject.analysis.curves import Curve
from mlproject.analysis.effects import effect, holm
from mlproject.analysis.mistakes import Mistakes
from mlproject.analysis.runs import EvaluatedRun, Floats, Names
from mlproject.analysis.study import Study

TENTH = 0.1
MOST_SEEDS = 20
"""Runs of a curve and size that are shown image by image: a browser cannot hold thousands."""


@dataclass(frozen=True, kw_only=True)
class ImageMistakes:
    """When a curve's images are learned, which get worse, and the chance of being right at the next scale.

    Shapes: all arrays are [images]. ``outcome`` has words, empty where not all runs evaluated an image;
    ``worse`` is None where one seed cannot tell, ``chance`` (NaN where unknown) where scales are too few.
    ``outcomes`` are all words with the scale at which an image is learned, None for lost and never right.
    """

    outcomes: tuple[tuple[float | None, str], ...]
    outcome: Names
    worse: NDArray[np.bool_] | None
    chance: Floats | None


@dataclass(frozen=True, kw_only=True)
class ImageSeries:
    """One curve over dataset sizes, image by image, in at most ``MOST_SEEDS`` runs of each size.

    ``n_seeds`` is the most runs that a size has. Shapes: ``sizes`` and ``seeds`` are [runs]; ``losses``
    [images, runs] is NaN where a run did not evaluate an image; ``predicted`` [images, runs] holds names of
    classes, empty where unknown, or is None; ``last`` [images] is the loss at the largest size, averaged over
    all seeds; ``exponent``, half the width of its 95 % interval, and ``q_value`` [images] are NaN where an
    image has none. ``worst_tenth`` is the share of the summed loss at the largest size that the tenth of
    images with the highest losses carries.
    """

    name: str
    random: bool
    sizes: Floats
    seeds: tuple[int, ...]
    n_seeds: int
    losses: Floats
    predicted: Names | None
    last: Floats
    exponent: Floats
    half_width: Floats
    q_value: Floats
    rises: NDArray[np.bool_]
    falls: NDArray[np.bool_]
    worst_tenth: float
    mistakes: ImageMistakes | None = None

    @property
    def has_exponents(self) -> bool:
        """Whether sizes are enough for an exponent of any image."""
        return bool(np.isfinite(self.exponent).any())


@dataclass(frozen=True, kw_only=True)
class ModelDifference:
    """The mean loss of one series minus that of another at one size, paired by image and seed."""

    name: str
    reference: str
    size: float
    loss: float
    reference_loss: float
    difference: PairedDifference


@dataclass(frozen=True, kw_only=True)
class Explorer:
    """The images of one family of curves. ``labels`` [images] is None where images have no classes.

    ``disagreement`` [images] is the standard deviation over series of the percentile of an image's loss among
    all images, at the largest size of each: 0 where every model finds the image equally hard. None with one
    series.
    """

    family: str
    kind: str
    data: str
    image_ids: tuple[str, ...]
    labels: Names | None
    series: tuple[ImageSeries, ...]
    disagreement: Floats | None
    differences: tuple[ModelDifference, ...]

    @property
    def n_rising(self) -> int:
        """Images whose loss rises reliably with more training images under at least one series."""
        return int(np.any([trend.rises for trend in self.series], axis=0).sum())

    @property
    def n_rising_everywhere(self) -> int:
        """Images whose loss rises reliably under every series that has exponents."""
        known = [trend.rises for trend in self.series if trend.has_exponents]
        return int(np.all(known, axis=0).sum()) if known else 0

    def chosen(self, most: int) -> NDArray[np.intp]:
        """At most so many images: half by reliability of a rise and by loss, half spread over the others."""
        last = _stack_last(self.series)
        losses = np.nansum(last, axis=1) / np.maximum((~np.isnan(last)).sum(axis=1), 1)
        if len(losses) <= most:
            return np.arange(len(losses))
        q = np.min([np.where(s.rises, s.q_value, np.inf) for s in self.series], axis=0)
        order = np.lexsort((-losses, q))
        first, rest = order[: most // 2], order[most // 2 :]
        rest = rest[np.argsort(-losses[rest], kind="stable")]
        spread = rest[np.linspace(0, len(rest) - 1, most - len(first)).round().astype(int)]
        return np.sort(np.concatenate([first, spread]))


def explorers(study: Study, *, seed: int = 0) -> tuple[Explorer, ...]:
    """The images of every family of curves over dataset sizes, the family with most runs first."""
    runs = {run.run_id: run for run in study.pooled_runs}
    families: dict[tuple[str, tuple[str, ...]], list[Curve]] = {}
    for curve in study.along("images"):
        families.setdefault((curve.family, curve.image_ids), []).append(curve)
    most_first = sorted(families.values(), key=lambda curves: -sum(map(_n_runs, curves)))
    return tuple(_explorer(curves, runs, study.mistakes, study.n_draws, seed) for curves in most_first)


def _n_runs(curve: Curve) -> int:
    return sum(point.n_seeds for point in curve.points)


def _explorer(
    curves: Sequence[Curve], runs: Mapping[str, EvaluatedRun], known: Mistakes, n_draws: int, seed: int
) -> Explorer:
    ids = curves[0].image_ids
    labels = np.full(len(ids), "", dtype=object)
    series = tuple(
        replace(_series(curve, runs, labels), mistakes=_mistakes(curve, known)) for curve in curves
    )
    return Explorer(
        family=curves[0].family,
        kind=str(curves[0].fixed["kind"]),
        data=str(curves[0].fixed["data"]),
        image_ids=ids,
        labels=labels if any(labels) else None,
        series=series,
        disagreement=_disagreement(series),
        differences=_differences(curves, runs, n_draws, seed),
    )


def _by_size(curve: Curve, runs: Mapping[str, EvaluatedRun]) -> dict[float, list[EvaluatedRun]]:
    """The runs of every size, ascending, by seed."""
    by_size: dict[float, list[EvaluatedRun]] = {}
    for point in curve.points:
        by_size.setdefault(point.x, []).extend(runs[run_id] for run_id in point.run_ids)
    return {x: sorted(by_size[x], key=lambda run: run.cell.seed) for x in sorted(by_size)}


def _series(curve: Curve, runs: Mapping[str, EvaluatedRun], labels: Names) -> ImageSeries:
    """The first runs of a curve by size and seed; known labels [images] are written into ``labels``."""
    by_size = _by_size(curve, runs)
    cells = [(x, run) for x, of_size in by_size.items() for run in of_size[:MOST_SEEDS]]
    losses = np.full((len(labels), len(cells)), np.nan)
    predicted = np.full(losses.shape, "", dtype=object)
    for column, (_, run) in enumerate(cells):
        losses[run.rows, column] = run.losses
        names = run.predictions
        if names is not None:
            predicted[run.rows, column] = names.predicted
            labels[run.rows] = names.labels
    last, exponents = curve.losses[:, -1], curve.image_exponents
    unknown, never = np.full(len(labels), np.nan), np.zeros(len(labels), np.bool_)
    return ImageSeries(
        name=curve.series,
        random=curve.random,
        sizes=np.array([x for x, _ in cells]),
        seeds=tuple(run.cell.seed for _, run in cells),
        n_seeds=max(map(len, by_size.values())),
        losses=losses,
        predicted=predicted if predicted.any() else None,
        last=last,
        exponent=unknown if exponents is None else exponents.exponent,
        half_width=unknown if exponents is None else exponents.half_width,
        q_value=unknown if exponents is None else exponents.q_value,
        rises=never if exponents is None else exponents.rises,
        falls=never if exponents is None else exponents.scales,
        worst_tenth=share_of_worst(last[~np.isnan(last)], TENTH),
    )


def _mistakes(curve: Curve, known: Mistakes) -> ImageMistakes | None:
    """The mistakes of a curve's images; None where nothing was classified."""
    trajectory = next((t for t in known.trajectories if t.curve.label == curve.label), None)
    if trajectory is None:
        return None
    forecast, trends, n = known.forecast(curve), trajectory.trends, len(curve.image_ids)
    words, outcome, worse = dict(trajectory.outcomes), np.full(n, "", dtype=object), np.zeros(n, np.bool_)
    outcome[trajectory.rows] = [words[place] for place in trajectory.learned.tolist()]
    chance = np.full(n, np.nan)
    if trends is not None:
        worse[trajectory.rows] = trends.rises
    if forecast is not None:
        chance[trajectory.rows] = forecast.chance
    return ImageMistakes(
        outcomes=tuple(
            (None if place < 0 else curve.points[place].x if place else 0.0, text)
            for place, text in trajectory.outcomes
        ),
        outcome=outcome,
        worse=None if trends is None else worse,
        chance=None if forecast is None else chance,
    )


def share_of_worst(losses: Floats, share: float) -> float:
    """The part of the summed loss that the ``share`` of images with the highest losses carries.

    Losses [images]; at least one image counts. NaN where the sum is not above zero.
    """
    n = max(1, round(share * len(losses)))
    total = float(losses.sum()) if len(losses) else 0.0
    return float(np.sort(losses)[-n:].sum()) / total if total > 0 else float("nan")


def _stack_last(series: Sequence[ImageSeries]) -> Floats:
    """Losses [images, series] at the largest size of each."""
    return np.stack([trend.last for trend in series], axis=1)


def _disagreement(series: Sequence[ImageSeries]) -> Floats | None:
    if len(series) < 2:
        return None
    percentiles = []
    for losses in _stack_last(series).T:
        known = ~np.isnan(losses)
        column = np.full(len(losses), np.nan)
        column[known] = 100.0 * (rankdata(losses[known]) - 0.5) / max(1, int(known.sum()))
        percentiles.append(column)
    table = np.stack(percentiles, axis=1)
    whole = ~np.isnan(table).any(axis=1)
    out = np.full(len(table), np.nan)
    out[whole] = table[whole].std(axis=1)
    return out


def _differences(
    curves: Sequence[Curve], runs: Mapping[str, EvaluatedRun], n_draws: int, seed: int
) -> tuple[ModelDifference, ...]:
    """Every curve minus that of the lowest loss, at the largest size of all; after Holm's correction."""
    shared = sorted(set.intersection(*(set(curve.x.tolist()) for curve in curves)))
    if len(curves) < 2 or not shared:
        return ()
    columns = [_losses(_by_size(curve, runs)[shared[-1]], len(curve.image_ids)) for curve in curves]
    means = [float(np.nanmean(list(by_seed.values()))) for by_seed in columns]
    best = int(np.argmin(means))
    rows = []
    for i, (curve, by_seed) in enumerate(zip(curves, columns, strict=True)):
        seeds = sorted(set(by_seed) & set(columns[best]))
        if i == best or not seeds:
            continue
        contrast = np.stack([by_seed[s] - columns[best][s] for s in seeds])
        if not np.isnan(contrast).all():
            rows.append((i, curve.series, effect(contrast, n_draws=n_draws, seed=seed)))
    adjusted = iter(holm([result.p for _, _, result in rows if result.n_seeds > 1]))
    return tuple(
        ModelDifference(
            name=name,
            reference=curves[best].series,
            size=shared[-1],
            loss=means[i],
            reference_loss=means[best],
            difference=PairedDifference(
                effect=result, **({"holm": next(adjusted)} if result.n_seeds > 1 else {})
            ),
        )
        for i, name, result in rows
    )


def _losses(runs: Sequence[EvaluatedRun], n_images: int) -> dict[int, Floats]:
    """Losses [images] of runs by seed, NaN where a run did not evaluate an image."""
    placed = ((run.cell.seed, run.placed(run.kind, n_images)) for run in runs)
    return {seed: losses for seed, losses in placed if losses is not None}
