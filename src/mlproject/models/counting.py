"""Parameters and FLOPs of a backbone, counted on the meta device: no weights, no arithmetic."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mlproject.models.model import Model


@dataclass(frozen=True)
class Count:
    """``n_params`` of the body; ``flops`` of one image's forward pass (a multiply-add is two)."""

    n_params: int
    flops: int


@functools.lru_cache
def count(model: Model, side: int) -> Count:
    """What one image of ``side`` pixels costs, by torch's FlopCounterMode.

    It sees matrix products and convolutions. Attention is counted in its plain form (no fast path,
    math kernel), as the fused kernels hide their products from it: 17.56 GMAC for ViT-B/16, where the
    fast path reads 11.27.
    """
    with torch.device("meta"):
        net = model.build().eval()
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), plain_attention(), counter:
            net(torch.empty(1, 3, side, side))
    return Count(sum(p.numel() for p in net.parameters()), counter.get_total_flops())


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """Attention as its matrix products, for those who have to see them: counters and exporters."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
