"""Encoded pictures in files: checked when first read, duplicates left out by digest, made an image set.

A picture is a whole file, a range of bytes of a file (tar, Arrow), or a row of one (Parquet). Exact
duplicates are left out; the same bytes in two classes are bad in both.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlproject.data.image_set import N_NAMED, ImageSet, Skipped, held_out_by_content, require_few_bad
from mlproject.data.images import BadImage, check, decode
from mlproject.data.layout import natural
from mlproject.data.manifest import Known, Row, Stamp, Verify, manifest_path, read_manifest, write_manifest
from mlproject.errors import BadInput, DigestMismatch, MLProjectError
from mlproject.files import sha256
from mlproject.signals import end_with_parent, without_interrupts

log = logging.getLogger(__name__)

Content = Callable[[str, int, int], bytes]
"""The bytes of a picture: of the path of its file, and its offset and length there (see ``Row``)."""
Place = tuple[str, int, int]
Look = Callable[[bytes], str | None]
"""Raises BadImage for bytes that cannot be used; what it says of others is kept as their label."""
Verdict = tuple[str, str, str]
"""Digest, reason and label of a picture."""
BATCH = 256
"""Pictures that a process reads at once."""
ENOUGH = 4_096
"""Pictures to be read that are worth starting further processes, which takes each a second."""
PATIENCE = 5.0
"""Seconds of reading after which a line says how long it will take."""


class Picture(NamedTuple):
    """A picture of a data set that was read, see ``Row``; ``held_out`` is None where no split is given."""

    id: str
    class_name: str
    held_out: bool | None
    path: str
    offset: int
    length: int
    digest: str
    reason: str


def read_rows(
    place: str,
    files: Mapping[str, Stamp],
    *,
    listed_at: int,
    verify: Verify,
    index: Callable[[str], Sequence[Row]],
    content: Content,
    look: Look = check,
) -> dict[str, tuple[Row, ...]]:
    """The pictures of each file, all with a digest or the reason why they cannot be used.

    Files that the manifest of ``place`` knows as they are are not opened. ``index`` lists the pictures of a
    file; ``listed_at`` is when ``stamps`` were taken, in ns.

    Raises: what ``index`` raises.
    """
    known = {} if verify == "full" else read_manifest(place)
    rows: Known = {
        path: kept if (kept := known.get(path)) and kept[0] == stamp else (stamp, tuple(index(path)))
        for path, stamp in files.items()
    }
    unread = [
        (path, row.offset, row.length)
        for path, (_, pictures) in rows.items()
        for row in pictures
        if not (row.digest or row.reason)
    ]
    if not unread and rows.keys() == known.keys():
        return {path: pictures for path, (_, pictures) in rows.items()}
    verdicts = dict(
        zip(unread, _verdicts(unread, partial(_verdict, content=content, look=look), place), strict=True)
    )
    rows = {
        path: (stamp, tuple(_judged(path, row, verdicts) for row in pictures))
        for path, (stamp, pictures) in rows.items()
    }
    write_manifest(place, rows, listed_at)
    return {path: pictures for path, (_, pictures) in rows.items()}


def _judged(path: str, row: Row, verdicts: Mapping[Place, Verdict]) -> Row:
    if verdict := verdicts.get((path, row.offset, row.length)):
        digest, reason, label = verdict
        return row._replace(digest=digest, reason=reason, label=label or row.label)
    return row


def _verdicts(unread: Sequence[Place], judge: Callable[[Place], Verdict], place: str) -> Iterator[Verdict]:
    """Digest, reason and label of pictures, which are read by as many processes as there are cores to use."""
    batches = [unread[i : i + BATCH] for i in range(0, len(unread), BATCH)]
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    started, n_read, is_told = time.monotonic(), 0, False
    with contextlib.ExitStack() as stack:
        results: Iterable[list[Verdict]]
        if len(unread) >= ENOUGH and n_cores > 1:
            pool = ProcessPoolExecutor(
                n_cores,
                mp_context=get_context("fork" if sys.platform == "linux" else "spawn"),
                initializer=end_with_parent,
            )
            stack.callback(pool.shutdown, cancel_futures=True)
            with without_interrupts():
                results = pool.map(_look, batches, itertools.repeat(judge))
        else:
            results = map(_look, batches, itertools.repeat(judge))
        try:
            for batch in results:
                yield from batch
                n_read += len(batch)
                seconds = time.monotonic() - started
                if not is_told and seconds > PATIENCE:
                    is_told, rest = True, seconds / n_read * (len(unread) - n_read)
                    log.warning("reading %s new images of %s: %.0f s to go", f"{len(unread):,}", place, rest)
        except BrokenProcessPool as error:
            raise MLProjectError(
                f"a process that read pictures of {place} was killed, perhaps for memory; start again"
            ) from error


def _look(batch: Sequence[Place], judge: Callable[[Place], Verdict]) -> list[Verdict]:
    return [judge(place) for place in batch]


def _verdict(place: Place, *, content: Content, look: Look) -> Verdict:
    digest = label = ""
    try:
        encoded = content(*place)
        digest = sha256(encoded)
        label = look(encoded) or ""
    except BadImage as error:
        return digest, str(error), ""
    return digest, "", label


def tell_apart(pictures: Iterable[Picture]) -> tuple[list[Picture], list[Skipped]]:
    """Usable pictures, and those that are not: bad ones, duplicates, one picture in two classes."""
    same: dict[str, list[Picture]] = {}
    usable: list[Picture] = []
    refused: list[Skipped] = []
    for picture in pictures:
        if picture.reason:
            refused.append(Skipped(id=picture.id, reason=picture.reason, bad=True))
        else:
            same.setdefault(picture.digest, []).append(picture)
    for first, *others in same.values():
        other = next((each for each in others if each.class_name != first.class_name), None)
        if other is None:
            usable.append(first)
            refused += [Skipped(id=each.id, reason=f"duplicate of {first.id}") for each in others]
            continue
        for each in (first, *others):
            opposite = other if each.class_name == first.class_name else first
            reason = f"the same bytes as {opposite.id}, of another class"
            refused.append(Skipped(id=each.id, reason=reason, bad=True))
    return usable, refused


def make_image_set(
    pictures: Sequence[Picture],
    *,
    where: Path,
    place: str,
    name: str,
    source: str,
    content: Content,
    max_bad: int,
    skipped: Sequence[Skipped] = (),
    order: Sequence[str] = (),
) -> ImageSet:
    """The image set of pictures in the order given; ``place`` is that of the manifest.

    Classes are in ``order``, else in natural order. Raises: BadInput for more than ``max_bad`` bad pictures,
    none that is good, or classes with nothing to train on.
    """
    usable, refused = tell_apart(pictures)
    require_few_bad(where, refused, len(pictures), max_bad)
    if not usable:
        raise BadInput(f"no images in {where}")
    present = {picture.class_name for picture in usable}
    classes = [each for each in order if each in present] or sorted(present, key=natural)
    label_of = {each: label for label, each in enumerate(classes)}
    labels = np.array([label_of[picture.class_name] for picture in usable], np.int64)
    digests = tuple(picture.digest for picture in usable)
    split = [picture.held_out for picture in usable]
    held_out = held_out_by_content(labels, digests) if None in split else np.array(split, np.bool_)
    _require_training(where, classes, labels, held_out)
    return ImageSet(
        name=name,
        ids=tuple(picture.id for picture in usable),
        digests=digests,
        labels=labels,
        classes=tuple(classes),
        held_out=held_out,
        read=_reader(usable, content, manifest_path(place)),
        skipped=(*refused, *skipped, *_lost(pictures, present)),
        source=source,
    )


def _reader(pictures: Sequence[Picture], content: Content, manifest: Path) -> EncodedImages:
    return EncodedImages(
        ids=tuple(picture.id for picture in pictures),
        digests=tuple(picture.digest for picture in pictures),
        paths=tuple(picture.path for picture in pictures),
        places=np.array([(picture.offset, picture.length) for picture in pictures], np.int64),
        content=content,
        manifest=manifest,
    )


def _lost(pictures: Iterable[Picture], present: set[str]) -> Iterator[Skipped]:
    """A note on each class that lost all its pictures."""
    for name in dict.fromkeys(picture.class_name for picture in pictures):
        if name not in present:
            yield Skipped(id=f"(class {name})", reason="no class: none of its images can be used")


def _require_training(
    where: Path, classes: Sequence[str], labels: NDArray[np.int64], held_out: NDArray[np.bool_]
) -> None:
    """Refuse a class that has held-out images only."""
    trained = np.bincount(labels[~held_out], minlength=len(classes))
    without = [name for name, n in zip(classes, trained, strict=True) if not n]
    if without:
        named = ", ".join(without[:N_NAMED]) + (", …" if len(without) > N_NAMED else "")
        raise BadInput(
            f"{len(without)} of {len(classes)} classes of {where} have nothing to train on ({named}): all "
            "their images are held out; add some to the training split, or take these classes out"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedImages:
    """Reads pictures, which must be those that were loaded; ``places`` are offsets and lengths, [n, 2].

    Where one is not, the manifest that said so is deleted, so that the next start reads all files.
    """

    ids: tuple[str, ...]
    digests: tuple[str, ...]
    paths: tuple[str, ...]
    places: NDArray[np.int64]
    content: Content
    manifest: Path

    def __call__(self, index: int) -> NDArray[np.uint8]:
        """The image, [height, width, 3]. Raises: DigestMismatch."""
        offset, length = self.places[index].tolist()
        try:
            encoded = self.content(self.paths[index], offset, length)
        except BadImage as error:
            self._forget()
            raise DigestMismatch(f"{self.ids[index]} is no longer what was loaded: {error}") from error
        if sha256(encoded) != self.digests[index]:
            self._forget()
            raise DigestMismatch(f"{self.ids[index]} changed after it was loaded; start again")
        return decode(encoded)

    def _forget(self) -> None:
        with contextlib.suppress(OSError):  # a manifest of a folder that cannot be written to stays
            self.manifest.unlink(missing_ok=True)
