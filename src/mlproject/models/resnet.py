"""ResNet and ResNeXt backbones, as torchvision builds them.

He et al. 2015, arXiv 1512.03385; Xie et al. 2016, arXiv 1611.05431.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlproject.models.model import Model, Preprocess, torchvision_weights

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any


def resnet(name: str) -> Module:
    """The network without its classifier.

    Shapes: [B, 3, H, W] to [B, 512] (basic blocks) or [B, 2048] (bottlenecks).
    """
    from torch import nn
    from torchvision.models import get_model

    network: Module = get_model(name, weights=None)
    network.fc = nn.Identity()
    return network


def _row(name: str, width: int, n_params: int, sha256: str) -> Model:
    return Model(
        name=name,
        family=name.partition("_")[0].rstrip("0123456789"),
        side=224,
        width=width,
        preprocess=Preprocess(resize=256, crop=224),
        n_params_body=n_params,
        imagenet=torchvision_weights(name, sha256),
        classifier="fc.",
        build=lambda: resnet(name),
    )


ROWS = (
    _row("resnet18", 512, 11_176_512, "f37072fd"),
    _row("resnet50", 2048, 23_508_032, "0676ba61"),
    _row("resnet101", 2048, 42_500_160, "63fe2227"),
    _row("resnext50_32x4d", 2048, 22_979_904, "7cdf4587"),
    _row("resnext101_32x8d", 2048, 86_742_336, "8ba56ff5"),
)
