"""Small residual networks with a width and a depth dial, and the plain net that they grew from.

ResBlock: two 3 x 3 convolutions, each with BatchNorm, and a 1 x 1 projection of the shortcut where the shape
changes (He et al. 2015, arXiv 1512.03385, basic block, option B). Parameters in closed form:

    block(a, b)   9ab + 9b² + 4b, and ab + 2b more with a projection; so 18c² + 4c for block(c, c)
    body(w, d)    29w for the stem, then d blocks each of w, 2w and 4w channels
"""

from __future__ import annotations

from torch import Tensor, nn

STAGES = (1, 2, 4)
"""Channels of the three stages, in widths."""
PLAIN = (64, 128, 256, 512)


class ResBlock(nn.Module):
    """relu(f(x) + shortcut(x)). Shapes: [B, a, H, W] to [B, b, H / stride, W / stride]."""

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


class ResBlockNet(nn.Module):
    """A strided stem, three stages of ``depth`` blocks, the mean over positions.

    Shapes: [B, 3, H, W] to [B, 4 * width].
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, width, stride=2), nn.ReLU(inplace=True))
        blocks, n_in = [], width
        for stage, factor in enumerate(STAGES):
            for number in range(depth):
                stride = 2 if stage and not number else 1
                blocks.append(ResBlock(n_in, factor * width, stride))
                n_in = factor * width
        self.blocks = nn.Sequential(*blocks)
        he_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features of a batch."""
        maps: Tensor = self.blocks(self.stem(x))
        return maps.mean((2, 3))


class PlainNet(nn.Module):
    """Four 3 x 3 convolutions with bias and ReLU, 2 x 2 max pooling between, the mean over positions.

    From one channel 1,549,824 parameters. Shapes: [B, n_in, H, W] to [B, 512].
    """

    def __init__(self, n_in: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, n_out in enumerate(PLAIN):
            layers += [nn.MaxPool2d(2)] if number else []
            layers += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.ReLU(inplace=True)]
            n_in = n_out
        self.layers = nn.Sequential(*layers)
        he_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features of a batch."""
        maps: Tensor = self.layers(x)
        return maps.mean((2, 3))


def conv_norm(n_in: int, n_out: int, stride: int = 1, side: int = 3) -> nn.Sequential:
    """A convolution without bias that keeps the size (but for its stride), and BatchNorm."""
    conv = nn.Conv2d(n_in, n_out, side, stride=stride, padding=side // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n_out))


def he_weights(net: nn.Module) -> None:
    """Draw the weights of all convolutions as He et al. 2015 (arXiv 1502.01852) do; biases are 0."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
