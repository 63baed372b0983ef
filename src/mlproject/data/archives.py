"""Files of published sets, as archives or as they are, put where torchvision looks for them.

Nothing is written beside the files: torchvision reads a temporary folder of links and unpacked files. As in
a folder of images, links below the root are not followed.
"""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

from mlproject.data.layout import require_no_links
from mlproject.errors import BadInput

DATASET_CLASSES = {
    "mnist": "MNIST",
    "fashion-mnist": "FashionMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
}
"""Names of torchvision's classes."""

IDX_FILES = (
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
)  # fmt: skip
"""Files of MNIST, and of Fashion-MNIST; each may be compressed (``.gz``)."""
IDX_FOLDERS = {
    "mnist": ("MNIST/raw", "MNIST", "mnist", "."),
    "fashion-mnist": ("FashionMNIST/raw", "FashionMNIST", "fashion-mnist", "."),
}
"""Folders that may hold them, torchvision's first; Debian puts Fashion-MNIST into /usr/share/datasets."""
FIRST_LABELS = {
    bytes((5, 0, 4, 1, 9, 2, 1, 3, 1, 4)): "mnist",
    bytes((9, 0, 0, 3, 0, 2, 7, 2, 5, 5)): "fashion-mnist",
}
"""The first training labels of the two sets, which share the names of their files."""
CIFAR_FILES = {
    "cifar10": ("cifar-10-batches-py", "cifar-10-python.tar.gz"),
    "cifar100": ("cifar-100-python", "cifar-100-python.tar.gz"),
}
"""The folder of a set in torchvision's layout, and the archive that it is published in."""
CIFAR_READ = {
    "cifar10": (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"),
    "cifar100": ("train", "test", "meta"),
}
"""The files that torchvision reads; the last one names the classes."""
MOST_UNPACKED = 256 << 20
"""Bytes of an unpacked file or archive: CIFAR's are 186 MB."""


def place_idx(name: str, root: Path, folder: Path) -> bool:
    """Link the four files of a set, or unpack them, where torchvision looks for them; False without them.

    Raises: BadInput where they are those of the other set.
    """
    for place in IDX_FOLDERS[name]:
        candidates = {file: (root / place / file, root / place / f"{file}.gz") for file in IDX_FILES}
        paths = {file: next(filter(Path.is_file, pair), None) for file, pair in candidates.items()}
        if None in paths.values():
            continue
        raw = folder / DATASET_CLASSES[name] / "raw"
        raw.mkdir(parents=True)
        require_no_links(root, filter(None, paths.values()))
        for file, path in paths.items():
            assert path is not None
            if path.suffix == ".gz":
                with gzip.open(path) as packed:
                    content = packed.read(MOST_UNPACKED + 1)
                _require_small(path, len(content))
                (raw / file).write_bytes(content)
            else:
                (raw / file).symlink_to(path)
        with (raw / IDX_FILES[1]).open("rb") as labels:
            other = FIRST_LABELS.get(labels.read(18)[8:], name)
        if other != name:
            raise BadInput(f"the files in {root / place} are those of {other}, not of {name}")
        return True
    return False


def _require_small(path: Path, n_bytes: int) -> None:
    """Refuse what would unpack to more than any published set. Raises: BadInput."""
    if n_bytes > MOST_UNPACKED:
        raise BadInput(f"{path} unpacks to more than {MOST_UNPACKED >> 20} MiB, as no file of this set does")


def place_cifar(name: str, root: Path, folder: Path) -> bool:
    """Link the folder of a set, or unpack its archive, where torchvision looks for it; False without them."""
    batches, archive = CIFAR_FILES[name]
    for place in (root, root / DATASET_CLASSES[name], root / name):
        if (place / batches).is_dir():
            return _linked(name, root, place / batches, folder / batches)
        if (place / archive).is_file():
            require_no_links(root, [place / archive])
            with tarfile.open(place / archive) as packed:
                _require_small(place / archive, sum(member.size for member in packed))
                packed.extractall(folder, filter="data")
            return True
    *_, names = CIFAR_READ[name]
    return (root / names).is_file() and _linked(name, root, root, folder / batches)


def _linked(name: str, root: Path, place: Path, link: Path) -> bool:
    """Link the folder of a set, whose files are no links, to where torchvision looks for it."""
    require_no_links(root, [place / file for file in CIFAR_READ[name]])
    link.symlink_to(place)
    return True
