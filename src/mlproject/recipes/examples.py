"""The images of a cell as examples of a training: in memory where they fit, else streamed from files."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlproject.device import Device, find_device, image_memory
from mlproject.features import Decoder, PixelReader, StreamedImages
from mlproject.losses import Split
from mlproject.models import Preprocess
from mlproject.training import Examples

if TYPE_CHECKING:
    from mlproject.data import ImageSet
else:
    ImageSet = Any

log = logging.getLogger(__name__)

LOADED = 64
"""Images that are decoded and copied into memory at once."""


def training_device() -> Device:
    """The device that networks are trained on: cuda where there is one, else the CPU."""
    return "cuda" if find_device() == "cuda" else "cpu"  # losses are float64, which mps lacks


@contextlib.contextmanager
def labelled(images: ImageSet, rows: Sequence[int], preprocess: Preprocess) -> Iterator[Examples]:
    """Images at these rows, each with its class as target. Raises: what reading an image raises."""
    labels = torch.from_numpy(images.labels[np.asarray(rows)])
    with _loaded(images, rows, preprocess, maps=False) as (pixels, _):
        yield Examples(pixels=pixels, targets=labels, mean=preprocess.mean, std=preprocess.std)


@contextlib.contextmanager
def mapped(images: ImageSet, rows: Sequence[int], preprocess: Preprocess) -> Iterator[Examples]:
    """Images at these rows, each with the classes of its pixels as targets, uint8 [n, side, side].

    Raises: BadInput for an image of which no pixel has a class; what reading an image raises.
    """
    with _loaded(images, rows, preprocess, maps=True) as (pixels, maps):
        yield Examples(pixels=pixels, targets=maps, mean=preprocess.mean, std=preprocess.std)


def class_counts(parts: Mapping[Split, Examples], counted: Split) -> NDArray[np.int64]:
    """How many pixels of a split have each value, [256].

    The label maps of all splits are read for it where they are streamed, so that a bad one is reported before
    anything is trained. Raises: BadInput for an image of which no pixel has a class.
    """
    counts = np.zeros(256, np.int64)
    for split, examples in parts.items():
        if examples.targets is not None:
            maps: Iterator[Tensor] = iter([examples.targets] if split == counted else [])
        else:
            assert isinstance(examples.pixels, StreamedImages)
            maps = examples.pixels.maps()
        for classes in maps:
            counts += np.bincount(classes.numpy().ravel(), minlength=256) if split == counted else 0
    return counts


def choice(examples: Examples) -> str:
    """Where the images of a training are, for its run."""
    return "streamed" if isinstance(examples.pixels, StreamedImages) else "in memory"


@contextlib.contextmanager
def _loaded(
    images: ImageSet, rows: Sequence[int], preprocess: Preprocess, *, maps: bool
) -> Iterator[tuple[Tensor | StreamedImages, Tensor | None]]:
    n_bytes, room = len(rows) * (4 if maps else 3) * preprocess.crop**2, image_memory()
    decoder = Decoder(images.read, preprocess, images.read_map if maps else None)
    with PixelReader(decoder, images.ids, (), training_device()) as reader:
        if n_bytes <= room:
            yield _in_memory(reader, rows, maps=maps)
            return
        log.warning(
            "%s: images of %.3g GB are streamed, read again for every epoch: %.3g GB of memory are for them "
            "(MLPROJECT_MEMORY sets how many)",
            images.name, n_bytes / 1e9, room / 1e9,
        )  # fmt: skip
        yield StreamedImages(reader=reader, places=np.asarray(rows, np.int64)), None


def _in_memory(reader: PixelReader, rows: Sequence[int], *, maps: bool) -> tuple[Tensor, Tensor | None]:
    """Pixels uint8 [n, 3, side, side] and classes uint8 [n, side, side]."""
    side = reader.decoder.preprocess.crop
    arrays = [np.empty((len(rows), side, side, 3), np.uint8)]
    arrays += [np.empty((len(rows), side, side), np.uint8)] if maps else []
    start = 0
    for parts in reader.batches(_parts(rows)):
        for array, part in zip(arrays, parts, strict=True):
            array[start : start + len(part)] = part
        start += len(parts[0])
    pixels, *classes = (torch.from_numpy(array) for array in arrays)
    return pixels.permute(0, 3, 1, 2), classes[0] if classes else None


def _parts(rows: Sequence[int]) -> list[Sequence[int]]:
    return [rows[start : start + LOADED] for start in range(0, len(rows), LOADED)]
