"""Intervals of accuracies against published values; what the seed's scores say about their test sets."""

import numpy as np
import pytest
from scipy.stats import binomtest

from mlproject.analysis.proportions import effective_total, least_total, wilson

# Best and final scores in percent, as the seed prints them.
CIFAR, MNIST = ["76.83", "76.5225"], ["93.7625", "93.725"]
SEGMENTATION = [
    "59.267421875", "59.11447265625", "65.432373046875", "65.160849609375",
    "68.498642578125", "67.664384765625", "75.506806640625", "75.3687890625",
]  # fmt: skip


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


def test_pixels_count_as_the_trials_they_are_worth():
    draw = np.random.default_rng(0)
    independent = draw.binomial(1024, 0.2, 400) / 1024
    assert effective_total(independent, 400 * 1024) == pytest.approx(400 * 1024, rel=0.2)
    together = draw.binomial(1, 0.2, 400).astype(float)
    assert effective_total(together, 400 * 1024) == pytest.approx(400, rel=0.01)
    assert effective_total(together, 400) == 400
    assert effective_total(np.zeros(10), 10 * 1024) == 10


def test_the_seeds_scores_need_test_sets_of_40_000_and_8_000():
    assert (least_total(CIFAR), least_total(MNIST)) == (40_000, 8_000)
    assert 10_000 % least_total(CIFAR), "so its 80/20 split of 50,000 was used the wrong way round"
    assert 48_000 % least_total(MNIST) == 0 != 12_000 % least_total(MNIST)


def test_the_seeds_segmentation_scores_fit_ten_thousand_pictures_of_32_by_32():
    assert 10_240_000 % least_total(SEGMENTATION) == 0
    assert least_total(SEGMENTATION) % 1024 == 0
