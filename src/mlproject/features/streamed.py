"""Images that a training reads again for every use, since they do not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlproject.features.pixels import PixelReader

MAPS = 64
"""Label maps read at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamedImages:
    """Images of a set at some places, [n], by a reader of the whole set; a slice of them is the same kind."""

    reader: PixelReader
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, part: slice) -> StreamedImages:
        return replace(self, places=self.places[part])

    @property
    def side(self) -> int:
        """Pixels a side."""
        return self.reader.decoder.preprocess.crop

    def maps(self) -> Iterator[Tensor]:
        """The label maps of all images, [B, S, S] at a time, without their pixels. Raises: as ``batches``."""
        decoder = replace(self.reader.decoder, read=None)
        parts = [self.places[i : i + MAPS].tolist() for i in range(0, len(self), MAPS)]
        with PixelReader(decoder, self.reader.ids, (), self.reader.device) as reader:
            for (classes,) in reader.batches(parts):
                yield torch.from_numpy(classes)

    def batches(self, order: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Images uint8 [B, 3, S, S] of the rows of each batch, and their label maps [B, S, S] if there are.

        Raises: what reading an image raises; MLProjectError when a worker was killed.
        """
        for images, *maps in self.reader.batches([self.places[rows.numpy()].tolist() for rows in order]):
            classes = torch.from_numpy(maps[0]) if maps else None
            yield torch.from_numpy(images).permute(0, 3, 1, 2), classes
