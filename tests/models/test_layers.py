"""Fourier features against their definition; encodings begin without changing a pretrained network."""

from __future__ import annotations

import math

import pytest
import torch

from mlproject.models import Copies, FeatureEncoding, PixelEncoding, fourier


def test_a_quarter_is_encoded_as_its_definition_says():
    root = math.sqrt(0.5)  # Mildenhall et al. 2020, equation 4, at p = 0.25 and L = 3
    assert fourier(torch.tensor([0.25]), 3).tolist() == pytest.approx([root, root, 1, 0, 0, -1], abs=1e-6)


def test_values_two_apart_look_alike_and_so_are_scaled_first():
    values = torch.tensor([0.3, 2.3])
    first, second = fourier(values[:, None], 3)
    assert torch.allclose(first, second, atol=1e-5)
    wide = torch.tensor([[0.0, 0.3, 2.3, 7.0]])
    encoded = FeatureEncoding(3)(wide).reshape(4, 6)
    assert (encoded[1] - encoded[2]).abs().max() > 0.5


def test_features_are_scaled_by_their_own_extremes():
    x = torch.tensor([[2.0, 4.0, 10.0]])
    assert torch.allclose(FeatureEncoding(2)(x), fourier(torch.tensor([[-1.0, -0.5, 1.0]]), 2), atol=1e-5)
    assert torch.isfinite(FeatureEncoding(2)(torch.full((1, 3), 5.0))).all()


@pytest.mark.parametrize("n", [1, 3])
def test_copies_are_as_many_numbers_as_the_encoding(n):
    x = torch.randn(2, 5)
    assert Copies(2 * n)(x).shape == FeatureEncoding(n)(x).shape == (2, 10 * n)


def test_places_of_pixels_change_nothing_at_first_and_can_be_learned():
    layer = PixelEncoding(3)
    x = torch.randn(2, 3, 4, 6)
    assert torch.equal(layer(x), x)
    assert sum(p.numel() for p in layer.parameters()) == 3 * 12 + 3
    layer(x).square().sum().backward()
    assert layer.mix.weight.grad.abs().max() > 0
    with torch.no_grad():
        layer.mix.weight.normal_()
    moved = layer(x) - x
    assert torch.allclose(moved[0], moved[1], atol=1e-5)
    assert (moved[0, 0, 0] - moved[0, 0, 1]).abs().max() > 0.01
