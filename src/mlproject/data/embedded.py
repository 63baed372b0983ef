"""The embedded images, 4,200 of Fashion-MNIST shipped with the package, and scenes composed of them.

Source: Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747, MIT licence (``fashion-mnist-LICENSE.txt``);
``scripts/build_embedded.py`` makes the files. The manifest alone gives ids, digests, labels and split
in milliseconds; pixels are read, and checked against it, when the first image is asked for.

A scene shows several of the images on one canvas, with a class for every pixel: 11 classes (background, and
ten kinds of clothes), later objects in front of earlier ones, noise of a random level behind them. It is
generated on demand from a seed and the embedded images alone. Held-out scenes show held-out images only. All
choices come from SHAKE-256: the same with every version of every library.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlproject.data.image_set import ImageSet
from mlproject.errors import DigestMismatch
from mlproject.files import sha256

FASHION_CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot",
)  # fmt: skip
MANIFEST = Path(__file__).with_name("embedded.json")
PIXELS = MANIFEST.with_suffix(".npz")


def load_embedded(manifest: Path = MANIFEST) -> ImageSet:
    """Fashion-MNIST's first 320 training and 100 test images of each class, as 28 x 28 RGB.

    Raises: DigestMismatch from ``read`` when the pixels are not those that the manifest names.
    """
    content = json.loads(manifest.read_text(encoding="utf-8"))
    ids, labels, digests = zip(*content["images"], strict=True)
    return ImageSet(
        name=content["name"],
        ids=ids,
        digests=digests,
        labels=np.array(labels, np.int64),
        classes=tuple(content["classes"]),
        held_out=np.array([id_.startswith("test/") for id_ in ids]),
        read=EmbeddedImages(path=manifest.with_suffix(".npz"), sha256=content["npz_sha256"]),
        source=f"{content['source']}; {content['licence']}",
    )


@dataclass(frozen=True, kw_only=True)
class EmbeddedImages:
    """Reads gray images of a file of arrays, which every process loads once, as RGB."""

    path: Path
    sha256: str

    def __call__(self, index: int) -> NDArray[np.uint8]:
        """The image, [28, 28, 3]. Raises: DigestMismatch."""
        return np.repeat(_pixels(self.path, self.sha256)[index][..., np.newaxis], 3, axis=-1)


@functools.lru_cache(maxsize=2)
def _pixels(path: Path, expected: str) -> NDArray[np.uint8]:
    """All images, [n, 28, 28]."""
    content = path.read_bytes()
    if sha256(content) != expected:
        restore = f"git -C {shlex.quote(str(path.parent))} checkout -- {path.name}"
        raise DigestMismatch(f"{path} is not the file of embedded.json; restore it: {restore}")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        images: NDArray[np.uint8] = arrays["images"]
    return images


SEED = 0
N_TRAIN, N_HELD_OUT = 3000, 500
BACKGROUND = "background"
SHOWN = 16
"""Pixels of an object that are darker than this show what is behind it."""
FULL = 28


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """An embedded image on a canvas: its index, its side in pixels, its upper left corner."""

    index: int
    side: int
    top: int
    left: int


def load_scenes(side: int) -> ImageSet:
    """3,000 training and 500 held-out scenes of ``side`` x ``side`` pixels.

    On 32 pixels 2 to 4 objects of 14 pixels; on 64 pixels 3 to 6 objects of 14 or 28.
    """
    source = load_embedded()
    pools = {held: np.flatnonzero(source.held_out == held).tolist() for held in (False, True)}
    ids = [f"test/{i:04d}" for i in range(N_HELD_OUT)] + [f"train/{i:04d}" for i in range(N_TRAIN)]
    placed = [_placed(id_, side, pools[id_.startswith("test/")]) for id_ in ids]
    words = [
        " ".join([f"{side} {SEED} {id_}", *(source.digests[item.index] for item in items)])
        for id_, items in zip(ids, placed, strict=True)
    ]
    scenes = SceneImages(ids=tuple(ids), side=side, placed=tuple(placed), source=source)
    return ImageSet(
        name=f"embedded-scenes-{side}",
        ids=tuple(ids),
        digests=tuple(sha256(text.encode()) for text in words),
        labels=np.zeros(len(ids), np.int64),
        classes=(BACKGROUND, *FASHION_CLASSES),
        held_out=np.array([id_.startswith("test/") for id_ in ids]),
        read=scenes,
        read_map=scenes.read_map,
        source=f"objects of {source.source}",
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneImages:
    """Draws scenes and their label maps; the last scene is kept, since both are usually asked for."""

    ids: tuple[str, ...]
    side: int
    placed: tuple[tuple[_Placed, ...], ...]
    source: ImageSet

    def __call__(self, index: int) -> NDArray[np.uint8]:
        """The scene, [side, side, 3]."""
        return np.repeat(_drawn(self, index)[0][..., np.newaxis], 3, axis=-1)

    def read_map(self, index: int) -> NDArray[np.uint8]:
        """The class of each pixel, [side, side]."""
        return _drawn(self, index)[1].copy()


def _placed(id_: str, canvas: int, pool: list[int]) -> tuple[_Placed, ...]:
    numbers = iter(np.frombuffer(_bytes(id_, canvas, "objects", 4 * 32), "<u4").tolist())
    small = canvas < 2 * FULL
    items = []
    for _ in range((2 if small else 3) + next(numbers) % (3 if small else 4)):
        side = FULL // 2 if small or next(numbers) % 2 else FULL
        index = pool[next(numbers) % len(pool)]
        top, left = (next(numbers) % (canvas - side + 1) for _ in range(2))
        items.append(_Placed(index=index, side=side, top=top, left=left))
    return tuple(items)


@functools.lru_cache(maxsize=1)
def _drawn(scenes: SceneImages, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels and classes of a scene, [side, side] each."""
    canvas, source = scenes.side, scenes.source
    raw = np.frombuffer(_bytes(scenes.ids[index], canvas, "noise", canvas * canvas + 1), np.uint8)
    pixels = (raw[0] // 4 + raw[1:] // 8).reshape(canvas, canvas).astype(np.uint8)
    classes = np.zeros((canvas, canvas), np.uint8)
    for item in scenes.placed[index]:
        where = slice(item.top, item.top + item.side), slice(item.left, item.left + item.side)
        picture = _shrunk(source.read(item.index)[..., 0], item.side)
        shown = picture >= SHOWN
        pixels[where][shown] = picture[shown]
        classes[where][shown] = 1 + source.labels[item.index]
    return pixels, classes


def _shrunk(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The mean over blocks of pixels, rounded down."""
    factor = len(image) // side
    blocks = image.reshape(side, factor, side, factor).astype(np.uint32)
    means: NDArray[np.uint8] = (blocks.sum((1, 3)) // factor**2).astype(np.uint8)
    return means


def _bytes(id_: str, canvas: int, stream: str, n: int) -> bytes:
    return hashlib.shake_256(f"{SEED} {canvas} {id_} {stream}".encode()).digest(n)
