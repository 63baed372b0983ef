"""Tasks: the images and targets of a training, their augmentation, and the evaluation of every image.

Augmentation uses ``torchvision.transforms.v2``, drawn separately for each image. Random numbers are torch's
global ones, which the training loop seeds for every step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mlproject.device import Device, Precision, inference, keep, send
from mlproject.features import StreamedImages

Values = dict[str, Tensor]
"""One number per image [B], by name. ``loss`` decides; ``correct`` and ``total`` (images or pixels) give the
accuracy; ``predicted`` is the number of a class, and ``confidence`` its probability, of each image alone; all
others are averaged over images."""
PREDICTED = "predicted"
CONFIDENCE = "confidence"
Measure = Callable[[nn.Module, Tensor, Tensor], Values]
Augment = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
READY_VALUES = 2**26
"""Images without augmentation are normalised once and kept, up to so many values (256 MB)."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a network learns.

    ``objective(net, inputs, targets)`` is called in train mode and the mean of its ``loss`` is minimised:
    smoothing and extra terms belong there. ``measure`` is called in eval mode, without gradients.
    ``augment(pixels, targets)`` takes raw pixels, 0..255 as uint8, and returns uint8 or float32 of that
    range. ``objective`` and ``augment`` may draw from torch's global random numbers, which are seeded and
    kept in checkpoints; they are seeded anew for each augmentation, so that all arms of an ablation see
    the same pictures.
    """

    objective: Measure
    measure: Measure
    augment: Augment | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """Images and their targets, in memory or streamed.

    Shapes: ``pixels`` uint8 [n, 3, H, W]; ``targets`` [n, ...], or None where they are the label maps that
    are streamed with the images; ``mean`` and ``std`` per channel of pixels in 0..1.
    """

    pixels: Tensor | StreamedImages
    targets: Tensor | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __len__(self) -> int:
        return len(self.pixels)

    def on(self, device: Device) -> Examples:
        """The same examples on a device, or as they are where it has no room for them."""
        if isinstance(self.pixels, StreamedImages) or self.targets is None:
            return self
        return replace(self, pixels=keep(self.pixels, device), targets=keep(self.targets, device))

    @property
    def side(self) -> int:
        """Pixels a side of an image."""
        return self.pixels.side if isinstance(self.pixels, StreamedImages) else self.pixels.shape[-1]

    def batches(
        self, order: Sequence[Tensor], device: Device, augment: Augment | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalised inputs [B, 3, H, W] and targets [B, ...] of the rows of each batch, on the device.

        Streamed images are read ahead in this order. One iteration at a time.
        """
        if not isinstance(self.pixels, StreamedImages):
            for rows in order:
                yield self.batch(rows, device, augment)
            return
        for rows, (pixels, maps) in zip(order, self.pixels.batches(order), strict=True):
            targets = maps if self.targets is None else self.targets[rows]
            assert targets is not None
            yield self._augmented(send(pixels, device), send(targets, device), augment)

    def batch(self, rows: Tensor, device: Device, augment: Augment | None = None) -> tuple[Tensor, Tensor]:
        """Normalised inputs [B, 3, H, W] and targets [B, ...] of some rows in memory, on the device."""
        assert isinstance(self.pixels, Tensor)
        assert self.targets is not None
        rows = rows.to(self.pixels.device)
        targets = send(self.targets[rows], device)
        if augment is None and self.pixels.numel() <= READY_VALUES:
            return send(self._ready[rows], device), targets
        return self._augmented(send(self.pixels[rows], device), targets, augment)

    def _augmented(self, pixels: Tensor, targets: Tensor, augment: Augment | None) -> tuple[Tensor, Tensor]:
        if augment is not None:
            pixels, targets = augment(pixels, targets)
        return self._normalised(pixels), targets

    @cached_property
    def _ready(self) -> Tensor:
        """All images as normalised inputs."""
        assert isinstance(self.pixels, Tensor)
        return self._normalised(self.pixels)

    def _normalised(self, pixels: Tensor) -> Tensor:
        inputs = pixels.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        for plane, mean, std in zip(inputs.unbind(1), self.mean, self.std, strict=True):
            plane.sub_(255 * mean).div_(255 * std)  # twice as fast before the layout changes as after it
        return inputs.contiguous(memory_format=torch.channels_last)


def evaluate(
    net: nn.Module,
    examples: Examples,
    measure: Measure,
    *,
    device: Device,
    batch_size: int,
    precision: Precision = "fp32",
) -> Values:
    """Values of every image in eval mode, without gradients: float64 on the CPU, [n] by name.

    Every module's mode (train or eval) is restored afterwards.
    """
    modes = [module.training for module in net.modules()]
    net.eval()
    parts: list[Values] = []
    order = torch.split(torch.arange(len(examples)), batch_size)
    for inputs, targets in examples.batches(order, device):
        with inference(device, precision):
            values = measure(net, inputs, targets)
            parts.append({name: value.detach().to("cpu").double() for name, value in values.items()})
    for module, mode in zip(net.modules(), modes, strict=True):
        module.training = mode
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


Augmentation = Literal["none", "seed", "modern"]


def build_augment(name: Augmentation, *, mixup: float, cutmix: float, n_classes: int) -> Augment | None:
    """The augmentation of a batch: the named set on each image, then mixup or cutmix between images.

    ``seed``: both flips, rotation up to 50 degrees, colour jitter of 0.2, sharpness of 2 for every other
    image. ``modern``: random resized crop, horizontal flip, TrivialAugment (Müller and Hutter 2021, arXiv
    2103.10158), as in torchvision's training references. ``mixup`` (Zhang et al. 2017, arXiv 1710.09412)
    and ``cutmix`` (Yun et al. 2019, arXiv 1905.04899) are the alphas of their beta distribution; with both,
    one of them is drawn for each batch. Targets become shares of classes [B, classes]. None where nothing
    is augmented.
    """
    single, mix = _single(name), _mix(mixup, cutmix, n_classes)
    if single is None and mix is None:
        return None

    def augment(pixels: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if single is not None:
            pixels = torch.stack([single(image) for image in pixels])
        if mix is not None and len(pixels) > 1:
            pixels, targets = mix(pixels.float(), targets)
        return pixels, targets

    return augment


def _single(name: Augmentation) -> Any:
    if name == "none":
        return None
    from torchvision.transforms import v2

    if name == "seed":
        return v2.Compose([
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            v2.RandomRotation(50),
            v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2),
            v2.RandomAdjustSharpness(sharpness_factor=2),
        ])  # fmt: skip
    return _ModernAugmentation()


class _ModernAugmentation:
    """Random resized crop (back to the image's size), horizontal flip, TrivialAugment."""

    def __init__(self) -> None:
        from torchvision.transforms import v2

        self.crop: dict[int, Any] = {}
        self.rest = v2.Compose([v2.RandomHorizontalFlip(), v2.TrivialAugmentWide()])

    def __call__(self, image: Tensor) -> Tensor:
        from torchvision.transforms import v2

        side = image.shape[-1]
        crop = self.crop.setdefault(side, v2.RandomResizedCrop(side, antialias=True))
        changed: Tensor = self.rest(crop(image))
        return changed


def _mix(mixup: float, cutmix: float, n_classes: int) -> Any:
    from torchvision.transforms import v2

    mixes = [v2.MixUp(alpha=mixup, num_classes=n_classes)] if mixup else []
    mixes += [v2.CutMix(alpha=cutmix, num_classes=n_classes)] if cutmix else []
    return v2.RandomChoice(mixes) if mixes else None
