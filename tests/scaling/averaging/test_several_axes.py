"""Grids of models and data: models that differ in more than size, ranks that turn round, losses that rise."""

import numpy as np
import pytest
from scipy import stats

from mlproject.scaling import average, fit
from mlproject.scaling.averaging.averaged_points import average_repeats
from mlproject.scaling.averaging.discrepancy import Discrepancy, discrepancies
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.laws.law import RISING, any_share, joint_exponents

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
    forms = {law: fit(X[~out], y[~out], law=law) for law in laws}
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
    here = average(X, y).predict(beyond)
    there = average(X * [1e-6, 10.0], y * 1e3).predict(beyond * [1e-6, 10.0])
    assert there.mean == pytest.approx(1e3 * here.mean, rel=1e-3)
    assert there.high == pytest.approx(1e3 * here.high, rel=1e-2)
