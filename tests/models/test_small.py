"""Networks for training from scratch: parameters in closed form, dials that are series, growth steps."""

import itertools

import pytest
import torch

from mlproject.errors import WrongUse
from mlproject.models import MODELS, count, find_model
from mlproject.models.layers import ResBlock
from mlproject.models.small import plain_net


def n_params(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("c", [4, 16, 64])
def test_a_block_has_the_parameters_of_its_closed_form(c):
    assert n_params(ResBlock(c, c)) == 18 * c**2 + 4 * c
    assert n_params(ResBlock(c, 2 * c)) == 9 * 2 * c**2 + 9 * 4 * c**2 + 8 * c + (2 * c**2 + 4 * c)


def test_the_plain_net_has_the_published_number_of_parameters_from_one_channel():
    assert n_params(plain_net(1)) == 1_549_824
    assert n_params(plain_net(3)) == 1_549_824 + 2 * 9 * 64 == MODELS["plain"].n_params_body


@pytest.mark.parametrize(
    "name", [name for name, model in MODELS.items() if model.family in ("resblock", "plain", "segmenter")]
)
def test_stated_counts_are_those_of_the_network(name):
    assert count(MODELS[name], 32).n_params == MODELS[name].n_params_body


def test_the_widths_are_a_series_of_six_sizes_over_two_decades():
    sizes = sorted(m.n_params_body for m in MODELS.values() if m.name.endswith("_d1"))
    assert len(sizes) >= 6
    assert sizes[-1] / sizes[0] > 100
    depths = [MODELS[f"resblock_w16_d{d}"].n_params_body for d in (1, 2, 3, 4)]
    assert {b - a for a, b in itertools.pairwise(depths)} == {sum(18 * c**2 + 4 * c for c in (16, 32, 64))}


def test_each_segmenter_is_its_parent_and_one_growth_step():
    for number in (2, 3, 4):
        model = MODELS[f"segmenter_w8_i{number}"]
        parent = MODELS[model.parent]
        assert parent.name == f"segmenter_w8_i{number - 1}"
        assert model.change
        step = 2 * (9 * 32**2 + 2 * 32) + 18 * 32**2 + 4 * 32
        assert model.n_params_body - parent.n_params_body == step


def test_any_width_and_depth_works_by_name_and_nothing_else_does():
    assert find_model("resblock_w7_d2").n_params_body == count(find_model("resblock_w7_d2"), 32).n_params
    for name in ("resblock_w0_d1", "resblock_w8", "segmenter_w8_i5"):
        with pytest.raises(WrongUse, match="unknown model"):
            find_model(name)


def test_the_flops_of_a_convolution_are_two_for_each_product():
    # The stem's: 3 x 3 x 3 products for each of w channels at 16 x 16 places.
    one, two = (count(find_model(f"resblock_w{w}_d1"), 32).flops for w in (1, 2))
    stem = 2 * 27 * 16 * 16
    assert two - 4 * one == -2 * stem, "all but the stem grows with the square of the width"
