"""The condition of a sequential design, and the cells of a round."""

import math

import numpy as np
import pytest

from mlproject.analysis import Design, FinishedRun, next_batch, predict_targets, read_until
from mlproject.errors import WrongUse
from tests.studies import cell, observe, planted


@pytest.mark.parametrize(
    ("text", "width", "target", "params"),
    [
        ("width <= 0.1 at 100000 images", 0.1, 100_000, 0.0),
        ("width<=10% at 1e5 images and 5e6 parameters", 0.1, 100_000, 5e6),
        ("width ≤ .5e0 at 1 image", None, None, None),
        ("width < 0.25 at 100,000 images", 0.25, 100_000, 0.0),
    ],
)
def test_a_condition_is_read_as_people_write_it(text, width, target, params):
    if width is None:
        with pytest.raises(WrongUse, match=r"write it as 'width <= 0\.1 at 100000 images'"):
            read_until(text)
        return
    until = read_until(text, "2,000", "cells")
    assert (until.width, until.target, until.params, until.budget) == (width, target, params, 2000)
    assert until.log_width == pytest.approx(math.log(1 + width))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("width <= 0 at 10 images",), "must be above zero"),
        (("width <= 0.1 at 0 images",), "above zero"),
        (("width <= 0.1 at 10 images", "much"), "budget must be a number of images"),
        (("width <= 0.1 at 10 images", "0"), "budget must be above zero"),
        (("width <= 0.1 at 10 images", "5", "image"), "did you mean images"),
    ],
)
def test_a_condition_that_cannot_hold_is_refused(words, message):
    with pytest.raises(WrongUse, match=message):
        read_until(*words)


def design(sizes=(100, 200, 400)):
    rng = np.random.default_rng(0)
    runs = [
        FinishedRun(
            model=0, size=size, seed=0, loss=(0.3 + 5 * size**-0.5) * math.exp(0.02 * rng.normal()),
            params=1e6, flops=4e8 * size, seconds=0.0,
        )
        for size in sizes
    ]  # fmt: skip
    return Design(cells=(cell(),), n_pool=10_000, runs=tuple(runs))


def test_a_round_takes_cells_that_wait_and_none_more_often_than_it_has_seeds():
    waiting = {(0, 100): 1, (0, 800): 2, (0, 1600): 1}
    aim = read_until("width <= 0.1 at 6400 images").aim(10_000)
    batch = next_batch(design(), aim, waiting, log_width=math.inf, wanted=0.0, least=4)
    assert all(batch.cells.count(each) <= waiting[each] for each in batch.cells)
    assert batch.cost == sum(size for _, size in batch.cells)
    assert batch.expected_of_all <= batch.expected + 1e-9


def test_what_evaluation_images_leave_is_expected_after_all_cells():
    aim = read_until("width <= 0.1 at 3200 images").aim(10_000)
    several = design((100, 200, 400, 800, 1600))
    plan, _ = several.choose(aim, {(0, 1600): 3})
    wide = math.hypot(plan.width_before, 0.2)
    batch = next_batch(several, aim, {(0, 1600): 3}, log_width=wide, wanted=0.1, least=1)
    assert batch.of_images == pytest.approx(0.2)
    assert batch.expected_of_all == pytest.approx(math.hypot(plan.width_of_all, 0.2))


def test_evaluation_images_are_not_blamed_for_more_than_their_mean_leaves():
    aim = read_until("width <= 0.1 at 3200 images").aim(10_000)
    several = design((100, 200, 400, 800, 1600))
    plan, _ = several.choose(aim, {(0, 1600): 3})
    wide = math.hypot(plan.width_before, 0.8)
    batch = next_batch(several, aim, {(0, 1600): 3}, log_width=wide, of_images=0.1, wanted=0.1, least=1)
    assert batch.of_images == pytest.approx(0.1)
    losses = np.exp(np.random.default_rng(1).normal(size=50))
    runs = [observe(cell(size=size), losses * size**-0.5) for size in (100, 200, 400, 800)]
    (target,) = set(predict_targets(runs, aim, n_draws=50).values())
    standard_error = losses.std() / losses.mean() / math.sqrt(50)
    assert target.of_images == pytest.approx(2 * 1.96 * standard_error)


def test_a_flat_curve_of_enough_scales_can_be_narrow_enough():
    aim = read_until("width <= 0.1 at 3200 images").aim(10_000)
    runs = [planted(cell(size=s, seed=i), n=40, alpha=0.0, floor=0.0, k=1.0, noise=0.002)
            for s in (100, 200, 400, 800, 1600) for i in range(2)]  # fmt: skip
    (target,) = set(predict_targets(runs, aim, n_draws=50).values())
    assert not target.few
    assert target.width < 1.0
