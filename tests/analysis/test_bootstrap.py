"""Replicates: the right spread, paired over shared images."""

import numpy as np

from mlproject.analysis.bootstrap import over_seeds, replicates
from mlproject.analysis.runs import image_pools, read_runs
from tests.studies import cell, observe, planted


def drawn(observations, seed=0, n_draws=2000):
    (pool,) = image_pools(read_runs(observations)[0])
    return replicates(pool, n_draws=n_draws, seed=seed)


def test_the_spread_of_the_mean_is_the_standard_error():
    losses = np.random.default_rng(0).exponential(size=400)
    (mine,) = drawn([observe(cell(), losses)]).values()
    assert np.isclose(mine["mean"].std(), losses.std() / np.sqrt(401), rtol=0.06)
    assert np.isclose(mine["mean"].mean(), losses.mean(), rtol=0.01)


def test_the_median_is_resampled_too():
    losses = np.random.default_rng(0).normal(10, 1, size=401)
    (mine,) = drawn([observe(cell(), losses)]).values()
    assert abs(np.median(mine["median"]) - np.median(losses)) < 0.03
    assert np.isclose(mine["median"].std(), np.sqrt(np.pi / 2) / 20, rtol=0.35)


def test_pairing_narrows_the_difference_of_runs_that_find_the_same_images_hard():
    small, large = planted(cell(size=100)), planted(cell(size=2000))
    paired = list(drawn([small, large]).values())
    (first,), (second,) = drawn([small], seed=1).values(), drawn([large], seed=2).values()
    together = np.std(np.log(paired[0]["mean"] / paired[1]["mean"]))
    apart = np.std(np.log(first["mean"] / second["mean"]))
    assert together < 0.4 * apart


def test_images_shared_in_part_are_paired_in_part():
    hard = np.random.default_rng(0).exponential(size=300)
    small = observe(cell(size=200, eval_size=0), hard[:200], ids=[f"i{i:03}" for i in range(200)])
    large = observe(cell(size=300, eval_size=0), hard, ids=[f"i{i:03}" for i in range(300)])
    a, b = drawn([small, large]).values()
    assert 0.6 < np.corrcoef(a["mean"], b["mean"])[0, 1] < 0.95


def test_the_same_seed_gives_the_same_draws_in_one_piece_or_many(monkeypatch):
    whole = drawn([planted(cell())], n_draws=64)
    again = drawn([planted(cell())], n_draws=64)
    monkeypatch.setattr("mlproject.analysis.ordered_losses.CHUNK", 200 * 10)
    pieces = drawn([planted(cell())], n_draws=64)
    for name, values in whole.items():
        np.testing.assert_array_equal(values["mean"], again[name]["mean"])
        np.testing.assert_allclose(values["mean"], pieces[name]["mean"])


def test_three_seeds_spread_as_their_mean_does():
    means = np.array([1.0, 2.0, 4.0])
    runs = [{"mean": np.full(20000, m), "median": np.full(20000, m)} for m in means]
    got = over_seeds(runs, np.random.default_rng(0))["mean"]
    assert np.isclose(got.std(), means.std(ddof=1) / np.sqrt(3), rtol=0.03)


def test_one_seed_has_no_spread_of_its_own():
    run = {"mean": np.arange(5.0), "median": np.arange(5.0)}
    assert over_seeds([run], np.random.default_rng(0)) is run


def test_means_and_medians_are_those_of_all_weights_summed_one_after_the_other():
    images = np.random.default_rng(0)
    runs = [observe(cell(seed=i), images.gamma(2.0, size=150)) for i in range(5)]
    runs += [observe(cell(seed=9), images.gamma(2.0, size=90), ids=[f"img_{i:04d}.png" for i in range(90)])]
    (pool,) = image_pools(read_runs(runs)[0])
    got = replicates(pool, n_draws=70, seed=3)
    weights = np.random.default_rng(3).standard_exponential((70, len(pool.image_ids)), dtype=np.float32)
    for run in pool.runs:
        order = np.argsort(run.losses, kind="stable")
        chosen = np.take(weights, run.rows[order], axis=1)
        below = np.cumsum(chosen, axis=1)
        middle = np.count_nonzero(below < 0.5 * below[:, -1:], axis=1)
        mean = chosen @ run.losses[order] / below[:, -1]
        np.testing.assert_allclose(got[run.run_id]["mean"], mean, rtol=1e-13)
        np.testing.assert_array_equal(got[run.run_id]["median"], run.losses[order][middle])
