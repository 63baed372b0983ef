"""Points: losses averaged over seeds with intervals, correlations and distributions of per-image losses."""

import math

import numpy as np
import pytest
from scipy import stats

from mlproject.analysis.points import average_losses, correlations, distribution, influence
from mlproject.analysis.runs import image_pools, read_runs
from tests.studies import cell, observe


def test_losses_are_averaged_over_the_runs_that_evaluated_an_image():
    runs = [
        observe(cell(size=3, eval_size=0, seed=0), [1.0, 2.0, 3.0], ids="abc"),
        observe(cell(size=3, eval_size=0, seed=1), [3.0, 5.0, 7.0], ids="bcd"),
    ]
    (pool,) = image_pools(read_runs(runs)[0])
    assert pool.image_ids == tuple("abcd")
    np.testing.assert_allclose(average_losses(pool.runs, 5), [1.0, 2.5, 4.0, 7.0, math.nan])


def test_the_influence_of_an_image_is_what_the_mean_moves_by():
    losses = np.array([[1.0, 2.0], [4.0, math.nan], [7.0, 6.0]])
    np.testing.assert_allclose(influence(losses), [[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]])


def test_correlations_equal_scipy_over_shared_images():
    losses = np.random.default_rng(0).normal(size=(40, 2))
    losses[:5, 0] = math.nan
    (pair,) = correlations(("small", "large"), losses)
    assert (pair.first, pair.second, pair.n_images) == ("small", "large", 35)
    assert pair.pearson == pytest.approx(stats.pearsonr(*losses[5:].T).statistic, rel=1e-9)
    assert pair.spearman == pytest.approx(stats.spearmanr(*losses[5:].T).statistic, rel=1e-9)


def test_two_shared_images_give_no_correlation():
    losses = np.array([[1.0, 2.0], [2.0, 3.0], [math.nan, 1.0]])
    assert correlations(("a", "b"), losses) == ()


def test_a_distribution_holds_mean_sd_extremes_and_quantiles():
    described = distribution(np.arange(1.0, 102.0))
    assert described["mean"] == described["q50"] == 51.0
    assert (described["min"], described["q05"], described["q95"], described["max"]) == (1.0, 6.0, 96.0, 101.0)
    assert described["sd"] == pytest.approx(np.arange(1.0, 102.0).std(ddof=1))
    assert distribution(np.array([3.0]))["sd"] == 0.0
