"""Sums and quantiles of the losses of runs under many sets of weights of their images.

Under independent exponential weights the r smallest of n losses have a share of the weight that is
distributed as Beta(r, n - r), whatever the losses are (Rubin 1981, Annals of Statistics 9, 130). A quantile
is sought only among the ranks that it leaves once in 10^12 draws: these few are summed one after the other.
The sums below them are products with sparse matrices, which add in the order of the losses as `numpy.cumsum`
does, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.sparse import csr_array

from mlproject.analysis.effects import CHUNK
from mlproject.analysis.runs import EvaluatedRun, Floats

Weights = NDArray[Any]
"""Weights [images of the pool, draws] in one of two precisions, which sums have too."""
OUTSIDE = 1e-12
"""How likely a draw is outside of the ranks that are looked at."""
TOGETHER = 64
"""The most runs that are taken together."""
IN_CACHE = 4000
"""Sums, of runs and draws, that are carried along the ranks at once."""


@dataclass(frozen=True, kw_only=True)
class OrderedLosses:
    """Losses of runs with equally many images, ascending, and the places of these images in their pool.

    ``places`` are those of the runs among all. Shapes: ``losses`` and ``rows`` are [runs, images]; methods
    give [runs, draws], and ``total`` is what the first of them gives.
    """

    places: Sequence[int]
    losses: Floats
    rows: NDArray[np.int32]

    @classmethod
    def of(cls, runs: Sequence[EvaluatedRun], kind: str, places: Sequence[int]) -> OrderedLosses:
        """The losses of the runs at some places: of a kind, or those that each run was trained with."""
        taken = [runs[place] for place in places]
        columns = [run.losses if kind in ("", run.kind) else run.columns[kind] for run in taken]
        losses = np.array(columns, np.float64)
        order = np.argsort(losses, axis=1, kind="stable")
        rows = np.array([run.rows for run in taken], np.int32)
        return cls(
            places=places,
            losses=np.take_along_axis(losses, order, axis=1),
            rows=np.take_along_axis(rows, order, axis=1),
        )

    def total(self, weights: Weights) -> Weights:
        """The summed weights of each run's images."""
        return self._summed(np.ones(self.rows.shape), weights)

    def products(self, weights: Weights) -> Weights:
        """The summed products of losses and weights."""
        return self._summed(self.losses, weights)

    def quantile(self, weights: Weights, total: Weights, share: float) -> Floats:
        """The smallest loss up to which the weights have this share of their total."""
        first, _ = sought_ranks(self.rows.shape[1], share)
        quantiles = np.empty(total.shape)
        for runs, mass in self._masses(weights, share):
            rank = first - 1 + (mass < share * total[runs]).sum(axis=0, dtype=np.int32)
            quantiles[runs] = np.take_along_axis(self.losses[runs], rank, axis=1)
        return quantiles

    def products_below(self, weights: Weights, total: Weights, share: float) -> Weights:
        """The summed products of the smallest losses, whose weights have this share of the total.

        The loss at which they reach it counts with a part of its weight.
        """
        first, end = sought_ranks(self.rows.shape[1], share)
        products = self._summed(self.losses[:, :first], weights)
        for runs, mass in self._masses(weights, share):
            counted = np.diff(np.minimum(mass, share * total[runs]), axis=0).swapaxes(0, 1)
            losses = self.losses[runs, None, first:end].astype(weights.dtype)
            products[runs] += (losses @ counted)[:, 0]
        return products

    def _masses(self, weights: Weights, share: float) -> Iterator[tuple[slice, Weights]]:
        """Summed weights [1 + ranks, runs, draws] of a few runs: below the sought ranks, and up to each."""
        first, end = sought_ranks(self.rows.shape[1], share)
        before = self._summed(np.ones((len(self.rows), first)), weights)
        step = max(1, IN_CACHE // weights.shape[1])
        for place in range(0, len(self.rows), step):
            runs = slice(place, place + step)
            mass = np.concatenate(
                [before[None, runs], np.take(weights, self.rows[runs, first:end].T, axis=0)]
            )
            for i in range(1, len(mass)):  # a whole row of draws at a time, unlike numpy.cumsum
                np.add(mass[i - 1], mass[i], out=mass[i])
            yield runs, mass

    def _summed(self, factors: Floats, weights: Weights) -> Weights:
        """The summed products of weights with factors [runs, n] of the n smallest losses."""
        n_runs, n = factors.shape
        places, ends = self.rows[:, :n].ravel(), n * np.arange(n_runs + 1)
        chosen = csr_array((factors.astype(weights.dtype).ravel(), places, ends), (n_runs, len(weights)))
        return np.asarray(chosen @ weights)


def ordered_losses(runs: Sequence[EvaluatedRun], kind: str = "") -> list[OrderedLosses]:
    """The losses of all runs, of a kind or those that each was trained with, a few runs at a time."""
    alike: dict[int, list[int]] = {}
    for place, run in enumerate(runs):
        alike.setdefault(len(run.rows), []).append(place)
    ordered = []
    for n_images, places in alike.items():
        step = max(1, min(TOGETHER, CHUNK // n_images))
        parts = (places[i : i + step] for i in range(0, len(places), step))
        ordered += [OrderedLosses.of(runs, kind, part) for part in parts]
    return ordered


def image_weights(
    rng: np.random.Generator, n_draws: int, n_images: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Exponential weights [images, draws] in parts that fit into memory, and which draws these are.

    Single precision is enough: their spread is an interval's width.
    """
    step = max(1, CHUNK // n_images)
    for start in range(0, n_draws, step):
        draws = slice(start, min(start + step, n_draws))
        weights = rng.standard_exponential((draws.stop - start, n_images), dtype=np.float32)
        yield draws, np.ascontiguousarray(weights.T)  # a row is copied and added up faster than a column


@lru_cache(maxsize=64)
def sought_ranks(n: int, share: float) -> tuple[int, int]:
    """The first of n ranks at which a share of the weight can be reached, and one past the last."""
    summed = np.arange(1.0, n)
    first = np.count_nonzero(special.betaincc(summed, n - summed, share) < OUTSIDE)
    end = n - np.count_nonzero(special.betainc(summed, n - summed, share) < OUTSIDE)
    return int(first), int(end)
