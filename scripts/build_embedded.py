"""Build the embedded images from Fashion-MNIST's IDX files. The same input and zlib give the same bytes.

    python scripts/build_embedded.py /usr/share/datasets/fashion-mnist

The folder is that of Debian's package dataset-fashion-mnist, or of the upstream repository's
data/fashion. Writes embedded.npz and embedded.json into src/mlproject/data/.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlproject.data.embedded import FASHION_CLASSES, MANIFEST, PIXELS
from mlproject.data.image_set import digest_of_pixels
from mlproject.files import sha256, write_atomic

SOURCES = {
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}
SPLITS = {"train": ("train", 320), "test": ("t10k", 100)}
"""Split to the prefix of its files and the images of each class that are kept."""

Row = tuple[str, int, str]


def main(folder: Path) -> None:
    """Write the embedded files from the IDX files in ``folder``."""
    seen: set[str] = set()
    parts = [_first_of_each_class(folder, split, seen) for split in ("train", "test")]
    rows = [row for part, _ in reversed(parts) for row in part]
    images = np.concatenate([pixels for _, pixels in reversed(parts)])
    write_atomic(PIXELS, _npz(images, rows))
    write_atomic(MANIFEST, _json(rows, sha256(PIXELS.read_bytes())))
    print(f"{len(rows)} images, {PIXELS.stat().st_size:,} bytes in {PIXELS}")


def _first_of_each_class(folder: Path, split: str, seen: set[str]) -> tuple[list[Row], NDArray[np.uint8]]:
    """The first images of each class that were not seen before, in the order of the file."""
    prefix, n_wanted = SPLITS[split]
    images = _idx(folder, f"{prefix}-images-idx3-ubyte.gz").reshape(-1, 28, 28)
    labels = _idx(folder, f"{prefix}-labels-idx1-ubyte.gz")
    n_kept = [0] * len(FASHION_CLASSES)
    rows: list[Row] = []
    kept = []
    for index, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        digest = digest_of_pixels(image)
        if n_kept[label] == n_wanted or digest in seen:
            continue
        seen.add(digest)
        n_kept[label] += 1
        rows.append((f"{split}/{index:05d}.png", label, digest))
        kept.append(image)
    return rows, np.stack(kept)


def _idx(folder: Path, name: str) -> NDArray[np.uint8]:
    """The values of one IDX file of bytes: a magic number, its sizes (big-endian), the values."""
    packed = (folder / name).read_bytes()
    if sha256(packed) != SOURCES[name]:
        raise SystemExit(f"{folder / name} is not the published file (SHA-256 differs)")
    content = gzip.decompress(packed)
    n_dimensions = content[3]
    return np.frombuffer(content, np.uint8, offset=4 + 4 * n_dimensions)


def _npz(images: NDArray[np.uint8], rows: list[Row]) -> bytes:
    labels = np.array([label for _, label, _ in rows], np.uint8)
    held_out = np.array([id_.startswith("test/") for id_, _, _ in rows])
    file = io.BytesIO()
    np.savez_compressed(file, images=images, labels=labels, held_out=held_out)
    return file.getvalue()


def _json(rows: list[Row], npz_sha256: str) -> bytes:
    head: dict[str, Any] = {
        "name": "fashion-mnist-subset",
        "source": "Fashion-MNIST, Zalando SE 2017, https://github.com/zalandoresearch/fashion-mnist",
        "licence": "MIT (fashion-mnist-LICENSE.txt)",
        "source_sha256": SOURCES,
        "npz_sha256": npz_sha256,
        "classes": FASHION_CLASSES,
    }
    lines = ",\n".join(json.dumps(row) for row in rows)  # one image a line, so that a diff can be read
    return (json.dumps(head, indent=1).removesuffix("\n}") + f',\n "images": [\n{lines}\n]\n}}\n').encode()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
