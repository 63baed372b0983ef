"""Image scales of cached features: what they are, what they share, and which pixels they are made of."""

import itertools

import numpy as np
import pytest
import torch
from tiny import RANDOM, Pictures, picture, tiny_model
from torch import nn

from mlproject.features import FeatureStore
from mlproject.losses import Silent
from mlproject.models import load_backbone, normalise, prepare
from mlproject.multiscale import forward

IMAGES = Pictures(list(range(9)))
SETS = [(1.0,), (1.0, 2.0), (1.0, 2.0, 3.0)]


def build_vit():
    from torchvision.models.vision_transformer import VisionTransformer

    net = VisionTransformer(
        image_size=16, patch_size=8, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=3
    )
    net.heads = nn.Identity()
    return net


MODELS = {
    "convolutions": tiny_model(),
    "attention": tiny_model(name="tiny_vit", build=build_vit, fixed_side=True),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


def ask(store, model, scales, **how):
    how = {"engine": "eager"} | how
    return store.features(model, RANDOM, IMAGES, np.arange(9), image_scales=scales, report=Silent(), **how)


def inputs(model):
    pixels = np.stack([prepare(model.preprocess, picture(i)) for i in range(9)])
    return torch.from_numpy(normalise(model.preprocess, pixels))


@pytest.mark.parametrize("engine", ["eager", "onnx"])
def test_pooled_features_are_the_wrappers_class_tokens_or_pooled_maps(tmp_path, model, engine):
    found = ask(FeatureStore(tmp_path), model, SETS[-1], engine=engine)
    net = load_backbone(model, RANDOM)
    with torch.no_grad():
        if model.fixed_side:  # the class token, with one token behind it for want of a grid

            def tokens(x):
                return net(x)[:, None].expand(-1, 2, -1)

            expected = forward(tokens, inputs(model), SETS[-1], num_prefix_token=1)[:, 0]
        else:
            expected = forward(net[:3], inputs(model), SETS[-1], output_shape="bchw").mean((2, 3))
    assert found.provenance["engine"] == engine
    assert np.allclose(found.matrix, expected.numpy(), atol=2e-5)


def test_sets_of_scales_share_what_they_share(tmp_path, model):
    store = FeatureStore(tmp_path)
    blocks = [ask(store, model, scales) for scales in SETS]
    assert [(b.n_forwards, b.n_crops) for b in blocks] == [(9, 9), (9, 36), (9, 81)]
    assert [b.crops_per_image for b in blocks] == [1, 5, 14]
    one = blocks[0].flops_per_image
    assert [b.flops_per_image for b in blocks] == [one, 5 * one, 14 * one]
    for smaller, larger in itertools.pairwise(blocks):
        assert np.array_equal(larger.matrix[:, : smaller.matrix.shape[1]], smaller.matrix)
    again = ask(FeatureStore(tmp_path), model, SETS[-1])
    assert (again.n_crops, again.crops_per_image) == (0, 14)


def test_scales_of_one_crop_side_share_the_exported_network(tmp_path, model):
    store = FeatureStore(tmp_path)
    ask(store, model, SETS[-1], engine="onnx")
    assert store.n_checks == 2


def test_native_pixels_are_the_picture_at_the_scale(tmp_path):
    seen = []

    class Looks(nn.Module):
        def forward(self, x):
            if x.device.type == "cpu":  # neither counted on meta nor traced
                seen.append(x.clone())
            return x.mean((2, 3)).repeat(1, 3)[:, :8]

    model = tiny_model(name="looks", build=Looks)
    ask(FeatureStore(tmp_path), model, (2.0,), large_images="native")
    large = model.preprocess.__class__(resize=40, crop=32)
    whole = torch.from_numpy(normalise(large, prepare(large, picture(0))[None]))[0]
    crops = torch.stack([batch[0] for batch in seen[:4]])
    assert torch.equal(crops[1], whole[:, :16, 16:])
    assert torch.equal(crops[2], whole[:, 16:, :16])


def test_native_and_interpolated_scales_are_kept_apart_and_share_scale_one(tmp_path):
    store, model = FeatureStore(tmp_path), tiny_model()
    small = ask(store, model, (1.0, 2.0))
    native = ask(store, model, (1.0, 2.0), large_images="native")
    assert (native.n_forwards, native.n_crops) == (9, 36)
    assert np.array_equal(native.matrix[:, :8], small.matrix[:, :8])
    assert not np.allclose(native.matrix[:, 8:], small.matrix[:, 8:], atol=1e-3)
    assert ask(store, model, (1.0,), large_images="native").n_forwards == 0


def test_tables_from_before_native_pixels_are_still_found(tmp_path):
    from mlproject.features.extraction import Extraction

    plain = Extraction(model=tiny_model(), weights=RANDOM, image_scale=2.0, precision="fp32", engine="eager")
    assert "large_images" not in plain.key
