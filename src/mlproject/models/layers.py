"""Layers of the networks built here: residual blocks, inverted residuals, Fourier features.

Layers with parameters keep the attribute names that published checkpoints use.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn


def conv_norm(n_in: int, n_out: int, stride: int = 1, side: int = 3) -> nn.Sequential:
    """A convolution without bias, padded to keep the map's size at stride 1, and BatchNorm."""
    conv = nn.Conv2d(n_in, n_out, side, stride=stride, padding=side // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n_out))


def he_weights(net: nn.Module) -> None:
    """Draw the weights of all convolutions as He et al. 2015 (arXiv 1502.01852) do; biases are 0."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def he_weights_fan_out(net: nn.Module) -> None:
    """Draw the weights of all convolutions with variance 2 / (outputs x kernel area), as torchvision does."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class ResBlock(nn.Module):
    """relu(f(x) + shortcut(x)) with two 3 x 3 convolutions, each followed by BatchNorm.

    The shortcut is a 1 x 1 projection where the shape changes (He et al. 2015, arXiv 1512.03385, basic block,
    option B). Shapes: [B, a, H, W] to [B, b, H / stride, W / stride].
    """

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__()
        self.first = conv_norm(n_in, n_out, stride)
        self.second = conv_norm(n_out, n_out)
        changes = stride != 1 or n_in != n_out
        self.shortcut = conv_norm(n_in, n_out, stride, side=1) if changes else nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        out: Tensor = self.relu(self.second(self.relu(self.first(x))) + self.shortcut(x))
        return out


class InvertedResidual(nn.Module):
    """Expand, convolve each channel by itself, project; with a shortcut where the shape is kept.

    EfficientNet's block without squeeze and excitation.
    Shapes: [B, a, H, W] to [B, b, H / stride, W / stride].
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        n_mid = n_in * expansion
        self.expands = expansion != 1
        if self.expands:
            self._expand_conv = nn.Conv2d(n_in, n_mid, 1, bias=False)
            self._bn0 = tensorflow_norm(n_mid)
        self.pad = SamePad(kernel, stride)
        self._depthwise_conv = nn.Conv2d(n_mid, n_mid, kernel, stride=stride, groups=n_mid, bias=False)
        self._bn1 = tensorflow_norm(n_mid)
        self._project_conv = nn.Conv2d(n_mid, n_out, 1, bias=False)
        self._bn2 = tensorflow_norm(n_out)
        self.relu6 = nn.ReLU6(inplace=True)
        self.has_shortcut = stride == 1 and n_in == n_out

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        shortcut = x
        if self.expands:
            x = self.relu6(self._bn0(self._expand_conv(x)))
        x = self.relu6(self._bn1(self._depthwise_conv(self.pad(x))))
        x = self._bn2(self._project_conv(x))
        return x + shortcut if self.has_shortcut else x


def tensorflow_norm(channels: int) -> nn.BatchNorm2d:
    """BatchNorm with the constants of TensorFlow's EfficientNet."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class SamePad(nn.Module):
    """TensorFlow's SAME padding: zeros so that a convolution gives ceil(size / stride); an odd row goes last.

    Computed from the real size of each map: with the image's size in its place, odd maps (240 and 260 pixel
    inputs) come out short by a row.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """The padded map."""
        height, width = (self._total(int(size)) for size in x.shape[-2:])
        return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))

    def _total(self, size: int) -> int:
        return max((math.ceil(size / self.stride) - 1) * self.stride + self.kernel - size, 0)


class GlobalMean(nn.Module):
    """The mean of a map over its positions. Shapes: [B, C, H, W] to [B, C]."""

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features of a batch."""
        return x.mean((2, 3))


class EncoderDecoder(nn.Module):
    """Three levels down, two up, with skip connections (Ronneberger et al. 2015, arXiv 1505.04597, in small).

    ``growth`` times two convolutions and a residual block are added at the coarsest level.
    Shapes: [B, 3, H, W] to [B, width, H, W]; H and W divisible by 4.
    """

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        w, deep = width, 4 * width
        self.fine = nn.Sequential(*_conv_relu(3, w), ResBlock(w, w))
        self.middle = nn.Sequential(nn.MaxPool2d(2), *_conv_relu(w, 2 * w), ResBlock(2 * w, 2 * w))
        added = [
            layer
            for _ in range(growth)
            for layer in (*_conv_relu(deep, deep), *_conv_relu(deep, deep), ResBlock(deep, deep))
        ]
        self.coarse = nn.Sequential(nn.MaxPool2d(2), *_conv_relu(2 * w, deep), ResBlock(deep, deep), *added)
        self.up_middle = nn.Sequential(*_conv_relu(deep + 2 * w, 2 * w))
        self.up_fine = nn.Sequential(*_conv_relu(2 * w + w, w))
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


def _conv_relu(n_in: int, n_out: int) -> list[nn.Module]:
    return [conv_norm(n_in, n_out), nn.ReLU(inplace=True)]


def fourier(values: Tensor, n_frequencies: int) -> Tensor:
    """sin(2^k pi p), cos(2^k pi p) for k = 0 .. L - 1 of each value: [..., d] in -1..1 to [..., d * 2L].

    Mildenhall et al. 2020 (NeRF), arXiv 2003.08934, equation 4; why it helps: Tancik et al. 2020, arXiv
    2006.10739. The encoding has period 2, so values are scaled to -1..1 first: values further apart could
    have the same code.
    """
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


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # Its padding depends on the size of the map, which is unknown while tracing.
        return isinstance(m, SamePad) or super().is_leaf_module(m, module_qualified_name)


def trace(net: nn.Module) -> fx.Graph:
    """The operations of a network as a graph. Raises: whatever a network that cannot be traced raises."""
    return _Tracer().trace(net)
