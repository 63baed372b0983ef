"""ResNet and ResNeXt backbones.

He et al. 2015, arXiv 1512.03385; Xie et al. 2016, arXiv 1611.05431. The stride of a bottleneck stands
in its 3x3 convolution, and names of parameters are those of torchvision, whose checkpoints load as
they are. Written here because importing torchvision costs more than building all five networks.
"""

from __future__ import annotations

from torch import Tensor, nn


class ResNet(nn.Module):
    """Four stages of residual blocks, then the mean over positions.

    Shapes: [B, 3, H, W] to [B, 512] (basic blocks) or [B, 2048] (bottlenecks).
    """

    def __init__(
        self,
        depths: tuple[int, int, int, int],
        *,
        bottleneck: bool = True,
        groups: int = 1,
        group_width: int = 64,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        n_in = 64
        for stage, depth in enumerate(depths):
            planes = 64 * 2**stage
            n_out = planes * (4 if bottleneck else 1)
            inner = planes * group_width // 64 * groups if bottleneck else planes
            blocks = []
            for i in range(depth):
                stride = 2 if stage > 0 and i == 0 else 1
                blocks.append(_Block(n_in, inner, n_out, stride, groups, bottleneck=bottleneck))
                n_in = n_out
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features of a batch."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in (1, 2, 3, 4):
            x = getattr(self, f"layer{stage}")(x)
        pooled: Tensor = self.avgpool(x)
        return pooled.flatten(1)


class _Block(nn.Module):
    def __init__(
        self, n_in: int, inner: int, n_out: int, stride: int, groups: int, *, bottleneck: bool
    ) -> None:
        super().__init__()
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        widths = (n_in, inner, inner, n_out) if bottleneck else (n_in, inner, n_out)
        strided = 1 if bottleneck else 0
        self.n_convs = len(kernels)
        for i, kernel in enumerate(kernels):
            conv = nn.Conv2d(
                widths[i],
                widths[i + 1],
                kernel,
                stride=stride if i == strided else 1,
                padding=kernel // 2,
                groups=groups if bottleneck and kernel == 3 else 1,
                bias=False,
            )
            setattr(self, f"conv{i + 1}", conv)
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(widths[i + 1]))
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or n_in != n_out:
            projection = nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        for i in range(1, self.n_convs + 1):
            x = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x))
            if i < self.n_convs:
                x = self.relu(x)
        out: Tensor = self.relu(x + shortcut)
        return out
