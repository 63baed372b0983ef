"""Rows of the table for the networks that are trained from scratch; any width and depth works by name.

resblock_w16_d2     width 16, 2 blocks in each of three stages
plain               four convolutions, 64-128-256-512
segmenter_w8_i3     the third iteration of the segmenter, width 8
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlproject.models.model import Model, Preprocess

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any

SIDE = 32
CLASSIFIER = "head."
GROWN = "two more convolutions and a residual block at the coarsest level"
ITERATIONS = 4
_RESBLOCK = re.compile(r"resblock_w([1-9]\d{0,3})_d([1-9]\d?)")
_SEGMENTER = re.compile(rf"segmenter_w([1-9]\d{{0,3}})_i([1-{ITERATIONS}])")


def small_model(name: str) -> Model | None:
    """The row of a name that says its width and depth; None for any other name."""
    if found := _RESBLOCK.fullmatch(name):
        return resblock(int(found[1]), int(found[2]))
    if found := _SEGMENTER.fullmatch(name):
        return segmenter(int(found[1]), int(found[2]))
    return None


def resblock(width: int, depth: int) -> Model:
    """A residual network of a width and a depth."""

    def build() -> Module:
        from mlproject.models.resblock import ResBlockNet

        return ResBlockNet(width, depth)

    n_params, n_in = 29 * width, width
    for n_out in (width, 2 * width, 4 * width):
        n_params += _block(n_in, n_out) + (depth - 1) * _block(n_out, n_out)
        n_in = n_out
    return _model(f"resblock_w{width}_d{depth}", "resblock", 4 * width, n_params, build)


def plain() -> Model:
    """The plain net of four convolutions."""

    def build() -> Module:
        from mlproject.models.resblock import PlainNet

        return PlainNet()

    return _model("plain", "plain", 512, 1_550_976, build)


def segmenter(width: int, iteration: int) -> Model:
    """An iteration (1 to 4) of the segmenter."""

    def build() -> Module:
        from mlproject.models.segmenter import Segmenter

        return Segmenter(width, iteration - 1)

    w, deep = width, 4 * width
    ins_outs = [(3, w), (w, 2 * w), (2 * w, deep), (6 * w, 2 * w), (3 * w, w)]
    n_params = sum(_conv(a, b) for a, b in ins_outs) + sum(_block(c, c) for c in (w, 2 * w, deep))
    n_params += (iteration - 1) * (2 * _conv(deep, deep) + _block(deep, deep))
    before = f"segmenter_w{width}_i{iteration - 1}" if iteration > 1 else ""
    name = f"segmenter_w{width}_i{iteration}"
    change = GROWN if before else ""
    return _model(name, "segmenter", width, n_params, build, maps=True, parent=before, change=change)


def _model(name: str, family: str, width: int, n_params: int, build: Any, **more: Any) -> Model:
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


def _conv(n_in: int, n_out: int) -> int:
    """A 3 x 3 convolution without bias, and BatchNorm."""
    return 9 * n_in * n_out + 2 * n_out


def _block(n_in: int, n_out: int) -> int:
    projection = n_in * n_out + 2 * n_out if n_in != n_out else 0
    return 9 * n_in * n_out + 9 * n_out**2 + 4 * n_out + projection
