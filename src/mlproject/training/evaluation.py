"""Judging: the values of every image under a network that is not being trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mlproject.device import Device, Precision, inference
from mlproject.training.task import Examples, Measure, Values


def judge(
    net: nn.Module,
    examples: Examples,
    measure: Measure,
    *,
    device: Device,
    batch_size: int,
    precision: Precision = "fp32",
) -> Values:
    """Values of every image in eval mode, float64 on the CPU: [n] by name; modes are left as they were."""
    modes = [module.training for module in net.modules()]
    net.eval()
    parts: list[Values] = []
    for rows in torch.split(torch.arange(len(examples)), batch_size):
        inputs, targets = examples.batch(rows, device)
        with inference(device, precision):
            parts.append({name: _kept(values) for name, values in measure(net, inputs, targets).items()})
    for module, mode in zip(net.modules(), modes, strict=True):
        module.training = mode
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _kept(values: Tensor) -> Tensor:
    return values.detach().to("cpu").double()
