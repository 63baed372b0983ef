"""Task and Examples: what is learned, and from which images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from mlproject.device import Device, keep, send

Values = dict[str, Tensor]
"""One number per image [B], by name. ``loss`` is the one that counts; ``correct`` and ``total`` (images,
or pixels) make an accuracy; all others are averaged over images."""
Measure = Callable[[nn.Module, Tensor, Tensor], Values]
Augment = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
READY_VALUES = 2**26
"""Up to so many values (256 MB) images that nothing augments are normalised once and kept so."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is learned.

    ``objective(net, inputs, targets)`` is called in train mode and the mean of its ``loss`` is minimised:
    smoothing and extra terms belong there. ``measure`` is called in eval mode, without gradients.
    ``augment(pixels, targets)`` sees raw pixels, 0..255 as uint8, and may give uint8 or float32 of that
    range back. Both may draw from torch's own random numbers, which are seeded and kept in checkpoints;
    ``augment`` finds them seeded anew at every step, so that arms of an ablation see the same pictures.
    """

    objective: Measure
    measure: Measure
    augment: Augment | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """Images in memory and what is to be learned of them.

    Shapes: ``pixels`` uint8 [n, 3, H, W]; ``targets`` [n, ...]; ``mean`` and ``std`` per channel of pixels
    in 0..1.
    """

    pixels: Tensor
    targets: Tensor
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __len__(self) -> int:
        return len(self.pixels)

    def on(self, device: Device) -> Examples:
        """The same on a device, where it has room for them; else in memory."""
        return replace(self, pixels=keep(self.pixels, device), targets=keep(self.targets, device))

    def batch(self, rows: Tensor, device: Device, augment: Augment | None = None) -> tuple[Tensor, Tensor]:
        """Normalised inputs [B, 3, H, W] and targets [B, ...] of some rows, on the device."""
        rows = rows.to(self.pixels.device)
        targets = send(self.targets[rows], device)
        if augment is None and self.pixels.numel() <= READY_VALUES:
            return send(self._ready[rows], device), targets
        pixels = send(self.pixels[rows], device)
        if augment is not None:
            pixels, targets = augment(pixels, targets)
        return self._normalised(pixels), targets

    @cached_property
    def _ready(self) -> Tensor:
        """All images as inputs, where the same ones are asked for again and again."""
        return self._normalised(self.pixels)

    def _normalised(self, pixels: Tensor) -> Tensor:
        inputs = pixels.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        for plane, mean, std in zip(inputs.unbind(1), self.mean, self.std, strict=True):
            plane.sub_(255 * mean).div_(255 * std)  # twice as fast before the layout changes as after it
        return inputs.contiguous(memory_format=torch.channels_last)
