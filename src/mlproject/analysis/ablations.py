"""Ablations: arms against their baseline on the same images and seeds, and their change along an axis."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mlproject.analysis.arms import BASELINE, ArmComparison, RunsBySeed, arm_comparisons, value_text
from mlproject.analysis.axes import AXES, Axis
from mlproject.analysis.comparable import comparison_key, data_name
from mlproject.analysis.effects import Discordant, Effect, Floats, Range, effect, holm, mcnemar
from mlproject.analysis.runs import ERROR, EvaluatedRun, ImagePool

ALPHA = 0.05
COLUMNS = ("validation", "final", "eval")
"""Where an arm is evaluated: on the validation images that chose its epoch, under its last weights on the
evaluation images, and on them once under the chosen weights. Only the last is free of a choice."""
PerImage = Mapping[str, Floats]
"""Values [images] by column."""
Measure = Callable[..., Effect]
"""The effect of a contrast [seeds, images], and within what such a mean can be."""
ONE_SEED = "not concluded (one seed)"
TWO_SEEDS = "inconclusive (two seeds)"


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """An arm minus the baseline in one quantity; ``holm`` is p adjusted for all arms of the table.

    One seed has no p: whatever its images tell, another training of the same arm may differ by as much.
    """

    effect: Effect
    holm: float = math.nan

    @property
    def p(self) -> float:
        """The p-value over images and seeds, not a number with one seed."""
        return self.effect.p if self.effect.n_seeds > 1 else math.nan

    @property
    def verdict(self) -> str:
        """Which is lower, after the correction for many arms; losses and errors are better when lower."""
        if self.effect.n_seeds == 1:
            return ONE_SEED
        if self.holm >= ALPHA:
            return TWO_SEEDS if self.effect.n_seeds == 2 else "no difference seen"
        return "better" if self.effect.value < 0 else "worse"

    @property
    def change(self) -> str:
        """The direction of a change along an axis, or the verdict that withholds it."""
        return {"better": "falls", "worse": "rises"}.get(self.verdict, self.verdict)


@dataclass(frozen=True, kw_only=True)
class ArmRow:
    """One arm of a table: its ``loss`` and ``error`` by column, and its differences from the baseline.

    The baseline has no differences. ``mcnemar`` counts images that only this arm, or only the baseline, has
    wrong, over all seeds.
    """

    arm: str
    n_seeds: int
    n_params: float
    loss: Mapping[str, Effect]
    error: Mapping[str, Effect]
    loss_difference: PairedDifference | None = None
    error_difference: PairedDifference | None = None
    mcnemar: Discordant | None = None

    @property
    def over(self) -> str:
        """What the intervals of the arm's losses are over."""
        return "images" if self.n_seeds == 1 else "images and seeds"


@dataclass(frozen=True, kw_only=True)
class ArmTable:
    """The arms of one setting, the baseline first."""

    setting: Mapping[str, Any]
    baseline: Mapping[str, Any]
    rows: tuple[ArmRow, ...]

    @property
    def label(self) -> str:
        """``resnet50 · 200 images · tench``."""
        data = data_name(str(self.setting["data"]))
        return f"{self.setting['model']} · {self.setting['dataset_size']:,} images · {data}"

    @property
    def over(self) -> str:
        """What the intervals of differences are over, ``images`` where any is."""
        rows = [row.loss_difference for row in self.rows if row.loss_difference is not None]
        return min((row.effect.over for row in rows), default="images and seeds")


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """How an arm's difference from the baseline changes for each doubling along an axis.

    ``setting`` and ``baseline`` are those of the first scale; ``series`` is what is fixed along the axis;
    ``steps`` are the differences at each of ``scales``.
    """

    arm: str
    setting: Mapping[str, Any]
    baseline: Mapping[str, Any]
    axis: str
    series: str
    scales: tuple[float, ...]
    steps: tuple[Effect, ...]
    loss: PairedDifference
    error: PairedDifference | None

    @property
    def recipe(self) -> str:
        """That of the baseline."""
        return str(self.baseline.get("recipe", ""))

    @property
    def protocol(self) -> tuple[str, ...]:
        """What the arms of one figure share: arm and baseline, recipe, data, loss, target, images."""
        names = ("data", "kind", "target", "length", "split", "eval_size")
        return (self.arm, self.against, self.recipe, *(str(self.setting.get(name, "")) for name in names))

    @property
    def against(self) -> str:
        """The baseline in the knobs that the arm names: ``augmentation=none``."""
        names = [part.partition("=")[0] for part in self.arm.split(", ") if "=" in part]
        knobs = {name.removeprefix("knobs."): value for name, value in self.baseline.items()}
        known = [f"{name}={value_text(knobs[name])}" for name in names if name in knobs]
        return ", ".join(known) or f"{BASELINE} {self.setting.get('model', '')}".strip()


@dataclass(frozen=True, kw_only=True)
class _Scores:
    """Loss and error of every image of a run by column, NaN where an image was not evaluated."""

    loss: PerImage
    error: PerImage


class _Scorer:
    """Scores of the runs of a pool, each computed once, and effects of contrasts between them."""

    def __init__(self, pool: ImagePool, measure: Measure) -> None:
        self.measure = measure
        self._n_images = len(pool.image_ids)
        self._known: dict[str, _Scores] = {}

    def __call__(self, run: EvaluatedRun) -> _Scores:
        if run.run_id not in self._known:
            columns = {name: self._columns(run, name) for name in (run.kind, ERROR)}
            self._known[run.run_id] = _Scores(loss=columns[run.kind], error=columns[ERROR])
        return self._known[run.run_id]

    def _columns(self, run: EvaluatedRun, quantity: str) -> PerImage:
        columns = {
            "validation": run.validation.get(quantity),
            "final": run.placed(f"final_{quantity}", self._n_images),
            "eval": run.placed(quantity, self._n_images),
        }
        return {name: np.asarray(v, dtype=np.float64) for name, v in columns.items() if v is not None}


def ablate(pool: ImagePool, *, n_draws: int, seed: int) -> tuple[list[ArmTable], list[Interaction]]:
    """Tables of arms and interactions of one pool; empty where no arm has a baseline."""
    comparisons = arm_comparisons(pool.runs)

    def measure(contrast: Floats, within: Range = "any") -> Effect:
        return effect(contrast, n_draws=n_draws, seed=seed, within=within)

    scorer = _Scorer(pool, measure)
    return [_table(comparison, scorer) for comparison in comparisons], _interactions(comparisons, scorer)


def _table(comparison: ArmComparison, scorer: _Scorer) -> ArmTable:
    arms = comparison.arms
    rows = tuple(_corrected_rows([_row(name, arm, arms[BASELINE], scorer) for name, arm in arms.items()]))
    return ArmTable(setting=comparison.setting, baseline=comparison.baseline, rows=rows)


def _row(name: str, arm: RunsBySeed, baseline: RunsBySeed, scorer: _Scorer) -> ArmRow:
    scores = [scorer(run) for run in arm.values()]
    row = ArmRow(
        arm=name,
        n_seeds=len(arm),
        n_params=next(iter(arm.values())).observation.metrics.get("params", float("nan")),
        loss=_means([score.loss for score in scores], scorer.measure, "positive"),
        error=_means([score.error for score in scores], scorer.measure, "share"),
    )
    shared = sorted(set(arm) & set(baseline))
    if name == BASELINE or not shared:
        return row
    pairs = [(scorer(arm[seed]), scorer(baseline[seed])) for seed in shared]
    loss = scorer.measure(np.stack([a.loss["eval"] - b.loss["eval"] for a, b in pairs]))
    row = replace(row, loss_difference=PairedDifference(effect=loss))
    if not all("eval" in score.error for pair in pairs for score in pair):
        return row
    first, second = (np.stack([pair[i].error["eval"] for pair in pairs]) for i in (0, 1))
    error = scorer.measure(first - second, "difference of shares")
    return replace(row, error_difference=PairedDifference(effect=error), mcnemar=mcnemar(first, second))


def _means(scores: Sequence[PerImage], measure: Measure, within: Range) -> dict[str, Effect]:
    """The mean of each column over seeds and images, where every run has it for as many images."""
    names = [name for name in COLUMNS if all(name in columns for columns in scores)]
    return {
        name: measure(np.stack([columns[name] for columns in scores]), within)
        for name in names
        if len({len(columns[name]) for columns in scores}) == 1
    }


def _corrected(differences: Sequence[PairedDifference | None]) -> list[PairedDifference | None]:
    """Differences with p-values adjusted for their number; None and those of one seed stay."""
    adjusted = iter(holm([d.p for d in differences if d and not math.isnan(d.p)]))
    return [
        replace(d, holm=next(adjusted)) if d is not None and not math.isnan(d.p) else d for d in differences
    ]


def _corrected_rows(rows: Sequence[ArmRow]) -> list[ArmRow]:
    """The rows with p-values adjusted for all arms of the table, losses and errors each by themselves."""
    losses = _corrected([row.loss_difference for row in rows])
    errors = _corrected([row.error_difference for row in rows])
    return [
        replace(row, loss_difference=loss, error_difference=error)
        for row, loss, error in zip(rows, losses, errors, strict=True)
    ]


def _interactions(comparisons: Sequence[ArmComparison], scorer: _Scorer) -> list[Interaction]:
    """Every arm that has the same baseline at two or more scales of an axis, everything else being equal."""
    series: dict[tuple[str, str, str], list[ArmComparison]] = {}
    for comparison, (name, axis) in itertools.product(comparisons, AXES.items()):
        if name != "flops":
            fixed = comparison_key(comparison.setting, axis.varies)
            for arm in comparison.arms:
                key = (name, arm, fixed + comparison_key(comparison.baseline))
                series.setdefault(key, []).append(comparison)
    candidates = [
        _interaction(AXES[name], arm, group, scorer)
        for (name, arm, _), group in series.items()
        if arm != BASELINE and len(group) > 1
    ]
    interactions = [interaction for interaction in candidates if interaction is not None]
    losses = _corrected([interaction.loss for interaction in interactions])
    errors = _corrected([interaction.error for interaction in interactions])
    return [
        replace(interaction, loss=loss or interaction.loss, error=error)
        for interaction, loss, error in zip(interactions, losses, errors, strict=True)
    ]


def _interaction(
    axis: Axis, arm: str, comparisons: Sequence[ArmComparison], scorer: _Scorer
) -> Interaction | None:
    """The least-squares slope of the difference over log2 of the axis: one contrast of all runs."""
    at = {axis.value(next(iter(c.arms[BASELINE].values())).observation): c for c in comparisons}
    scales = sorted(at)
    runs = [(at[x].arms[arm], at[x].arms[BASELINE]) for x in scales]
    seeds = sorted(set.intersection(*(set(by_seed) for pair in runs for by_seed in pair)))
    if len(scales) < 2 or not seeds or np.isnan(scales).any():
        return None
    pairs = [[(scorer(first[s]), scorer(second[s])) for s in seeds] for first, second in runs]
    losses = _contrasts([[(a.loss, b.loss) for a, b in row] for row in pairs])
    errors = _contrasts([[(a.error, b.error) for a, b in row] for row in pairs])
    x = np.log2(scales)
    slope = (x - x.mean()) / np.square(x - x.mean()).sum()
    assert losses is not None
    loss = scorer.measure(np.tensordot(slope, losses, 1))
    error = None if errors is None else scorer.measure(np.tensordot(slope, errors, 1))
    setting = comparisons[0].setting
    return Interaction(
        arm=arm,
        setting=setting,
        baseline=comparisons[0].baseline,
        axis=axis.name,
        series=str(setting["model"]) if axis is AXES["images"] else f"{setting['dataset_size']:,} images",
        scales=tuple(scales),
        steps=tuple(scorer.measure(step) for step in losses),
        loss=PairedDifference(effect=loss),
        error=None if error is None else PairedDifference(effect=error),
    )


def _contrasts(pairs: Sequence[Sequence[tuple[PerImage, PerImage]]]) -> Floats | None:
    """Arm minus baseline [scales, seeds, images] on the evaluation images, where all have them."""
    if not all("eval" in column for row in pairs for pair in row for column in pair):
        return None
    return np.array([[arm["eval"] - baseline["eval"] for arm, baseline in row] for row in pairs])
