"""Stages: every family is cut into parts from the bottom up, and the last k of them are trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import get_model_weights

from mlproject.errors import WrongUse
from mlproject.models import count, fewest_images, find_model, freeze_norms, stages, train_last

COUNTS = {
    "resnet18": 5,
    "resnext50_32x4d": 5,
    "efficientnet_lite0": 18,
    "efficientnet_b0": 9,
    "convnext_tiny": 8,
}


def built(name: str) -> nn.Module:
    with torch.device("meta"):
        return find_model(name).build()


@pytest.mark.parametrize(("name", "n"), COUNTS.items())
def test_a_network_has_the_stages_that_its_family_has(name, n):
    net = built(name)
    found = stages(net)
    assert len(found) == n
    held = [id(p) for stage in found for module in stage for p in module.parameters()]
    assert sorted(held) == sorted(id(p) for p in net.parameters())


def test_a_transformer_has_a_stage_for_each_layer():
    assert len(stages(built("vit_b_16"))) >= 12


def test_the_last_stages_are_trained_and_nothing_else():
    net = built("resnet18")
    assert train_last(net, 1) == 5
    trained = {name.split(".")[0] for name, p in net.named_parameters() if p.requires_grad}
    assert trained == {"layer4"}
    train_last(net, 0)
    assert not any(p.requires_grad for p in net.parameters())
    train_last(net, 5)
    assert all(p.requires_grad for p in net.parameters())
    train_last(net, -1)
    assert all(p.requires_grad for p in net.parameters())


def test_frozen_norms_are_all_norms_and_only_those():
    net = built("resnet18")
    freeze_norms(net)
    for module in net.modules():
        for p in module.parameters(recurse=False):
            assert p.requires_grad != isinstance(module, nn.BatchNorm2d)


def test_an_unknown_model_is_told_with_near_matches():
    with pytest.raises(WrongUse, match="resnet50"):
        find_model("resnet5O")


@pytest.mark.parametrize(
    ("name", "side", "expected"),
    [
        ("resnet18", 32, 2),
        ("resnet18", 64, 1),
        ("segmenter_w4_i1", 4, 2),
        ("googlenet", 32, 2),
        ("vgg11", 32, 1),
    ],
)
def test_a_batch_needs_two_images_where_a_batch_norm_gets_maps_of_one_pixel(name, side, expected):
    net = built(name)
    assert fewest_images(net, side) == expected
    freeze_norms(net)
    assert fewest_images(net, side) == 1


@pytest.mark.parametrize("side", [4, 8, 16])
def test_the_fewest_images_are_those_that_torch_accepts(side):
    net = find_model("resblock_w2_d1").build().train()
    fewest = fewest_images(net, side)
    net(torch.zeros(fewest, 3, side, side))
    if fewest == 2:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            net(torch.zeros(1, 3, side, side))


def test_counting_changes_nothing_of_the_network():
    net = find_model("resblock_w2_d1").build().eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    fewest_images(net, 8)
    assert not any(module.training for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_side_at_which_maps_shrink_to_nothing_is_refused_in_one_line():
    for ask in (lambda: fewest_images(built("plain"), 4), lambda: count(find_model("plain"), 4)):
        with pytest.raises(
            WrongUse, match=r"cannot take inputs of 4 x 4 pixels .*; use a larger side"
        ) as caught:
            ask()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_classifiers_are_no_part_of_a_backbone(name):
    net = built(name).train()
    assert net(torch.zeros(2, 3, 96, 96, device="meta")).shape == (2, find_model(name).width)
    assert find_model(name).n_params_body == sum(p.numel() for p in net.parameters())


def test_the_body_of_googlenet_has_the_published_parameters_without_the_last_layer():
    published = get_model_weights("googlenet").IMAGENET1K_V1.meta["num_params"]
    assert find_model("googlenet").n_params_body == published - (1024 + 1) * 1000


@pytest.mark.parametrize("name", ["regnet_y_400mf", "regnet_x_400mf"])
def test_a_network_that_computes_with_tensors_while_it_is_built_is_counted_as_well(name):
    state = torch.random.get_rng_state()
    model = find_model(name)
    published = get_model_weights(name).IMAGENET1K_V1.meta
    assert model.n_params_body == published["num_params"] - (model.width + 1) * 1000
    flops = count(model, 224).flops / 2e9
    assert flops == pytest.approx(published["_ops"], rel=0.01)
    assert torch.equal(torch.random.get_rng_state(), state)
