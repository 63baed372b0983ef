"""Compute features of a batch: by onnxruntime on a CPU, or by torch, with BatchNorm folded into convolutions.

onnxruntime is 1.3 to 5 times as fast as eager torch on a CPU. It is used only where its features of the first
images agree with plain eager float32; else the run warns and uses torch.

    w' = w * gamma / sqrt(var + eps),   b' = (b - mean) * gamma / sqrt(var + eps) + beta
"""

from __future__ import annotations

import io
import logging
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mlproject.device import Device, Precision, find_n_threads, inference, move, send
from mlproject.models import Preprocess, SamePad, normalise, plain_attention

log = logging.getLogger(__name__)

OPSET = 17
TOLERANCE = 5e-4
"""Largest relative L2 distance from eager; fp32's own noise in a deep random ResNet is 1e-4."""

N_CHECKED = 2

Floats = NDArray[np.float32]


class Disagreement(Exception):
    """An engine cannot be built, or its features differ from those of eager torch."""


@dataclass(frozen=True)
class Engine:
    """A way to compute features: ``forward`` maps [B, 3, S, S] to [B, D]; ``note`` describes its check.

    Both are float32 and on the engine's device, which may still be computing when ``forward`` returns.
    """

    name: str
    forward: Callable[[Tensor], Tensor]
    note: str


def network_inputs(preprocess: Preprocess, pixels: NDArray[np.uint8], device: Device) -> Tensor:
    """Normalised inputs [B, 3, S, S] of images [B, S, S, 3], on the device: bytes are sent, not floats."""
    if device == "cpu":
        return torch.from_numpy(normalise(preprocess, pixels))
    inputs = send(torch.from_numpy(pixels), device).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (preprocess.mean, preprocess.std))
    return inputs.div_(255).sub_(mean).div_(std)


def onnx_engine(backbone: nn.Module, first: Floats) -> Engine:
    """onnxruntime's CPU engine, checked on the first images, [n, 3, S, S].

    Raises: Disagreement when the network cannot be exported or its features differ from eager's.
    """
    import onnxruntime

    first = first[:N_CHECKED]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = find_n_threads()
    options.log_severity_level = 3
    # Threads that spin while they wait halve the speed as soon as another process wants a core.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        content = _exported_by_shape(fold_batchnorm(backbone), first)
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        features = session.run(None, {"images": first})[0]
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise Disagreement(f"it cannot run this network ({reason[:200]})") from error
    with inference("cpu", "fp32"):
        expected = backbone(torch.from_numpy(first)).numpy()
    distance = relative_distance(features, expected)
    if not distance <= TOLERANCE:
        raise Disagreement(f"features are {distance:.1e} from eager torch's (at most {TOLERANCE:g})")
    version = onnxruntime.__version__

    def forward(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"images": images.contiguous().numpy()})[0])

    return Engine("onnx", forward, f"onnxruntime {version}, {distance:.1e} from eager on {len(first)} images")


def eager_engine(backbone: nn.Module, device: Device, precision: Precision) -> Engine:
    """Torch with BatchNorm folded and channels last, on any device."""
    torch.set_num_threads(find_n_threads())
    net = move(fold_batchnorm(backbone), device)

    def forward(images: Tensor) -> Tensor:
        with inference(device, precision):
            features: Tensor = net(send(images, device))
            return features.float()

    return Engine(
        "eager", forward, f"torch {torch.__version__}, {device}, {precision}, folded, channels last"
    )


def relative_distance(features: Floats, expected: Floats) -> float:
    """Largest L2 distance of a row from the expected one, relative to its norm."""
    distance = np.linalg.norm(features.astype(np.float64) - expected, axis=1)
    return float(np.max(distance / np.maximum(np.linalg.norm(expected, axis=1), 1e-12)))


def _exported_by_shape(net: nn.Module, first: Floats) -> bytes:
    """Export from a batch of no images, which computes nothing; some networks cannot take one."""
    try:
        return _exported(net, torch.zeros(0, *first.shape[1:]))
    except Exception:  # networks raise any type of exception here
        # Not the batch size of the check, so that a graph fixed to one batch size fails it.
        return _exported(net, torch.zeros(2 if len(first) == 1 else 1, *first.shape[1:]))


def _exported(net: nn.Module, example: Tensor) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), plain_attention():
        # The exporter warns of its successor (ten times slower) and of every size that it takes as constant.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(),
            (example,),
            cast(Any, buffer),  # a file object is accepted, though the signature names paths only
            dynamo=False,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["features"],
            dynamic_axes={"images": {0: "batch"}, "features": {0: "batch"}},
        )
    return buffer.getvalue()


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # Its padding depends on the size of the map, which is unknown while tracing.
        return isinstance(m, SamePad) or super().is_leaf_module(m, module_qualified_name)


def fold_batchnorm(net: nn.Module) -> nn.Module:
    """An equivalent network in eval mode; ``net`` is not changed, and returned if it cannot be traced."""
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
