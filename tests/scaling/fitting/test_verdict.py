"""Verdicts: how many scales a law needs, what a grid lacks, designs on a line, and when a slope is flat."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress, t

from mlproject.scaling import FLAT, LAWS, SCALING, UNIDENTIFIABLE, Estimate, fit, grid_shortage
from mlproject.scaling.fitting.points import read_points
from mlproject.scaling.fitting.slopes import FLAT_WITHIN, average_slopes, is_flat
from mlproject.scaling.fitting.verdict import collinear, exponents, too_few_scales
from mlproject.scaling.laws import scales_needed

GRID = np.array([(n, d) for n in (1e5, 1e6, 1e7) for d in (1e2, 1e3, 1e4)])


def line(n, *, alpha=0.5, noise=0.01, seed=0):
    x = np.geomspace(100, 100 * 2.0 ** (n - 1), n)
    return x, 3.0 * x**-alpha * np.exp(noise * np.random.default_rng(seed).normal(size=n))


@pytest.mark.parametrize(
    ("n", "law", "reason"),
    [
        (
            3,
            "power",
            "3 scales for the 2 parameters of power, at least 4 needed (one degree of freedom is left: "
            "t = 12.7); add one more scale, best above 400",
        ),
        (
            2,
            "power_floor",
            "2 scales for the 3 parameters of power_floor, at least 4 needed; add 2 more scales, "
            "best above 200",
        ),
        (4, "power", ""),
        (4, "power_floor", ""),
    ],
)
def test_too_few_scales_say_how_many_to_add_and_where(n, law, reason):
    assert too_few_scales(read_points(*line(n)), LAWS[law]) == reason


def test_scales_that_repeat_count_once():
    x, y = line(3)
    assert too_few_scales(read_points(np.tile(x, 4), np.tile(y, 4)), LAWS["power"]).startswith("3 scales")


@pytest.mark.parametrize("law", list(LAWS.values()), ids=list(LAWS))
def test_every_law_needs_more_scales_than_it_has_parameters(law):
    assert scales_needed(law.axes, law.n_free()) > law.n_free()


@pytest.mark.parametrize(
    ("x", "shortage"),
    [
        (GRID[GRID[:, 0] < 1e7], "2 values of N × 3 values of D, at least 3 of each needed"),
        (GRID[GRID[:, 1] == 100], "3 values of N × 1 value of D, at least 3 of each needed"),
        (GRID ** np.array([0.1, 1.0]), "the range of N is a factor of 1.58, at least 2 needed"),
        (GRID[[0, 4, 8]], f"3 cells, at least {scales_needed(2)} needed"),
        (GRID, ""),
    ],
)
def test_a_grid_says_what_it_lacks(x, shortage):
    assert grid_shortage(x) == shortage


@given(st.permutations(range(len(GRID))))
def test_the_order_of_the_cells_of_a_grid_does_not_matter(order):
    assert grid_shortage(GRID[order]) == ""
    assert grid_shortage(GRID[order][:4]) != ""


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (GRID, None),
        (GRID[:, :1], None),
        (
            GRID[[0, 4, 8]],
            "the two axes move together, so their exponents cannot be separated: add cells off the line",
        ),
        (GRID[GRID[:, 1] == 100], "axis 2 has a single value: vary it"),
        (
            np.column_stack([GRID, GRID[:, 1] ** 2]),
            "axes 2 and 3 move together, so their exponents cannot be separated: add cells off the line",
        ),
    ],
)
def test_a_design_that_cannot_separate_its_axes_says_which(x, reason):
    assert collinear(read_points(x, np.ones(len(x)))) == reason


@settings(max_examples=25)
@given(st.integers(min_value=4, max_value=10), st.integers(min_value=0, max_value=1000))
def test_the_average_slope_has_the_t_interval_of_scipys_regression(n, seed):
    x, y = line(n, noise=0.1, seed=seed)
    (slope,) = average_slopes(read_points(x, y))
    want = linregress(np.log(x), -np.log(y))
    half = t.ppf(0.975, n - 2) * want.stderr
    assert slope.value == pytest.approx(want.slope, rel=1e-9)
    assert (slope.low, slope.high) == pytest.approx((want.slope - half, want.slope + half), rel=1e-6)


@pytest.mark.parametrize(
    ("low", "high", "flat"),
    [
        (-0.05, 0.05, True),
        (-0.05, 0.2, False),
        (0.01, 0.05, False),
        (-FLAT_WITHIN, FLAT_WITHIN, True),
        (-0.2, 0.05, False),
    ],
)
def test_a_slope_is_flat_where_it_includes_zero_and_nothing_steep(low, high, flat):
    assert is_flat(Estimate(value=0.5 * (low + high), low=low, high=high)) == flat


@pytest.mark.parametrize(
    ("alpha", "noise", "verdict"),
    [(0.5, 0.01, SCALING), (0.0, 0.01, FLAT), (0.1, 0.5, UNIDENTIFIABLE), (-0.3, 0.01, SCALING)],
)
def test_a_curve_gets_its_verdict_with_a_reason(alpha, noise, verdict):
    fitted = fit(*line(8, alpha=alpha, noise=noise), law="power")
    assert fitted.verdict == verdict
    assert fitted.reason
    assert ("rises" in fitted.reason) == (alpha < 0)
    assert (fitted.identified == frozenset()) == (verdict == UNIDENTIFIABLE)


def test_exponents_are_the_shapes_that_belong_to_an_axis():
    assert exponents(LAWS["zhai"]) == ("alpha",)
    assert exponents(LAWS["bnsl1"]) == ("alpha", "alpha1")
    assert exponents(LAWS["separable3"]) == ("alpha", "beta", "gamma")
