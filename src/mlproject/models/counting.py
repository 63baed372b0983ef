"""Parameters and FLOPs of a backbone, counted from shapes: no weights, no arithmetic."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from mlproject.models.model import Model

LAYERS = ("mlproject.models.", "torch.nn.modules.")
"""Where the classes of a network lie whose only products are those of its Conv2d and Linear layers."""


@dataclass(frozen=True)
class Count:
    """``n_params`` of the body; ``flops`` of one image's forward pass (a multiply-add is two)."""

    n_params: int
    flops: int


@functools.lru_cache
def count(model: Model, side: int) -> Count:
    """What one image of ``side`` pixels costs: its matrix products and convolutions.

    Networks written here are counted layer by layer, all others by torch's FlopCounterMode. Attention is
    counted in its plain form (no fast path, math kernel), as the fused kernels hide their products from
    it: 17.56 GMAC for ViT-B/16, where the fast path reads 11.27.
    """
    with torch.device("meta"), _Undrawn():
        net = model.build().eval()
    own = all(type(module).__module__.startswith(LAYERS) for module in net.modules())
    flops = _of_layers(model, side) if own else _of_any(net, side)
    return Count(sum(p.numel() for p in net.parameters()), flops)


class _Undrawn(TorchFunctionMode):
    """No initial weights are drawn: on the meta device that loads torch's compiler, 0.9 CPU-seconds."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return args[0] if func in (Tensor.normal_, Tensor.uniform_) else func(*args, **(kwargs or {}))


def _of_layers(model: Model, side: int) -> int:
    """From the shapes that a batch of no images takes; on a CPU, since meta kernels load the compiler."""
    found: list[int] = []
    with torch.device("cpu"), _Undrawn():
        net = model.build().eval()

    def add(layer: Any, _: Any, output: Tensor) -> None:
        found.append(2 * output.shape[1:].numel() * layer.weight[0].numel())

    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(add)
    with torch.no_grad():
        net(torch.empty(0, 3, side, side))
    return sum(found)


def _of_any(net: nn.Module, side: int) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.no_grad(), plain_attention(), counter:
        net(torch.empty(1, 3, side, side, device="meta"))
    return counter.get_total_flops()


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
