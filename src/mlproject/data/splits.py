"""Splits of a cell: the images that it trains on, validates on and is evaluated on, alike for all recipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mlproject.cell import Cell, Draw
from mlproject.losses import Split

Indices = NDArray[np.int64]


@runtime_checkable
class SplitSource(Protocol):
    """An ImageSet, or anything that draws images like one."""

    def draw(
        self, size: int, *, seed: int, how: Draw, in_sample: bool = False, validation_size: int = 0
    ) -> Indices:
        """Indices of training images."""

    def validation(self, size: int, *, in_sample: bool = False) -> Indices:
        """Indices of validation images."""

    def evaluation(self, size: int) -> Indices:
        """Indices of held-out images."""


@dataclass(frozen=True, kw_only=True)
class SplitIndices:
    """Disjoint indices into an image set; ``eval`` is empty for an in-sample cell."""

    train: Indices
    validation: Indices
    eval: Indices

    @property
    def every(self) -> Indices:
        """All indices: training first, then validation, then evaluation."""
        return np.concatenate([self.train, self.validation, self.eval])

    @property
    def splits(self) -> tuple[Split, ...]:
        """The split of each of ``every``."""
        sizes: tuple[tuple[Split, int], ...] = (
            ("train", len(self.train)),
            ("validation", len(self.validation)),
            ("eval", len(self.eval)),
        )
        return tuple(split for split, size in sizes for _ in range(size))


def split_indices(cell: Cell, images: SplitSource) -> SplitIndices:
    """The images of a cell's splits. Raises: BadInput when the set has fewer images than asked for."""
    train = images.draw(
        cell.dataset_size,
        seed=cell.seed,
        how=cast(Draw, cell.draw),
        in_sample=cell.in_sample,
        validation_size=cell.validation_size,
    )
    none = train[:0]
    held = cell.validation_size
    return SplitIndices(
        train=train,
        validation=images.validation(held, in_sample=cell.in_sample) if held else none,
        eval=none if cell.in_sample else images.evaluation(cell.eval_size),
    )
