"""Pairs of a picture and its label map: checked when first read, duplicates left out, read when needed.

What is known of each file is kept in manifests: SHA-256, size, orientation, and the values of a label map.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlproject.data.encoded import Content, Look, read_rows
from mlproject.data.image_set import Skipped
from mlproject.data.images import BadImage, decode, decode_map, orientation, read_bytes
from mlproject.data.manifest import WHOLE, Row, Verify, now_ns, stamp_of
from mlproject.errors import DigestMismatch
from mlproject.files import sha256

Present = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A picture and its label map. ``held_out`` is None where no split is given."""

    id: str
    image: str
    label_map: str
    held_out: bool | None


@dataclass(frozen=True, kw_only=True)
class CheckedPair:
    """A pair that was decoded; ``present`` marks the pixel values of its map, [256]."""

    pair: Pair
    image_digest: str
    map_digest: str
    present: Present


def decode_pairs(
    pairs: Sequence[Pair], published: bool, verify: Verify
) -> tuple[list[CheckedPair], list[Skipped]]:
    """Pairs that can be read and fit each other, and the others: bad ones and duplicates."""
    same: dict[str, list[CheckedPair]] = {}
    refused: list[Skipped] = []
    images = _rows("pictures", [pair.image for pair in pairs], read_bytes, _picture_facts, verify)
    maps = _rows("label maps", [pair.label_map for pair in pairs], _read_map, _map_facts, verify)
    for pair in pairs:
        image, label_map = images[pair.image], maps[pair.label_map]
        if reason := image.reason or label_map.reason or _misfit(image, label_map, published):
            refused.append(Skipped(id=pair.id, reason=reason, bad=True))
            continue
        present = np.unpackbits(np.frombuffer(bytes.fromhex(label_map.label.split()[3]), np.uint8)) > 0
        digests = image.digest, label_map.digest
        read = CheckedPair(pair=pair, image_digest=digests[0], map_digest=digests[1], present=present)
        same.setdefault(pair.id if published else read.image_digest, []).append(read)
    decoded = []
    for first, *others in same.values():
        other = next((read for read in others if read.map_digest != first.map_digest), None)
        if other is None:
            decoded.append(first)
            refused += [Skipped(id=read.pair.id, reason=f"duplicate of {first.pair.id}") for read in others]
            continue
        for read in (first, *others):
            opposite = other if read.map_digest == first.map_digest else first
            reason = f"the same bytes as {opposite.pair.id}, with another label map"
            refused.append(Skipped(id=read.pair.id, reason=reason, bad=True))
    return decoded, refused


def _rows(what: str, paths: Sequence[str], content: Content, look: Look, verify: Verify) -> dict[str, Row]:
    """What is known of files of one kind, by path; those that are not there are bad."""
    listed_at = now_ns()
    rows: dict[str, Row] = {}
    stamps = {}
    for path in paths:
        try:
            stamps[path] = stamp_of(os.stat(path))
        except OSError as error:
            rows[path] = Row(reason=f"cannot be opened ({error.strerror})")
    if stamps:
        # Apart from the manifest of the same files as a folder of pictures, which knows less of each.
        place = f"{os.path.commonpath([os.path.dirname(path) for path in stamps])} ({what})"
        read = read_rows(
            place, stamps, listed_at=listed_at, verify=verify, index=_whole_file, content=content, look=look
        )
        rows |= {path: pictures[0] for path, pictures in read.items()}
    return rows


def _whole_file(path: str) -> list[Row]:
    return [Row()]


def _picture_facts(encoded: bytes) -> str:
    """Height, width and EXIF orientation of a picture. Raises: BadImage."""
    height, width, _ = decode(encoded).shape
    return f"{height} {width} {orientation(encoded)}"


def _map_facts(encoded: bytes) -> str:
    """The same of a label map, and a bit for each pixel value that occurs. Raises: BadImage."""
    values = decode_map(encoded)
    present = np.bincount(values.ravel(), minlength=256) > 0
    return (
        f"{values.shape[0]} {values.shape[1]} {orientation(encoded)} {np.packbits(present).tobytes().hex()}"
    )


def _read_map(path: str, offset: int = 0, length: int = WHOLE) -> bytes:
    try:
        return read_bytes(path, offset, length)
    except BadImage as error:
        raise BadImage(f"its label map {Path(path).name}: {error}") from error


def _misfit(image: Row, label_map: Row, published: bool) -> str:
    """Why a picture and its label map do not lie on each other; empty where they do.

    Of a pair of which EXIF turns one only, equal sizes may show that the two agree.
    """
    height, width, turn = map(int, image.label.split())
    map_height, map_width, map_turn = map(int, label_map.label.split()[:3])
    if (height, width) != (map_height, map_width):
        sizes = f"{width} x {height}, label map of {map_width} x {map_height}"
        return f"image of {sizes} pixels (upright, by EXIF)"
    sizes_tell = (turn > 4) != (map_turn > 4) and height != width
    if published or turn == map_turn or sizes_tell:
        return ""
    return (
        f"EXIF orientation of the image {turn}, of its label map {map_turn} (1: as stored): they may "
        "not lie on each other; save both upright"
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class PairedImages:
    """Reads pictures and label maps as they were loaded; ``class_of`` is the class of each value, [256]."""

    pairs: Sequence[CheckedPair]
    class_of: NDArray[np.uint8]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        """The picture, [height, width, 3]. Raises: DigestMismatch."""
        return decode(_read_again(self.pairs[index])[0])

    def read_map(self, index: int) -> NDArray[np.uint8]:
        """The class of each pixel, [height, width]. Raises: DigestMismatch."""
        return self.class_of[decode_map(_read_again(self.pairs[index])[1])]


def _read_again(checked: CheckedPair) -> tuple[bytes, bytes]:
    try:
        image, label_map = read_bytes(checked.pair.image), read_bytes(checked.pair.label_map)
    except BadImage as error:
        raise DigestMismatch(f"{checked.pair.id} is no longer what was loaded: {error}") from error
    if (sha256(image), sha256(label_map)) != (checked.image_digest, checked.map_digest):
        raise DigestMismatch(f"{checked.pair.id} changed after it was loaded; start again")
    return image, label_map
