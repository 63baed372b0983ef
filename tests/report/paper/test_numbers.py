"""Macros: names of letters that read well, never one name for two numbers, values in text and mathematics."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from mlproject.report.paper.numbers import Quantity, macro_names, macros, numbers_tex, readable

TEXT = st.text(alphabet="abL owHigh_-=·.%01é你\\{}#", max_size=12)


def quantity(kind, *words, text="0.5 [0.4, 0.6]"):
    return Quantity(kind=kind, words=words, text=text, meaning="what it is")


def test_names_say_what_a_number_is_with_digits_in_words():
    assert readable("alpha", "power", "efficientnet_lite0") == "AlphaPowerEfficientnetLiteZero"
    assert readable("trained_stages=-1") == "TrainedStagesIsMinusOne"
    assert readable("trained_stages=1") == "TrainedStagesIsOne"
    assert readable("0.25×") == "ZeroPointTwoFiveTimes"


def test_an_interval_has_four_macros_and_a_number_one():
    made = {
        macro.name: macro.text for macro in macros([quantity("alpha", "a"), quantity("runs", text="1,200")])
    }
    assert made == {
        "AlphaA": r"\ensuremath{0.5}", "AlphaALow": r"\ensuremath{0.4}", "AlphaAHigh": r"\ensuremath{0.6}",
        "AlphaAInterval": r"\ensuremath{0.5}~[\ensuremath{0.4},~\ensuremath{0.6}]",
        "Runs": r"\ensuremath{1{,}200}",
    }  # fmt: skip


def test_a_number_that_is_not_identified_has_limits_and_says_so():
    made = {macro.name: macro.text for macro in macros([quantity("alpha", text="[0.13, ∞]")])}
    assert made["Alpha"] == "not identified"
    assert made["AlphaHigh"] == r"\ensuremath{\infty}"
    assert made["AlphaInterval"] == r"[\ensuremath{0.13},~\ensuremath{\infty}]"


def test_names_that_would_be_equal_are_told_apart():
    pairs = [quantity("alpha", "a b"), quantity("alpha", "a_b"), quantity("alpha", "a b")]
    assert len(set(macro_names(pairs))) == 3


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), max_size=8))
def test_no_name_stands_for_two_numbers_and_all_are_letters(words):
    made = macros([quantity("alpha", *pair) for pair in words])
    assert len({macro.name for macro in made}) == len(made) == 4 * len(words)
    assert all(re.fullmatch("[A-Za-z]+", macro.name) for macro in made)


def test_a_meaning_cannot_leave_its_comment():
    made = macros([Quantity(kind="x", words=(), text="1", meaning="two\nlines \\input{x}")])
    assert len(numbers_tex(made).splitlines()) == 2
