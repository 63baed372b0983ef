"""Error consistency: whether two networks have the same images wrong, beyond what accuracies alone give.

    c_obs = share of images that both have right or both have wrong
    c_exp = p q + (1 - p) (1 - q)             of independent networks of accuracies p and q
    κ     = (c_obs - c_exp) / (1 - c_exp)     1: the same images; 0: as many as by chance

Source: Geirhos et al. 2020, NeurIPS (arXiv 2006.16736), equations 1 and 2, Cohen's κ (1960). A scale has
several runs: c_obs is the mean over all pairs of runs with different seeds, as runs of one seed share
training images. On the diagonal these are two trainings of the same cell, which bound what two scales or
models can reach. Intervals are from the jackknife, over groups of images and over seeds, with Student's t.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mlproject.analysis.bootstrap import Floats
from mlproject.analysis.trajectories import Trajectory
from mlproject.scaling import Estimate

GROUPS = 20
"""Groups of images of the jackknife."""
MOST_CELLS = 36
"""Cells (a scale of a curve) that are compared; of more, scales of each curve evenly and its largest."""


@dataclass(frozen=True, kw_only=True)
class ErrorConsistency:
    """Cells of one family against each other.

    ``cells`` are the curve's series and the name of the scale. Shapes: all arrays are [cells, cells];
    ``kappa`` and ``observed`` are NaN where there are no two runs to compare. ``one_seed`` marks pairs whose
    interval is over images alone.
    """

    family: str
    cells: tuple[tuple[str, str], ...]
    n_images: int
    kappa: Floats
    low: Floats
    high: Floats
    observed: Floats
    expected: Floats
    one_seed: NDArray[np.bool_]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The pairs of cells that have two runs to compare, each once."""
        known = np.argwhere(np.triu(~np.isnan(self.kappa)))
        return [(int(i), int(j)) for i, j in known]

    @property
    def ends(self) -> dict[str, tuple[int, int]]:
        """The smallest and the largest scale of each series."""
        places: dict[str, list[int]] = {}
        for i, (series, _) in enumerate(self.cells):
            places.setdefault(series, []).append(i)
        return {series: (of_series[0], of_series[-1]) for series, of_series in places.items()}

    @property
    def between_models(self) -> tuple[tuple[int, int], ...]:
        """The pairs of two series at their largest scales, the least κ first."""
        last = {i for _, i in self.ends.values()}
        pairs = [(i, j) for i, j in self.pairs if i != j and {i, j} <= last]
        return tuple(sorted(pairs, key=lambda pair: float(self.kappa[pair])))

    def estimate(self, i: int, j: int) -> Estimate:
        """κ of two cells with its interval."""
        value, low, high = (float(table[i, j]) for table in (self.kappa, self.low, self.high))
        return Estimate(value=value, low=low, high=high)


def error_consistencies(known: Sequence[Trajectory]) -> tuple[ErrorConsistency, ...]:
    """One comparison for each family of curves over the same images."""
    families: dict[tuple[str, tuple[str, ...]], list[Trajectory]] = {}
    for trajectory in known:
        families.setdefault((trajectory.curve.family, trajectory.curve.image_ids), []).append(trajectory)
    compared = (_consistency(family, members) for (family, _), members in families.items())
    return tuple(table for table in compared if table is not None)


def _consistency(family: str, members: Sequence[Trajectory]) -> ErrorConsistency | None:
    shared = sorted(set.intersection(*(set(member.rows.tolist()) for member in members)))
    per_curve = max(1, MOST_CELLS // len(members))
    names, by_cell = [], []
    for member in members[:MOST_CELLS]:
        rows = np.searchsorted(member.rows, shared)
        n_scales = len(member.wrong)
        for i in np.unique(np.linspace(n_scales - 1, 0, min(per_curve, n_scales)).round().astype(int)):
            names.append((member.curve.series, member.curve.points[i].name))
            by_cell.append(dict(zip(member.seeds[i], 1.0 - member.wrong[i][:, rows], strict=True)))
    if len(shared) < GROUPS or len(names) < 2:
        return None
    right, has = _by_seed(by_cell, len(shared))
    observed, expected = _agreement(right, has)
    kappa, low, high, one_seed = kappas(right, has)
    return ErrorConsistency(
        family=family, cells=tuple(names), n_images=len(shared), kappa=kappa, low=low, high=high,
        observed=observed, expected=expected, one_seed=one_seed,
    )  # fmt: skip


def kappas(right: Floats, has: Floats) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """κ with its limits [cells, cells], and which limits are over images alone.

    ``right`` [seeds, cells, images] is 1 for images that are right, ``has`` [seeds, cells] for runs.
    """
    kappa = _kappa(*_agreement(right, has))
    error, dof, one_seed = _jackknife(right, has, kappa)
    half = stats.t.ppf(0.975, dof) * error
    return kappa, np.maximum(kappa - half, -1.0), np.minimum(kappa + half, 1.0), one_seed


def _by_seed(by_cell: Sequence[Mapping[int, Floats]], n_images: int) -> tuple[Floats, Floats]:
    """What is right [seeds, cells, images], 0 where a cell lacks a seed; and which it has [seeds, cells]."""
    seeds = sorted({seed for cell in by_cell for seed in cell})
    right, has = np.zeros((len(seeds), len(by_cell), n_images)), np.zeros((len(seeds), len(by_cell)))
    for c, cell in enumerate(by_cell):
        for seed, row in cell.items():
            right[seeds.index(seed), c], has[seeds.index(seed), c] = row, 1.0
    return right, has


def _agreement(right: Floats, has: Floats) -> tuple[Floats, Floats]:
    """Shares of agreement [cells, cells], observed over pairs of different seeds and expected."""
    wrong, n_images = has[:, :, None] - right, right.shape[2]
    total, alike = np.outer(has.sum(axis=0), has.sum(axis=0)), has.T @ has
    pairs = total - alike
    lone = (pairs == 0) & ~np.eye(len(pairs), dtype=bool)  # one seed on both sides: that pair of runs
    agreed = np.zeros_like(pairs)
    for part in (right, wrong):
        summed = part.sum(axis=0)
        same = np.einsum("sci,sdi->cd", part, part, optimize=True)
        agreed += summed @ summed.T - np.where(lone, 0.0, same)
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = agreed / (np.where(lone, total, pairs) * n_images)
        accuracy = right.sum(axis=(0, 2)) / (has.sum(axis=0) * n_images)
    expected = np.outer(accuracy, accuracy) + np.outer(1.0 - accuracy, 1.0 - accuracy)
    return observed, expected


def _kappa(observed: Floats, expected: Floats) -> Floats:
    """κ; NaN where all are right or all wrong, so that nothing can agree by more than chance."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected < 1.0, (observed - expected) / (1.0 - expected), np.nan)


def _jackknife(right: Floats, has: Floats, kappa: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Standard errors and degrees of freedom [cells, cells], and where seeds are not among their sources."""
    group = np.random.default_rng(0).permutation(right.shape[2]) % GROUPS
    left_out = np.array([_kappa(*_agreement(right[:, :, group != g], has)) for g in range(GROUPS)])
    of_images = (GROUPS - 1) / GROUPS * ((left_out - kappa) ** 2).sum(axis=0)
    others = [np.arange(len(has)) != s for s in range(len(has))]
    by_seed = [_kappa(*_agreement(right[keep], has[keep])) - kappa for keep in others if keep.any()]
    either = (has[:, :, None] + has[:, None, :]) > 0
    n_seeds = either.sum(axis=0)
    squares = np.where(either, np.square(by_seed), 0.0) if by_seed else np.full((1, *kappa.shape), np.nan)
    of_seeds = (n_seeds - 1) / n_seeds * squares.sum(axis=0)
    one_seed = ~np.isfinite(of_seeds)  # without one of them a cell has no run, or no pair of runs
    of_seeds = np.where(one_seed, 0.0, of_seeds)
    total = of_images + of_seeds
    shares = of_images**2 / (GROUPS - 1) + of_seeds**2 / np.maximum(n_seeds - 1, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(total), np.where(shares > 0, total**2 / shares, 1.0), one_seed
