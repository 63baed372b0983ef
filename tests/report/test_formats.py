"""Numbers as reports write them: significant digits, open ends, signs, percentages."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproject.analysis import Effect
from mlproject.report.formats import (
    ABSENT,
    as_count,
    as_fixed,
    as_interval,
    as_limits,
    as_number,
    as_scale,
    as_signed,
    as_text,
    as_times,
    ends,
    family_words,
    interval,
    kind_label,
    number,
    range_text,
    sentence,
    signed,
    signed_interval,
    slug,
    slugs,
)
from mlproject.scaling import Estimate, interval_text


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (0.12345, "0.123"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
        (math.nan, "–"),
        (None, "–"),
        (12345.6, "12,346"),
        (1.2e13, "1.2e+13"),
    ],
)
def test_numbers_have_three_digits_and_open_ends_are_infinities(value, want):
    assert number(value) == want


def test_an_estimate_without_a_value_is_its_limits():
    estimate = Estimate(value=0.5, low=0.4, high=math.inf)
    assert interval(estimate) == "0.50 [0.40, ∞]"
    assert interval(estimate, identified=False) == "[0.400, ∞]"
    assert interval(None) == "–"
    assert ends("a", estimate, identified=False) == {"a": None, "a_low": 0.4, "a_high": math.inf}
    assert set(ends("a", None).values()) == {None}


def test_differences_keep_their_sign():
    effect = Effect(value=-0.012, low=-0.032, high=0.008, p=0.2, n_seeds=5, n_images=400)
    assert signed_interval(effect) == "-0.012 [-0.032, +0.008]"


def test_words_of_ranges_and_sentences():
    assert (range_text(2, 2), range_text(1, 3)) == ("2", "1 to 3")
    assert (sentence("it falls."), sentence("")) == ("It falls.", "")


ANY = st.floats(allow_nan=True, allow_infinity=True)
FINITE = st.floats(min_value=-1e12, max_value=1e12)
POSITIVE = st.floats(min_value=1e-12, max_value=1e12)


@given(FINITE, st.integers(min_value=1, max_value=8))
def test_a_number_that_is_read_back_is_within_half_of_its_last_digit(value, digits):
    read = float(number(value, digits).replace(",", ""))
    whole = 0.5 if abs(read) >= 1000.0 else 0.0  # from 1,000 on numbers are whole
    assert read == pytest.approx(value, rel=0.5000001 * 10.0 ** (1 - digits), abs=whole)


@given(POSITIVE)
def test_a_number_written_twice_does_not_change(value):
    assert number(float(number(value).replace(",", ""))) == number(value)


@given(FINITE, st.integers(min_value=0, max_value=6))
def test_a_signed_difference_is_read_back_within_half_of_its_last_decimal(value, decimals):
    text = signed(value, decimals)
    assert text[0] in "+-"
    assert float(text) == pytest.approx(value, abs=0.5000001 * 10.0**-decimals, rel=1e-12)


@given(st.floats(min_value=-0.000499, max_value=0.000499))
def test_a_difference_that_rounds_to_zero_has_a_positive_sign(value):
    assert signed(value) == "+0.000"


@given(FINITE)
def test_a_difference_and_its_opposite_differ_in_their_sign_alone(value):
    assert signed(value)[1:] == signed(-value)[1:]


def test_open_ends_of_a_difference_are_infinities_as_those_of_other_intervals():
    effect = Effect(value=-0.012, low=-math.inf, high=math.inf, p=0.2, n_seeds=1, n_images=1)
    assert signed_interval(effect) == "-0.0120 [-∞, +∞]"
    row = {"gain": 0.1, "gain_low": -math.inf, "gain_high": math.inf}
    assert as_signed("gain").write(row) == "+0.100 [-∞, +∞]"


@given(ANY, ANY, ANY)
def test_an_interval_without_an_identified_value_never_shows_the_value(value, low, high):
    estimate = Estimate(value=value, low=low, high=high)
    text = interval(estimate, identified=False)
    assert text == interval_text(None, low, high)
    row = ends("alpha", estimate, identified=False)
    assert row["alpha"] is None
    shown = as_interval("alpha").write(row)
    assert shown == (ABSENT if math.isnan(low) and math.isnan(high) else text)


@given(ANY, FINITE, FINITE)
def test_a_column_of_intervals_shows_what_the_sentence_shows(value, low, high):
    estimate = Estimate(value=value, low=low, high=high)
    shown = as_interval("alpha").write(ends("alpha", estimate))
    assert shown == (interval_text(None, low, high) if math.isnan(value) else interval(estimate))


@pytest.mark.parametrize(
    ("column", "row", "want"),
    [
        (as_count("n"), {"n": 1234567}, "1,234,567"),
        (as_count("n"), {"n": None}, ABSENT),
        (as_count("n"), {}, ABSENT),
        (as_scale("n"), {"n": 465300.0}, "465,300"),
        (as_scale("n"), {"n": 0.5}, "0.5"),
        (as_fixed("n"), {"n": 0.256}, "0.26"),
        (as_fixed("n"), {"n": math.nan}, ABSENT),
        (as_number("n", 2), {"n": 0.256}, "0.26"),
        (as_signed("d"), {"d": None}, ABSENT),
        (as_signed("d"), {"d": 0.25}, "+0.250"),
        (as_signed("d", 1), {"d": 1.25, "d_low": -0.5, "d_high": 3.0}, "+1.2 [-0.5, +3.0]"),
        (as_limits("a", "b"), {"a": 0.1, "b": math.inf}, "[0.100, ∞]"),
        (as_limits("a", "b"), {"a": math.nan, "b": 1.0}, ABSENT),
        (as_times("h"), {"h": 1.0}, "inside"),
        (as_times("h"), {"h": 2.0}, "2 ×"),
        (as_times("h"), {"h": None}, ABSENT),
        (as_text("t"), {"t": None}, ABSENT),
        (as_text("t"), {"t": 0}, "0"),
        (as_interval("a"), {"a": 0.5}, "0.5"),
        (as_interval("a"), {"a": None, "a_low": 0.1, "a_high": 0.2}, "[0.10, 0.20]"),
    ],
)
def test_every_column_format_writes_its_number_or_a_dash(column, row, want):
    assert column.write(row) == want


@given(st.text())
def test_a_slug_is_a_file_name_of_any_text_and_its_own_slug(text):
    name = slug(text)
    assert re.fullmatch(r"([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)?", name)
    assert len(name) <= 80
    assert slug(name) == name


def test_studies_that_differ_have_figures_of_different_names():
    texts = [
        "trained_stages=-1", "trained_stages=1", "lr=1e-05", "lr=1e+05", "lr=0.1", "lr=1", "α", "β", "数据",
        "toys · a" + "b" * 90, "toys · a" + "b" * 91, "100 images", "1,000 images", "m=.9", "m=-.9",
    ]  # fmt: skip
    assert len({slug(text) for text in texts}) == len(texts)
    assert slug("trained_stages=-1") == "trained_stages-minus1"
    assert slug("a-b · c=1e-3") == "a-b-c-1e-3"


@given(st.lists(st.text(max_size=100), max_size=6, unique=True))
def test_slugs_of_distinct_texts_are_distinct(texts):
    assert len(set(slugs(texts))) == len(texts)


def test_a_family_is_a_title_in_words():
    words = family_words("embedded · probe · target labels · cross_entropy · held-out")
    assert words == "probe on embedded: held-out cross entropy, target labels"
    sizes = family_words("toys · finetune · mse · tuned lr · steps=9 · in-sample (40 images)")
    assert sizes == "finetune on toys: in-sample mse, tuned lr, steps=9, 40 images"
    assert family_words("net · 100 images") == "net · 100 images"


@given(st.text())
def test_a_sentence_ends_with_one_full_stop_and_stays_a_sentence(text):
    clause = sentence(text)
    assert not clause or clause.endswith(".")
    assert sentence(clause) == clause


def test_the_unit_of_a_loss_stands_behind_its_name():
    assert kind_label("cross_entropy") == "cross entropy [nats]"
    assert kind_label("mse") == "mse"


@pytest.mark.parametrize(
    ("scale", "text"),
    [
        (4653000.0, "4,653,000"),
        (12345678, "12,345,678"),
        (86567656.0, "86,567,656"),
        (12800, "12,800"),
        (1234567.8, "1,234,568"),
        (0.0625, "0.0625"),
        (99.5, "99.5"),
        (3.2e12, "3.2e+12"),
    ],
)
def test_a_scale_is_written_in_full(scale, text):
    assert as_scale("x").write({"x": scale}) == text
    assert as_scale("x").write({"x": None}) == ABSENT
