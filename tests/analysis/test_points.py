"""Points: averages over seeds, correlations, distributions; kinds of loss of the same outputs."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from mlproject.analysis import analyse
from mlproject.analysis.points import average_losses, correlations, distribution, influence, noise_dof
from mlproject.analysis.runs import image_pools, read_runs
from mlproject.losses import PerImageLosses
from tests.studies import cell, observe, planted


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


def points_of(sizes, seeds, noise=0.05, n=200):
    """Points at sizes; each run's losses are off by its own factor."""
    draw = np.random.default_rng(0)
    runs = [(size, s) for size in sizes for s in range(seeds)]
    made = [observe(cell(size=x, seed=s), np.exp(noise * draw.normal()) * np.ones(n)) for x, s in runs]
    (curve,) = analyse(made, n_draws=200).along("images")
    return curve.points


def test_one_seed_leaves_the_noise_of_training_unknown():
    assert noise_dof(points_of((100, 200, 400), seeds=1), "mean") == 0.0


def test_seeds_alone_are_worth_one_degree_of_freedom_less_than_their_number_at_each_point():
    points = points_of((100, 200), seeds=3)
    variances = [np.var(point.seeds["mean"], ddof=1) / point.value("mean") ** 2 for point in points]
    expected = sum(variances) ** 2 / sum(v**2 / 2 for v in variances)
    # The noise in the draws, which the sum includes where it is larger, has the error of 200 draws.
    assert noise_dof(points, "mean") == pytest.approx(expected, rel=0.5)
    assert noise_dof(points, "mean") >= 2


def test_seeds_that_agree_say_that_the_noise_is_that_of_images():
    assert noise_dof(points_of((100, 200), seeds=2, noise=0.0), "mean") == math.inf


def squared_and_absolute(size, seed=0, kinds=("mse", "mae")):
    """A run that trained the squared error, and logs the absolute error of every image as its root."""
    planned = planted(cell(size=size, seed=seed), n=60)
    known = planned.load_losses()
    values = {"mse": known.loss, "mae": np.sqrt(known.loss), "error": known.loss > 1.0}
    table = PerImageLosses(
        kind="mse",
        image_ids=known.image_ids,
        splits=known.splits,
        values={name: np.asarray(values[name], dtype=float) for name in (*kinds, "error")},
    )
    return replace(planned, losses_digest=table.digest, load_losses=lambda: table)


def kinds_of(observations):
    (curve,) = analyse(observations, n_draws=20).along("images")
    return curve, curve.loss_kinds


def test_every_kind_that_all_runs_log_is_compared_the_trained_one_first():
    curve, (trained, other) = kinds_of([squared_and_absolute(size) for size in (100, 200, 400)])
    assert (trained.kind, trained.trained, other.kind, other.trained) == ("mse", True, "mae", False)
    assert trained.mean == pytest.approx(curve.values("mean"))
    assert other.mean == pytest.approx(np.sqrt(curve.losses).mean(axis=0))
    assert trained.spread == pytest.approx(curve.losses.std(axis=0) / curve.losses.mean(axis=0))
    assert trained.agreement["mae"] == pytest.approx(1.0), "a square keeps the order of images"
    assert other.law.parameters["alpha"].value < trained.law.parameters["alpha"].value


def test_seeds_are_averaged_image_by_image():
    runs = [squared_and_absolute(size, seed) for size in (100, 200) for seed in (0, 1)]
    curve, (trained, _) = kinds_of(runs)
    assert trained.mean == pytest.approx(curve.losses.mean(axis=0))
    assert trained.law is None, "two sizes leave no degree of freedom"


def test_a_kind_that_a_run_lacks_is_not_compared():
    runs = [squared_and_absolute(100), squared_and_absolute(200, kinds=("mse",))]
    assert kinds_of(runs)[1] == ()
