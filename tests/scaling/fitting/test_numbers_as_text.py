"""Numbers as text: intervals have the decimals of their half-width, and differences their signs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproject.scaling import interval_text


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
        ((0.5, 0.4999999999999997, 0.5000000000000002), "0.50000000 [0.50000000, 0.50000000]"),
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


FINITE = st.floats(min_value=-1e15, max_value=1e15).map(lambda value: value if abs(value) > 1e-290 else 0.0)
"""Without numbers next to the smallest that there are, of which no fraction can be written."""


@given(st.tuples(FINITE, FINITE, FINITE).map(sorted))
def test_an_interval_is_read_back_within_a_fraction_of_its_width(ends):
    low, value, high = ends
    text = interval_text(value, low, high)
    read = [float(word.strip("[],").replace(",", "")) for word in text.split()]
    rounding = 0.15 * (high - low) / 2 if high > low else 0.005 * abs(value)
    eight_digits = 1e-7 * max(abs(low), abs(high))
    assert read == pytest.approx([value, low, high], abs=max(rounding, eight_digits))
    assert read[1] <= read[0] <= read[2]
