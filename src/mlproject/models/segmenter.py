"""Segmenters: an encoder-decoder whose growth steps are a series.

The first is the small residual classifier turned to pixels; each further one adds, at the coarsest
level, what the one before it had been given: two convolutions and a residual block.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mlproject.models.resblock import ResBlock, conv_norm, he_weights


class Segmenter(nn.Module):
    """Three levels down, two up, with skips (Ronneberger et al. 2015, arXiv 1505.04597, in small).

    Shapes: [B, 3, H, W] to [B, width, H, W]; H and W divisible by 4.
    """

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        w, deep = width, 4 * width
        self.fine = nn.Sequential(*_level(3, w))
        self.middle = nn.Sequential(nn.MaxPool2d(2), *_level(w, 2 * w))
        grown = [layer for _ in range(growth) for layer in _growth(deep)]
        self.coarse = nn.Sequential(nn.MaxPool2d(2), *_level(2 * w, deep), *grown)
        self.up_middle = nn.Sequential(*_conv(deep + 2 * w, 2 * w))
        self.up_fine = nn.Sequential(*_conv(2 * w + w, w))
        self.larger = nn.Upsample(scale_factor=2)
        he_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """A feature for every pixel."""
        fine = self.fine(x)
        middle = self.middle(fine)
        coarse = self.larger(self.coarse(middle))
        up = self.larger(self.up_middle(torch.cat([coarse, middle], 1)))
        out: Tensor = self.up_fine(torch.cat([up, fine], 1))
        return out


def _level(n_in: int, n_out: int) -> list[nn.Module]:
    return [*_conv(n_in, n_out), ResBlock(n_out, n_out)]


def _growth(n: int) -> list[nn.Module]:
    return [*_conv(n, n), *_conv(n, n), ResBlock(n, n)]


def _conv(n_in: int, n_out: int) -> list[nn.Module]:
    return [conv_norm(n_in, n_out), nn.ReLU(inplace=True)]
