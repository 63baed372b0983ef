"""Sizes, crops and their order: what features of every cell are made from."""

import pytest
import torch
import torch.nn.functional as F

from mlproject.errors import BadInput
from mlproject.multiscale import cost, crop_side, cut, layouts, n_crops, scaled_side, split, tile


def test_crops_are_ordered_by_row_column_image():
    ramp = torch.arange(16.0).reshape(1, 1, 4, 4)
    images = torch.cat([ramp, ramp + 100])
    crops = split(images, 2.0)
    assert crops.shape == (8, 1, 4, 4)
    whole = F.interpolate(images, size=(8, 8), mode="bicubic", align_corners=False)
    assert torch.equal(crops[3], whole[1, :, :4, 4:])
    assert torch.equal(crops[4], whole[0, :, 4:, :4])


def test_tiling_undoes_cutting():
    images = torch.randn(2, 3, 6, 12)
    assert torch.equal(tile(cut(images, 2, 3), 2, 3), images)


def test_scale_one_is_the_image_itself():
    images = torch.randn(2, 3, 8, 8)
    assert split(images, 1.0).data_ptr() == images.data_ptr() or torch.equal(split(images, 1.0), images)


def test_a_constant_image_stays_constant():
    crops = split(torch.full((1, 3, 32, 32), 0.7), 3.0)
    assert torch.allclose(crops, torch.full_like(crops, 0.7), atol=1e-6)


def test_crops_are_counted_as_the_sum_of_squares():
    assert n_crops(224, (1.0, 2.0, 3.0)) == 14
    assert n_crops(224, (0.5, 1.0)) == 2


def test_compute_is_crops_times_one_crop():
    one = {32: 5.0, 24: 3.0}
    found = layouts(32, 32, [1, 1.5, 2])
    assert cost(found, lambda h, w: one[h]) == 5 * 5.0 + 4 * 3.0
    # Table 1 of the paper: 17.6 GMAC for ViT-B at 224, 246.4 at scales 1, 2, 3 (up to their rounding).
    assert cost(layouts(224, 224, [1, 2, 3]), lambda h, w: 17.6) == pytest.approx(246.4)


def test_sizes_are_whole_and_crops_share_them_evenly():
    assert (scaled_side(224, 1.5), scaled_side(224, 246 / 224)) == (336, 246)
    assert (crop_side(224, 1.5), crop_side(224, 2.0)) == (168, 224)
    with pytest.raises(BadInput, match=r"1\.1 makes 246\.4 pixels of 224, .* name 246 or 247 pixels"):
        scaled_side(224, 1.1)
    with pytest.raises(BadInput, match="try 50 or 52"):
        crop_side(32, 51 / 32)


SIZES = [{"img_sizes": [448]}, {"scales": [1, 300]}, {"img_sizes": [(4, 32_000_000)]}]


@pytest.mark.parametrize("sizes", SIZES)
def test_an_image_that_would_fill_the_memory_when_enlarged_is_refused(sizes):
    with pytest.raises(BadInput, match=r"image of 1 x 32,000 pixels would be enlarged to .* million pixels"):
        layouts(1, 32_000, **sizes)
