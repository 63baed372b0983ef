"""Lines of figures: local exponents of planted laws in closed form, and laws beyond the data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproject.analysis.lines import (
    N_ALONG,
    extrapolation,
    law_line,
    law_slopes,
    local_exponents,
    predicted_line,
)
from mlproject.scaling import assess, fit

X = np.array([100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0])
NOISE = np.exp(0.01 * np.random.default_rng(3).normal(size=len(X)))


def replicates(values, spread=0.02, n=400):
    return values * np.exp(spread * np.random.default_rng(0).normal(size=(n, len(values))))


@given(st.floats(min_value=-1.0, max_value=2.0), st.floats(min_value=0.01, max_value=100))
def test_a_power_law_has_the_same_local_exponent_between_all_scales(alpha, k):
    y = k * X**-alpha
    slopes = local_exponents(X, y, replicates(y))
    assert slopes.value == pytest.approx(alpha, abs=1e-9)
    assert slopes.x == pytest.approx(np.sqrt(X[1:] * X[:-1]))


@given(st.floats(min_value=1e-3, max_value=1e3), st.floats(min_value=1e-3, max_value=1e3))
def test_local_exponents_have_no_unit(x_unit, y_unit):
    y = 3.0 * X**-0.4 * NOISE
    draws = replicates(y)
    first, second = local_exponents(X, y, draws), local_exponents(x_unit * X, y_unit * y, y_unit * draws)
    for name in ("value", "low", "high"):
        assert getattr(second, name) == pytest.approx(getattr(first, name), abs=1e-8)


def test_local_exponents_hold_their_value_and_widen_with_the_noise():
    y = 3.0 * X**-0.4
    narrow, wide = (local_exponents(X, y, replicates(y, spread)) for spread in (0.01, 0.03))
    assert np.all((narrow.low <= narrow.value) & (narrow.value <= narrow.high))
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(3.0, rel=0.01)


def test_the_interval_between_two_scales_is_that_of_a_difference_of_logarithms():
    y = np.array([2.0, 1.0])
    slopes = local_exponents(np.array([100.0, 1000.0]), y, replicates(y, 0.05, n=40_000))
    half = 1.96 * 0.05 * np.sqrt(2.0) / np.log(10.0)
    assert slopes.high[0] - slopes.value[0] == pytest.approx(half, rel=0.03)
    assert slopes.value[0] - slopes.low[0] == pytest.approx(half, rel=0.03)


def test_points_at_one_scale_are_averaged_in_their_logarithm_first():
    x, y = np.array([100.0, 100.0, 1000.0]), np.array([4.0, 1.0, 0.2])
    (value,) = local_exponents(x, y, replicates(y)).value
    assert value == pytest.approx(1.0)


@pytest.mark.parametrize(("x", "y"), [([1.0, 2.0], [1.0, 0.0]), ([5.0, 5.0], [1.0, 2.0])])
def test_a_loss_of_zero_or_a_single_scale_has_no_local_exponent(x, y):
    assert local_exponents(np.array(x), np.array(y), np.ones((3, 2))) is None


def test_the_slope_of_a_law_with_a_floor_is_its_exponent_times_the_reducible_share():
    fitted = fit(X, 0.3 + 5.0 * X**-0.5, law="power_floor")
    at = np.array([150.0, 1000.0, 1e6])
    reducible = 5.0 * at**-0.5
    assert law_slopes(fitted, at) == pytest.approx(0.5 * reducible / (0.3 + reducible), rel=1e-4)


def test_a_law_is_drawn_a_little_beyond_its_data_on_demand_with_residuals_in_percent():
    y = 3.0 * X**-0.4 * NOISE
    law = assess(X, y, laws=("power",)).law("power")
    inside, beyond = (law_line(law, X, y, beyond=further) for further in (False, True))
    assert inside.x[-1] == pytest.approx(X[-1])
    assert beyond.x[-1] > X[-1]
    assert inside.x[0] == beyond.x[0] < X[0]
    assert len(inside.x) == N_ALONG
    predicted = law.fit.predict(X).mean
    assert inside.residuals == pytest.approx(100 * np.log(y / predicted))
    assert inside.residuals.sum() == pytest.approx(0.0, abs=1e-6)
    assert np.array_equal(inside.losses, inside.band.mean)
    assert np.all((inside.band.low <= inside.losses) & (inside.losses <= inside.band.high))


def test_limits_are_searched_for_a_law_whose_band_is_drawn_alone_and_once(monkeypatch):
    law = assess(X, 3.0 * X**-0.4 * NOISE, laws=("power",)).law("power")
    searched = []
    monkeypatch.setattr(
        type(law.fit), "_limits", lambda self, log_x: searched.append(log_x) or (log_x, log_x)
    )
    first, _ = (law_line(law, X, X**-0.4, beyond=False) for _ in range(2))
    assert searched == []
    assert first.band is first.band
    assert len(searched) == 1


def test_an_extrapolation_begins_at_the_largest_scale_and_widens():
    assessment = assess(X, 3.0 * X**-0.4 * NOISE, laws=("power", "power_floor"))
    line = extrapolation(assessment, X[-1], 10.0)
    assert (line.x[0], line.x[-1]) == pytest.approx((3200.0, 32000.0))
    width = np.log(line.high / line.low)
    assert width[-1] > width[0]
    same = predicted_line(line.x, assessment.predict(line.x))
    assert same.mean == pytest.approx(line.mean)


def test_two_scales_have_no_extrapolation():
    assert extrapolation(assess([100, 200], [2.0, 1.0]), 200.0, 10.0) is None
