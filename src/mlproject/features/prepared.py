"""Prepared images: read, resized and cut for a network, in any process; and those that are kept in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlproject.data import UNLABELLED
from mlproject.errors import BadInput, MLProjectError, one_line
from mlproject.models import Preprocess, geometry, prepare, prepare_map

Pixels = NDArray[np.uint8]
Read = Callable[[int], Pixels]

KEPT_BYTES = 512 * 3 * 224**2
"""Prepared images kept in memory for the next backbone of the same preprocessing: 512 of 224 x 224, 77 MB."""


@dataclass(frozen=True)
class Decoder:
    """Reads, resizes and cuts images, their label maps, or both, in any process.

    A row is the place of an image in its set, and its name for messages.
    """

    read: Read | None
    preprocess: Preprocess
    read_map: Read | None = None

    def image(self, row: int, name: str) -> Pixels:
        """One image, [S, S, 3]. Raises: BadInput, DigestMismatch."""
        assert self.read is not None
        return prepare(self.preprocess, self.read(row), name=name)

    def map(self, row: int, name: str) -> Pixels:
        """Classes of the pixels of one image, [S, S]. Raises: BadInput where no pixel has one."""
        assert self.read_map is not None
        classes = prepare_map(self.preprocess, self.read_map(row), name=name)
        if (classes == UNLABELLED).all():
            side = self.preprocess.crop
            raise BadInput(f"{name}: no pixel has a class at {side} x {side}")
        return classes

    def __getitems__(self, rows: list[tuple[int, str]]) -> Any:
        """A batch as tensors, in a worker; an error is returned, since torch would raise it as many lines."""
        import torch

        try:
            makers = ([self.image] if self.read else []) + ([self.map] if self.read_map else [])
            return [torch.from_numpy(np.stack([make(*row) for row in rows])) for make in makers]
        except MLProjectError as error:
            return error
        except Exception as error:  # decoders and file systems raise any type
            return MLProjectError(one_line(error))


class KeptImages:
    """Prepared images in memory by preprocessing and digest, the oldest leave first.

    Mean and deviation do not matter: backbones that only normalise differently share their images.
    """

    def __init__(self, n_bytes: int = KEPT_BYTES) -> None:
        self.n_bytes = n_bytes
        self._images: dict[tuple[Preprocess, str], Pixels] = {}
        self._size = 0

    def room(self, preprocess: Preprocess) -> int:
        """How many images of this preprocessing are kept at most."""
        return self.n_bytes // (3 * preprocess.crop**2)

    def get(self, preprocess: Preprocess, digest: str) -> Pixels | None:
        """The image, [S, S, 3], or None."""
        return self._images.get((geometry(preprocess), digest))

    def add(self, preprocess: Preprocess, digest: str, image: Pixels) -> None:
        """Keep an image, where there is room for it at all."""
        key = geometry(preprocess), digest
        if image.nbytes > self.n_bytes or key in self._images:
            return
        while self._size + image.nbytes > self.n_bytes:
            self._size -= self._images.pop(next(iter(self._images))).nbytes
        self._images[key] = image
        self._size += image.nbytes

    @contextlib.contextmanager
    def enlarged(self, n_bytes: int) -> Iterator[None]:
        """Keep up to ``n_bytes`` of images for a while, or as many as before where that is more."""
        before = self.n_bytes
        self.n_bytes = max(before, n_bytes)
        try:
            yield
        finally:
            self.n_bytes = before
            self.clear()

    def clear(self) -> None:
        """Release all."""
        self._images.clear()
        self._size = 0


KEPT = KeptImages()
