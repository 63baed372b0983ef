"""Features from another layer or pool of a network than its own: ``layer`` and ``pool``.

timm's networks name their layers and give them by ``forward_intermediates``, where the network's last norm is
applied to the tokens of a transformer's layer (as in DINOv2's evaluation). Every other network is traced, and
any of its modules is a layer. What comes after the layer is cut away, and is not among the parameters.

    pool    auto, cls (the class token), mean or max over all positions; auto is cls where the network itself
            reads its class token, else mean
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from mlproject.errors import WrongUse, unknown
from mlproject.models.layers import trace
from mlproject.models.model import AUTO, Model
from mlproject.models.structure import hollow

POOLS = (AUTO, "cls", "mean", "max")


@functools.lru_cache
def at_depth(model: Model, layer: str, pool: str) -> Model:
    """The model whose features are those of a layer and a pool; ``auto`` for both leaves it as it is.

    Raises: WrongUse for a layer or pool that the network does not have, with those that it has.
    """
    if layer == pool == AUTO:
        return model
    if pool not in POOLS:
        raise unknown("pool", pool, POOLS)
    chosen = replace(model, layer=layer, pool=pool)
    net = cut_at_depth(hollow(model.build).eval(), chosen)
    with torch.no_grad():
        shape = net(torch.empty(1, 3, model.side, model.side, device="meta")).shape
    n_params = sum(p.numel() for p in net.parameters())
    return replace(chosen, width=int(shape[1]), n_params_body=n_params)


def cut_at_depth(net: nn.Module, model: Model) -> nn.Module:
    """A network in eval mode up to the model's layer, with its pool: [B, 3, side, side] to [B, width].

    The network is used up. Raises: WrongUse.
    """
    if model.layer == model.pool == AUTO:
        return net
    named = hasattr(net, "forward_intermediates")
    cut: nn.Module = _Intermediate(net, model) if named else _Traced(net, model)
    return cut.eval().requires_grad_(False)


class _Intermediate(nn.Module):
    """A layer of a network of timm: its map [B, C, H, W] and its prefix tokens [B, n, C], pooled."""

    def __init__(self, net: Any, model: Model) -> None:
        super().__init__()
        names = [str(info["module"]) for info in net.feature_info]
        layer = names[-1] if model.layer == AUTO else model.layer
        if layer not in names:
            raise _no_layer(model, names)
        self.index = names.index(layer)
        self.pool = _pool(
            model,
            has_class_token=getattr(net, "cls_token", None) is not None,
            reads_it=getattr(net, "global_pool", "") == "token",
        )
        net.prune_intermediate_layers([self.index])
        known = inspect.signature(net.forward_intermediates).parameters
        self.more = {"return_prefix_tokens": True} if "return_prefix_tokens" in known else {}
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Features of one layer, pooled."""
        (output,) = self.net.forward_intermediates(
            x, indices=[self.index], norm=True, intermediates_only=True, **self.more
        )
        grid, prefix = output if isinstance(output, (tuple, list)) else (output, None)
        if self.pool == "cls":
            assert prefix is not None
            first: Tensor = prefix[:, 0]
            return first
        return _over_positions(grid.flatten(2).transpose(1, 2), self.pool)


class _Traced(nn.Module):
    """A layer of any network that can be traced: tokens [B, n, C] or a map [B, C, H, W], pooled."""

    def __init__(self, net: nn.Module, model: Model) -> None:
        super().__init__()
        is_empty = all(p.is_meta for p in net.parameters())
        shapes = _shapes(net if is_empty else hollow(model.build).eval(), model)
        graph = _trace(net, model)
        node = _node_of(graph, shapes, model)
        self.n_prefix = 1 if hasattr(net, "class_token") else 0
        self.channels_last = _channels_last(shapes[node.name])
        self.n_axes = len(shapes[node.name])
        if self.n_axes not in (2, 3, 4) or (self.n_axes == 2 and model.pool != AUTO):
            what = (
                "one vector, so leave pool out" if self.n_axes == 2 else "neither a vector, tokens nor a map"
            )
            raise WrongUse(f"layer {model.layer} of {model.name} gives {what}")
        tokens = self.n_axes == 3 and self.n_prefix > 0
        self.pool = _pool(model, has_class_token=tokens, reads_it=tokens)
        self.part = _cut(net, graph, node)

    def forward(self, x: Tensor) -> Tensor:
        """Features of one layer, pooled."""
        output: Tensor = self.part(x)
        if self.n_axes == 2:
            return output
        if self.n_axes == 4:
            tokens = output.flatten(1, 2) if self.channels_last else output.flatten(2).transpose(1, 2)
            return _over_positions(tokens, self.pool)
        return output[:, 0] if self.pool == "cls" else _over_positions(output[:, self.n_prefix :], self.pool)


class _Shapes(fx.Interpreter):
    """Notes the shape of what every operation gives."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.seen: dict[str, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        """The value of one operation."""
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.seen[n.name] = tuple(value.shape)
        return value


def _trace(net: nn.Module, model: Model) -> fx.Graph:
    try:
        return trace(net)
    except Exception as error:  # tracing runs the network's own code
        reason = (str(error) or type(error).__name__).splitlines()[0][:150]
        raise WrongUse(f"{model.name} cannot be traced ({reason}), so it has no layers by name") from error


def _shapes(empty: nn.Module, model: Model) -> dict[str, tuple[int, ...]]:
    """Shapes of all operations for one image, on the meta device, by name, in order."""
    interpreter = _Shapes(fx.GraphModule(empty, _trace(empty, model)))
    with torch.no_grad(), torch.device("meta"):
        interpreter.run(torch.empty(1, 3, model.side, model.side))
    return interpreter.seen


def _node_of(graph: fx.Graph, shapes: Mapping[str, tuple[int, ...]], model: Model) -> fx.Node:
    """The last operation of a layer; of ``auto`` the last that gives a map or tokens of several positions."""
    nodes: list[fx.Node] = [
        node for node in graph.nodes if node.name in shapes and node.op not in ("placeholder", "output")
    ]
    if model.layer == AUTO:
        suitable = [node for node in nodes if _n_positions(shapes[node.name]) > 1]
        remedy = f"{model.name} has no layer with positions to pool over, so not pool {model.pool!r}"
    else:
        suitable = [node for node in nodes if model.layer in node.meta.get("nn_module_stack", {})]
        remedy = ""
    if not suitable:
        names = dict.fromkeys(name for node in nodes for name in node.meta.get("nn_module_stack", {}))
        raise WrongUse(remedy) if remedy else _no_layer(model, [name for name in names if name])
    return suitable[-1]


def _channels_last(shape: tuple[int, ...]) -> bool:
    """Whether a map is [B, S, S, C], as within Swin and ConvNeXt: inputs are square, so maps are too."""
    return len(shape) == 4 and shape[1] == shape[2] != shape[3]


def _n_positions(shape: tuple[int, ...]) -> int:
    """Positions of a map or of tokens [B, n, C]."""
    if len(shape) == 4:
        return shape[1] * shape[2] if _channels_last(shape) else shape[2] * shape[3]
    return shape[1] if len(shape) == 3 else 0


def _cut(net: nn.Module, graph: fx.Graph, last: fx.Node) -> fx.GraphModule:
    """The network up to an operation, with the modules that it still needs and no others."""
    for node in reversed(list(graph.nodes)):
        if node.op == "output":
            node.args = (last,)
        elif node.target is torch._assert:  # alive by itself, and with it what it looks at
            graph.erase_node(node)
    cut = fx.GraphModule(net, graph)
    cut.graph.eliminate_dead_code()
    cut.recompile()
    cut.delete_all_unused_submodules()
    return cut


def _over_positions(tokens: Tensor, pool: str) -> Tensor:
    """The mean or the maximum over positions: [B, n, C] to [B, C]."""
    return tokens.amax(1) if pool == "max" else tokens.mean(1)


def _pool(model: Model, *, has_class_token: bool, reads_it: bool) -> str:
    if model.pool == "cls" and not has_class_token:
        raise WrongUse(
            f"pool cls is not offered by {model.name} at this layer: it has no class token; use mean or max"
        )
    if model.pool == AUTO:
        return "cls" if has_class_token and reads_it else "mean"
    return model.pool


def _no_layer(model: Model, names: Sequence[str]) -> WrongUse:
    return unknown(f"layer of {model.name}", model.layer, names)
