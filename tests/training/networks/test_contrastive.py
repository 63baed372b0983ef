"""Contrastive terms against published code's values, closed forms and loops; what counts as collapse."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from mlproject.training import collapsed, hinged, separation, signed, supcon

PAIRS = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
TWO = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])


def wave(rows: int, columns: int) -> torch.Tensor:
    i = torch.arange(rows * columns, dtype=torch.float64)
    return (torch.sin(0.37 * i) + 0.5 * torch.cos(0.011 * i)).reshape(rows, columns)


@pytest.mark.parametrize(
    ("temperature", "expected"), [(0.07, 11.637287), (0.1, 8.358323), (0.5, 2.694987), (1.0, 2.210132)]
)
def test_supcon_gives_the_values_of_the_authors_code(temperature, expected):
    # github.com/HobbitLong/SupContrast, losses.py at 66a8fe5, divided by its factor temperature / 0.07
    found = supcon(wave(8, 5), PAIRS, temperature=temperature).mean()
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_supcon_of_equal_features_is_the_log_of_the_others():
    assert supcon(torch.ones(8, 3), PAIRS, temperature=0.1).mean().item() == pytest.approx(math.log(7))


@pytest.mark.parametrize(("temperature", "expected"), [(0.5, 1.12274), (1.0, 1.26451)])
def test_supcon_of_two_opposite_classes_is_its_closed_form(temperature, expected):
    features = torch.tensor([[1.0, 0.0]] * 4 + [[-1.0, 0.0]] * 4)
    found = supcon(features, TWO, temperature=temperature).mean().item()
    assert found == pytest.approx(math.log(3 + 4 * math.exp(-2 / temperature)))
    assert found == pytest.approx(expected, abs=5e-6)


def test_an_image_that_is_alone_in_its_class_adds_nothing_and_no_nan():
    features = wave(3, 4).requires_grad_()
    found = supcon(features, torch.tensor([0, 0, 1]), temperature=0.1)
    assert found[2] == 0
    found.sum().backward()
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize("labels", [PAIRS, TWO, torch.arange(8) // 3])
def test_cosines_of_pairs_are_those_of_a_loop_over_pairs(labels):
    features = wave(8, 5)
    pairs = [(i, j) for i in range(8) for j in range(8) if i != j]
    cosines = {(i, j): functional.cosine_similarity(features[i], features[j], dim=0).item() for i, j in pairs}
    for found, alike in zip(separation(features, labels), (True, False), strict=True):
        wanted = [c for (i, j), c in cosines.items() if (labels[i] == labels[j]) == alike]
        assert found.item() == pytest.approx(sum(wanted) / len(wanted), abs=1e-5)


def test_cosines_of_pairs_that_do_not_exist_are_no_numbers():
    for seed in range(20):
        features = torch.randn(3, 50, generator=torch.Generator().manual_seed(seed))
        same, different = separation(features, torch.arange(3))
        assert math.isnan(same)
        assert math.isfinite(different)
    assert math.isnan(separation(wave(3, 4), torch.zeros(3, dtype=torch.int64))[1])


def test_the_signed_term_reads_zero_at_total_collapse_and_minus_a_half_at_good_separation():
    torch.manual_seed(0)
    labels = torch.arange(2).repeat(512)
    collapse = signed(torch.ones(1024, 3), labels).mean().item()
    apart = signed(functional.one_hot(labels).float(), labels).mean().item()
    assert collapse == pytest.approx(0, abs=0.1)
    assert apart == pytest.approx(-0.5, abs=0.05)


def test_the_hinged_term_does_not_reward_collapse():
    torch.manual_seed(0)
    labels = torch.arange(2).repeat(64)
    found = hinged(torch.ones(128, 3), labels, margin=0.25)
    assert {round(v, 5) for v in found.tolist()} == {0.0, 0.75}
    apart = hinged(functional.one_hot(labels).float(), labels, margin=0.25)
    assert apart.abs().max().item() < 1e-6


def test_partners_are_of_the_other_kind_where_the_batch_has_none_of_one():
    lonely = torch.arange(4)
    values = hinged(torch.eye(4), lonely, margin=0.0)
    assert values.abs().max().item() < 1e-6  # all different: orthogonal, nothing to pay
    alone = hinged(torch.ones(4, 2), torch.zeros(4, dtype=torch.int64), margin=0.0)
    assert alone.abs().max().item() < 1e-6  # all the same: aligned, nothing to pay


def test_collapse_is_one_direction_or_nothing_but_zeros():
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(4).repeat(50)
    noise = torch.randn(200, 16, generator=draw)
    for features, expected in (
        (1 + 0.01 * noise, True),
        (torch.zeros(200, 16), True),
        (noise, False),
        (noise.abs(), False),  # features after a ReLU lean to one side and have not collapsed
    ):
        assert collapsed(float(separation(features, labels)[1]), features) is expected
