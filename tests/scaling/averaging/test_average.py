"""Averaging laws: weights, coverage, scale-free answers, refusals; choosing what to run next."""

from dataclasses import replace

import numpy as np
import pytest

from mlproject.errors import BadInput
from mlproject.scaling import average
from mlproject.scaling.averaging.flags import sampling_flags

SIZES = np.geomspace(100.0, 6400.0, 7)


def grid(n=4, d=5):
    n_params, n_images = np.meshgrid(np.geomspace(5e6, 9e7, n), np.geomspace(200.0, 6400.0, d), indexing="ij")
    return np.stack([n_params.ravel(), n_images.ravel()], axis=1)


def test_weights_sum_to_one_and_ranks_are_shown_side_by_side():
    found = average(SIZES, 0.3 + 10.0 * SIZES**-0.5)
    assert sum(found.weights.values()) == pytest.approx(1.0)
    ranks = list(range(1, len(found.standings) + 1))
    assert sorted(s.in_sample_rank for s in found.standings.values()) == ranks
    assert found.n_cuts >= 1
    assert sorted(s.out_of_sample_rank for s in found.standings.values()) == ranks


def test_noise_of_a_millionth_is_sampled_and_its_exponent_held():
    x = np.geomspace(1e2, 1e6, 9)
    for loss in (x**-0.3, 0.3 + 10.0 * x**-0.5):
        for seed in range(3):
            noisy = loss * np.exp(1e-6 * np.random.default_rng(seed).standard_normal(9))
            sharp = average(x, noisy, sd=1e-6 * loss, laws=("power", "power_floor"))
            assert sharp.flags == ()
            name = max(sharp.weights, key=sharp.weights.get)
            assert sharp.posteriors[name].effective_size > 100
            assert sharp.law_parameters(name)["alpha"].holds(0.3 if loss[-1] < 0.1 else 0.5)


def test_a_law_of_few_samples_is_flagged_where_it_has_weight():
    posteriors = average(SIZES, 0.3 + 10.0 * SIZES**-0.5, laws=("power", "power_floor")).posteriors
    spoilt = np.zeros_like(posteriors["power_floor"].weights)
    spoilt[0, 0] = 1.0
    posteriors = {**posteriors, "power_floor": replace(posteriors["power_floor"], weights=spoilt)}
    (flag,) = sampling_flags(posteriors, {"power": 0.5, "power_floor": 0.5})
    assert "too few samples fit power_floor" in flag
    assert sampling_flags(posteriors, {"power": 0.99, "power_floor": 0.01}) == ()


def test_the_answer_is_the_same_twice_and_in_other_units():
    y = (0.3 + 10.0 * SIZES**-0.5) * np.exp(0.01 * np.random.default_rng(0).standard_normal(7))
    here, again = average(SIZES, y).predict([2e4]), average(SIZES, y).predict([2e4])
    there = average(SIZES * 1e5, y * 1e-3).predict([2e9])
    assert np.array_equal(here.mean, again.mean)
    assert there.mean * 1e3 == pytest.approx(here.mean, rel=1e-3)
    assert there.high * 1e3 == pytest.approx(here.high, rel=1e-2)


def test_predictions_and_exponents_cover_a_known_truth():
    rng = np.random.default_rng(1)
    held = []
    for floor in [0.0, 0.3] * 12:
        x = np.repeat(np.geomspace(1.0, 30.0, 6), 3)
        y = (floor + 1.5 * x**-0.5) * np.exp(0.02 * rng.standard_normal(len(x)))
        found = average(x, y)
        predicted, truth = found.predict([300.0]), floor + 1.5 * 300.0**-0.5
        held.append([found.parameters["alpha"].holds(0.5), predicted.low[0] <= truth <= predicted.high[0]])
    assert np.all(np.sum(held, axis=0) >= 22)  # of 24: at a coverage of 0.75 that has a chance of 4 %


def test_a_curve_that_no_law_describes_is_covered_beyond_its_end():
    x = np.geomspace(1.0, 1e3, 30)
    y = 0.2 + 0.8 / (1 + np.exp(1.2 * (np.log(x) - 4.0))) ** 0.7 + 0.02 * np.sin(1.5 * np.log(x))
    found = average(x[:24], y[:24]).predict(x[24:])
    assert np.mean((found.low <= y[24:]) & (y[24:] <= found.high)) > 0.8


def steepening(x):
    """The local exponent goes from 0.1 to 0.4 around x = 2,500."""
    return 3.0 * x**-0.1 * (1.0 + (x / 2500.0) ** 5) ** (-0.3 / 5)


def small_data(x):
    """A power law in x + 1,500: hardly a gain below (Hestness et al. 2017, figure 6)."""
    return 20.0 * (x + 1500.0) ** -0.4


@pytest.mark.parametrize("loss", [steepening, small_data])
def test_a_curve_that_steepens_is_not_taken_for_one_that_levels_off(loss):
    held = []
    for seed, seeds in enumerate([1, 3] * 3):
        x = np.repeat(100.0 * 2.0 ** np.arange(8), seeds)
        y = loss(x) * np.exp(0.01 * np.random.default_rng(seed).standard_normal(len(x)))
        at = 12_800.0 * np.array([2.0, 10.0])
        predicted = average(x, y).predict(at)
        held.append((predicted.low <= loss(at)) & (loss(at) <= predicted.high))
    assert np.mean(held) >= 0.8  # 10 of 12: at a coverage of 0.5 that has a chance of 2 %


@pytest.mark.parametrize("kind", ["separable", "product"])
def test_known_noise_picks_the_planted_joint_law(kind):
    x = grid()
    u, v = x[:, 0] / 2e7, x[:, 1] / 1e3
    y = 0.2 + (0.5 * u**-0.4 + 0.5 * v**-0.5 if kind == "separable" else u**-0.2 * v**-0.3)
    y = y * np.exp(0.01 * np.random.default_rng(2).standard_normal(len(y)))
    found = average(x, y, sd=0.01 * y)
    assert found.weights[kind] > 0.4
    assert found.weights["product" if kind == "separable" else "separable"] < 0.05


def test_draws_carry_shared_images():
    rng = np.random.default_rng(3)
    y = 0.3 + 10.0 * SIZES**-0.5
    shared = np.exp(0.05 * rng.standard_normal((500, 1)) + 0.005 * rng.standard_normal((500, 7)))
    alone = np.exp(0.05 * rng.standard_normal((500, 7)))
    together = average(SIZES, y, draws=y * shared).parameters["alpha"]
    apart = average(SIZES, y, draws=y * alone).parameters["alpha"]
    assert together.width < apart.width


def test_a_known_ceiling_is_a_law_of_the_average():
    y = 0.2 + (np.log(100) - 0.2) / (1 + (SIZES / 500.0) ** 0.8)
    found = average(SIZES, y, ceiling=float(np.log(100)), laws=("power_floor", "bounded", "m4"))
    assert found.predict([1e5]).mean[0] > 0
    assert found.predict([1.0]).mean[0] < 2.0 * np.log(100)


def test_too_little_to_average_is_refused():
    with pytest.raises(BadInput, match="three distinct"):
        average([1.0, 2.0], [1.0, 0.5])
    with pytest.raises(BadInput, match="axes"):
        average(SIZES, SIZES**-0.5, laws=("separable",))


def test_a_rising_loss_and_too_few_scales_are_flagged():
    assert any("rises" in flag for flag in average(SIZES, SIZES**0.3).flags)
    assert any("4 distinct" in flag for flag in average(SIZES[:4], SIZES[:4] ** -0.3).flags)
    assert average(SIZES, 0.1 + SIZES**-0.3).flags == ()


EIGHT = 100.0 * 2.0 ** np.arange(8)


def test_a_loss_that_falls_linearly_in_the_logarithm_is_held_to_its_end():
    """It falls to a tenth within the next decade, which none of the usual laws can follow."""
    at = EIGHT[-1] * np.array([2.0, 10.0])
    truth, held = 3 - 0.25 * np.log(at), []
    for seed in range(4):
        noise = np.exp(0.003 * np.random.default_rng(seed).standard_normal(8))
        found = average(EIGHT, (3 - 0.25 * np.log(EIGHT)) * noise)
        p = found.predict(at)
        held.append((p.low < truth) & (truth < p.high))
    assert np.all(np.sum(held, axis=0) >= 3)  # of 4; without this law none is held at ten times the data
    assert found.weights["log_linear"] == pytest.approx(0.5)
    assert sum(found.weights.values()) == pytest.approx(1.0)
    assert sorted(standing.in_sample_rank for standing in found.standings.values()) == list(range(1, 9))
    assert found.standings["log_linear"].out_of_sample_rank is None


def test_other_curves_are_averaged_without_a_line_in_the_logarithm_and_as_before():
    y = 5 * EIGHT**-0.3 * np.exp(0.01 * np.random.default_rng(0).standard_normal(8))
    found = average(EIGHT, y)
    assert "log_linear" not in found.weights
    named = average(EIGHT, y, laws=tuple(found.weights))
    assert found.predict([1e5]).low == named.predict([1e5]).low
