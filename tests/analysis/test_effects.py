"""Effects and tests against closed forms and published numbers, worked out here without a library."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest

from mlproject.analysis.effects import effect, effective_total, holm, mcnemar, wilson


def contrast(n_seeds=5, n_images=300, mean=0.1, seeds=0.05, images=0.4, rest=0.3, draw=0):
    rng = np.random.default_rng(draw)
    parts = rng.normal(0, seeds, (n_seeds, 1)) + rng.normal(0, images, (1, n_images))
    return mean + parts + rng.normal(0, rest, (n_seeds, n_images))


def told(values, **changes):
    return effect(values, **({"n_draws": 4000, "seed": 0} | changes))


def t_upper(t, freedom):
    """Upper tail of Student's t by Simpson's rule: its density is all that is taken from anywhere."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    x = np.linspace(0, t, 20001)
    y = scale * (1 + x**2 / freedom) ** (-(freedom + 1) / 2)
    return 0.5 - (x[1] - x[0]) / 3 * (y[0] + 4 * y[1:-1:2].sum() + 2 * y[2:-1:2].sum() + y[-1])


def test_one_seed_is_the_paired_t_test_over_images():
    values = contrast(n_seeds=1, n_images=400)
    found = told(values)
    error = values.std(ddof=1) / math.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.p == pytest.approx(2 * t_upper(values.mean() / error, 399), rel=1e-4)
    assert (found.high - found.low) / 2 == pytest.approx(1.966 * error, rel=0.05)


def test_images_that_do_not_vary_leave_the_t_test_over_seeds():
    values = np.repeat(np.array([[0.1], [0.3], [0.2], [0.5], [0.4]]), 50, axis=1)
    found = told(values)
    error = np.std([0.1, 0.3, 0.2, 0.5, 0.4], ddof=1) / math.sqrt(5)
    assert found.p == pytest.approx(2 * t_upper(0.3 / error, 4), rel=1e-4)
    assert found.high - found.low > 2 * 1.96 * error


def test_nothing_that_varies_is_no_doubt():
    same = told(np.zeros((3, 20)))
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    assert told(np.full((3, 20), 0.5)).p == 0


def test_images_that_a_seed_did_not_evaluate_are_left_out():
    values = contrast(n_seeds=2, n_images=40)
    values[0, :10] = np.nan
    values[:, 39] = np.nan
    found = told(values)
    assert found.n_images == 39
    assert found.value == pytest.approx((values[0, 10:39].mean() + values[1, :39].mean()) / 2)


def test_draws_in_pieces_are_the_same_kind_of_interval(monkeypatch):
    values = contrast()
    whole = told(values)
    monkeypatch.setattr("mlproject.analysis.effects.CHUNK", 3000)
    pieces = told(values)
    assert pieces.low == pytest.approx(whole.low, abs=0.01)
    assert pieces.high == pytest.approx(whole.high, abs=0.01)


def test_intervals_hold_the_truth_nineteen_times_in_twenty():
    found = [told(contrast(draw=i, n_images=60), n_draws=400) for i in range(300)]
    held = np.mean([one.low <= 0.1 <= one.high for one in found])
    assert 0.925 <= held <= 1.0
    false = np.mean([told(contrast(draw=i, mean=0.0, n_images=60), n_draws=50).p < 0.05 for i in range(300)])
    assert false <= 0.075


def wrong(only_first, only_second, neither=20):
    first = [1.0] * only_first + [0.0] * only_second + [0.0] * neither
    second = [0.0] * only_first + [1.0] * only_second + [0.0] * neither
    return np.array([first]), np.array([second])


@pytest.mark.parametrize(("b", "c"), [(2, 9), (0, 6), (12, 12), (1, 0), (15, 40)])
def test_mcnemar_with_one_seed_is_the_exact_binomial(b, c):
    n, small = b + c, min(b, c)
    tail = sum(math.comb(n, k) for k in range(small + 1)) / 2**n
    found = mcnemar(*wrong(b, c))
    assert (found.first_only, found.second_only) == (b, c)
    assert found.p == pytest.approx(min(1.0, 2 * tail))


def test_mcnemar_without_a_discordant_image_says_nothing():
    assert mcnemar(*wrong(0, 0)).p == 1


def test_mcnemar_of_repeated_seeds_is_no_surer_than_one_of_them():
    first, second = wrong(10, 25)
    found = mcnemar(np.repeat(first, 5, axis=0), np.repeat(second, 5, axis=0))
    assert (found.first_only, found.second_only) == (50, 125)
    chi2 = (10 - 25) ** 2 / 35  # the classical statistic, without a continuity correction
    assert found.p == pytest.approx(math.erfc(math.sqrt(chi2 / 2)))


def test_mcnemar_over_seeds_sums_by_image_first():
    first = np.array([[1.0, 1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0, 0.0]])
    second = np.array([[0.0, 0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0, 0.0]])
    apart = (first - second).sum(axis=0)
    chi2 = apart.sum() ** 2 / (apart**2).sum()
    assert mcnemar(first, second).p == pytest.approx(math.erfc(math.sqrt(chi2 / 2)))


def test_holm_gives_the_textbook_values():
    # Holm 1979: 4 tests, multiplied by 4, 3, 2, 1 in ascending order, never falling
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("p_values", list(product([0.001, 0.02, 0.04], repeat=3)))
def test_holm_rejects_exactly_what_stepping_down_rejects(p_values):
    order = sorted(range(3), key=lambda i: p_values[i])
    rejected: set[int] = set()
    for rank, i in enumerate(order):
        if p_values[i] > 0.05 / (3 - rank):
            break
        rejected.add(i)
    assert {i for i, p in enumerate(holm(p_values)) if p <= 0.05} == rejected


@pytest.mark.parametrize(("correct", "total"), [(270, 300), (0, 50), (50, 50), (861, 1000), (1, 7)])
def test_the_interval_is_scipys(correct, total):
    expected = binomtest(correct, total).proportion_ci(method="wilson")
    assert wilson(correct, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_halves_of_issue_sized_samples_are_those_stated():
    assert [round(np.ptp(wilson(0.9 * n, n)) * 50, 2) for n in (300, 2500)] == [3.41, 1.18]


@pytest.mark.parametrize(("correct", "total"), [(1, 0), (-1, 5), (6, 5)])
def test_what_is_no_proportion_is_refused(correct, total):
    with pytest.raises(ValueError, match="a proportion needs"):
        wilson(correct, total)


def test_pixels_count_as_the_independent_trials_that_they_equal():
    draw = np.random.default_rng(0)
    independent = draw.binomial(1024, 0.2, 400) / 1024
    assert effective_total(independent, 400 * 1024) == pytest.approx(400 * 1024, rel=0.2)
    together = draw.binomial(1, 0.2, 400).astype(float)
    assert effective_total(together, 400 * 1024) == pytest.approx(400, rel=0.01)
    assert effective_total(together, 400) == 400
    assert effective_total(np.zeros(10), 10 * 1024) == 10


@pytest.mark.parametrize(("right", "value"), [([0, 1], 0.975), ([0, 0], 1.0), ([40, 38], 0.025)])
def test_the_interval_of_a_share_stays_within_0_and_1(right, value):
    errors = np.stack([np.arange(40) >= n for n in right]).astype(float)
    found = effect(errors, n_draws=500, seed=0, within="share")
    assert 0 <= found.low < found.high <= 1
    if value == 1.0:
        assert (found.low, found.high) == pytest.approx(wilson(40, 40))


def test_the_interval_of_a_loss_with_two_seeds_stays_above_0():
    losses = np.repeat([[0.2], [1.4]], 30, axis=1)
    any_number, loss = (effect(losses, n_draws=200, seed=0, within=w) for w in ("any", "positive"))
    assert any_number.low < 0 < loss.low < 0.2
    assert loss.high > any_number.high


def test_the_interval_of_a_difference_of_shares_stays_within_1_by_its_scale_and_not_by_cutting():
    differences = np.repeat([[0.0], [0.21]], 30, axis=1)  # 10.5 points with [-54.4, 95.5] was reported
    found = effect(differences, n_draws=200, seed=0, within="difference of shares")
    assert -1.0 < found.low < found.value < found.high < 1.0
    certain = effect(np.ones((2, 30)), n_draws=200, seed=0, within="difference of shares")
    assert (certain.low, certain.high) == (1.0, 1.0)


def test_a_small_difference_of_shares_has_the_interval_of_any_number():
    differences = contrast(n_seeds=5, mean=0.01, seeds=0.01, images=0.0, rest=0.0)
    any_number, share = (told(differences, within=w) for w in ("any", "difference of shares"))
    assert (share.low, share.high) == pytest.approx((any_number.low, any_number.high), rel=1e-3)


def test_an_interval_says_what_it_is_over():
    assert told(contrast(n_seeds=1)).over == "images"
    assert told(contrast(n_seeds=2)).over == "images and seeds"
