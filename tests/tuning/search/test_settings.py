"""Spaces and settings: what may be written, and what is refused in one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproject.errors import WrongUse
from mlproject.tuning.search import Choices, Range, read_tune, split_words
from mlproject.tuning.search.settings import read_space, words_of

DEFAULTS = {"lr": 1e-3, "epochs": 5, "optimizer": "adam", "shuffle": True}


def test_a_range_is_searched_by_its_logarithm_from_a_decade_on():
    space = read_space({"lr": "1e-5..1e-1", "epochs": {"low": 5, "high": 20}}, DEFAULTS)
    assert space["lr"] == Range(name="lr", low=1e-5, high=0.1, log=True, whole=False)
    assert space["epochs"] == Range(name="epochs", low=5, high=20, log=False, whole=True)


def test_a_list_is_a_choice():
    space = read_space({"optimizer": ["adam", "sgd"], "shuffle": [True, False]}, DEFAULTS)
    assert space["optimizer"] == Choices(name="optimizer", values=("adam", "sgd"))
    assert space["shuffle"].ends == (True, False)


def test_a_command_line_says_the_same_as_a_plan():
    words = words_of("lr=1e-5..1e-1, optimizer=adam|sgd")
    plan = {"lr": {"low": 1e-5, "high": 1e-1}, "optimizer": ["adam", "sgd"]}
    assert read_space(words, DEFAULTS) == read_space(plan, DEFAULTS)


def test_choices_of_a_command_line_have_the_type_of_their_knob():
    defaults = {
        "batch_size": 32,
        "weight_decay": 0.0,
        "shuffle": True,
        "image_scales": "1",
        "optimizer": "adam",
    }
    words = "batch_size=8|16,weight_decay=0|1e-2,shuffle=true|false,image_scales=1|2,optimizer=adam|sgd"
    plan = {
        "batch_size": [8, 16], "weight_decay": [0, 0.01], "shuffle": [True, False],
        "image_scales": ["1", "2"], "optimizer": ["adam", "sgd"],
    }  # fmt: skip
    from_words, from_plan = read_space(words_of(words), defaults), read_space(plan, defaults)
    assert repr(from_words) == repr(from_plan)  # 8 and "8" differ, 1 and True too
    assert read_space({"batch_size": ["8", "many"]}, defaults)["batch_size"].ends == (8, "many")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"lr": "1e-1..1e-5"}, "lr must have low < high, not 0.1 and 1e-05"),
        ({"lr": {"low": 0, "high": 1, "log": True}}, "lr must have a positive low where log is true, not 0"),
        ({"lr": {"low": -1, "high": 1, "log": True}}, "positive low where log is true, not -1"),
        ({"lr": {"low": 1e-5}}, "lr has no high"),
        ({"lr": {"low": "x", "high": 1}}, "low of lr must be a number, not 'x'"),
        ({"lr": {"low": 1, "high": float("inf")}}, "lr must have finite bounds"),
        ({"lr": {"low": 1, "high": 2, "step": 1}}, "unknown key of the range of lr 'step'"),
        ({"lr": {"low": 1, "high": 2, "log": "yes"}}, "log of lr must be true or false"),
        ({"lr": 1e-3}, "lr must be {low"),
        ({"epochs": {"low": 1.5, "high": 3}}, "epochs must have whole numbers as bounds, not 1.5"),
        ({"optimizer": "a..b"}, "optimizer is no number"),
        ({"optimizer": ["adam"]}, "two or more different choices"),
        ({"optimizer": ["adam", "adam"]}, "two or more different choices"),
        ({"lrr": "1..2"}, "unknown knob to tune 'lrr'; did you mean lr?"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(table, said):
    with pytest.raises(WrongUse) as refused:
        read_space(table, DEFAULTS)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"trials": "0.5"}, "trials must be a whole number"),
        ({"trials": "-3"}, "trials must be at least 1"),
        ({"sampler": "tpf"}, "unknown sampler 'tpf'; did you mean tpe?"),
        ({"pruner": "medium"}, "unknown pruner 'medium'; did you mean median?"),
        ({"timeout": "soon"}, "timeout must be a number"),
        ({"log_trials": "perhaps"}, "log_trials must be true or false"),
        ({"space": "lr"}, "must read like lr=1e-5..1e-1"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(words, said):
    with pytest.raises(WrongUse) as refused:
        read_tune({}, words, DEFAULTS)
    assert said in str(refused.value)


def test_the_command_line_goes_before_the_plan_and_the_plan_before_the_defaults():
    tune = read_tune({"trials": 7, "seed": 3}, split_words({"trials": "9", "lr": "1"})[0], DEFAULTS)
    assert (tune.trials, tune.seed, tune.sampler) == (9, 3, "tpe")
    assert set(tune.space) == {"lr", "epochs"}


@given(
    low=st.floats(1e-6, 1e3),
    factor=st.floats(1.5, 1e4),
    down=st.floats(1, 100),
    up=st.floats(1, 100),
    log=st.booleans(),
)
def test_a_range_widens_exactly_those_that_it_holds(low, factor, down, up, log):
    narrow = Range(name="lr", low=low, high=low * factor, log=log, whole=False)
    wide = Range(name="lr", low=low / down, high=low * factor * up, log=log, whole=False)
    assert wide.widens(narrow)
    assert narrow.widens(wide) == (wide == narrow)
    assert all(wide.holds(end) for end in narrow.ends)
    assert (narrow.edge(narrow.low), narrow.edge(narrow.high)) == ("low", "high")


@given(low=st.floats(1e-9, 1e6), factor=st.floats(1.001, 1e6), whole=st.booleans())
def test_a_range_in_words_reads_back_as_the_range(low, factor, whole):
    low, high = (max(1, int(low)), int(low * factor) + 2) if whole else (low, low * factor)
    name = "epochs" if whole else "lr"
    (dimension,) = read_space(words_of(f"{name}={low!r}..{high!r}"), DEFAULTS).values()
    assert dimension.ends == (low, high)
    again = {name: {"low": dimension.low, "high": dimension.high, "log": dimension.log}}
    assert read_space(again, DEFAULTS) == {name: dimension}


@given(words=st.dictionaries(st.text(max_size=5), st.text(max_size=5)))
def test_the_words_of_a_command_line_are_split_without_losing_any(words):
    tuning, others = split_words(words)
    assert others.keys() <= words.keys()
    assert not tuning.keys() & others.keys()
    lost = words.keys() - tuning.keys() - others.keys()
    assert lost <= {"tune"}
