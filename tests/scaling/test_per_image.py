"""Exponents of many images at once; information in bits: the published table, the identities, no ratio."""

import time

import numpy as np
import pytest

from mlproject.errors import BadInput
from mlproject.scaling import image_exponents, measure_information
from mlproject.scaling.per_image import information

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
    held = np.abs(found.exponent - alpha) <= found.half_width
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)
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


# Shi et al. 2024, arXiv 2403.13043, table 3, target ViT-L: (l, I, r in %) of ViT-B, ViT-B-S2 and ViT-H.
VIT_L = {
    "train": [(0.1100, 0.440, 82.9), (0.1040, 0.521, 98.1), (0.1033, 0.531, 100.0)],
    "test": [(0.0994, 0.524, 87.6), (0.0942, 0.601, 100.5), (0.0944, 0.598, 100.0)],
}
# The same table's losses and ratios where it is read without I: OpenCLIP-L from B, B-S2 and G, train.
OPENCLIP_L = [(0.3693, 92.7), (0.3408, 99.9), (0.3402, 100.0)]
HALF_DIGIT = 0.00005


@pytest.mark.parametrize("split", VIT_L)
def test_the_published_table_is_in_bits(split):
    rows = VIT_L[split]
    binary = np.array([loss * 2.0**bits for loss, bits, _ in rows])
    natural = np.array([loss * np.exp(nats) for loss, nats, _ in rows])
    assert np.ptp(binary) / binary.mean() < 0.002  # one constant for the whole block, to its digits
    assert np.ptp(natural) / natural.mean() > 0.02  # with base e there is none
    for loss, bits, ratio in rows:
        assert information(loss, binary.mean()) == pytest.approx(bits, abs=2e-3)
        giant = information(rows[-1][0], binary.mean())
        assert 100 * information(loss, binary.mean()) / giant == pytest.approx(ratio, abs=0.4)


def test_the_published_ratios_of_openclip_follow_from_one_constant():
    constant, giant = 1.0409, OPENCLIP_L[-1][0]
    for loss, ratio in OPENCLIP_L:
        found = 100 * information(loss, constant) / information(giant, constant)
        assert found == pytest.approx(ratio, abs=0.2)


def test_bits_are_the_variance_that_is_left():
    for r_squared in (0.0, 0.5, 0.9):
        assert information(1 - r_squared, 1.0) == pytest.approx(-np.log2(1 - r_squared))


def test_principal_components_leave_the_variance_they_do_not_hold():
    from mlproject.training import ridge_path

    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    target = torch.randn(400, 6, dtype=torch.float64) * torch.tensor([5.0, 4, 3, 2, 1, 0.5])
    centred = target - target.mean(0)
    _, s, axes = torch.linalg.svd(centred, full_matrices=False)
    source = centred @ axes[:2].T
    path = ridge_path(source, target, lambdas=torch.tensor([1e-9], dtype=torch.float64))
    left = (source @ path.weight.T + path.bias - target).square().mean(1).numpy()
    constant = centred.square().mean(1).numpy()
    held = (s[:2].square().sum() / s.square().sum()).item()
    assert measure_information(left, constant).bits.value == pytest.approx(-np.log2(1 - held), rel=1e-6)


def planted_errors(n=400, seed=0):
    draw = np.random.default_rng(seed)
    constant = draw.gamma(4.0, size=n)
    return constant * draw.uniform(0.3, 0.5, n), constant, constant * draw.uniform(0.1, 0.3, n)


def test_a_ratio_and_its_interval_pair_the_images():
    losses, constant, reference = planted_errors()
    found = measure_information(losses, constant, reference)
    assert found.ratio.value == pytest.approx(found.bits.value / found.ceiling.value)
    assert found.ratio.low < found.ratio.value < found.ratio.high
    assert found.ratio.high - found.ratio.low < 0.1  # the images' own difficulty is shared and cancels
    assert measure_information(losses, constant, losses).ratio.value == 1.0
    assert (
        np.ptp(
            [
                measure_information(losses, constant, losses).ratio.low,
                measure_information(losses, constant, losses).ratio.high,
            ]
        )
        == 0
    )


def test_intervals_cover_what_they_are_intervals_of():
    truth = -np.log2(0.4)
    hits = 0
    for seed in range(100):
        losses, constant, _ = planted_errors(100, seed)
        bits = measure_information(losses, constant, n_draws=300).bits
        hits += bits.low <= truth <= bits.high
    assert hits >= 89


def test_without_information_in_the_reference_there_is_no_ratio():
    losses, constant, _ = planted_errors()
    found = measure_information(losses, constant, constant * 1.01)
    assert found.ceiling.value < 0
    assert found.ratio is None


def test_a_ceiling_that_may_be_nothing_leaves_the_ratio_open():
    losses, constant, _ = planted_errors(40)
    noise = constant * np.random.default_rng(1).choice([0.1, 1.8], 40)
    found = measure_information(losses, constant, noise)
    assert found.ceiling.low < 0 < found.ceiling.value
    assert (found.ratio.low, found.ratio.high) == (-np.inf, np.inf)


def test_a_target_that_does_not_vary_is_refused():
    with pytest.raises(ValueError, match="the same for all images"):
        measure_information(np.zeros(3), np.zeros(3))
