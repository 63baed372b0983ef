import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from mlproject.scaling import fit_power, fit_power_floor

X = np.array([100.0, 200, 400, 800, 1600, 3200])
NOISE = np.random.default_rng(0).normal(size=(40, len(X)))


def test_the_power_law_is_the_weighted_regression_of_logarithms():
    y, weights = 3 * X**-0.4 * np.exp(0.1 * NOISE), np.array([1.0, 2, 3, 1, 2, 3])
    laws = fit_power(X, y, weights)
    slopes = [np.polyfit(np.log(X), np.log(row), 1, w=np.sqrt(weights))[0] for row in y]
    np.testing.assert_allclose(laws.alpha, -np.array(slopes), rtol=1e-9)
    np.testing.assert_allclose(laws.local_exponent(500.0), laws.alpha)


def test_the_law_with_a_floor_is_that_of_least_squares_of_scipy():
    y = (0.3 + 6 * X**-0.5) * np.exp(0.02 * NOISE)
    laws = fit_power_floor(X, y, np.ones(len(X)))
    for i in range(0, len(y), 8):
        (floor, k, alpha), _ = curve_fit(
            lambda x, e, k, a: e + k * x**-a, X, y[i], p0=(0.2, 5, 0.5), sigma=y[i], maxfev=20_000,
            bounds=((0, 0, 0.02), (np.inf, np.inf, 4.0)),
        )  # fmt: skip
        mean = floor + k * 6400**-alpha
        assert laws.mean(6400.0)[i] == pytest.approx(mean, rel=2e-3)


@given(st.floats(0.1, 1.5), st.floats(0.0, 2.0), st.floats(0.1, 50.0), st.floats(0.01, 100.0))
def test_laws_without_noise_are_met_in_any_unit_of_scale_and_loss(alpha, floor, k, unit):
    y = unit * (floor + k * (X / 100) ** -alpha)[None]
    laws = fit_power_floor(X * unit, y, np.ones(len(X)))
    np.testing.assert_allclose([laws.mean(x * unit)[0] for x in X], y[0], rtol=5e-3)


def test_rising_losses_have_a_negative_exponent_or_are_flat():
    y = (X**0.2)[None]
    assert fit_power(X, y, np.ones(len(X))).alpha[0] == pytest.approx(-0.2)
    assert fit_power_floor(X, y, np.ones(len(X))).local_exponent(X[-1])[0] == pytest.approx(0, abs=1e-6)
