"""How a batch becomes features: onnxruntime on a CPU, or torch with BatchNorm folded.

onnxruntime is 1.3 to 5 times as fast as eager torch on a CPU. It is believed only after its features of
the first images agree with plain eager float32; else the run says so loudly and uses torch.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mlproject.device import Device, Precision, find_n_threads, inference, move, send
from mlproject.features.fold import fold_batchnorm
from mlproject.models import plain_attention

log = logging.getLogger(__name__)

OPSET = 17
TOLERANCE = 5e-4
"""Largest relative L2 distance from eager; fp32's own noise in a deep random ResNet is 1e-4."""

N_CHECKED = 2

Floats = NDArray[np.float32]


class Disagreement(Exception):
    """An engine could not be made, or its features are not those of eager torch."""


@dataclass(frozen=True)
class Engine:
    """``forward`` maps [B, 3, S, S] to [B, D]; ``note`` says how it was checked."""

    name: str
    forward: Callable[[Floats], Floats]
    note: str


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
        found = session.run(None, {"images": first})[0]
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise Disagreement(f"it cannot run this network ({reason[:200]})") from error
    with inference("cpu", "fp32"):
        expected = backbone(torch.from_numpy(first)).numpy()
    distance = relative_distance(found, expected)
    if not distance <= TOLERANCE:
        raise Disagreement(f"features are {distance:.1e} from eager torch's (at most {TOLERANCE:g})")
    version = onnxruntime.__version__

    def forward(images: Floats) -> Floats:
        rows: Floats = session.run(None, {"images": images})[0]
        return rows

    return Engine("onnx", forward, f"onnxruntime {version}, {distance:.1e} from eager on {len(first)} images")


def eager_engine(backbone: nn.Module, device: Device, precision: Precision) -> Engine:
    """Torch with BatchNorm folded and channels last, on any device."""
    torch.set_num_threads(find_n_threads())
    net = move(fold_batchnorm(backbone), device)

    def forward(images: Floats) -> Floats:
        with inference(device, precision):
            features: Tensor = net(send(torch.from_numpy(images), device))
            return np.asarray(features.float().cpu().numpy())

    return Engine(
        "eager", forward, f"torch {torch.__version__}, {device}, {precision}, folded, channels last"
    )


def relative_distance(found: Floats, expected: Floats) -> float:
    """Largest L2 distance of a row from the expected one, relative to its norm."""
    distance = np.linalg.norm(found.astype(np.float64) - expected, axis=1)
    return float(np.max(distance / np.maximum(np.linalg.norm(expected, axis=1), 1e-12)))


def _exported_by_shape(net: nn.Module, first: Floats) -> bytes:
    """An export that computes nothing, on a batch of no images; some networks cannot reshape none."""
    try:
        return _exported(net, torch.zeros(0, *first.shape[1:]))
    except Exception:  # whatever the network raises, it may yet take an image
        # Another batch size than the one that is checked, so that a graph fixed to it is found out.
        return _exported(net, torch.zeros(2 if len(first) == 1 else 1, *first.shape[1:]))


def _exported(net: nn.Module, example: Tensor) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), plain_attention():
        # The exporter announces its successor (ten times slower) and every size it takes as constant.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(),
            (example,),
            cast(Any, buffer),  # a file object is taken, though the signature names paths only
            dynamo=False,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["features"],
            dynamic_axes={"images": {0: "batch"}, "features": {0: "batch"}},
        )
    return buffer.getvalue()
