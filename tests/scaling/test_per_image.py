"""Exponents of many images at once."""

import time

import numpy as np
import pytest

from mlproject.errors import BadInput
from mlproject.scaling import image_exponents

SIZES = np.array([100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0])


def planted(n, spread, noise, seed):
    rng = np.random.default_rng(seed)
    alpha = 0.2 + spread * rng.standard_normal(n)
    return alpha, np.exp(noise * rng.standard_normal((n, len(SIZES)))) * SIZES ** -alpha[:, None]


def test_exact_powers_come_back():
    found = image_exponents(SIZES, [SIZES**-0.5, 3.0 * SIZES**0.25, 2.0 * SIZES**-0.1])
    assert found.exponent == pytest.approx([0.5, -0.25, 0.1])


def test_standard_errors_shrinkage_and_discoveries_are_calibrated():
    alpha, losses = planted(4000, 0.1, 0.3, 0)
    found = image_exponents(SIZES, losses)
    z = (found.exponent - alpha) / found.standard_error
    assert np.std(z) == pytest.approx(1.0, abs=0.05)
    assert found.mean == pytest.approx(0.2, abs=0.01)
    assert found.spread == pytest.approx(0.1, abs=0.01)
    assert np.mean((found.shrunk - alpha) ** 2) < 0.7 * np.mean((found.exponent - alpha) ** 2)
    shrunk_z = (found.shrunk - alpha) / found.shrunk_error
    assert np.std(shrunk_z) == pytest.approx(1.0, abs=0.07)


def test_false_discoveries_stay_below_their_rate():
    rng = np.random.default_rng(1)
    alpha = np.where(rng.random(5000) < 0.5, 0.0, 0.5)
    losses = np.exp(0.3 * rng.standard_normal((5000, 7))) * SIZES ** -alpha[:, None]
    found = image_exponents(SIZES, losses)
    wrong = np.mean(alpha[found.scales] == 0.0)
    assert wrong < 0.05
    assert np.mean(found.scales[alpha > 0]) > 0.9


def test_images_without_a_logarithm_are_marked_and_left_out():
    losses = np.ones((4, 7)) * SIZES**-0.5
    losses[2, 3] = 0.0
    found = image_exponents(SIZES, losses)
    assert list(found.valid) == [True, True, False, True]
    assert np.isnan(found.exponent[2])
    assert not found.scales[2]


def test_two_sizes_are_refused():
    with pytest.raises(BadInput, match="three"):
        image_exponents([1.0, 2.0], [[1.0, 2.0]])


def test_fifty_thousand_images_take_seconds():
    _, losses = planted(50_000, 0.1, 0.3, 2)
    start = time.process_time()
    image_exponents(SIZES, losses)
    assert time.process_time() - start < 10.0
