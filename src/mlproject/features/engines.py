"""Compute features of a batch: by onnxruntime on a CPU, or by torch, with BatchNorm folded into convolutions.

onnxruntime is 1.3 to 5 times as fast as eager torch on a CPU. It is used only where its features of the first
images agree with plain eager float32; else the run warns and uses torch.

    w' = w * gamma / sqrt(var + eps),   b' = (b - mean) * gamma / sqrt(var + eps) + beta
"""

from __future__ import annotations

import io
import logging
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mlproject.device import (
    Device,
    Precision,
    find_batch_size,
    find_device,
    find_n_threads,
    free_memory,
    inference,
    is_out_of_memory,
    move,
    send,
)
from mlproject.errors import BadInput, MLProjectError
from mlproject.features.extraction import Extraction, Finish
from mlproject.features.pixels import N_TIMED
from mlproject.features.prepared import Pixels
from mlproject.models import Preprocess, normalise, plain_attention, trace
from mlproject.multiscale import cut, n_splits, split

log = logging.getLogger(__name__)

OPSET = 17
TOLERANCE = 5e-4
"""Largest relative L2 distance from eager; fp32's own noise in a deep random ResNet is 1e-4."""

N_CHECKED = 2

Floats = NDArray[np.float32]
Speed = dict[str, Any]
"""``images_per_second``, and the ``device`` and ``threads`` that it was measured with."""


class Disagreement(Exception):
    """An engine cannot be built, or its features differ from those of eager torch."""


@dataclass(frozen=True)
class Runtime:
    """A way to compute features: ``forward`` maps [B, 3, S, S] to [B, D]; ``note`` describes its check.

    Both are float32 and on the engine's device, which may still be computing when ``forward`` returns.
    """

    name: str
    forward: Callable[[Tensor], Tensor]
    note: str


def network_inputs(preprocess: Preprocess, pixels: Pixels, device: Device) -> Tensor:
    """Normalised inputs [B, 3, S, S] of images [B, S, S, 3], on the device: bytes are sent, not floats."""
    if device == "cpu":
        return torch.from_numpy(normalise(preprocess, pixels))
    inputs = send(torch.from_numpy(pixels), device).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (preprocess.mean, preprocess.std))
    return inputs.div_(255).sub_(mean).div_(std)


def onnx_engine(backbone: nn.Module, first: Floats) -> Runtime:
    """onnxruntime's CPU engine, checked on the first images, [n, 3, S, S].

    Raises: Disagreement when the network cannot be exported or its features differ from eager's, BadInput
    for a network that is random.
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
        again = expected if distance <= TOLERANCE else backbone(torch.from_numpy(first)).numpy()
    if relative_distance(again, expected) > abs(TOLERANCE):
        raise BadInput(
            "the backbone gives other features for the same images at every pass: its forward draws random "
            "numbers also in eval mode, so that no feature can be stored; make it deterministic"
        )
    if not distance <= TOLERANCE:
        raise Disagreement(f"features are {distance:.1e} from eager torch's (at most {TOLERANCE:g})")
    version = onnxruntime.__version__

    def forward(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"images": images.contiguous().numpy()})[0])

    return Runtime(
        "onnx", forward, f"onnxruntime {version}, {distance:.1e} from eager on {len(first)} images"
    )


def eager_engine(backbone: nn.Module, device: Device, precision: Precision) -> Runtime:
    """Torch with BatchNorm folded and channels last, on any device."""
    torch.set_num_threads(find_n_threads())
    net = move(fold_batchnorm(backbone), device)

    def forward(images: Tensor) -> Tensor:
        with inference(device, precision):
            features: Tensor = net(send(images, device))
            return features.float()

    return Runtime(
        "eager", forward, f"torch {torch.__version__}, {device}, {precision}, folded, channels last"
    )


class Passes:
    """Backbone passes of one request, over as many images at once as the device has room for.

    ``ready`` gives the engine, made and checked by the first crops where it is not loaded.
    """

    def __init__(self, extraction: Extraction, ready: Callable[[Tensor], Runtime]) -> None:
        self.extraction, self.ready = extraction, ready
        self.device: Device = "cpu" if extraction.engine == "onnx" else find_device()
        self.size = find_batch_size(self.device)
        self.note = ""
        self.n_timed, self.start = 0, 0.0

    def speed(self) -> Speed | None:
        """Images a second since the first batch, which loads the network; None where they were few."""
        if self.n_timed < N_TIMED:
            return None
        rate = self.n_timed / (time.perf_counter() - self.start)
        return {"images_per_second": rate, "device": self.device, "threads": find_n_threads()}

    def embed(self, pixels: Pixels) -> Finish:
        """Start the passes over images [B, S, S, 3]. Raises: MLProjectError where one image has no room."""
        parts: list[list[Tensor]] = []
        start = 0
        while start < len(pixels):
            piece = pixels[start : start + self.size]
            try:
                parts.append(self._pass(piece))
            except (RuntimeError, MemoryError) as error:
                self._halve(error)
            else:
                start += len(piece)
        self.n_timed += len(pixels) if self.start else 0
        self.start = self.start or time.perf_counter()
        return lambda: np.concatenate([_mean(blocks) for blocks in parts])

    def _pass(self, pixels: Pixels) -> list[Tensor]:
        """Features of all crops, a block [B, width] for each place of a crop."""
        crops = _crops(self.extraction, network_inputs(self.extraction.preprocess, pixels, self.device))
        engine = self.ready(crops)
        self.note = engine.note
        return [engine.forward(crops[i : i + len(pixels)]) for i in range(0, len(crops), len(pixels))]

    def _halve(self, error: BaseException) -> None:
        if not is_out_of_memory(error):
            raise error
        name = self.extraction.model.name
        if self.size == 1:
            raise MLProjectError(
                f"out of memory on {self.device} with one image at a time: {name}"
            ) from error
        free_memory(self.device)
        self.size //= 2
        log.warning(
            "out of memory on %s: %s takes %d images at a time from here on", self.device, name, self.size
        )


def _crops(extraction: Extraction, inputs: Tensor) -> Tensor:
    if extraction.image_scale == 1.0:
        return inputs
    if extraction.native:
        k = n_splits(extraction.model.side, extraction.image_scale)
        return cut(inputs, k, k)
    return split(inputs, extraction.image_scale)


def _mean(blocks: Sequence[Tensor]) -> Floats:
    """The mean over the crops of each image."""
    rows = np.stack([block.cpu().numpy() for block in blocks])
    return np.asarray(rows.mean(axis=0, dtype=np.float32))


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


def fold_batchnorm(net: nn.Module) -> nn.Module:
    """An equivalent network in eval mode; ``net`` is not changed, and returned if it cannot be traced."""
    try:
        traced = fx.GraphModule(net, trace(net))
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
