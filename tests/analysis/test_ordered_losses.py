"""Ordered losses: quantiles and sums as if all weights had been summed one after the other."""

import numpy as np
import pytest

from mlproject.analysis.ordered_losses import image_weights, ordered_losses, sought_ranks
from mlproject.analysis.runs import image_pools, read_runs
from tests.studies import cell, observe


def pool_of(n_images, n_runs=3):
    """A pool of runs, with losses that are equal among them, of which the last lacks images."""
    images = np.random.default_rng(n_images)
    counts = [n_images] * (n_runs - 1) + [max(1, n_images * 2 // 3)]
    losses = [np.round(images.gamma(2.0, size=n), 1) for n in counts]
    ids = [[f"i{i:04}" for i in images.permutation(n_images)[:n]] for n in counts]
    observations = [
        observe(cell(size=n, seed=i, eval_size=0), values, ids=names)
        for i, (n, values, names) in enumerate(zip(counts, losses, ids, strict=True))
    ]
    (pool,) = image_pools(read_runs(observations)[0])
    return pool


@pytest.mark.parametrize("n_images", [1, 2, 5, 40, 700])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_quantiles_and_what_lies_below_them_are_those_of_all_weights_in_order(n_images, share):
    pool = pool_of(n_images)
    ((_, drawn),) = image_weights(np.random.default_rng(3), 90, len(pool.image_ids))
    for weights in (drawn, np.ones((len(pool.image_ids), 1))):
        for ordered in ordered_losses(pool.runs):
            total = ordered.total(weights)
            quantiles = ordered.quantile(weights, total, share)
            below = ordered.products_below(weights, total, share)
            for i, place in enumerate(ordered.places):
                run = pool.runs[place]
                order = np.argsort(run.losses, kind="stable")
                mass = np.cumsum(weights[run.rows[order]], axis=0)
                reached = np.argmax(mass >= share * mass[-1], axis=0)
                np.testing.assert_array_equal(total[i], mass[-1])
                np.testing.assert_array_equal(quantiles[i], run.losses[order][reached])
                counted = np.diff(np.minimum(mass, share * mass[-1]), axis=0, prepend=0)
                np.testing.assert_allclose(below[i], run.losses[order] @ counted, rtol=1e-5)


def test_few_ranks_of_many_images_are_looked_at_and_all_of_few():
    assert sought_ranks(5, 0.5) == (0, 5)
    first, end = sought_ranks(10_000, 0.5)
    assert 4600 < first < 4700
    assert 5300 < end < 5400
