"""Grids of models and data: models that differ in more than size, ranks that turn round, losses that rise."""

import numpy as np
import pytest
from scipy import stats

from mlproject.scaling import LAWS, assess, average, fit
from mlproject.scaling.averaging.averaged_points import average_repeats, thinned
from mlproject.scaling.averaging.discrepancy import Discrepancy, discrepancies
from mlproject.scaling.averaging.exponents import informed
from mlproject.scaling.averaging.grid_outliers import outlying
from mlproject.scaling.averaging.targets import posteriors, target_of
from mlproject.scaling.fitting.intervals import Estimate
from mlproject.scaling.fitting.points import Points, read_points
from mlproject.scaling.laws.law import NO_FLOOR, RISING, any_share, floor_share, joint_exponents

N, D = (
    v.ravel() for v in np.meshgrid(np.geomspace(5e6, 9e7, 5), np.geomspace(200.0, 6400.0, 6), indexing="ij")
)
X = np.stack([N, D], axis=1)
U, V = N / 2e7, D / 1e3


def unlike(seed, size=0.06):
    """Losses of a product law, of models that differ by ``size`` beyond their numbers of parameters."""
    rng = np.random.default_rng(seed)
    own = np.repeat(size * rng.standard_normal(5), 6)
    return (0.1 + U**-0.25 * V**-0.3) * np.exp(own + 0.01 * rng.standard_normal(30))


def error(predicted, y):
    return np.sqrt(np.mean(np.log(predicted.mean / y) ** 2))


def test_a_model_continues_from_its_own_level():
    y, out = unlike(0), D.max() == D
    average_, alone = (f(X[~out], y[~out]).predict(X[out]) for f in (average, by_law("product")))
    assert error(average_, y[out]) < 0.5 * error(alone, y[out])
    assert np.all((average_.new_run_low < y[out]) & (y[out] < average_.new_run_high))


def by_law(law):
    return lambda x, y: fit(x, y, law=law)


@pytest.mark.parametrize("seed", [3, 55])
def test_the_form_that_fits_worst_inside_and_predicts_best_outside_is_not_lost(seed):
    y, out = unlike(seed), N.max() == N
    laws = ("separable", "product", "log_plane", "coupled")
    alone = range((~out).sum())  # every row a run of its own: models share nothing
    forms = {law: fit(X[~out], y[~out], law=law, runs=alone) for law in laws}
    inside = {law: np.std(found.residuals) for law, found in forms.items()}
    outside = {law: error(found.predict(X[out]), y[out]) for law, found in forms.items()}
    products = {"product", "log_plane"}
    assert set(sorted(inside, key=inside.get)[2:]) == set(sorted(outside, key=outside.get)[:2]) == products
    found = average(X[~out], y[~out]).predict(X[out])
    assert error(found, y[out]) < 1.2 * max(outside[law] for law in products)
    assert error(found, y[out]) < 0.5 * outside["separable"]
    assert np.all((found.low < y[out]) & (y[out] < found.high))


def test_the_random_effect_of_a_model_is_shared_by_its_runs_only():
    one = Discrepancy(drift=0.0, correlated=0.0, log_prior=0.0, anchor=np.zeros(2), effect=2.0)
    at = np.array([[0.0, 0.0], [0.0, 3.0], [0.0, 300.0], [1.0, 0.0]])
    found = one.covariance(at, at)
    assert np.diag(found) == pytest.approx(one.variance(at))
    assert found[0, 1:] == pytest.approx([2.0 + 2.0 * (1 + 3**0.5) * np.exp(-(3**0.5)), 2.0, 0.0])
    assert np.linalg.eigvalsh(found).min() > 0


def test_random_effects_of_models_need_models_that_repeat():
    grid = discrepancies(average_repeats(Points(x=X, y=unlike(0))))
    apart = discrepancies(average_repeats(Points(x=np.stack([N * D, D], axis=1), y=unlike(0))))
    assert any(one.effect > 0 for one in grid)
    assert all(one.effect == 0 for one in apart)
    assert sum(np.exp(one.log_prior) for one in grid) == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [U**0.2 * V**-0.4, 0.3 * U**0.4 + 0.5 * V**-0.4], ids=["product", "sum"])
def test_a_loss_that_rises_along_one_axis_is_flagged_and_followed(shape):
    y, out = (0.2 + shape) * np.exp(0.01 * np.random.default_rng(0).standard_normal(30)), N.max() == N
    found = average(X[~out], y[~out])
    assert any("rises along axis 1" in flag for flag in found.flags)
    assert error(found.predict(X[out]), y[out]) < 0.03
    assert found.parameters["alpha"].value < 0 < found.parameters["beta"].low


def test_exponents_of_several_axes_are_alike_and_seldom_negative():
    exponents = joint_exponents(np.random.default_rng(0).standard_normal((20_000, 3)))
    assert np.mean(exponents < 0, axis=0) == pytest.approx(RISING, abs=0.01)
    assert np.median(exponents, axis=0) == pytest.approx(0.33, abs=0.02)
    falls = exponents[np.all(exponents > 0, axis=1)]
    assert stats.spearmanr(falls[:, 0], falls[:, 1])[0] > 0.6


def test_the_share_of_a_term_is_uniform():
    assert any_share(stats.norm.ppf([0.1, 0.5, 0.9])) == pytest.approx([0.1, 0.5, 0.9])


def test_a_grid_means_the_same_in_other_units():
    y, beyond = unlike(1), np.array([[2e8, 1e4]])
    laws = ("separable", "product", "coupled")
    here = average(X, y, laws=laws).predict(beyond)
    there = average(X * [1e-6, 10.0], y * 1e3, laws=laws).predict(beyond * [1e-6, 10.0])
    assert there.mean == pytest.approx(1e3 * here.mean, rel=1e-3)
    assert there.high == pytest.approx(1e3 * here.high, rel=1e-2)


def planted(kind, noise, seed=0):
    """A 4 x 5 grid of a known law with independent noise."""
    rng = np.random.default_rng(seed)
    n, d = (
        v.ravel()
        for v in np.meshgrid(np.geomspace(5e6, 9e7, 4), np.geomspace(200.0, 6400.0, 5), indexing="ij")
    )
    u, v = n / 2e7, d / 1e3
    loss = {
        "separable": 0.2 + 0.5 * u**-0.4 + 0.5 * v**-0.3,
        "coupled": 0.1 + (0.5 * u ** (-0.4 / 0.5) + 0.5 * v ** (-0.3 / 0.5)) ** 0.5,
        "log_plane": u**-0.4 * v**-0.3,
    }[kind]
    return np.stack([n, d], axis=1), loss * np.exp(noise * rng.standard_normal(20))


@pytest.mark.parametrize("kind", ["separable", "coupled", "log_plane"])
def test_known_small_noise_is_sampled_and_exponents_are_held(kind):
    x, y = planted(kind, 0.003, seed=1)
    points = read_points(x, y, sd=0.003 * y)
    post = posteriors(LAWS[kind], [target_of(points)])[0]
    assert post.effective_size > 100
    picked, _ = post.resample(1000)
    low, high = np.quantile(post.theta[picked, :2], [0.025, 0.975], axis=0)
    assert np.all((low < [0.4, 0.3]) & (high > [0.4, 0.3]))
    assert np.all(high - low < 0.2)


def test_dense_grids_are_averaged_model_by_model():
    rng = np.random.default_rng(0)
    n, d = np.repeat(np.geomspace(5e6, 9e7, 6), 500), np.tile(np.geomspace(1e3, 1e6, 500), 6)
    y = (0.2 + 0.5 * (n / 2e7) ** -0.34 + 0.5 * (d / 3e4) ** -0.28) * np.exp(0.01 * rng.standard_normal(3000))
    points = read_points(np.stack([n, d], axis=1), y)
    averaged = average_repeats(points)
    assert len(averaged.log_y) == 72
    assert len(np.unique(np.round(averaged.log_x[:, 0], 9))) == 6
    assert np.diag(averaged.noise) == pytest.approx(6 / 250, rel=0.1)
    thin = thinned(points)
    assert thin.x.shape == (72, 2)
    assert thinned(thin) is thin
    found = fit(thin.x, thin.y, law="separable").parameters
    assert found["alpha"].holds(0.34)
    assert found["beta"].holds(0.28)


def test_rows_of_many_models_are_averaged_to_a_bounded_number_of_cells():
    x = np.exp(np.random.default_rng(0).uniform(0.0, 8.0, (3000, 2)))
    assert len(average_repeats(read_points(x, x[:, 0] ** -0.3)).log_y) <= 250


def test_sizes_of_few_models_are_averaged_sooner_than_those_of_many():
    models, steps = np.geomspace(1.0, 9.0, 10), np.geomspace(1.0, 99.0, 20)
    few = np.stack([np.repeat(models, 20), np.tile(steps, 10)], axis=1)
    many = np.exp(np.random.default_rng(0).uniform(0.0, 8.0, (200, 2)))
    sizes = [len(average_repeats(read_points(x, x[:, 0] ** -0.3)).log_y) for x in (few, many)]
    assert sizes == [120, 200]


@pytest.fixture(scope="module")
def clean():
    return assess(*planted("separable", 0.01), laws=("separable",))


@pytest.mark.parametrize(("row", "factor"), [(9, 2.0), (19, 0.5)])
def test_a_contaminated_run_is_named_and_moves_no_exponent(row, factor, clean):
    x, y = planted("separable", 0.01)
    spoilt = y.copy()
    spoilt[row] *= factor
    out = outlying(read_points(x, spoilt))
    assert np.flatnonzero(out).tolist() == [row]
    assert not any("left out" in flag for flag in clean.flags)
    found = assess(x, spoilt, laws=("separable",))
    (flag,) = (flag for flag in found.flags if "left out" in flag)
    assert f"N = {x[row, 0]:,.0f}" in flag
    for name, estimate in found.exponents.items():
        assert abs(estimate.value - clean.exponents[name].value) < clean.exponents[name].width / 3.92


def test_runs_that_agree_with_their_repeats_are_no_outliers():
    x, y = planted("separable", 0.01)
    y[19] *= 0.5
    x, y = np.concatenate([x, x[[19]]]), np.append(y, y[19] * 1.01)
    assert not outlying(read_points(x, y)).any()


def test_one_run_of_many_seeds_is_an_outlier_where_the_others_agree():
    x, y = planted("separable", 0.0)
    noisy = np.repeat(y, 3) * np.exp(0.01 * np.random.default_rng(0).standard_normal(60))
    noisy[31] *= 1.5
    assert np.flatnonzero(outlying(read_points(np.repeat(x, 3, axis=0), noisy))).tolist() == [31]


def test_an_exponent_of_an_axis_that_never_varied_is_not_identified():
    d = np.geomspace(1e3, 1e6, 8)
    found = average(np.stack([np.full(8, 2e7), d], axis=1), 0.2 + 5 * d**-0.3, laws=("separable", "product"))
    assert not found.parameters["alpha"].identified
    assert found.parameters["beta"].identified
    assert "N has a single value: its exponent is not identifiable" in found.flags


def test_an_exponent_whose_posterior_is_its_prior_is_not_identified():
    prior = Estimate(value=0.35, low=0.1, high=1.1)
    assert not informed(Estimate(value=0.35, low=0.1, high=0.9), prior)
    assert not informed(Estimate(value=0.1, low=-0.1, high=0.3), prior)
    assert informed(Estimate(value=0.35, low=0.3, high=0.4), prior)


def test_floors_have_mass_at_zero():
    share = floor_share(stats.norm.ppf([0.1, NO_FLOOR, 0.625, 0.9999]))
    assert share == pytest.approx([0.0, 0.0, 0.5, 1.0], abs=2e-4)
