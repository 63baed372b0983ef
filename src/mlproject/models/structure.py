"""The structure of a network: parameters, FLOPs, stages that can be frozen from the bottom up, BatchNorm."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from mlproject.errors import WrongUse
from mlproject.models.model import Model

LARGE_PART = 0.8
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class Count:
    """``n_params`` of the body; ``flops`` of one image's forward pass (a multiply-add is two)."""

    n_params: int
    flops: int


@functools.lru_cache
def count(model: Model, side: int) -> Count:
    """Count parameters and FLOPs for one image of ``side`` pixels on the meta device: nothing is computed.

    torch's FlopCounterMode counts matrix products and convolutions. Attention is counted in its plain form,
    as fused kernels hide their products: 17.56 GMAC for ViT-B/16, where the fast path reads 11.27.

    Raises: WrongUse where the network cannot take inputs of that side.
    """
    from torch.utils.flop_counter import FlopCounterMode  # imports triton

    from mlproject.models.depth import cut_at_depth

    net = cut_at_depth(hollow(model.build).eval(), model)
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), torch.no_grad(), plain_attention(), counter, fitting_inputs(side):
        net(torch.empty(1, 3, side, side))
    return Count(sum(p.numel() for p in net.parameters()), counter.get_total_flops())


def hollow(build: Callable[[], nn.Module]) -> nn.Module:
    """A network on the meta device: shapes without numbers, made in no time and no memory.

    RegNet computes its widths with tensors while it is built, and many ViTs their drop rates, which need
    numbers: such a network is built in memory and then emptied.
    """
    try:
        with torch.device("meta"):
            return build()
    except RuntimeError:  # of which NotImplementedError is one
        with torch.random.fork_rng():
            return build().to("meta")


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
        if isinstance(module, NORMS):
            module.requires_grad_(False)


def set_train_mode(net: nn.Module) -> None:
    """Set train mode, except for layers whose parameters are all frozen: their statistics must not change."""
    net.train()
    for module in net.modules():
        parameters = list(module.parameters(recurse=False))
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()


def fewest_images(net: nn.Module, side: int) -> int:
    """The fewest images that a batch may have in training: 2 where a BatchNorm gets maps of 1 x 1, else 1.

    BatchNorm takes its statistics over images and positions; torch refuses a single value per channel, whose
    variance is 0. Layers in eval mode do not count. Nothing is computed: shapes are followed on the meta
    device for inputs of ``side`` pixels.

    Raises: WrongUse where the network cannot take inputs of that side.
    """
    empty = copy.deepcopy(net).to("meta")
    set_train_mode(empty)
    counter = _ValueCounter()
    for name, module in list(empty.named_modules()):
        if isinstance(module, NORMS) and module.training:
            empty.set_submodule(name, counter)  # BatchNorm itself takes a second of Python on that device
    with torch.no_grad(), fitting_inputs(side):
        empty(torch.empty(N_IMAGES, 3, side, side, device="meta"))
    return 2 if N_IMAGES in counter.seen else 1


N_IMAGES = 2


class _ValueCounter(nn.Module):
    """Stands in for a BatchNorm: returns its input and notes how many values a channel has in the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.add(x.numel() // x.shape[1])
        return x


@contextlib.contextmanager
def fitting_inputs(side: int) -> Iterator[None]:
    """Report what layers raise when maps shrink to nothing as WrongUse, in one line that names the side."""
    try:
        yield
    except (RuntimeError, ValueError, AssertionError) as error:  # convolutions, norms and transformers
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise WrongUse(
            f"the network cannot take inputs of {side} x {side} pixels ({reason[:150]}); use a larger side"
        ) from error
