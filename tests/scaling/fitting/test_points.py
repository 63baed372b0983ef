"""Observations of a fit: what is refused in which words, scaled units, subsets, noise that scales share."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproject.errors import BadInput
from mlproject.scaling import Points, interval_text, unshared_noise
from mlproject.scaling.fitting.points import horizon, read_points, read_scales

POSITIVE = st.floats(min_value=1e-6, max_value=1e9)
ROWS = st.lists(st.tuples(POSITIVE, POSITIVE), min_size=2, max_size=8)


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        ([1, 2], [1, -2], {}, "y must be positive finite numbers; 1 are not, the first is -2.0"),
        ([1, 2], [1, np.nan], {}, "y must be positive finite numbers; 1 are not, the first is nan"),
        ([0, np.inf], [1, 2], {}, "x must be positive finite numbers; 2 are not, the first is 0.0"),
        ([], [], {}, "y must be positive finite numbers; it is empty"),
        ([1], [1], {}, "a law needs at least two points and got 1"),
        ([1, 2], [1, 2], {"ceiling": 0.0}, "the ceiling must be a positive loss and is 0.0"),
        ([1, 2], [1, 2], {"sd": [1.0]}, "sd (1,) must have one value per loss, (2,)"),
        ([1, 2], [1, 2], {"draws": [[1.0, 2.0]]}, "draws (1, 2) must be [replicates, 2], at least two"),
        ([1, 2], [1, 2], {"draws": [1.0, 2.0]}, "draws (2,) must be [replicates, 2], at least two"),
        ([1, 2], ["a", 2], {}, "y must be numbers: could not convert string to float: 'a'"),
        (
            [1, 2, 3],
            [1, 2],
            {},
            "x (3,) and y (2,) do not match: give one x (or one row of x) per loss",
        ),
    ],
)
def test_observations_that_cannot_be_used_are_refused_in_one_line(x, y, options, message):
    with pytest.raises(BadInput) as caught:
        read_points(x, y, **options)
    assert str(caught.value) == message


@given(ROWS)
def test_scaled_observations_have_a_geometric_mean_of_one(rows):
    x, y = map(np.array, zip(*rows, strict=True))
    points = read_points(x, y)
    assert points.scaled(points.x).mean(axis=0) == pytest.approx(0.0, abs=1e-9)
    assert np.log(points.y / points.loss_unit).mean() == pytest.approx(0.0, abs=1e-9)


@given(ROWS, POSITIVE, POSITIVE)
def test_scaled_observations_have_no_unit(rows, x_unit, y_unit):
    x, y = map(np.array, zip(*rows, strict=True))
    points, other = read_points(x, y), read_points(x * x_unit, y * y_unit)
    assert other.scaled(other.x) == pytest.approx(points.scaled(points.x), abs=1e-7)
    assert other.y / other.loss_unit == pytest.approx(points.y / points.loss_unit, rel=1e-7)


def test_replicates_stand_for_a_noise_that_is_not_given():
    draws = np.exp(0.1 * np.random.default_rng(0).normal(size=(4000, 3))) * [3.0, 2.0, 1.0]
    points = read_points([1, 2, 4], [3.0, 2.0, 1.0], draws=draws)
    assert points.noise_known
    assert points.sd == pytest.approx([0.3, 0.2, 0.1], rel=0.05)
    stated = read_points([1, 2, 4], [3.0, 2.0, 1.0], draws=draws, sd=[1.0, 1.0, 1.0])
    assert stated.sd == pytest.approx([1.0, 1.0, 1.0])


def test_rows_of_a_mask_keep_their_noise_replicates_and_ceiling():
    points = Points(
        x=np.array([[1.0], [2.0], [2.0]]),
        y=np.array([3.0, 2.0, 1.0]),
        sd=np.array([0.3, 0.2, 0.1]),
        draws=np.arange(1.0, 7.0).reshape(2, 3),
        ceiling=9.0,
    )
    part = points.take(np.array([False, True, True]))
    assert (part.x.ravel().tolist(), part.y.tolist()) == ([2.0, 2.0], [2.0, 1.0])
    assert (part.sd.tolist(), part.draws.tolist()) == ([0.2, 0.1], [[2.0, 3.0], [5.0, 6.0]])
    assert (part.ceiling, part.n_scales, points.n_scales) == (9.0, 1, 2)


@given(st.floats(min_value=0.01, max_value=2.0), st.integers(min_value=2, max_value=9))
def test_a_factor_that_every_scale_shares_is_no_noise(spread, n):
    shared = np.exp(spread * np.random.default_rng(n).normal(size=(50, 1)))
    values = np.linspace(1.0, 2.0, n)
    assert unshared_noise(values, shared * values) == pytest.approx(1e-6 * values, rel=1e-6)


def test_noise_that_scales_do_not_share_is_its_standard_deviation():
    values = np.array([4.0, 3.0, 2.0, 1.0])
    rng = np.random.default_rng(0)
    shared = np.exp(0.5 * rng.normal(size=(20000, 1)))
    draws = values * shared * np.exp(0.05 * rng.normal(size=(20000, 4)))
    assert unshared_noise(values, draws) == pytest.approx(0.05 * values, rel=0.02)


def test_noise_of_a_replicate_at_zero_is_unknown():
    assert unshared_noise(np.ones(2), np.array([[1.0, 0.0], [1.0, 1.0]])) is None


def test_the_horizon_is_the_factor_beyond_the_data_on_either_side_and_one_inside():
    points = read_points([10, 100], [2.0, 1.0])
    assert horizon(points, np.array([[5.0], [10.0], [50.0], [100.0], [400.0]])) == pytest.approx(
        [2, 1, 1, 1, 4]
    )


def test_the_horizon_of_a_grid_is_that_of_the_axis_that_is_furthest_out():
    points = read_points([[10, 1], [100, 8]], [2.0, 1.0])
    assert horizon(points, np.array([[200.0, 80.0], [50.0, 2.0], [5.0, 0.1]])) == pytest.approx([10, 1, 10])


@pytest.mark.parametrize(
    ("x", "axes", "want"),
    [(5.0, 1, (1, 1)), ([1.0, 2.0], 1, (2, 1)), ([1.0, 2.0], 2, (1, 2)), ([[1.0, 2.0]], 2, (1, 2))],
)
def test_scales_to_predict_at_have_a_row_each(x, axes, want):
    assert read_scales(x, axes).shape == want


@pytest.mark.parametrize(
    ("x", "axes", "shape"), [([0.0], 1, "(1,)"), ([1.0, 2.0, 3.0], 2, "(3,)"), ([[1.0, 2.0]], 1, "(1, 2)")]
)
def test_scales_that_are_no_scales_are_refused(x, axes, shape):
    with pytest.raises(BadInput) as caught:
        read_scales(x, axes)
    assert (
        str(caught.value)
        == f"predictions need positive finite scales with {axes} columns and got shape {shape}"
    )


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.2612, 0.1987, 0.3291), "0.26 [0.20, 0.33]"),
        ((0.0, -0.1, 0.1), "0.00 [-0.10, 0.10]"),
        ((1.0, 0.965, 1.0354), "1.000 [0.965, 1.035]"),  # half-width 0.0352: two digits
        ((1.0, 0.964, 1.036), "1.00 [0.96, 1.04]"),  # 0.036: one digit
        ((1.0, 0.904, 1.096), "1.00 [0.90, 1.10]"),  # 0.096: two digits of 0.10
        ((150_651, 120_312, 190_000), "150,651 [120,312, 190,000]"),
        ((0.5, 0.02, 0.98), "0.50 [0.02, 0.98]"),  # 0 is outside and must not look as if it were inside
        ((0.4, -0.03, 0.9), "0.40 [-0.03, 0.90]"),
        ((0.4, 0.0, 0.9), "0.4 [0.0, 0.9]"),
        ((0.4, 1e-9, 0.9), "0.4 [0.0, 0.9]"),
        ((0.5, 0.4, math.inf), "0.50 [0.40, ∞]"),
        ((0.5, -math.inf, math.inf), "0.500 [-∞, ∞]"),
        ((None, 0.13, 0.24), "[0.13, 0.24]"),
        ((math.nan, 0.13, 0.24), "[0.13, 0.24]"),
        ((0.5, math.nan, math.nan), "0.500 [–, –]"),
        ((1.5, 1.5, 1.5), "1.50 [1.50, 1.50]"),
        ((0.0, 0.0, 0.0), "0 [0, 0]"),
        ((1.2e13, 1.0e13, 1.5e13), "1.20e+13 [1.00e+13, 1.50e+13]"),
        ((2e-8, 1e-8, 4e-8), "2.0e-08 [1.0e-08, 4.0e-08]"),
    ],
)
def test_an_interval_has_the_decimals_of_its_half_width(numbers, text):
    assert interval_text(*numbers) == text


def test_a_difference_has_the_sign_of_every_number():
    assert interval_text(10.5, -54.4, 95.5, sign=True) == "+10 [-54, +96]"
    assert interval_text(-0.001, -0.1, math.inf, sign=True) == "+0.00 [-0.10, +∞]"


FINITE = st.floats(min_value=-1e15, max_value=1e15)


@given(st.tuples(FINITE, FINITE, FINITE).map(sorted))
def test_an_interval_is_read_back_within_a_fraction_of_its_width(ends):
    low, value, high = ends
    text = interval_text(value, low, high)
    read = [float(word.strip("[],").replace(",", "")) for word in text.split()]
    rounding = 0.15 * (high - low) / 2 if high > low else 0.005 * abs(value)
    assert read == pytest.approx([value, low, high], abs=rounding, rel=1e-9)
    assert read[1] <= read[0] <= read[2]
