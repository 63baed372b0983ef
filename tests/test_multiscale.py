"""S2 against sums that the authors' wrapper (0.1) gave, and its identities."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mlproject.errors import BadInput
from mlproject.multiscale import crop_side, embed, n_crops, scaled_side, split


def wave(shape, step, phase=0.0):
    i = torch.arange(int(np.prod(shape)), dtype=torch.float64)
    return (torch.sin(i * step + phase) + 0.5 * torch.cos(i * 0.011)).reshape(shape)


def tokens(x):
    """Patches, a position code and a mixing step, so that a crop's place in the image matters."""
    w = wave((6, 3, 8, 8), step=0.71, phase=0.3).float() / 24
    t = F.conv2d(x, w, stride=8).flatten(2).transpose(1, 2)
    n = t.shape[1]
    t = torch.tanh(t + 0.25 * torch.sin(torch.arange(n)[:, None] * 0.9 + torch.arange(6)[None, :]))
    return (t + 0.5 * t.mean(1, keepdim=True)).mean(1)


IMAGES = wave((2, 3, 32, 32), step=0.173).float()


@pytest.mark.parametrize(
    ("image_scales", "recorded_sum"), [((1.0,), 2.0009987875819206), ((1.0, 2.0), 1.9878877252340317)]
)
def test_pooled_features_have_the_sum_that_the_wrapper_gave(image_scales, recorded_sum):
    # The record is of 16 tokens an image; their mean is what we keep.
    assert float(embed(tokens, IMAGES, image_scales).double().sum()) * 16 == pytest.approx(
        recorded_sum, abs=2e-5
    )


def test_scale_one_is_the_plain_model():
    assert torch.equal(embed(tokens, IMAGES, (1.0,)), tokens(IMAGES))


def test_a_constant_image_gives_equal_blocks():
    def mean_colour(x):
        return x.mean((2, 3))

    one, two, three = embed(mean_colour, torch.full((1, 3, 32, 32), 0.7), (1.0, 2.0, 3.0)).split(3, dim=1)
    assert torch.allclose(one, two, atol=1e-6)
    assert torch.allclose(one, three, atol=1e-6)


def test_crops_are_ordered_by_row_column_image():
    ramp = torch.arange(16.0).reshape(1, 1, 4, 4)
    images = torch.cat([ramp, ramp + 100])
    crops = split(images, 2.0)
    assert crops.shape == (8, 1, 4, 4)
    whole = F.interpolate(images, size=(8, 8), mode="bicubic", align_corners=False)
    assert torch.equal(crops[3], whole[1, :, :4, 4:])
    assert torch.equal(crops[4], whole[0, :, 4:, :4])


def test_crops_are_counted_as_the_sum_of_squares():
    assert n_crops(224, (1.0, 2.0, 3.0)) == 14
    assert n_crops(224, (0.5, 1.0)) == 2


def test_sizes_truncate_and_crops_share_them_evenly():
    assert (scaled_side(224, 1.1), scaled_side(224, 2.3)) == (246, 515)
    assert (crop_side(224, 1.5), crop_side(224, 2.0)) == (168, 224)
    with pytest.raises(BadInput, match="try"):
        crop_side(32, 1.6)
    with pytest.raises(BadInput, match="square"):
        split(torch.zeros(1, 3, 4, 6), 2.0)
