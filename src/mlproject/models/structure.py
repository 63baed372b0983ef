"""What a network consists of: parameters, FLOPs, and the stages that can be frozen from the bottom up."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from mlproject.models import layers
from mlproject.models.model import Model

LARGE_PART = 0.8
WITHOUT_PRODUCTS = (
    nn.Sequential,
    nn.BatchNorm2d,
    nn.ReLU,
    nn.ReLU6,
    nn.MaxPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
    nn.Identity,
)
"""Modules that have no products and take a batch of no images."""


@dataclass(frozen=True)
class Count:
    """``n_params`` of the body; ``flops`` of one image's forward pass (a multiply-add is two)."""

    n_params: int
    flops: int


@functools.lru_cache
def count(model: Model, side: int) -> Count:
    """Count parameters and FLOPs for one image of ``side`` pixels, without computing anything.

    A multiply-add of a matrix product or convolution is two FLOPs, everything else none, as torch's
    FlopCounterMode counts. Networks made of this package's layers alone are counted from the shapes of their
    convolutions, which gives the same number: the counter, and any operation on the meta device, would import
    torch's compiler (2 CPU seconds).
    """
    with torch.device("meta"):
        net = model.build().eval()
    n_params = sum(p.numel() for p in net.parameters())
    return Count(n_params, _flops_of_convolutions(net, side) if _is_plain(net) else _flops_of_all(net, side))


def _is_plain(net: nn.Module) -> bool:
    """Whether all products of a network are those of its convolutions."""
    return all(
        isinstance(module, (nn.Conv2d, *WITHOUT_PRODUCTS)) or type(module).__module__ == layers.__name__
        for module in net.modules()
    )


def _flops_of_convolutions(net: nn.Module, side: int) -> int:
    """Sums over the convolutions' shapes, from a forward pass of a batch of no images."""
    flops = 0

    def add(conv: nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal flops
        assert isinstance(conv, nn.Conv2d)
        flops += 2 * output.shape[1:].numel() * conv.weight.shape[1:].numel()

    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(add)
    # Memory of their own for all values, never touched; ``to_empty`` would import torch's compiler.
    state = {name: torch.empty(value.shape, dtype=value.dtype) for name, value in net.state_dict().items()}
    net.load_state_dict(state, assign=True)
    with torch.no_grad():
        net(torch.empty(0, 3, side, side))
    return flops


def _flops_of_all(net: nn.Module, side: int) -> int:
    """Attention is counted in its plain form, as fused kernels hide their products: 17.56 GMAC for ViT-B/16,
    where the fast path reads 11.27."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.device("meta"), torch.no_grad(), plain_attention(), counter:
        net(torch.empty(1, 3, side, side))
    return counter.get_total_flops()


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """Attention as plain matrix products, which FLOP counters and exporters need to see."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def stages(net: nn.Module) -> list[list[nn.Module]]:
    """The modules of each stage of a network of any family, in the order in which they were added to it.

    A stage is a child that has parameters. Where one child holds more than four fifths of all parameters
    (``features``, ``blocks``, ``encoder.layers``), its own children are stages in its place; a normalisation
    by itself belongs to the stage before it. A ResNet has 5 stages (stem, layer1 to layer4), an
    EfficientNet-Lite one for the stem, one for each block, and one for the last convolution.
    """
    grouped: list[list[nn.Module]] = []
    for part in _parts(net, sum(p.numel() for p in net.parameters())):
        is_norm = all(p.dim() == 1 for p in part.parameters())
        if is_norm and grouped:
            grouped[-1].append(part)
        else:
            grouped.append([part])
    return grouped


def _parts(net: nn.Module, n_all: int) -> list[nn.Module]:
    parts: list[nn.Module] = []
    for child in net.children():
        n = sum(p.numel() for p in child.parameters())
        if n > LARGE_PART * n_all and list(child.children()):
            parts += _parts(child, n_all)
        elif n:
            parts.append(child)
    return parts


def train_last(net: nn.Module, k: int) -> int:
    """Let the last ``k`` stages require gradients and nothing else (-1: everything); returns the stage count.

    Parameters outside all stages (class tokens, position embeddings) are only trained with everything.
    """
    every = stages(net)
    net.requires_grad_(k < 0)
    for stage in every[len(every) - k :] if 0 < k <= len(every) else []:
        for module in stage:
            module.requires_grad_(True)
    return len(every)


def freeze_norms(net: nn.Module) -> None:
    """Freeze every BatchNorm; where nothing in one is trained, its running statistics stay too."""
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)):
            module.requires_grad_(False)
