"""Fourier features of a network's features and of pixel coordinates.

A number is encoded as sines and cosines of growing frequency: Mildenhall et al. 2020 (NeRF), arXiv
2003.08934, equation 4; why it helps: Tancik et al. 2020, arXiv 2006.10739. The encoding has period 2, so
values are scaled to -1..1 first: values further apart could have the same code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def fourier(values: Tensor, n_frequencies: int) -> Tensor:
    """sin(2^k pi p), cos(2^k pi p) for k = 0 .. L - 1 of each value: [..., d] in -1..1 to [..., d * 2L]."""
    angles = values.unsqueeze(-1) * torch.pi * 2.0 ** torch.arange(n_frequencies, device=values.device)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-3)


class FeatureEncoding(nn.Module):
    """Fourier features of a network's features, scaled to -1..1 by each image's smallest and largest value.

    Shapes: [B, d] to [B, d * 2L].
    """

    def __init__(self, n_frequencies: int) -> None:
        super().__init__()
        self.n_frequencies = n_frequencies

    def forward(self, x: Tensor) -> Tensor:
        """The encoded features."""
        low, high = x.amin(1, keepdim=True), x.amax(1, keepdim=True)
        return fourier(2 * (x - low) / (high - low).clamp_min(1e-6) - 1, self.n_frequencies)


class Copies(nn.Module):
    """The features repeated n times: a control of the encoding's width without its information.

    Shapes: [B, d] to [B, d * n].
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, x: Tensor) -> Tensor:
        """The repeated features."""
        return x.repeat(1, self.n)


class PixelEncoding(nn.Module):
    """Fourier features of the coordinates of each pixel, added to the input through a 1 x 1 convolution.

    The convolution starts at zero, so a pretrained network starts unchanged. Shapes: [B, 3, H, W] kept.
    """

    def __init__(self, n_frequencies: int) -> None:
        super().__init__()
        self.n_frequencies = n_frequencies
        self.mix = nn.Conv2d(4 * n_frequencies, 3, 1)
        nn.init.zeros_(self.mix.weight)
        assert self.mix.bias is not None
        nn.init.zeros_(self.mix.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The input plus the learned function of the coordinates."""
        across, down = (_centres(size, x) for size in (x.shape[-1], x.shape[-2]))
        places = torch.stack(torch.meshgrid(down, across, indexing="ij"), -1)
        encoded = fourier(places, self.n_frequencies).permute(2, 0, 1)
        added: Tensor = self.mix(encoded[None])
        return x + added


def _centres(size: int, like: Tensor) -> Tensor:
    """Pixel centres of a side, in -1..1."""
    steps = torch.arange(size, device=like.device, dtype=torch.float32)
    return (2 * steps + 1) / size - 1
