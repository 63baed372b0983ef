"""Aggregation: finished runs read back, grouped by what is comparable, and turned into curves and fits.

    observations -> runs -> pools (images in one order) -> replicates -> groups -> curves -> study

Nothing here knows where runs are kept or how results are drawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mlproject.analysis.ablation import ablate, merged
from mlproject.analysis.averages import averages, held_out
from mlproject.analysis.axes import AXES, Axis
from mlproject.analysis.bootstrap import Replicates, over_seeds, replicates
from mlproject.analysis.comparable import Group, groups, names, worth_drawing
from mlproject.analysis.contrasts import contrasts
from mlproject.analysis.correlations import correlations
from mlproject.analysis.crossings import sweet_spots
from mlproject.analysis.curve_point import average_losses, make_point
from mlproject.analysis.fits import per_image, verdicts
from mlproject.analysis.grids import joints, named_joints
from mlproject.analysis.notes import notes
from mlproject.analysis.runs import Pool, Run, pools, read
from mlproject.analysis.study import Curve, Study
from mlproject.losses import Observation

__all__ = ["AXES", "Axis", "Curve", "Study", "aggregate"]


def aggregate(observations: Iterable[Observation], *, n_draws: int = 1000, seed: int = 0) -> Study:
    """All curves and fits that finished runs carry, whatever order they come in.

    Raises: BadInput when there is no run, DigestMismatch when two runs of one cell differ.
    """
    runs, n_left_out = read(observations)
    found = pools(runs)
    pairs, grids, arms = [], [], []
    for pool in found:
        drawn = replicates(pool, n_draws=n_draws, seed=seed)
        own = _curves(pool, drawn, seed)
        pairs += own
        grids += joints(pool, drawn, seed)
        arms.append(ablate(pool, [curve for _, curve in own], n_draws=n_draws, seed=seed))
    curves, named = _named(pairs), named_joints(grids)
    by_region = contrasts(curves)
    pool_notes = [pool.note for pool in found if pool.note]
    said = notes(curves, named, by_region, n_left_out=n_left_out, pool_notes=pool_notes)
    return Study(
        curves=tuple(curves),
        notes=said,
        contrasts=by_region,
        run_ids=tuple(run.observation.run_id for run in runs),
        n_left_out=n_left_out,
        n_draws=n_draws,
        ablation=merged(arms),
        joints=named,
        sweet_spots=sweet_spots(found, n_draws=n_draws, seed=seed),
    )


def _curves(pool: Pool, drawn: Mapping[str, Replicates], seed: int) -> list[tuple[Group, Curve]]:
    """The curves of one pool, all under the same image weights."""
    found = [group for axis in AXES.values() for group in groups(pool.runs, axis) if worth_drawing(group)]
    return [(group, _curve(group, pool, drawn, seed)) for group in found]


def _named(pairs: Sequence[tuple[Group, Curve]]) -> list[Curve]:
    """Curves with labels that tell them apart, in the order that people read them."""
    curves = []
    for axis in AXES.values():
        mine = [pair for pair in pairs if pair[0].axis is axis]
        labels = names([group for group, _ in mine])
        for (_, curve), (series, family) in zip(mine, labels, strict=True):
            curves.append(replace(curve, series=series, family=family))
    axes = list(AXES.values())
    return sorted(curves, key=lambda c: (axes.index(c.axis), c.family, c.random, _natural(c.series)))


def _natural(name: str) -> list[tuple[int, str]]:
    """``resnet50`` before ``resnet101``, ``200 images`` before ``1,000 images``."""
    parts = re.split(r"(\d+)", name.replace(",", ""))
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]


def _curve(group: Group, pool: Pool, drawn: Mapping[str, Replicates], seed: int) -> Curve:
    """A group's points, fits and tables; its label comes later, when all groups are known."""
    scales = _scales(group)
    rng = np.random.default_rng([seed, 1])
    columns = {name: average_losses(runs, len(pool.image_ids)) for name, runs in scales.items()}
    points = []
    for name, runs in scales.items():
        draws = over_seeds([drawn[run.observation.run_id] for run in runs], rng)
        points.append(make_point(name, group.axis.value(runs[0].observation), runs, columns[name], draws))
    losses = np.stack(list(columns.values()), axis=1)
    curve = Curve(
        axis=group.axis,
        series="",
        family="",
        fixed=group.fixed,
        points=tuple(points),
        image_ids=pool.image_ids,
        losses=losses,
        correlations=correlations(tuple(point.name for point in points), losses),
    )
    exponents = per_image(curve) if group.axis is AXES["images"] else None
    fitted = replace(curve, verdicts=verdicts(curve), averages=averages(curve), image_exponents=exponents)
    return replace(fitted, held_out=held_out(fitted))


def _scales(group: Group) -> dict[str, list[Run]]:
    """A group's runs by scale, ascending, under names that differ: two checkpoints are no two seeds."""
    found: dict[tuple[float, str, str], list[Run]] = {}
    for run in group.runs:
        model = (run.cell.model, run.cell.weights_digest) if group.axis is AXES["params"] else ("", "")
        found.setdefault((group.axis.value(run.observation), *model), []).append(run)
    runs = [found[key] for key in sorted(found)]
    plain = [_scale_name(group.axis, some[0]) for some in runs]
    details = [some[0].cell.weights_digest[:12] for some in runs]
    names = [n if plain.count(n) == 1 else f"{n} [{d}]" for n, d in zip(plain, details, strict=True)]
    return dict(zip(names, runs, strict=True))


def _scale_name(axis: Axis, run: Run) -> str:
    if axis is AXES["params"]:
        return run.cell.model
    return str(run.cell.knobs["epochs"] if axis is AXES["epochs"] else run.cell.dataset_size)
