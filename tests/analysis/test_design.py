"""Designs of next experiments: refused aims, candidates, costs in closed form, seeds that are free."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproject.analysis import Aim, Design, finished_run
from mlproject.errors import BadInput, WrongUse
from tests.studies import WIDTHS, cell, observe

SIZES = (100, 200, 400, 800, 1600)


def run(model="net-8", size=100, seed=0, *, place=0, loss=None, seconds=0.0, **fields):
    observation = observe(
        cell(model, size, seed, **fields), [loss or 4.0 * size**-0.4] * 3, params=WIDTHS[model]
    )
    observation.metrics["seconds.fit"] = seconds
    return finished_run(observation, place)


def design(models=("net-8",), sizes=SIZES, *, n_pool=5000, seconds=lambda n, d: 0.0, seeds=(0,)):
    runs = [
        run(model, size, seed, place=i, seconds=seconds(WIDTHS[model], size))
        for i, model in enumerate(models)
        for size in sizes
        for seed in seeds
    ]
    return Design(cells=tuple(cell(model) for model in models), n_pool=n_pool, runs=tuple(runs))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": 0}, "target and budget must be above zero, not 0 and 100"),
        ({"budget": 0.0}, "target and budget must be above zero, not 1000 and 0"),
        ({"budget": math.nan}, "target and budget must be above zero, not 1000 and nan"),
        ({"params": -1.0}, "the target's parameters must be above zero, not -1"),
        ({"unit": "flop"}, "unknown unit 'flop'; did you mean flops?"),
    ],
)
def test_an_aim_that_cannot_be_is_refused_in_one_line(changes, message):
    with pytest.raises(WrongUse) as caught:
        Aim(**({"target": 1000, "budget": 100.0} | changes))
    assert str(caught.value) == message


def test_an_aim_is_said_in_words():
    assert Aim(target=12000, budget=1.0).words == "12,000 images"
    assert Aim(target=12000, budget=1.0, params=2.5e7).words == "12,000 images and 25,000,000 parameters"


def test_a_finished_run_has_its_loss_size_and_logged_cost():
    finished = run(size=400, seed=3, seconds=2.5)
    assert (finished.size, finished.seed, finished.params) == (400, 3, WIDTHS["net-8"])
    assert (finished.flops, finished.seconds) == (4e8 * 400, 2.5)
    assert finished.loss == pytest.approx(4.0 * 400**-0.4)


@given(st.integers(min_value=1, max_value=20_000), st.integers(min_value=100, max_value=10_000))
def test_candidates_lie_between_the_smallest_size_and_what_can_be_drawn(target, n_pool):
    sizes = [size for _, size in design(n_pool=n_pool).candidates(target)]
    assert sizes == sorted(set(sizes))
    assert min(sizes) == SIZES[0]
    assert max(sizes) <= min(n_pool, max(SIZES[-1], target))
    assert {size for size in SIZES if size <= n_pool} <= set(sizes)


def test_every_model_of_a_grid_has_the_same_candidate_sizes():
    candidates = design(("net-8", "net-16")).candidates(3200)
    by_model = [[size for place, size in candidates if place == model] for model in (0, 1)]
    assert by_model[0] == by_model[1]
    assert max(by_model[0]) == 3200


def test_scales_of_one_model_are_images_and_of_several_parameters_and_images():
    one, several = design(), design(("net-8", "net-16"))
    assert one.x.tolist() == [float(size) for size in SIZES]
    assert several.x.shape == (10, 2)
    assert several.x[-1].tolist() == [WIDTHS["net-16"], 1600.0]
    assert one.target(Aim(target=9000, budget=1.0)).tolist() == [9000.0]
    assert several.target(Aim(target=9000, budget=1.0)).tolist() == [[WIDTHS["net-16"], 9000.0]]
    assert several.target(Aim(target=9000, budget=1.0, params=1e9)).tolist() == [[1e9, 9000.0]]
    assert (one.joint, one.name, several.joint, several.name) == (False, "net-8", True, "2 models")


@pytest.mark.parametrize("power", [0.5, 1.0, 1.3])
def test_time_of_other_sizes_follows_the_power_of_the_finished_runs(power):
    timed = design(seconds=lambda n, d: 0.01 * d**power)
    assert timed.costs([(0, 3200), (0, 100)], "seconds") == pytest.approx(
        [0.01 * 3200**power, 0.01 * 100**power]
    )


def test_time_of_a_grid_is_a_power_of_parameters_and_images():
    timed = design(("net-8", "net-16", "net-32"), seconds=lambda n, d: 1e-9 * n**0.7 * d)
    (cost,) = timed.costs([(2, 3200)], "seconds")
    assert cost == pytest.approx(1e-9 * WIDTHS["net-32"] ** 0.7 * 3200)


def test_compute_is_in_operations_or_in_multiply_accumulates_of_two_each():
    flops, gmac = (design().costs([(0, 3200)], unit) for unit in ("flops", "gmac"))
    assert flops == pytest.approx([4e8 * 3200])
    assert gmac == pytest.approx(flops / 2e9)
    assert design().costs([(0, 3200)], "images").tolist() == [3200.0]


def test_a_budget_in_a_unit_that_no_run_has_logged_is_refused():
    with pytest.raises(BadInput) as caught:
        design().costs([(0, 100)], "seconds")
    assert str(caught.value) == "net-8: its runs have not logged seconds; give the budget in images"


@given(st.sets(st.integers(min_value=0, max_value=6), min_size=1), st.integers(min_value=1, max_value=5))
def test_fresh_seeds_are_the_lowest_that_were_not_run(used, n):
    fresh = design(sizes=(100,), seeds=tuple(sorted(used))).fresh_seeds((0, 100), n)
    assert fresh == tuple(sorted(set(range(20)) - used)[:n])
    assert design().fresh_seeds((0, 999), n) == tuple(range(n))


def test_a_plan_stays_within_its_budget_and_narrows_the_prediction():
    noise = np.random.default_rng(0).normal(size=len(SIZES))
    runs = [run(size=s, loss=4.0 * s**-0.4 * math.exp(0.02 * e)) for s, e in zip(SIZES, noise, strict=True)]
    noisy = Design(cells=(cell("net-8"),), n_pool=5000, runs=tuple(runs))
    plan, candidates = noisy.plan(Aim(target=5000, budget=9000.0))
    assert 0 < sum(size for _, size in candidates) == plan.spent <= 9000.0
    assert plan.width_after < plan.width_before
    with pytest.raises(BadInput) as caught:
        noisy.plan(Aim(target=5000, budget=50.0))
    assert str(caught.value) == "net-8: its share of the budget, 50 images, is below its cheapest cell, 100"


def scattered(sd, seeds=6, sizes=(100, 200, 400, 800, 1600, 3200)):
    rng = np.random.default_rng(1)
    runs = [
        run(size=size, seed=seed, loss=4.0 * size**-0.4 * math.exp(sd(size) * rng.normal()))
        for size in sizes
        for seed in range(seeds)
    ]
    return Design(cells=(cell("net-8"),), n_pool=20000, runs=tuple(runs))


def test_the_scatter_of_seeds_is_a_power_of_the_size():
    scatter = scattered(lambda size: 0.8 * size**-0.5, seeds=40).scatter
    assert scatter.of([100, 1600]) == pytest.approx([0.08, 0.02], rel=0.15)
    assert scatter.dof == 6 * 39 - 1


def test_one_seed_or_two_sizes_tell_no_scatter():
    assert scattered(lambda size: 0.02, seeds=1).scatter is None
    assert scattered(lambda size: 0.02, sizes=(100, 200)).scatter is None


def test_seeds_that_are_all_alike_have_the_smallest_scatter_and_no_error():
    assert 0 < scattered(lambda size: 0.0).scatter.of([100])[0] < 1e-5


def test_where_all_images_are_used_seeds_are_spent_where_the_losses_scatter():
    def sizes_bought(sd):
        design = replace(scattered(sd), n_pool=3200)
        return {size for _, size in design.plan(Aim(target=10000, budget=20000.0))[1]}

    assert sizes_bought(lambda size: 8.0 / size) == {100}
    assert sizes_bought(lambda size: 0.02) == {3200}
