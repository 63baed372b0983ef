"""BatchNorm folded into the convolution before it: the same function in eval mode, fewer passes.

w' = w * gamma / sqrt(var + eps),   b' = (b - mean) * gamma / sqrt(var + eps) + beta
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import cast

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mlproject.models import SamePad

log = logging.getLogger(__name__)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # Its padding depends on the size of the map, which a trace does not know.
        return isinstance(m, SamePad) or super().is_leaf_module(m, module_qualified_name)


def fold_batchnorm(net: nn.Module) -> nn.Module:
    """An equivalent network; ``net`` itself is left alone, and returned if it cannot be traced."""
    try:
        traced = fx.GraphModule(net, _Tracer().trace(net))
    except Exception as error:
        log.info("BatchNorm is not folded: %s", str(error).splitlines()[0] if str(error) else error)
        return net
    calls = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    for node in list(traced.graph.nodes):
        source = node.args[0] if node.args else None
        if not (_is(traced, node, nn.BatchNorm2d) and isinstance(source, fx.Node)):
            continue
        if _is(traced, source, nn.Conv2d) and len(source.users) == 1 and calls[source.target] == 1:
            conv = cast(nn.Conv2d, traced.get_submodule(str(source.target)))
            norm = cast(nn.BatchNorm2d, traced.get_submodule(str(node.target)))
            traced.set_submodule(str(source.target), fuse_conv_bn_eval(conv, norm))
            node.replace_all_uses_with(source)
            traced.graph.erase_node(node)
    traced.recompile()
    return traced.eval()


def _is(traced: fx.GraphModule, node: fx.Node, kind: type[nn.Module]) -> bool:
    return node.op == "call_module" and type(traced.get_submodule(str(node.target))) is kind
