"""Augmentation of training batches with ``torchvision.transforms.v2``, drawn separately for each image.

Random numbers are torch's global ones, which the training loop seeds for every step.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from mlproject.training.networks.task import Augment

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
