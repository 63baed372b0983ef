"""Images to learn from: the embedded set, a folder, or a set that torchvision knows."""

from __future__ import annotations

from mlproject.data.embedded import load_embedded
from mlproject.data.image_set import ImageSet, Skipped

__all__ = ["DATASETS", "ImageSet", "Skipped", "load_images"]

DATASETS = {"embedded": load_embedded, "fashion-mnist-subset": load_embedded}


def load_images(spec: str, *, max_bad: int = 0, download: bool = False) -> ImageSet:
    """The images that ``spec`` names."""
    name, _, one_class = spec.partition(":")
    images = DATASETS[name]()
    return images.only(one_class) if one_class else images
