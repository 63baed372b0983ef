"""Vision Transformer backbone, as torchvision builds it.

Dosovitskiy et al. 2020, arXiv 2010.11929. The pooled feature is the class token after the last norm.
"""

from __future__ import annotations

from torch import nn
from torchvision.models import vision_transformer


def vit_b_16() -> nn.Module:
    """ViT-B/16 without its head: [B, 3, 224, 224] to [B, 768]."""
    net: nn.Module = vision_transformer.vit_b_16(weights=None)
    net.heads = nn.Identity()
    return net
