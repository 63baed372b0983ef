"""The answer of a study: what its curves show, what they cannot show, and what the next scale gives."""

import re

import pytest

from mlproject.analysis import analyse
from mlproject.report.answer import study_answer
from mlproject.report.formats import interval, percent
from tests.studies import cell, planted, usual_study, with_two_laws

SIZES = (100, 200, 400, 700, 1200, 2000)
NUMBER = r"[\d.]+ \[[\d.]+, [\d.]+\]"


@pytest.fixture(scope="module")
def study():
    return usual_study()


@pytest.fixture(scope="module")
def answer(study):
    return study_answer(study)


def curve(seeds=2, sizes=SIZES, n_draws=150, **law):
    runs = (planted(cell(size=s, seed=i), n=100, **law) for s in sizes for i in range(seeds))
    return study_answer(analyse(runs, n_draws=n_draws))


def test_it_opens_with_whether_more_of_each_axis_helps(answer):
    assert answer.result[0] == "More training images help."


def test_the_exponents_are_those_over_all_laws_at_the_largest_scale(study, answer):
    first_assessed = next(c for c in study.along("images") if c.series == "lite0").assessments["mean"]
    assert interval(first_assessed.local) in answer.result[1]
    assert len(re.findall(NUMBER, answer.result[1])) == 6
    assert f"there each doubling removes {percent(first_assessed.removed_by_doubling)}, " in answer.result[1]


def test_random_weights_are_a_control_beside_the_others(answer):
    assert answer.result[2].startswith("The loss of the control resnet18 (random) falls")
    assert "that of the others" in answer.result[2]


def test_an_unknown_floor_and_close_models_may_not_be_concluded(answer):
    floors, models, *_ = answer.not_concluded
    assert "any irreducible loss from 0 to 0." in floors
    assert "scales above 2,000 images would tell" in floors
    assert models.startswith("An exponent of model size: 3 models within a factor of 1.43 are too few")


def test_the_next_scale_has_the_interval_of_a_new_run(study, answer):
    predicted = next(c for c in study.along("images") if c.series == "lite0").predictions["mean"]
    (text,) = answer.next_scale
    assert text.startswith("At 4,000 images expect a loss of")
    assert len(re.findall(NUMBER, text)) == 3
    assert predicted.new_run_low[0] < predicted.low[0]
    assert f"[{predicted.new_run_low[0]:.2f}, " in text


def test_a_loss_whose_interval_spans_orders_of_magnitude_is_not_predicted():
    (text,) = curve(seeds=1, sizes=SIZES[:3], noise=0.2).next_scale
    assert re.fullmatch(
        r"The loss at 800 images is open: 95 % of new runs lie in \[[\d.]+, [\d.]+\] \(lite0\), "
        "more than a factor of 10 wide.",
        text,
    )


def test_a_flat_loss_is_said_to_be_flat():
    answer = curve(alpha=0.0, floor=0.0, k=1.0, noise=0.005)
    assert answer.result[0] == "More training images do not help measurably."
    assert answer.result[1].endswith(" is flat.")


def test_a_rising_loss_is_said_to_rise():
    answer = curve(alpha=-0.4, floor=0.0, k=0.1)
    assert answer.result[0] == "More training images raise the loss."
    assert not any("irreducible" in text for text in answer.not_concluded)


def test_two_sizes_give_no_exponent_and_say_what_is_missing():
    answer = curve(sizes=(100, 400))
    assert answer.result[0].startswith("No scaling is measured: 4 cells have nothing")
    assert "2 scales" in answer.not_concluded[0]


def test_a_single_cell_is_answered_by_its_loss():
    answer = study_answer(analyse([planted(cell())], n_draws=20))
    assert re.search(rf"1 cell has .*Mean losses: {NUMBER}", answer.result[0])
    assert answer.next_scale == ()


def test_one_seed_is_told():
    assert any("another seed" in text for text in curve(seeds=1).not_concluded)


def test_many_curves_are_counted_and_not_listed():
    runs = [
        planted(cell(model=f"net{m}", size=s, seed=i), n=60, floor=0.0, alpha=0.4 + 0.05 * m)
        for m in range(6)
        for s in SIZES[:5]
        for i in range(2)
    ]
    answer = study_answer(with_two_laws(runs, n_draws=60))
    assert "of 6 curves falls" in answer.result[1]
    assert len(re.findall(NUMBER, answer.result[1])) == 4
    assert answer.next_scale[0].count("(net") == 1
