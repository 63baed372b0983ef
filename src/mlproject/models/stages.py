"""Stages of a network, first to last, whatever its family: what can be frozen from the bottom up.

A part is a child that has parameters. Where one part holds more than four fifths of all (``features``,
``blocks``, ``encoder.layers``), its own children count in its place; a normalisation that stands alone
goes with the part before it. A ResNet has 5 stages (stem, layer1 to layer4), an EfficientNet-Lite has one
for the stem, one for each block, and one for the last convolution.
"""

from __future__ import annotations

from torch import nn

LARGE = 0.8


def stages(net: nn.Module) -> list[list[nn.Module]]:
    """The modules of each stage, in the order in which they were put into the network."""
    found: list[list[nn.Module]] = []
    for part in _parts(net, sum(p.numel() for p in net.parameters())):
        lone = all(p.dim() == 1 for p in part.parameters())
        if lone and found:
            found[-1].append(part)
        else:
            found.append([part])
    return found


def _parts(net: nn.Module, n_all: int) -> list[nn.Module]:
    found: list[nn.Module] = []
    for part in net.children():
        n = sum(p.numel() for p in part.parameters())
        if n > LARGE * n_all and list(part.children()):
            found += _parts(part, n_all)
        elif n:
            found.append(part)
    return found


def train_last(net: nn.Module, k: int) -> int:
    """Let the last ``k`` stages require gradients and nothing else (-1: everything); counts all stages.

    Parameters outside all stages (class tokens, position embeddings) are trained with everything only.
    """
    every = stages(net)
    net.requires_grad_(k < 0)
    for stage in every[len(every) - k :] if 0 < k <= len(every) else []:
        for module in stage:
            module.requires_grad_(True)
    return len(every)


def freeze_norms(net: nn.Module) -> None:
    """Freeze every normalisation over the batch: where nothing in it is trained, its statistics stay."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.requires_grad_(False)
