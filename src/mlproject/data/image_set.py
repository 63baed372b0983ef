"""ImageSet: named images in a fixed order, their digests, labels and split; and the splits of a cell.

All choices (draws, evaluation images) rank images by hashes of their content, never by a library's random
stream or a position in a listing: they are the same on every machine and with every version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mlproject.cell import Cell, Draw
from mlproject.errors import BadInput, unknown
from mlproject.losses import Split

Indices = NDArray[np.int64]
N_NAMED = 3
HELD_OUT_FIFTH = 5
UNLABELLED = 255
"""The value of pixels without a class in a label map."""


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A file that is not in the set, and why; a ``bad`` file counts against ``max_bad``.

    A ``note`` says how the files were taken, and leaves none out.
    """

    id: str
    reason: str
    bad: bool = False
    note: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSet:
    """Images that a cell draws from; pixels are read one image at a time and not kept.

    ``ids`` are unique printable texts in natural order (``2.png`` before ``10.png``); ``digests`` are
    SHA-256 of each image's content (file bytes, or shape and pixels of an array); ``labels`` index
    ``classes`` (all 0 where a folder is flat); ``held_out`` marks the fixed evaluation split.
    ``ranks`` are the digests that choices rank by where these images were made from others (default:
    ``digests``). ``read(index)`` gives an upright RGB image; ``source`` is a line on licence and origin.
    Where pixels have classes, ``read_map(index)`` gives them, with 255 for pixels to be ignored.
    Both can be pickled, and keep no open file, so that other processes can read the same images.

    Shapes: ``ids``, ``digests``, ``labels``, ``held_out`` have length n; ``read`` gives [height, width, 3],
    ``read_map`` [height, width].
    Raises: ValueError on inconsistent lengths, ids or labels; ``read`` raises DigestMismatch when an
    image is no longer what was loaded.
    """

    name: str
    ids: tuple[str, ...] = field(repr=False)
    digests: tuple[str, ...] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    classes: tuple[str, ...]
    held_out: NDArray[np.bool_] = field(repr=False)
    read: Callable[[int], NDArray[np.uint8]] = field(repr=False)
    read_map: Callable[[int], NDArray[np.uint8]] | None = field(default=None, repr=False)
    skipped: tuple[Skipped, ...] = field(default=(), repr=False)
    source: str = ""
    ranks: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        n = len(self.ids)
        if not len(self.digests) == len(self.labels) == len(self.held_out) == n:
            raise ValueError("ids, digests, labels and split differ in length")
        if len(set(self.ids)) != n:
            raise ValueError("an id occurs twice")
        if n and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ValueError(f"labels must index the {len(self.classes)} classes")
        self.labels.setflags(write=False)
        self.held_out.setflags(write=False)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over ids, digests, labels and split: the same wherever the images lie."""
        rows = zip(self.ids, self.digests, self.labels.tolist(), self.held_out.tolist(), strict=True)
        text = "\n".join(f"{id_}\t{digest}\t{label}\t{held:d}" for id_, digest, label, held in rows)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def n_held_out(self) -> int:
        """How many images the fixed evaluation split has; 0 where only in-sample cells are possible."""
        return int(self.held_out.sum())

    def n_pool(self, *, in_sample: bool = False) -> int:
        """How many images training may draw from."""
        return len(self) if in_sample else len(self) - self.n_held_out

    def draw(
        self, size: int, *, seed: int, how: Draw, in_sample: bool = False, validation_size: int = 0
    ) -> Indices:
        """Indices of ``size`` training images; a larger draw begins with the smaller ones.

        ``prefix`` takes them in natural order; ``balanced`` takes one of each class in turn, each class
        in an order of its own that ``seed`` decides, so that a class has size // n_classes images or one
        more (as long as it lasts). The pool is all that is not held out (everything when ``in_sample``)
        without the ``validation_size`` images of ``validation``.

        Raises: BadInput when the pool has fewer images.
        """
        pool = self._pool(in_sample)
        if validation_size:
            pool = np.setdiff1d(pool, self.validation(validation_size, in_sample=in_sample))
        self._require(size, len(pool), "to train on")
        return pool[:size] if how == "prefix" else self._in_turn(pool, f"draw {seed}")[:size]

    def validation(self, size: int, *, in_sample: bool = False) -> Indices:
        """Indices of ``size`` images of the pool, class-balanced and nested, the same for every seed.

        Knobs and epochs are chosen by their losses; ``draw`` leaves them out.

        Raises: BadInput when the pool has fewer images.
        """
        pool = self._pool(in_sample)
        self._require(size, len(pool), "to validate on")
        return self._in_turn(pool, "validation")[:size]

    def evaluation(self, size: int) -> Indices:
        """Indices of ``size`` held-out images, class-balanced and nested, the same for every seed.

        Raises: BadInput when fewer are held out.
        """
        held = np.flatnonzero(self.held_out)
        self._require(size, len(held), "held out for evaluation")
        return self._in_turn(held, "evaluation")[:size]

    def only(self, class_name: str) -> ImageSet:
        """The images of one class, given by name or number; it becomes the one class of the set.

        Raises: WrongUse naming the near matches.
        """
        by_number = {str(i): i for i in range(len(self.classes))}
        by_name = {name: i for i, name in enumerate(self.classes)}
        label = by_name.get(class_name, by_number.get(class_name))
        if label is None:
            raise unknown(f"class of {self.name}", class_name, self.classes)
        kept = np.flatnonzero(self.labels == label)
        return ImageSet(
            name=f"{self.name}:{self.classes[label]}",
            ids=tuple(self.ids[i] for i in kept),
            digests=tuple(self.digests[i] for i in kept),
            labels=np.zeros(len(kept), np.int64),
            classes=(self.classes[label],),
            held_out=self.held_out[kept],
            ranks=tuple(self.ranks[i] for i in kept) if self.ranks else (),
            read=SelectedImages(read=self.read, indices=kept),
            skipped=self.skipped,
            source=self.source,
        )

    def _pool(self, in_sample: bool) -> Indices:
        return np.arange(len(self)) if in_sample else np.flatnonzero(~self.held_out)

    def _in_turn(self, indices: Indices, salt: str) -> Indices:
        """One of each class in turn; within a class, in the order of salted content hashes."""
        ranks = self.ranks or self.digests
        order = sorted(indices.tolist(), key=lambda i: _salted(salt, ranks[i]))
        turn = np.zeros(len(self), np.int64)
        n_seen = [0] * len(self.classes)
        for index in order:
            label = int(self.labels[index])
            turn[index] = n_seen[label]
            n_seen[label] += 1
        return indices[np.lexsort((self.labels[indices], turn[indices]))]

    def _require(self, size: int, n_there: int, what: str) -> None:
        if not 1 <= size <= n_there:
            raise BadInput(f"{self.name} has {n_there:,} images {what}, not {size:,}")


@dataclass(frozen=True, kw_only=True, eq=False)
class SelectedImages:
    """Reads some of the images of a set: image ``i`` is that of ``indices[i]``."""

    read: Callable[[int], NDArray[np.uint8]]
    indices: Indices

    def __call__(self, index: int) -> NDArray[np.uint8]:
        """The image, [height, width, 3]."""
        return self.read(int(self.indices[index]))


def held_out_by_content(labels: NDArray[np.int64], digests: tuple[str, ...]) -> NDArray[np.bool_]:
    """[n]: the fifth of each class whose digests are lowest; none of a class below five."""
    held_out = np.zeros(len(labels), np.bool_)
    by_class = np.split(np.argsort(labels, kind="stable"), np.flatnonzero(np.diff(np.sort(labels))) + 1)
    for members in by_class:
        ranked = sorted(members.tolist(), key=lambda i: digests[i])
        held_out[ranked[: len(ranked) // HELD_OUT_FIFTH]] = True
    return held_out


def require_few_bad(folder: Path | str, refused: Iterable[Skipped], n_files: int, max_bad: int) -> None:
    """Raise BadInput, naming the first ones of each reason, where more than ``max_bad`` files are bad."""
    by_reason: dict[str, list[str]] = {}
    for skipped in refused:
        if skipped.bad:
            by_reason.setdefault(skipped.reason, []).append(skipped.id)
    n_bad = sum(map(len, by_reason.values()))
    if n_bad <= max_bad:
        return
    named = [f"{_first(ids)}: {reason}" for reason, ids in by_reason.items()]
    n_left = sum(len(ids) for ids in list(by_reason.values())[N_NAMED:])
    more = [f"and {n_left} more"] if n_left else []
    remedy = f", or leave them out with max_bad={n_bad}" if n_bad < n_files else ""
    reasons = "; ".join([*named[:N_NAMED], *more])
    raise BadInput(f"{n_bad} of {n_files} images in {folder} are bad ({reasons}); repair them{remedy}")


def _first(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - N_NAMED} more" if len(ids) > N_NAMED else ""
    return ", ".join(ids[:N_NAMED]) + more


def digest_of_pixels(image: NDArray[np.uint8]) -> str:
    """SHA-256 of the shape and the pixels of an image that has no file."""
    shape = "x".join(map(str, image.shape))
    return hashlib.sha256(f"{shape}:".encode() + image.tobytes()).hexdigest()


def _salted(salt: str, digest: str) -> bytes:
    return hashlib.sha256(f"{salt}:{digest}".encode()).digest()


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
