"""Ablation: arms against their baseline on the same images and seeds, with an interval on every difference.

Also how a difference changes along an axis (an interaction), and whether an arm's exponent is another.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mlproject.analysis.arms import BASELINE, FACTORS, Contest, Seeds, arm_of, contests, name_of_arm
from mlproject.analysis.axes import AXES, Axis
from mlproject.analysis.effects import Effect, Floats, effect, holm, mcnemar
from mlproject.analysis.matrix import COLUMNS, Ablation, Interaction, Matrix, Row, Steeper, Versus
from mlproject.analysis.runs import Pool, Run
from mlproject.analysis.study import Curve
from mlproject.cell import LABELS_ONLY
from mlproject.losses import PerImageLosses
from mlproject.scaling import compare

ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class _Scores:
    """What a run says of each image: tables [quantity] of values [images of a column], NaN where none."""

    loss: Mapping[str, Floats]
    error: Mapping[str, Floats]


Read = Callable[[Run], _Scores]
Measure = Callable[[Floats], Effect]


def ablate(pool: Pool, curves: Sequence[Curve], *, n_draws: int, seed: int) -> Ablation:
    """What one pool and its curves say of arms; nothing where no arm meets a baseline."""
    found = contests(pool.runs)
    if not found:
        return Ablation()
    known: dict[str, _Scores] = {}

    def read(run: Run) -> _Scores:
        return known.setdefault(run.observation.run_id, _scores(run, pool))

    def measure(contrast: Floats) -> Effect:
        return effect(contrast, n_draws=n_draws, seed=seed)

    matrices = tuple(_matrix(contest, read, measure) for contest in found)
    return Ablation(
        matrices=matrices,
        interactions=tuple(_interactions(found, read, measure)),
        exponents=tuple(_steeper(curves, matrices)),
    )


def merged(found: Sequence[Ablation]) -> Ablation:
    """The ablations of all pools as one."""
    return Ablation(
        matrices=tuple(one for some in found for one in some.matrices),
        interactions=tuple(one for some in found for one in some.interactions),
        exponents=tuple(one for some in found for one in some.exponents),
    )


def _scores(run: Run, pool: Pool) -> _Scores:
    losses = run.observation.load_losses()
    judged, chosen = losses.select(losses.judged_split), losses.select("validation")
    places = {image: i for i, image in enumerate(pool.image_ids)}
    tables: dict[str, dict[str, Floats]] = {}
    for quantity in (run.kind, ERROR):
        columns = {"eval": (judged, quantity), "final": (judged, f"final_{quantity}")}
        if not run.cell.in_sample:
            columns["validation"] = (chosen, quantity)
        found = {
            name: _placed(part, part.values[column], None if part is chosen else places)
            for name, (part, column) in columns.items()
            if column in part.values and part.image_ids
        }
        tables[quantity] = {name: found[name] for name in COLUMNS if name in found}
    return _Scores(loss=tables[run.kind], error=tables[ERROR])


def _placed(part: PerImageLosses, values: Floats, places: Mapping[str, int] | None) -> Floats:
    """Values in the pool's order of images; in that of their ids where there is no pool of them."""
    if places is None:
        return values[np.argsort(np.array(part.image_ids), kind="stable")]
    placed = np.full(len(places), np.nan)
    for image, value in zip(part.image_ids, values.tolist(), strict=True):
        if image in places:
            placed[places[image]] = value
    return placed


def _matrix(contest: Contest, read: Read, measure: Measure) -> Matrix:
    base = contest.arms[BASELINE]
    rows = [_row(name, arm, base, read, measure) for name, arm in contest.arms.items()]
    return Matrix(setting=contest.setting, baseline=contest.baseline, rows=tuple(_corrected(rows)))


def _row(name: str, arm: Seeds, base: Seeds, read: Read, measure: Measure) -> Row:
    own = [read(run) for run in arm.values()]
    row = Row(
        arm=name,
        n_seeds=len(arm),
        n_params=next(iter(arm.values())).observation.metrics.get("params", float("nan")),
        loss=_columns([one.loss for one in own], measure),
        error=_columns([one.error for one in own], measure),
    )
    shared = sorted(set(arm) & set(base))
    if name == BASELINE or not shared:
        return row
    pairs = [(read(arm[s]), read(base[s])) for s in shared]
    loss = measure(np.stack([a.loss["eval"] - b.loss["eval"] for a, b in pairs]))
    if not all("eval" in score.error for pair in pairs for score in pair):
        return replace(row, versus_loss=Versus(effect=loss, holm=loss.p))
    first, second = (np.stack([pair[i].error["eval"] for pair in pairs]) for i in (0, 1))
    error = measure(first - second)
    return replace(
        row,
        versus_loss=Versus(effect=loss, holm=loss.p),
        versus_error=Versus(effect=error, holm=error.p),
        mcnemar=mcnemar(first, second),
    )


def _columns(scores: Sequence[Mapping[str, Floats]], measure: Measure) -> dict[str, Effect]:
    """The mean of each column over seeds and images, where every run has it for as many images."""
    names = [name for name in COLUMNS if all(name in one for one in scores)]
    return {
        name: measure(np.stack([one[name] for one in scores]))
        for name in names
        if len({len(one[name]) for one in scores}) == 1
    }


def _corrected(rows: Sequence[Row]) -> list[Row]:
    """The rows with p-values adjusted for all arms of the matrix, losses and errors each by themselves."""
    losses = iter(holm([row.versus_loss.holm for row in rows if row.versus_loss]))
    errors = iter(holm([row.versus_error.holm for row in rows if row.versus_error]))
    found = []
    for row in rows:
        loss = replace(row.versus_loss, holm=next(losses)) if row.versus_loss else None
        error = replace(row.versus_error, holm=next(errors)) if row.versus_error else None
        found.append(replace(row, versus_loss=loss, versus_error=error))
    return found


def _interactions(found: Sequence[Contest], read: Read, measure: Measure) -> list[Interaction]:
    """Every arm that meets the same baseline at two or more scales of an axis, others being equal."""
    series: dict[tuple[str, str, str], list[Contest]] = {}
    for contest, (name, axis) in itertools.product(found, AXES.items()):
        if name != "flops":
            held = {k: v for k, v in contest.setting.items() if k not in axis.varies | set(LABELS_ONLY)}
            for arm in contest.arms:
                key = (name, arm, repr(sorted(held.items())) + repr(contest.baseline))
                series.setdefault(key, []).append(contest)
    made = [
        _interaction(AXES[name], arm, some, read, measure)
        for (name, arm, _), some in series.items()
        if arm != BASELINE and len(some) > 1
    ]
    told = [one for one in made if one is not None]
    losses = holm([one.loss.holm for one in told])
    errors = iter(holm([one.error.holm for one in told if one.error]))
    return [
        replace(
            one,
            loss=replace(one.loss, holm=loss),
            error=replace(one.error, holm=next(errors)) if one.error else None,
        )
        for one, loss in zip(told, losses, strict=True)
    ]


def _interaction(
    axis: Axis, arm: str, found: Sequence[Contest], read: Read, measure: Measure
) -> Interaction | None:
    """The least-squares slope of the difference over log2 of the axis: one contrast of all runs."""
    at = {axis.value(next(iter(c.arms[BASELINE].values())).observation): c for c in found}
    scales = sorted(at)
    runs = [(at[x].arms[arm], at[x].arms[BASELINE]) for x in scales]
    seeds = sorted(set.intersection(*(set(some) for pair in runs for some in pair)))
    if len(scales) < 2 or not seeds or np.isnan(scales).any():
        return None
    x = np.log2(scales)
    slope = (x - x.mean()) / np.square(x - x.mean()).sum()

    def contrasts(quantity: str) -> Floats | None:
        pairs = [[(read(a[s]), read(b[s])) for s in seeds] for a, b in runs]
        tables = [[(getattr(p, quantity), getattr(q, quantity)) for p, q in row] for row in pairs]
        if not all("eval" in table for row in tables for pair in row for table in pair):
            return None
        return np.array([[p["eval"] - q["eval"] for p, q in row] for row in tables])

    loss, error = contrasts("loss"), contrasts("error")
    assert loss is not None
    told = measure(np.tensordot(slope, loss, 1))
    wrong = None if error is None else measure(np.tensordot(slope, error, 1))
    first = found[0].setting
    return Interaction(
        arm=arm,
        axis=axis.name,
        series=str(first["model"]) if axis is AXES["images"] else f"{first['dataset_size']:,} images",
        scales=tuple(scales),
        steps=tuple(measure(step) for step in loss),
        loss=Versus(effect=told, holm=told.p),
        error=None if wrong is None else Versus(effect=wrong, holm=wrong.p),
    )


def _steeper(curves: Sequence[Curve], matrices: Sequence[Matrix]) -> list[Steeper]:
    """Exponents of the mean loss of every arm less those of its baseline, law by law."""
    arms = {(repr(sorted(m.baseline.items())), row.arm) for m in matrices for row in m.rows}
    found = []
    for base, other in itertools.permutations(curves, 2):
        own = arm_of(base.fixed)
        name = name_of_arm(arm_of(other.fixed), own)
        if (repr(sorted(own.items())), name) in arms and base.axis is other.axis and _alike(base, other):
            found += _exponents(name, base, other)
    return found


def _alike(first: Curve, second: Curve) -> bool:
    """Whether two curves are of one setting, and not the same."""
    free = {*FACTORS, *LABELS_ONLY}
    one, two = ({k: v for k, v in c.fixed.items() if k not in free} for c in (first, second))
    return one == two and first is not second


def _exponents(name: str, base: Curve, other: Curve) -> list[Steeper]:
    found = []
    for verdict in other.verdicts:
        against = base.verdict("mean", verdict.law)
        if verdict.statistic != "mean" or verdict.fit is None or against is None or against.fit is None:
            continue
        fixed: Mapping[str, Any] = base.fixed
        found.append(
            Steeper(
                arm=name,
                axis=base.axis.name,
                series=str(fixed["model"]) if "model" in fixed else f"{fixed['dataset_size']:,} images",
                law=verdict.law,
                own=verdict.fit.parameters["alpha"],
                baseline=against.fit.parameters["alpha"],
                difference=compare(verdict.fit, against.fit),
                identified="not identifiable" not in (verdict.verdict, against.verdict),
            )
        )
    return found
