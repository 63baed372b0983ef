"""ResNet and ResNeXt backbones, as torchvision builds them.

He et al. 2015, arXiv 1512.03385; Xie et al. 2016, arXiv 1611.05431.
"""

from __future__ import annotations

from torch import nn


def resnet(name: str) -> nn.Module:
    """The body of a torchvision ResNet or ResNeXt.

    Shapes: [B, 3, H, W] to [B, 512] (basic blocks) or [B, 2048] (bottlenecks).
    """
    from torchvision.models import get_model

    network: nn.Module = get_model(name, weights=None)
    network.fc = nn.Identity()
    return network
