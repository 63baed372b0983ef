"""Features of another layer or pool are those that the network computes there, and nothing behind is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from tests.features.tiny import RANDOM, Pictures, tiny_model

from mlproject.errors import WrongUse
from mlproject.features import FeatureStore
from mlproject.features.engines import N_CHECKED, eager_engine, onnx_engine, relative_distance
from mlproject.losses import Silent
from mlproject.models import at_depth, count, find_model, load_backbone

VIT = find_model("timm:test_vit")
RESNET = replace(find_model("resnet18"), side=64)


def embedded(model, images):
    with torch.no_grad():
        return load_backbone(model, RANDOM)(images)


def images_of(model, n=1):
    return torch.from_numpy(np.random.default_rng(0).normal(size=(n, 3, model.side, model.side)).astype("f4"))


def class_token_vit():
    """torchvision's ViT of two layers on 32 pixels, and the model of it."""

    def build():
        net = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32)
        net.heads = torch.nn.Identity()
        return net

    return tiny_model(name="vit", side=32, width=16, build=build)


def test_the_networks_own_features_are_the_default_and_leave_the_model_as_it_is():
    assert at_depth(VIT, "auto", "auto") is VIT
    assert VIT.output == "pooled"


def test_timms_layers_are_what_forward_intermediates_gives():
    images = images_of(VIT, 2)
    full = load_backbone(VIT, RANDOM)
    with torch.no_grad():
        ((grid, prefix),) = full.forward_intermediates(
            images, indices=[2], norm=True, return_prefix_tokens=True, intermediates_only=True
        )
        own = full(images)
    torch.testing.assert_close(embedded(at_depth(VIT, "blocks.2", "cls"), images), prefix[:, 0])
    torch.testing.assert_close(embedded(at_depth(VIT, "blocks.2", "mean"), images), grid.mean((2, 3)))
    torch.testing.assert_close(embedded(at_depth(VIT, "blocks.2", "auto"), images), prefix[:, 0])
    torch.testing.assert_close(embedded(at_depth(VIT, "blocks.5", "cls"), images), own)


def test_torchvisions_layers_are_what_their_modules_give():
    images, seen = images_of(RESNET), []
    full = load_backbone(RESNET, RANDOM)
    full.layer2.register_forward_hook(lambda module, args, out: seen.append(out))
    with torch.no_grad():
        own = full(images)
    for pool, expected in (("mean", seen[0].mean((2, 3))), ("max", seen[0].amax((2, 3)))):
        torch.testing.assert_close(embedded(at_depth(RESNET, "layer2", pool), images), expected)
    torch.testing.assert_close(embedded(at_depth(RESNET, "auto", "mean"), images), own)


def test_a_class_token_is_the_first_and_no_part_of_the_mean():
    model = class_token_vit()
    images, seen = images_of(model), []
    full = load_backbone(model, RANDOM)
    full.encoder.layers[0].register_forward_hook(lambda module, args, out: seen.append(out))
    with torch.no_grad():
        own = full(images)
    first = "encoder.layers.encoder_layer_0"
    torch.testing.assert_close(embedded(at_depth(model, first, "cls"), images), seen[0][:, 0])
    torch.testing.assert_close(embedded(at_depth(model, first, "mean"), images), seen[0][:, 1:].mean(1))
    torch.testing.assert_close(embedded(at_depth(model, "auto", "cls"), images), own)


def test_maps_with_channels_last_are_pooled_over_their_positions():
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3), torchvision.ops.Permute([0, 2, 3, 1]), torch.nn.ReLU()
    )
    model = tiny_model(name="nhwc", width=5, build=lambda: net)
    images = images_of(model)
    with torch.no_grad():
        expected = net(images).mean((1, 2))
    cut = at_depth(model, "2", "mean")
    assert cut.width == 5
    torch.testing.assert_close(embedded(cut, images), expected)


def test_parameters_and_flops_are_those_up_to_the_layer():
    for model, layer, behind in ((VIT, "blocks.2", "blocks[3:]"), (RESNET, "layer2", "layer3 layer4")):
        net = model.build()
        modules = net.blocks[3:] if "[" in behind else [getattr(net, name) for name in behind.split()]
        n_behind = sum(p.numel() for module in modules for p in module.parameters())
        cut = at_depth(model, layer, "mean")
        counted = count(cut, cut.side)
        assert counted.n_params == cut.n_params_body == model.n_params_body - n_behind
        assert counted.flops < count(model, model.side).flops


@pytest.mark.parametrize(
    ("model", "layer", "pool", "message"),
    [
        (VIT, "block.2", "auto", r"unknown layer of timm:test_vit 'block\.2'; did you mean blocks\.2"),
        (VIT, "head", "auto", "known: blocks.0, blocks.1, blocks.2, blocks.3, blocks.4, blocks.5"),
        (RESNET, "layer9", "auto", "unknown layer of resnet18 'layer9'; did you mean layer"),
        (RESNET, "layer2", "cls", "it has no class token; use mean or max"),
        (RESNET, "layer2", "avg", "unknown pool 'avg'; known: auto, cls, max, mean"),
        (replace(RESNET, name="flat", build=torch.nn.Flatten), "auto", "mean", "no layer with positions"),
    ],
)
def test_a_layer_or_pool_that_a_network_lacks_is_refused_with_those_it_has(model, layer, pool, message):
    with pytest.raises(WrongUse, match=message):
        at_depth(model, layer, pool)


def test_both_engines_compute_them():
    cut = at_depth(VIT, "blocks.1", "mean")
    net = load_backbone(cut, RANDOM)
    images = images_of(cut, N_CHECKED)
    expected = embedded(cut, images).numpy()
    for engine in (onnx_engine(net, images.numpy()), eager_engine(net, "cpu", "fp32")):
        assert relative_distance(engine.forward(images).numpy(), expected) < 1e-5


def test_rows_of_different_depths_are_kept_apart(tmp_path):
    store, images, rows = FeatureStore(tmp_path), Pictures([1, 2, 3]), np.arange(3)
    whole = tiny_model(width=8)
    rows_of = [
        store.features(model, RANDOM, images, rows, engine="eager", report=Silent())
        for model in (whole, at_depth(whole, "2", "mean"), at_depth(whole, "2", "max"), whole)
    ]
    assert [f.provenance["layer"] for f in rows_of] == ["pooled", "2/mean", "2/max", "pooled"]
    assert [f.n_forwards for f in rows_of] == [3, 3, 3, 0]
    np.testing.assert_allclose(rows_of[1].matrix, rows_of[0].matrix, rtol=1e-5)
    assert np.abs(rows_of[2].matrix - rows_of[0].matrix).max() > 1e-3
