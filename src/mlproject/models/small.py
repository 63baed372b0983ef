"""Small networks for training from scratch: residual networks, a plain network, segmenters.

    resblock_w16_d2     width 16, 2 blocks in each of three stages; any width and depth works by name
    plain               four convolutions of 64, 128, 256 and 512 channels
    segmenter_w8_i3     the third iteration of the segmenter, width 8

Parameters in closed form, for a residual block from a to b channels, and a residual network of width w:

    block(a, b)   9ab + 9b² + 4b, and ab + 2b more with a projection; so 18c² + 4c for block(c, c)
    body(w, d)    29w for the stem, then d blocks each of w, 2w and 4w channels
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from mlproject.models.model import Model, Preprocess

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any

SIDE = 32
CLASSIFIER = "head."
WIDTHS_OF_STAGES = (1, 2, 4)
"""Channels of the three stages of a residual network, in units of its width."""
PLAIN_CHANNELS = (64, 128, 256, 512)
GROWTH = "two more convolutions and a residual block at the coarsest level"
ITERATIONS = 4
_RESBLOCK = re.compile(r"resblock_w([1-9]\d{0,3})_d([1-9]\d?)")
_SEGMENTER = re.compile(rf"segmenter_w([1-9]\d{{0,3}})_i([1-{ITERATIONS}])")


def small_model(name: str) -> Model | None:
    """The row of a name that states its width and depth; None for any other name."""
    if match := _RESBLOCK.fullmatch(name):
        return resblock(int(match[1]), int(match[2]))
    if match := _SEGMENTER.fullmatch(name):
        return segmenter(int(match[1]), int(match[2]))
    return None


def resblock(width: int, depth: int) -> Model:
    """A residual network of a width and a depth."""
    n_params, n_in = 29 * width, width
    for n_out in (factor * width for factor in WIDTHS_OF_STAGES):
        n_params += _n_block(n_in, n_out) + (depth - 1) * _n_block(n_out, n_out)
        n_in = n_out
    return _row(
        f"resblock_w{width}_d{depth}", "resblock", 4 * width, n_params, lambda: residual_net(width, depth)
    )


def plain() -> Model:
    """The plain network of four convolutions."""
    return _row("plain", "plain", 512, 1_550_976, plain_net)


def segmenter(width: int, iteration: int) -> Model:
    """One iteration (1 to 4) of the segmenter; each adds to the one before what that one had been given."""

    def build() -> Module:
        from mlproject.models.layers import EncoderDecoder

        return EncoderDecoder(width, iteration - 1)

    w, deep = width, 4 * width
    channels = [(3, w), (w, 2 * w), (2 * w, deep), (6 * w, 2 * w), (3 * w, w)]
    n_params = sum(_n_conv(a, b) for a, b in channels) + sum(_n_block(c, c) for c in (w, 2 * w, deep))
    n_params += (iteration - 1) * (2 * _n_conv(deep, deep) + _n_block(deep, deep))
    parent = f"segmenter_w{width}_i{iteration - 1}" if iteration > 1 else ""
    name = f"segmenter_w{width}_i{iteration}"
    change = GROWTH if parent else ""
    return _row(name, "segmenter", width, n_params, build, maps=True, parent=parent, change=change)


def residual_net(width: int, depth: int) -> Module:
    """A strided stem, three stages of ``depth`` blocks, the mean over positions.

    Shapes: [B, 3, H, W] to [B, 4 * width].
    """
    from torch import nn

    from mlproject.models.layers import GlobalMean, ResBlock, conv_norm, he_weights

    blocks, n_in = list[nn.Module](), width
    stem = nn.Sequential(conv_norm(3, width, stride=2), nn.ReLU(inplace=True))
    for stage, factor in enumerate(WIDTHS_OF_STAGES):
        for number in range(depth):
            blocks.append(ResBlock(n_in, factor * width, stride=2 if stage and not number else 1))
            n_in = factor * width
    parts: list[tuple[str, nn.Module]] = [("stem", stem), ("blocks", nn.Sequential(*blocks))]
    net = nn.Sequential(OrderedDict([*parts, ("mean", GlobalMean())]))
    he_weights(net)
    return net


def plain_net(n_in: int = 3) -> Module:
    """Four 3 x 3 convolutions with bias and ReLU, 2 x 2 max pooling between, the mean over positions.

    From one channel 1,549,824 parameters. Shapes: [B, n_in, H, W] to [B, 512].
    """
    from torch import nn

    from mlproject.models.layers import GlobalMean, he_weights

    layers: list[nn.Module] = []
    for number, n_out in enumerate(PLAIN_CHANNELS):
        layers += [nn.MaxPool2d(2)] if number else []
        layers += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.ReLU(inplace=True)]
        n_in = n_out
    net = nn.Sequential(OrderedDict(layers=nn.Sequential(*layers), mean=GlobalMean()))
    he_weights(net)
    return net


def _row(name: str, family: str, width: int, n_params: int, build: Any, **more: Any) -> Model:
    return Model(
        name=name,
        family=family,
        side=SIDE,
        width=width,
        preprocess=Preprocess(resize=SIDE, crop=SIDE, mean=(0.5,) * 3, std=(0.25,) * 3),
        n_params_body=n_params,
        imagenet=None,
        classifier=CLASSIFIER,
        build=build,
        **more,
    )


def _n_conv(n_in: int, n_out: int) -> int:
    """Parameters of a 3 x 3 convolution without bias, and BatchNorm."""
    return 9 * n_in * n_out + 2 * n_out


def _n_block(n_in: int, n_out: int) -> int:
    """Parameters of a residual block."""
    projection = n_in * n_out + 2 * n_out if n_in != n_out else 0
    return 9 * n_in * n_out + 9 * n_out**2 + 4 * n_out + projection


ROWS = (
    *(resblock(width, 1) for width in (4, 8, 12, 20, 32, 48, 64)),
    *(resblock(16, depth) for depth in (1, 2, 3, 4)),
    plain(),
    *(segmenter(8, iteration) for iteration in (1, 2, 3, 4)),
)
