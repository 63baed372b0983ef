"""EfficientNet-Lite backbones.

Tan and Le 2019, arXiv 1905.11946, in the Lite form of the TensorFlow TPU repository: no squeeze and
excitation, ReLU6 in place of swish, stem, head and the first and last stage not scaled. Names of
parameters are those of the PyPI weight packages. Padding is TensorFlow's SAME, computed from the real
size of each map: with the size of the image in its place, odd maps (240 and 260 pixel inputs) come out
one row short.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

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


class EfficientNetLite(nn.Module):
    """Inverted residual blocks, then the mean over positions.

    Shapes: [B, 3, H, W] to [B, 1280].
    """

    def __init__(self, width_factor: float, depth_factor: float) -> None:
        super().__init__()
        self.pad = SamePad(3, 2)
        self._conv_stem = nn.Conv2d(3, N_STEM, 3, stride=2, bias=False)
        self._bn0 = _norm(N_STEM)
        self._blocks = nn.Sequential(*_blocks(width_factor, depth_factor))
        last = _rounded(STAGES[-1][-1], width_factor)
        self._conv_head = nn.Conv2d(last, N_HEAD, 1, bias=False)
        self._bn1 = _norm(N_HEAD)
        self.relu6 = nn.ReLU6(inplace=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features of a batch."""
        x = self.relu6(self._bn0(self._conv_stem(self.pad(x))))
        x = self._blocks(x)
        x = self.relu6(self._bn1(self._conv_head(x)))
        pooled: Tensor = self.avgpool(x)
        return pooled.flatten(1)


class SamePad(nn.Module):
    """Zeros around a map so that a convolution gives ceil(size / stride); the odd one goes last."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """The padded map."""
        height, width = (self._total(int(size)) for size in x.shape[-2:])
        return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))

    def _total(self, size: int) -> int:
        return max((math.ceil(size / self.stride) - 1) * self.stride + self.kernel - size, 0)


class _Block(nn.Module):
    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        n_mid = n_in * expansion
        self.expands = expansion != 1
        if self.expands:
            self._expand_conv = nn.Conv2d(n_in, n_mid, 1, bias=False)
            self._bn0 = _norm(n_mid)
        self.pad = SamePad(kernel, stride)
        self._depthwise_conv = nn.Conv2d(n_mid, n_mid, kernel, stride=stride, groups=n_mid, bias=False)
        self._bn1 = _norm(n_mid)
        self._project_conv = nn.Conv2d(n_mid, n_out, 1, bias=False)
        self._bn2 = _norm(n_out)
        self.relu6 = nn.ReLU6(inplace=True)
        self.has_shortcut = stride == 1 and n_in == n_out

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        if self.expands:
            x = self.relu6(self._bn0(self._expand_conv(x)))
        x = self.relu6(self._bn1(self._depthwise_conv(self.pad(x))))
        x = self._bn2(self._project_conv(x))
        return x + shortcut if self.has_shortcut else x


def _blocks(width_factor: float, depth_factor: float) -> list[_Block]:
    blocks = []
    n_in = N_STEM
    for stage, (n_blocks, kernel, stride, expansion, channels) in enumerate(STAGES):
        inner = 0 < stage < len(STAGES) - 1
        depth = math.ceil(depth_factor * n_blocks) if inner else n_blocks
        n_out = _rounded(channels, width_factor)
        for i in range(depth):
            blocks.append(_Block(n_in, n_out, kernel, stride if i == 0 else 1, expansion))
            n_in = n_out
    return blocks


def _rounded(channels: int, factor: float) -> int:
    # To the nearest multiple of 8, but never more than a tenth below what was asked for.
    wanted = channels * factor
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
