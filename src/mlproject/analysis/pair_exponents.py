"""Exponents of two sets of runs over the sizes that both have, from the images and seeds that they share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlproject.analysis.effects import Floats, seed_weights
from mlproject.analysis.points import LEAST_SCALES, seed_dof
from mlproject.analysis.runs import EvaluatedRun
from mlproject.scaling import UNIDENTIFIABLE, Difference, Fit, assess, compare

Pairs = Sequence[tuple[EvaluatedRun, EvaluatedRun]]
SIZE = "dataset_size"


@dataclass(frozen=True, kw_only=True)
class PairedExponent:
    """The exponents of both under k D^-α over the sizes they share, and first minus second.

    Both are assessed as curves are; ``identified`` is whether the sizes and seeds can carry both.
    """

    shared: Mapping[str, Any]
    first: Fit
    second: Fit
    difference: Difference
    identified: bool


def shared_images(pairs: Pairs) -> list[str]:
    """The images that both runs of any pair evaluated."""
    return sorted({image for a, b in pairs for image in set(a.image_ids) & set(b.image_ids)})


def values_of(pairs: Pairs, column: str = "") -> Floats | None:
    """Losses, or a column that all runs have, of both [2, seeds, images]; NaN where not both have one."""
    if column and any(column not in run.columns for pair in pairs for run in pair):
        return None
    ids = shared_images(pairs)
    values = np.full((2, len(pairs), len(ids)), np.nan)
    for row, pair in enumerate(pairs):
        for side, run in enumerate(pair):
            of_run = run.columns[column] if column else run.losses
            by_image = dict(zip(run.image_ids, of_run.tolist(), strict=True))
            values[side, row] = [by_image.get(image, np.nan) for image in ids]
    values[:, np.isnan(values).any(axis=0)] = np.nan
    return values


def paired_exponents(
    settings: Sequence[tuple[Mapping[str, Any], Pairs, bool]], *, n_draws: int, seed: int
) -> list[PairedExponent]:
    """Exponents over the sizes of settings that differ in nothing else, from three sizes on.

    Images and seeds are drawn alike for both, at every size: the draws of the difference are paired.
    """
    series: dict[str, dict[int, Pairs]] = {}
    for shared, pairs, _ in settings:
        rest = {name: value for name, value in shared.items() if name != SIZE}
        series.setdefault(json.dumps(rest, default=str), {})[pairs[0][0].cell.dataset_size] = pairs
    exponents = []
    for key, by_size in series.items():
        if len(by_size) < LEAST_SCALES:
            continue
        sizes = sorted(by_size)
        of_seeds, draws = _curves([by_size[size] for size in sizes], n_draws=n_draws, seed=seed)
        means = [[float(of_size[i].mean()) for of_size in of_seeds] for i in (0, 1)]
        dof = [seed_dof([of_size[i] for of_size in of_seeds], draws[i]) for i in (0, 1)]
        laws = [
            assess(sizes, means[i], draws=draws[i], noise_dof=dof[i], laws=("power",)).law("power")
            for i in (0, 1)
        ]
        first, second = (None if law is None else law.fit for law in laws)
        if first is not None and second is not None:  # none where a mean loss is 0
            exponents.append(
                PairedExponent(
                    shared=json.loads(key),
                    first=first,
                    second=second,
                    difference=compare(first, second),
                    identified=all(law is not None and law.verdict != UNIDENTIFIABLE for law in laws),
                )
            )
    return exponents


def _curves(scales: Sequence[Pairs], *, n_draws: int, seed: int) -> tuple[list[Floats], Floats]:
    """Mean losses [2, seeds] of both by scale, and replicates [2, draws, scales], drawn alike for both."""
    ids = sorted({image for pairs in scales for image in shared_images(pairs)})
    place = {image: i for i, image in enumerate(ids)}
    rng = np.random.default_rng([seed, 4])
    weights = rng.standard_exponential((n_draws, len(ids)))
    means, draws = [], []
    for pairs in scales:
        losses = values_of(pairs)
        assert losses is not None
        chosen = weights[:, [place[image] for image in shared_images(pairs)]]
        known = ~np.isnan(losses)
        sums = np.einsum("bi,ksi->kbs", chosen, np.where(known, losses, 0.0), optimize=True)
        totals = np.einsum("bi,ksi->kbs", chosen, known, optimize=True)
        draws.append((sums / totals * seed_weights(len(pairs), n_draws, rng)).sum(axis=2))
        means.append(np.nanmean(losses, axis=2))
    return means, np.stack(draws, axis=2)
