"""Grids: comparable runs of several models over several data sizes, as the cells of one joint law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mlproject.analysis.axes import AXES, GRID
from mlproject.analysis.bootstrap import Replicates, over_seeds
from mlproject.analysis.comparable import Group, groups, names
from mlproject.analysis.curve_point import average_losses, make_point
from mlproject.analysis.joining import join, logged
from mlproject.analysis.joint import Joint
from mlproject.analysis.runs import Pool, Run

SEED = 2
"""Of the stream that resamples seeds here, apart from that of the curves."""


def joints(pool: Pool, drawn: Mapping[str, Replicates], seed: int) -> list[tuple[Group, Joint]]:
    """The grids of one pool that hold several models and several sizes; labels come later."""
    found = [group for group in groups(pool.runs, GRID) if _is_grid(group)]
    return [(group, _joint(group, pool, drawn, seed)) for group in found]


def named_joints(pairs: Sequence[tuple[Group, Joint]]) -> tuple[Joint, ...]:
    """Grids with labels that tell them apart, in order."""
    labels = names([group for group, _ in pairs])
    named = [
        replace(joint, series=series, family=family)
        for (_, joint), (series, family) in zip(pairs, labels, strict=True)
    ]
    return tuple(sorted(named, key=lambda joint: (joint.family, joint.series)))


def _is_grid(group: Group) -> bool:
    sizes = {run.cell.dataset_size for run in group.runs}
    return len(sizes) > 1 and len({GRID.value(run.observation) for run in group.runs}) > 1


def _joint(group: Group, pool: Pool, drawn: Mapping[str, Replicates], seed: int) -> Joint:
    cells = _cells(group)
    rng = np.random.default_rng([seed, SEED])
    losses = np.stack([average_losses(runs, len(pool.image_ids)) for runs in cells], axis=1)
    points = []
    for runs, column in zip(cells, losses.T, strict=True):
        draws = over_seeds([drawn[run.observation.run_id] for run in runs], rng)
        name = f"{runs[0].cell.model} · {runs[0].cell.dataset_size:,} images"
        points.append(make_point(name, _size(runs[0])[0], runs, column, draws))
    compute = [logged([AXES["flops"].value(run.observation) for run in runs]) for runs in cells]
    joint = Joint(
        series="",
        family="",
        fixed=group.fixed,
        points=tuple(points),
        models=tuple(runs[0].cell.model for runs in cells),
        x=np.array([_size(runs[0]) for runs in cells]),
        compute=np.array(compute),
    )
    laws, why = join(joint, losses)
    return replace(joint, laws=laws, refusal=why)


def _cells(group: Group) -> list[list[Run]]:
    """Runs by model, checkpoint and data size, ascending: what only the seed tells apart is one cell."""
    found: dict[tuple[float, float, str, str], list[Run]] = {}
    for run in group.runs:
        key = (*_size(run), run.cell.model, run.cell.weights_digest)
        found.setdefault(key, []).append(run)
    return [found[key] for key in sorted(found)]


def _size(run: Run) -> tuple[float, float]:
    """N and D of a run."""
    return GRID.value(run.observation), float(run.cell.dataset_size)
