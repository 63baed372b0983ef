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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

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
    observed, expected = _Counts.of(right, has).shares
    kappa, low, high, one_seed = kappas(right, has)
    return ErrorConsistency(
        family=family, cells=tuple(names), n_images=len(shared), kappa=kappa, low=low, high=high,
        observed=observed, expected=expected, one_seed=one_seed,
    )  # fmt: skip


def kappas(right: Floats, has: Floats) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """κ with its limits [cells, cells], and which limits are over images alone.

    ``right`` [seeds, cells, images] is 1 for images that are right, ``has`` [seeds, cells] for runs.
    """
    kappa = _kappa(*_Counts.of(right, has).shares)
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


@dataclass(frozen=True, kw_only=True)
class _Counts:
    """On how many images runs agree [cells, cells], summed over all pairs of runs and over pairs of one seed.

    ``right`` [cells] counts images that are right in all runs together, ``has`` is [seeds, cells]. All are
    whole numbers, so that counts without some of the images or seeds are differences, to the last bit.
    """

    of_pairs: Floats
    of_one_seed: Floats
    right: Floats
    has: Floats
    n_images: int

    @classmethod
    def of(cls, right: Floats, has: Floats) -> _Counts:
        """Counts of what is right [seeds, cells, images]."""
        outcomes = (right, has[:, :, None] - right)
        in_a_row = (each.swapaxes(0, 1).reshape(right.shape[1], -1) for each in outcomes)
        return cls(
            of_pairs=_agreed(each.sum(axis=0) for each in outcomes),
            of_one_seed=_agreed(in_a_row),
            right=right.sum(axis=(0, 2)),
            has=has,
            n_images=right.shape[2],
        )

    def without_images(self, those: _Counts) -> _Counts:
        """Counts of the other images of the same runs."""
        return replace(
            self,
            of_pairs=self.of_pairs - those.of_pairs,
            of_one_seed=self.of_one_seed - those.of_one_seed,
            right=self.right - those.right,
            n_images=self.n_images - those.n_images,
        )

    def without_each_seed(self, right: Floats) -> Iterator[_Counts]:
        """Counts of the other seeds, for each seed that is left out; ``right`` as in ``of``."""
        summed, ran = right.sum(axis=0), self.has.sum(axis=0)[:, None]
        for s, (of_seed, has) in enumerate(zip(right, self.has[:, :, None], strict=True)):
            others = summed - of_seed
            yield replace(
                self,
                of_pairs=_agreed((others, ran - has - others)),
                of_one_seed=self.of_one_seed - _agreed((of_seed, has - of_seed)),
                right=self.right - of_seed.sum(axis=1),
                has=np.delete(self.has, s, axis=0),
            )

    @property
    def shares(self) -> tuple[Floats, Floats]:
        """Shares of agreement [cells, cells], observed over pairs of different seeds and expected."""
        n_runs = self.has.sum(axis=0)
        total, alike = np.outer(n_runs, n_runs), self.has.T @ self.has
        pairs = total - alike
        lone = (pairs == 0) & ~np.eye(len(pairs), dtype=bool)  # one seed on both sides: that pair of runs
        agreed = self.of_pairs - np.where(lone, 0.0, self.of_one_seed)
        with np.errstate(invalid="ignore", divide="ignore"):
            observed = agreed / (np.where(lone, total, pairs) * self.n_images)
            accuracy = self.right / (n_runs * self.n_images)
        expected = np.outer(accuracy, accuracy) + np.outer(1.0 - accuracy, 1.0 - accuracy)
        return observed, expected


def _agreed(outcomes: Iterable[Floats]) -> Floats:
    """Agreements of cells [cells, cells] in outcomes [cells, images]."""
    return np.asarray(sum(outcome @ outcome.T for outcome in outcomes))


def _kappa(observed: Floats, expected: Floats) -> Floats:
    """κ; NaN where all are right or all wrong, so that nothing can agree by more than chance."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected < 1.0, (observed - expected) / (1.0 - expected), np.nan)


def _jackknife(right: Floats, has: Floats, kappa: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Standard errors and degrees of freedom [cells, cells], and where seeds are not among their sources."""
    group = np.random.default_rng(0).permutation(right.shape[2]) % GROUPS
    counts = _Counts.of(right, has)
    groups = [_Counts.of(right[:, :, group == g], has) for g in range(GROUPS)]
    left_out = np.array([_kappa(*counts.without_images(those).shares) for those in groups])
    of_images = (GROUPS - 1) / GROUPS * ((left_out - kappa) ** 2).sum(axis=0)
    by_seed = [_kappa(*others.shares) - kappa for others in counts.without_each_seed(right)]
    either = (has[:, :, None] + has[:, None, :]) > 0
    n_seeds = either.sum(axis=0)
    squares = np.where(either, np.square(by_seed), 0.0)
    of_seeds = (n_seeds - 1) / n_seeds * squares.sum(axis=0)
    one_seed = ~np.isfinite(of_seeds)  # without one of them a cell has no run, or no pair of runs
    of_seeds = np.where(one_seed, 0.0, of_seeds)
    total = of_images + of_seeds
    shares = of_images**2 / (GROUPS - 1) + of_seeds**2 / np.maximum(n_seeds - 1, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(total), np.where(shares > 0, total**2 / shares, 1.0), one_seed
