"""Weights of laws: priors that sum to one, cuts that never look ahead, evidence and scores combined."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlproject.scaling import LAWS, average
from mlproject.scaling.averaging.average import average_points
from mlproject.scaling.averaging.averaged_points import AveragedPoints
from mlproject.scaling.averaging.weights import (
    LEAST_SCALES,
    MOST_SCORED,
    admits,
    cuts,
    limit_fixed_levels,
    prior_weights,
    weigh,
)
from mlproject.scaling.fitting.points import read_points

ONE_AXIS = sorted(name for name, law in LAWS.items() if law.axes == 1)
MEMBERS = st.lists(st.sampled_from(ONE_AXIS), min_size=1, unique=True).map(
    lambda names: {n: LAWS[n] for n in names}
)


def points_of(n, *, seed=0, noise=0.02):
    x = np.geomspace(100, 1e4, n)
    return read_points(x, (0.2 + 5 * x**-0.5) * np.exp(noise * np.random.default_rng(seed).normal(size=n)))


def averaged(n=10, *, known=False, axes=1):
    return AveragedPoints(
        log_x=np.zeros((n, axes)),
        log_y=np.zeros(n),
        noise=np.eye(n),
        prior_squares=1.0,
        dof=4.0,
        noise_known=known,
    )


@given(MEMBERS, st.integers(min_value=3, max_value=30))
def test_prior_weights_are_positive_and_sum_to_one(members, n_points):
    prior = prior_weights(members, n_points, None)
    assert list(prior) == list(members)
    assert sum(prior.values()) == pytest.approx(1.0)
    assert min(prior.values()) > 0


def test_from_eight_points_on_families_are_equal_and_share_their_weight():
    members = {name: LAWS[name] for name in ("power", "power_floor", "shifted")}
    prior = prior_weights(members, 8, None)
    assert prior == pytest.approx({"power": 0.25, "power_floor": 0.25, "shifted": 0.5})
    assert prior_weights(members, 50, None) == prior


@given(st.integers(min_value=3, max_value=7))
def test_with_fewer_points_a_parameter_more_costs_a_constant_factor(n_points):
    members = {name: LAWS[name] for name in ("shifted", "zhai")}
    prior = prior_weights(members, n_points, None)
    assert prior["zhai"] / prior["shifted"] == pytest.approx(np.exp(-(8 - n_points) / 6))


def test_a_known_ceiling_makes_its_law_as_cheap_as_one_with_a_parameter_less():
    members = {name: LAWS[name] for name in ("shifted", "bounded")}
    unknown, known = (prior_weights(members, 4, ceiling) for ceiling in (None, 2.3))
    assert known["bounded"] / unknown["bounded"] > 1.0


@settings(max_examples=60)
@given(st.lists(st.floats(min_value=1, max_value=1e6), min_size=3, max_size=40))
def test_a_cut_fits_the_smaller_scales_and_scores_the_next_larger_ones(x):
    points = read_points(x, np.ones(len(x)))
    seen = set()
    for rows, held in cuts(points):
        assert points.take(rows).n_scales >= LEAST_SCALES
        assert 0 < len(held) <= MOST_SCORED
        assert points.x[rows].max() <= points.x[held].min()
        assert not rows[held].any()
        seen.add(rows.tobytes())
    assert len(seen) == len(cuts(points))


def test_five_scales_leave_nothing_to_score():
    assert cuts(points_of(5)) == []
    averaged = average_points(points_of(5), {"power": LAWS["power"]})
    assert (averaged.standings["power"].score, averaged.n_cuts) == (None, 0)


def test_the_law_that_bends_with_the_data_predicts_the_largest_scales_better():
    members = {name: LAWS[name] for name in ("power", "power_floor")}
    gains = []
    for seed in range(8):
        averaged = average_points(points_of(14, seed=seed), members)
        assert averaged.n_cuts > 0
        gains.append(averaged.standings["power_floor"].score - averaged.standings["power"].score)
    assert np.mean(gains) > 0.0


NUMBERS = st.lists(st.floats(min_value=-30, max_value=30), min_size=3, max_size=3).map(np.array)


@settings(max_examples=60)
@given(NUMBERS, NUMBERS, st.integers(3, 30), st.booleans(), st.booleans(), st.sampled_from([1, 2]))
def test_weights_sum_to_one_whatever_evidence_and_scores(evidence, scores, n, known, scored, axes):
    weights = weigh(
        np.full(3, 1 / 3), scores if scored else None, evidence, averaged(n, known=known, axes=axes)
    )
    assert weights.sum() == pytest.approx(1.0)
    assert weights.min() >= 0.0


@settings(max_examples=40)
@given(NUMBERS, st.floats(min_value=-1000, max_value=1000))
def test_only_differences_of_evidence_count(evidence, shift):
    prior, points = np.array([0.5, 0.3, 0.2]), averaged(known=True)
    assert weigh(prior, None, evidence + shift, points) == pytest.approx(
        weigh(prior, None, evidence, points), abs=1e-9
    )


def test_evidence_counts_in_full_where_the_noise_is_known_and_not_at_all_for_many_points():
    prior, evidence = np.array([0.5, 0.5]), np.array([0.0, np.log(3.0)])
    assert weigh(prior, None, evidence, averaged(known=True)) == pytest.approx([0.25, 0.75])
    assert weigh(prior, None, evidence, averaged(4)) == pytest.approx([0.25, 0.75])
    assert weigh(prior, None, evidence, averaged(8)) == pytest.approx([0.5, 0.5])
    root = np.sqrt(3.0)
    assert weigh(prior, None, evidence, averaged(20, axes=2)) == pytest.approx(
        [1 / (1 + root), root / (1 + root)]
    )


def test_scores_set_half_of_the_weights():
    weights = weigh(np.array([0.5, 0.5]), np.array([0.0, 50.0]), np.zeros(2), averaged(20))
    assert weights == pytest.approx([0.25, 0.75])


def test_weights_of_an_average_are_those_of_its_standings():
    points = points_of(9)
    result = average(points.x[:, 0], points.y, laws=("power", "power_floor"))
    assert sum(result.weights.values()) == pytest.approx(1.0)
    assert {name: standing.weight for name, standing in result.standings.items()} == result.weights


def test_laws_with_a_fixed_level_take_at_most_half_and_others_keep_their_ratios():
    weights = limit_fixed_levels(np.array([0.004, 0.006, 0.99]), np.array([False, False, True]))
    assert weights == pytest.approx([0.2, 0.3, 0.5])
    few = np.array([0.3, 0.5, 0.2])
    assert limit_fixed_levels(few, np.array([False, False, True])) is few
    alone = np.array([0.4, 0.6])
    assert limit_fixed_levels(alone, np.array([True, True])) is alone


def test_a_law_is_admitted_by_evidence_over_every_other_and_not_by_few_scales():
    assert admits(3.1, [1.0, -5.0, 0.0], LEAST_SCALES)
    assert not admits(2.9, [1.0, -5.0, 0.0], LEAST_SCALES)
    assert not admits(30.0, [1.0], LEAST_SCALES - 1)
