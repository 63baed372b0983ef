"""Numbers as reports write them: significant digits, open ends, signs, percentages."""

import math

import pytest

from mlproject.analysis import Effect
from mlproject.report.formats import ends, interval, number, range_text, sentence, signed_interval
from mlproject.scaling import Estimate


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (0.12345, "0.123"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
        (math.nan, "–"),
        (None, "–"),
        (12345.6, "1.23e+04"),
    ],
)
def test_numbers_have_three_digits_and_open_ends_are_infinities(value, want):
    assert number(value) == want


def test_an_estimate_without_a_value_is_its_limits():
    estimate = Estimate(value=0.5, low=0.4, high=math.inf)
    assert interval(estimate) == "0.5 [0.4, ∞]"
    assert interval(estimate, identified=False) == "[0.4, ∞]"
    assert interval(None) == "–"
    assert ends("a", estimate, identified=False) == {"a": None, "a_low": 0.4, "a_high": math.inf}
    assert set(ends("a", None).values()) == {None}


def test_differences_keep_their_sign():
    effect = Effect(value=-0.012, low=-0.032, high=0.008, p=0.2, n_seeds=5, n_images=400)
    assert signed_interval(effect) == "-0.012 [-0.032, +0.008]"


def test_words_of_ranges_and_sentences():
    assert (range_text(2, 2), range_text(1, 3)) == ("2", "1 to 3")
    assert (sentence("it falls."), sentence("")) == ("It falls.", "")
