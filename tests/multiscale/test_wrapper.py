"""The wrapper against the vectors that the authors' own gave, and beyond: what that one cannot do."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from mlproject.errors import BadInput, MLProjectError, WrongUse
from mlproject.multiscale import embed, forward, layouts
from tests.multiscale.cases import ConvModel, TokenModel, cases, image, summary

RECORDED = json.loads(Path(__file__).with_name("vectors.json").read_text())["cases"]
TOLERANCE = 2e-5


@pytest.mark.parametrize(
    ("name", "model", "images", "options"), cases(), ids=lambda v: v if isinstance(v, str) else ""
)
def test_it_gives_what_the_authors_wrapper_gave(name, model, images, options):
    with torch.no_grad():
        found, expected = summary(forward(model, images, **options)), RECORDED[name]
    assert found["shape"] == expected["shape"]
    for what in ("sum", "l2", "min", "max"):
        assert found[what] == pytest.approx(expected[what], abs=TOLERANCE * (1 + abs(expected[what])))
    assert found["probe"] == pytest.approx(expected["probe"], abs=TOLERANCE)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"scales": [1.6]}, "1.6 makes 51.2 pixels of 32"),
        ({"img_sizes": [51]}, "51 pixels cannot be cut into 2 even crops a side of at most 32; try 50 or 52"),
        ({"img_sizes": [65]}, "try 64 or 66 pixels"),
        ({}, "name the image scales"),
        ({"scales": []}, "name the image scales"),
        ({"scales": [1, 2], "output_shape": "bchw", "num_prefix_token": 1}, "maps have no tokens"),
        ({"scales": [1], "output_shape": "bhwc"}, "unknown output_shape 'bhwc'; did you mean bchw"),
        ({"scales": [1], "num_prefix_token": -1}, "num_prefix_token must be 0 or more"),
        ({"scales": [1], "num_prefix_token": 16}, "leaves nothing of 16 tokens"),
        ({"scales": [1], "num_prefix_token": 1}, "15 tokens of a crop of 32 x 32 pixels make no grid"),
        ({"scales": [1, 2], "resize_output_to_idx": 2}, "must name one of 2 scales, not 2"),
        ({"scales": [1, 2], "resize_output_to_idx": -3}, "must name one of 2 scales, not -3"),
        ({"scales": [1], "output_shape": "bchw"}, "needs outputs of 4 dimensions"),
        ({"scales": [0]}, "leaves nothing of 32 pixels"),
        ({"scales": [float("nan")]}, "leaves nothing of 32 pixels"),
        ({"scales": [-1]}, "leaves nothing of 32 pixels"),
        ({"img_sizes": [0]}, "at least 1 pixel"),
        ({"scales": [1], "max_split_size": 0}, "max_split_size must be at least 1 pixel"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(options, text):
    with pytest.raises(MLProjectError) as caught:
        forward(TokenModel(), image(), **options)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("images", "text"),
    [
        (torch.zeros(3, 32, 32), "must be [B, 3, H, W], not [3, 32, 32]"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "must be floating point, not torch.uint8"),
    ],
)
def test_images_that_are_none_are_refused(images, text):
    with pytest.raises(BadInput) as caught:
        forward(TokenModel(), images, [1, 2])
    assert text in str(caught.value)


def test_pooled_outputs_and_a_forgotten_class_token_are_told():
    with pytest.raises(BadInput, match="pooled features hold no grid"):
        forward(lambda x: x.mean((2, 3)), image(), [1, 2])
    with pytest.raises(BadInput, match=r"17 tokens .*num_prefix_token=1 for a class token"):
        forward(TokenModel(prefix=1), image(), [1, 2])


class Counting(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model, self.calls = model, []

    def forward(self, x):
        self.calls.append(tuple(x.shape))
        return self.model(x)


@pytest.mark.parametrize(("scales", "n_crops"), [([1], 1), ([1, 2], 5), ([1, 2, 3], 14), ([1, 2, 4], 21)])
def test_crops_and_compute_are_counted_exactly(scales, n_crops):
    found = layouts(32, 32, scales)
    assert sum(one.n_crops for one in found) == n_crops
    whole, parts = Counting(TokenModel()), Counting(TokenModel())
    forward(whole, image(3), scales)
    forward(parts, image(3), scales, split_forward=True)
    assert [shape[0] for shape in whole.calls] == [3 * one.n_crops for one in found]
    assert parts.calls == [(3, 3, 32, 32)] * n_crops


def test_crops_of_another_side_keep_their_size():
    model = Counting(TokenModel(patch=4))
    assert forward(model, image(), [1, 1.5, 1.25]).shape == (2, 64, 18)
    assert model.calls == [(2, 3, 32, 32), (8, 3, 24, 24), (8, 3, 20, 20)]


def test_smaller_scales_are_replicated_upwards():
    assert forward(TokenModel(), image(), [1, 0.5]).shape == (2, 16, 12)
    assert forward(TokenModel(), image(), [0.5, 1], resize_output_to_idx=-1).shape == (2, 16, 12)


def test_a_float_that_means_a_whole_number_is_one():
    assert layouts(100, 100, [0.29])[0].height == 29  # 28.999999999999996


def test_sizes_win_over_scales():
    both = forward(TokenModel(), image(), scales=[1, 3], img_sizes=[32, 64])
    assert torch.equal(both, forward(TokenModel(), image(), img_sizes=[32, 64]))


def test_images_need_not_be_square():
    wide = torch.cat([image(), image().flip(3)], 3)
    maps = forward(ConvModel(), wide, [1, 2], output_shape="bchw")
    assert maps.shape == (2, 10, 8, 16)
    assert forward(TokenModel(), wide, [1, 2]).shape == (2, 4 * 8, 12)
    squares = Counting(TokenModel(prefix=1))
    found = forward(squares, wide, [1, 2], max_split_size=32, num_prefix_token=1)
    assert squares.calls == [(2 * 2, 3, 32, 32), (2 * 8, 3, 32, 32)]
    assert found.shape == (2, 1 + 4 * 8, 12)
    by_side = forward(TokenModel(), wide, img_sizes=[32, (64, 128)])
    assert torch.equal(by_side, forward(TokenModel(), wide, [1, 2]))


def test_the_halves_of_a_wide_image_are_the_images_of_each_half():
    left, right = image(), image().flip(3)
    wide = forward(ConvModel(), torch.cat([left, right], 3), [1], max_split_size=32, output_shape="bchw")
    one = [forward(ConvModel(), half, [1], output_shape="bchw") for half in (left, right)]
    assert torch.allclose(wide, torch.cat(one, 3), atol=1e-6)


def test_antialiasing_keeps_the_mean_of_a_fine_comb():
    comb = torch.zeros(1, 3, 33, 33)
    comb[..., ::3] = 1

    def plain(x):
        return x

    aliased, smooth = (
        forward(plain, comb, img_sizes=[11], output_shape="bchw", antialias=a).mean() for a in (False, True)
    )
    assert aliased == pytest.approx(0, abs=1e-6)  # every third column is missed
    assert smooth == pytest.approx(1 / 3, abs=0.02)


class Normed(nn.Module):
    """A strided convolution and a batch norm: maps of half the side."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4, momentum=1.0)

    def forward(self, x):
        return self.norm(self.conv(x))


def test_a_training_batch_norm_sees_all_crops_of_a_scale_at_once():
    model = Normed().train()
    found = forward(model, image(), [2], output_shape="bchw").detach()
    # Tiled back, the crops are one image again: mean 0 and variance 1 over all of them together.
    assert found.mean((0, 2, 3)).abs().max() < 1e-5
    assert found.var((0, 2, 3), correction=0) == pytest.approx(torch.ones(4), abs=1e-3)


def test_a_training_batch_norm_makes_split_forward_another_function():
    whole, parts = (
        forward(Normed().train(), image(), [1, 2], output_shape="bchw", split_forward=s)
        for s in (False, True)
    )
    assert torch.allclose(whole[:, :4], parts[:, :4], atol=1e-6)
    assert (whole[:, 4:] - parts[:, 4:]).abs().max() > 0.01
    still = [
        forward(Normed().eval(), image(), [1, 2], output_shape="bchw", split_forward=s) for s in (False, True)
    ]
    assert torch.allclose(*still, atol=1e-6)


def test_the_gradient_goes_through_the_merge():
    images = image(1, 8).double().requires_grad_()
    model = TokenModel(patch=4, dim=2, prefix=1).double()
    assert torch.autograd.gradcheck(
        lambda x: forward(model, x, [1, 2], num_prefix_token=1, resize_output_to_idx=1), images
    )
    maps = ConvModel(2).double()
    assert torch.autograd.gradcheck(
        lambda x: forward(maps, x, [1, 1.5], output_shape="bchw", antialias=True), images
    )


def test_pooled_features_are_the_pooled_maps():
    maps = forward(ConvModel(), image(), [2, 1], output_shape="bchw", resize_output_to_idx=1)
    found = embed(lambda x: ConvModel()(x).mean((2, 3)), image(), [2, 1])
    assert torch.allclose(found, maps.mean((2, 3)), atol=1e-6)


def test_the_gradient_trains_the_backbone():
    model = Normed()
    forward(model, image(), [1, 2], output_shape="bchw").square().mean().backward()
    assert model.conv.weight.grad.abs().sum() > 0


def test_half_precision_stays_and_is_close():
    model, half = TokenModel(prefix=1), TokenModel(prefix=1).bfloat16()
    single = forward(model, image(), [1, 2], num_prefix_token=1)
    found = forward(half, image().bfloat16(), [1, 2], num_prefix_token=1)
    assert found.dtype == torch.bfloat16
    assert (found.float() - single).abs().max() < 0.03


@pytest.mark.parametrize("side", [31, 33, 45])
def test_odd_sizes_are_cut_and_merged(side):
    images = image(1, side)
    maps = forward(ConvModel(), images, [1, 2, 3], output_shape="bchw")
    n = math.ceil(side / 4)
    assert maps.shape == (1, 15, n, n)
    third = forward(ConvModel(), images, img_sizes=[side, 3 * side], max_split_size=side, output_shape="bchw")
    assert torch.allclose(third[:, 5:], maps[:, 10:], atol=1e-6)


def test_a_model_that_loses_images_is_told():
    with pytest.raises(BadInput, match="for 8 crops"):
        forward(lambda x: TokenModel()(x)[:1], image(), [2])


class Wrapped:
    """An output as libraries of transformers give it."""

    def __init__(self, tokens):
        self.loss, self.last_hidden_state = None, tokens


@pytest.mark.parametrize("split_forward", [False, True])
@pytest.mark.parametrize(
    ("wrap", "parts"),
    [
        (lambda x: (x.mean(1), x), ["not a tuple with the tensors [0]: ", "pass lambda x: model(x)[1]"]),
        (lambda x: [x, None], ["not a list", "pass lambda x: model(x)[0]"]),
        (lambda x: {"cls": x[:, 0], "patches": x}, ["not a dict", "pass lambda x: model(x)['patches']"]),
        (Wrapped, ["not a Wrapped", "pass lambda x: model(x).last_hidden_state"]),
        (lambda x: ((x, x),), ["not a tuple without a tensor; pass a function that returns its features"]),
        (lambda x: None, ["not a NoneType without a tensor"]),
        (lambda x: "features", ["not a str without a tensor"]),
        (lambda x: x.detach().numpy(), ["not a ndarray without a tensor"]),
        (lambda x: x.argmax(2, keepdim=True), ["floating-point features, not torch.int64"]),
    ],
    ids=["tuple", "list", "dict", "object", "nested", "none", "text", "array", "integers"],
)
def test_outputs_that_are_no_tensor_are_described_with_the_remedy(wrap, parts, split_forward):
    model = TokenModel()
    with pytest.raises(BadInput) as caught:
        forward(lambda x: wrap(model(x)), image(), [1, 2], split_forward=split_forward)
    text = str(caught.value)
    assert "\n" not in text
    for part in parts:
        assert part in text
    if "pass lambda" in text:
        again = eval(text.partition("pass ")[2], {"model": lambda x: wrap(model(x))})
        assert torch.equal(forward(again, image(), [1, 2]), forward(model, image(), [1, 2]))


@pytest.mark.parametrize(
    ("backbone", "part"),
    [
        (lambda x: (x.mean((2, 3)), x), "pass lambda x: model(x)[0]"),
        (lambda x: x, "gives [B, D] for 2 crops, not [2, 3, 32, 32]; maps and tokens go through"),
        (lambda x: x.mean((1, 2, 3)), "gives [B, D] for 2 crops, not [2]"),
        (lambda x: x.mean((2, 3))[:1], "gives [B, D] for 2 crops, not [1, 3]"),
    ],
    ids=["tuple", "maps", "numbers", "fewer"],
)
def test_pooled_features_of_another_shape_are_refused(backbone, part):
    with pytest.raises(BadInput) as caught:
        embed(backbone, image(), [1, 2])
    assert part in str(caught.value)


def test_nothing_else_is_a_wrong_use():
    with pytest.raises(WrongUse):
        forward(TokenModel(), image())
