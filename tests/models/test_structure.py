"""Stages: every family is cut into parts from the bottom up, and the last k of them are trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mlproject.errors import WrongUse
from mlproject.models import find_model, freeze_norms, stages, train_last

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
