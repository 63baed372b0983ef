"""ResNet and ResNeXt backbones, with torchvision's parameter names and initial weights.

He et al. 2015, arXiv 1512.03385, with the stride of a bottleneck in its 3 x 3 convolution (version 1.5), and
Xie et al. 2016, arXiv 1611.05431. Built here because importing torchvision costs 2 CPU seconds; tests hold
that every weight and feature equals torchvision's.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from mlproject.models.model import Model, Preprocess, torchvision_weights

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any

N_CLASSES = 1000


def resnet(depths: tuple[int, int, int, int], *, bottleneck: bool, groups: int = 1, base: int = 64) -> Module:
    """The network without its classifier.

    ``depths`` counts the blocks of each stage; the inner width of a bottleneck is ``base`` x ``groups`` / 64
    of its stage's. Shapes: [B, 3, H, W] to [B, 512] (basic blocks) or [B, 2048] (bottlenecks).
    """
    from torch import nn

    from mlproject.models.layers import BasicBlock, Bottleneck, he_weights_fan_out

    parts: list[tuple[str, nn.Module]] = [
        ("conv1", nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)),
        ("bn1", nn.BatchNorm2d(64)),
        ("relu", nn.ReLU(inplace=True)),
        ("maxpool", nn.MaxPool2d(3, stride=2, padding=1)),
    ]
    n_in = 64
    for stage, depth in enumerate(depths):
        n_inner, blocks = 64 * 2**stage, list[nn.Module]()
        for number in range(depth):
            stride = 2 if stage and not number else 1
            if bottleneck:
                blocks.append(Bottleneck(n_in, n_inner, stride, groups, n_inner * base * groups // 64))
            else:
                blocks.append(BasicBlock(n_in, n_inner, stride))
            n_in = n_inner * (4 if bottleneck else 1)
        parts.append((f"layer{stage + 1}", nn.Sequential(*blocks)))
    parts += [("avgpool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]
    # The classifier is cut off, but its initial weights are drawn: random weights follow from one stream.
    nn.Linear(n_in, N_CLASSES)
    net = nn.Sequential(OrderedDict(parts))
    he_weights_fan_out(net)
    return net


def _row(
    name: str,
    n_params: int,
    sha256: str,
    depths: tuple[int, int, int, int],
    *,
    bottleneck: bool = True,
    groups: int = 1,
    base: int = 64,
) -> Model:
    return Model(
        name=name,
        family=name.partition("_")[0].rstrip("0123456789"),
        side=224,
        width=2048 if bottleneck else 512,
        preprocess=Preprocess(resize=256, crop=224),
        n_params_body=n_params,
        imagenet=torchvision_weights(name, sha256),
        classifier="fc.",
        build=lambda: resnet(depths, bottleneck=bottleneck, groups=groups, base=base),
    )


ROWS = (
    _row("resnet18", 11_176_512, "f37072fd", (2, 2, 2, 2), bottleneck=False),
    _row("resnet50", 23_508_032, "0676ba61", (3, 4, 6, 3)),
    _row("resnet101", 42_500_160, "63fe2227", (3, 4, 23, 3)),
    _row("resnext50_32x4d", 22_979_904, "7cdf4587", (3, 4, 6, 3), groups=32, base=4),
    _row("resnext101_32x8d", 86_742_336, "8ba56ff5", (3, 4, 23, 3), groups=32, base=8),
)
