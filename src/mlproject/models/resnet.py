"""ResNet and ResNeXt backbones: torchvision's by name, shape and random draw, without importing it.

He et al. 2015, arXiv 1512.03385 (the stride on the 3 x 3 convolution); Xie et al. 2016, arXiv 1611.05431.
torchvision.models brings torch's compiler along: 0.8 CPU-seconds for nothing that a backbone uses.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

STEM = 64
CHANNELS = (64, 128, 256, 512)
EXPANSION = 4
N_CLASSES = 1000
SHAPES = {
    # blocks of each stage, groups, channels of a group in the first stage (0: basic blocks)
    "resnet18": ((2, 2, 2, 2), 1, 0),
    "resnet50": ((3, 4, 6, 3), 1, 64),
    "resnet101": ((3, 4, 23, 3), 1, 64),
    "resnext50_32x4d": ((3, 4, 6, 3), 32, 4),
    "resnext101_32x8d": ((3, 4, 23, 3), 32, 8),
}


def resnet(name: str) -> nn.Module:
    """The body of a ResNet or ResNeXt.

    Shapes: [B, 3, H, W] to [B, 512] (basic blocks) or [B, 2048] (bottlenecks).
    """
    return ResNet(*SHAPES[name])


class ResNet(nn.Module):
    """A stem, four stages of residual blocks, the mean over positions; named as checkpoints are."""

    def __init__(self, depths: Sequence[int], groups: int, group_width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = _stages(depths, groups, group_width)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        n_out = CHANNELS[-1] * (EXPANSION if group_width else 1)
        nn.Linear(n_out, N_CLASSES)  # drawn and dropped: a seed gives the network that it gives torchvision
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features of a batch."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        pooled: Tensor = self.avgpool(x)
        return pooled.flatten(1)


def _stages(depths: Sequence[int], groups: int, group_width: int) -> list[nn.Module]:
    found: list[nn.Module] = []
    n_in = STEM
    for depth, channels in zip(depths, CHANNELS, strict=True):
        blocks: list[nn.Module] = []
        for i in range(depth):
            stride = 2 if found and i == 0 else 1
            if group_width:
                width, n_out = channels * group_width // STEM * groups, EXPANSION * channels
                blocks.append(_Bottleneck(n_in, width, n_out, stride, groups))
            else:
                n_out = channels
                blocks.append(_Basic(n_in, n_out, stride))
            n_in = n_out
        found.append(nn.Sequential(*blocks))
    return found


class _Basic(nn.Module):
    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        shortcut = _shortcut(n_in, n_out, stride)  # drawn first and named last, as in torchvision
        self.conv1 = _conv(n_in, n_out, stride)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv(n_out, n_out)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        joined: Tensor = self.relu(self.bn2(self.conv2(out)) + self.downsample(x))
        return joined


class _Bottleneck(nn.Module):
    def __init__(self, n_in: int, width: int, n_out: int, stride: int, groups: int) -> None:
        super().__init__()
        shortcut = _shortcut(n_in, n_out, stride)
        self.conv1 = nn.Conv2d(n_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, stride, groups)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, n_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        joined: Tensor = self.relu(self.bn3(self.conv3(out)) + self.downsample(x))
        return joined


def _conv(n_in: int, n_out: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, groups=groups, bias=False)


def _shortcut(n_in: int, n_out: int, stride: int) -> nn.Module:
    if stride == 1 and n_in == n_out:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm2d(n_out))
