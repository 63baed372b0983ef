"""Where the files of MNIST, Fashion-MNIST and CIFAR lie on a disk, and how torchvision is given them.

They are taken in torchvision's layout or as they are published: compressed, below folders of the usual
names, and CIFAR's binary version, which torchvision does not read. As in a folder of images, links below the
root are not followed.
"""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
    "mnist": ("MNIST/raw", "MNIST", "mnist", "raw", "."),
    "fashion-mnist": ("FashionMNIST/raw", "FashionMNIST", "fashion-mnist", "raw", "."),
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
CIFAR_BINARY = {
    "cifar10": ("cifar-10-batches-bin", "cifar-10-binary.tar.gz"),
    "cifar100": ("cifar-100-binary", "cifar-100-binary.tar.gz"),
}
"""The same for the binary version."""
BINARY_FILES = {
    "cifar10": (("test_batch.bin",), tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "batches.meta.txt"),
    "cifar100": (("test.bin",), ("train.bin",), "fine_label_names.txt"),
}
"""Files of the test and of the training part, and that of the classes."""
N_LABELS = {"cifar10": 1, "cifar100": 2}
"""Labels before the 3,072 pixel values of a record; the last is used, of CIFAR-100 the fine one."""
SIDE = 32
MOST_UNPACKED = 256 << 20
"""Bytes of an unpacked file or archive: CIFAR's are 186 MB."""
OWN_FILES = {
    "mnist or fashion-mnist": ("train-labels-idx1-ubyte", "train-labels.idx1-ubyte"),
    "cifar10": ("test_batch", "test_batch.bin"),
    "cifar100": ("test.bin",),
}
"""Files by which a folder of a set itself is known."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Pixels [n, height, width] or [n, height, width, 3], and labels [n], of one part of a set."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


def files_of(name: str) -> str:
    """The files of a set as a person may put them below the root."""
    if name in IDX_FOLDERS:
        *folders, _ = IDX_FOLDERS[name]
        return f"{', '.join(IDX_FILES)} (each may end in .gz) in {', '.join(folders)} or there itself"
    return " or ".join((", ".join((*CIFAR_FILES[name], CIFAR_BINARY[name][0])), CIFAR_BINARY[name][1]))


def missing_files(name: str, root: Path) -> str:
    """The files of a set that a folder with some of them lacks, and the folder; empty without any."""
    for folder, paths in _idx_places(name, root) if name in IDX_FOLDERS else ():
        lacking = [file for file, path in paths.items() if path is None]
        if len(lacking) < len(paths):
            return f"{', '.join(lacking)} beside the other files in {folder}"
    return ""


def place_files(name: str, root: Path, folder: Path) -> bool:
    """Link or unpack the files of a set where torchvision looks for them below a folder; False without them.

    Raises: BadInput where they are those of another set; OSError, EOFError, TarError and zlib.error.
    """
    return _place_idx(name, root, folder) if name in IDX_FOLDERS else _place_cifar(name, root, folder)


def _idx_places(name: str, root: Path) -> Iterator[tuple[Path, dict[str, Path | None]]]:
    """Folders that may hold the four files of a set, and the path of each file that is there."""
    for place in IDX_FOLDERS[name]:
        folder = _any_case(root, place)
        candidates = {
            file: [
                folder / f"{spelt}{suffix}"
                for spelt in (file, file.replace("-idx", ".idx"))
                for suffix in ("", ".gz")
            ]
            for file in IDX_FILES
        }
        yield folder, {file: next(filter(Path.is_file, paths), None) for file, paths in candidates.items()}


def _any_case(root: Path, place: str) -> Path:
    """A path below a folder, its parts in any case; as it is written where it exists or nothing does."""
    path = root
    for part in Path(place).parts:
        exact = path / part
        known = [] if exact.exists() or not path.is_dir() else sorted(path.iterdir())
        path = next((each for each in known if each.name.casefold() == part.casefold()), exact)
    return path


def _place_idx(name: str, root: Path, folder: Path) -> bool:
    for place, paths in _idx_places(name, root):
        raw = folder / DATASET_CLASSES[name] / "raw"
        there = {file: path for file, path in paths.items() if path is not None}
        if len(there) < len(paths):
            continue
        raw.mkdir(parents=True)
        require_no_links(root, there.values())
        for file, path in there.items():
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
            raise BadInput(f"the files in {place} are those of {other}, not of {name}")
        return True
    return False


def _require_small(path: Path, n_bytes: int) -> None:
    """Refuse what would unpack to more than any published set. Raises: BadInput."""
    if n_bytes > MOST_UNPACKED:
        raise BadInput(f"{path} unpacks to more than {MOST_UNPACKED >> 20} MiB, as no file of this set does")


def _place_cifar(name: str, root: Path, folder: Path) -> bool:
    batches, archive = CIFAR_FILES[name]
    path = _cifar_folder(name, root, folder, batches, archive, CIFAR_READ[name])
    if path is not None and path != folder / batches:
        (folder / batches).symlink_to(path)
    return path is not None


def _cifar_folder(
    name: str, root: Path, folder: Path, batches: str, archive: str, files: Sequence[str]
) -> Path | None:
    """The folder of a set's ``files``, of which the last names the classes; an archive is unpacked."""
    for place in (root, root / DATASET_CLASSES[name], root / name):
        if (place / batches).is_dir():
            require_no_links(root, [place / batches / file for file in files])
            return place / batches
        if (place / archive).is_file():
            require_no_links(root, [place / archive])
            with tarfile.open(place / archive) as packed:
                _require_small(place / archive, sum(member.size for member in packed))
                packed.extractall(folder, filter="data")
            return folder / batches
    if not (root / files[-1]).is_file():
        return None
    require_no_links(root, [root / file for file in files])
    return root


def read_binary(name: str, root: Path, folder: Path) -> tuple[list[Part], tuple[str, ...]] | None:
    """The test and the training part of CIFAR's binary version, and its classes; None where it is not there.

    Raises: OSError, TarError; ValueError for a file of another length, or labels without a class.
    """
    if name not in CIFAR_BINARY:
        return None
    test, train, names = BINARY_FILES[name]
    path = _cifar_folder(name, root, folder, *CIFAR_BINARY[name], (*test, *train, names))
    if path is None:
        return None
    classes = tuple((path / names).read_text("ascii").split())
    return [
        _binary_part([path / file for file in part], N_LABELS[name], len(classes)) for part in (test, train)
    ], classes


def _binary_part(paths: list[Path], n_labels: int, n_classes: int) -> Part:
    records = []
    for path in paths:
        values = np.fromfile(path, np.uint8)
        length = n_labels + 3 * SIDE**2
        if not len(values) or len(values) % length:
            raise ValueError(f"{path.name} has {len(values):,} bytes, which are no records of {length:,}")
        records.append(values.reshape(-1, length))
    every = np.concatenate(records)
    labels = every[:, n_labels - 1].astype(np.int64)
    if labels.max() >= n_classes:
        raise ValueError(f"{paths[0].name} has label {labels.max()}, of {n_classes} classes")
    pixels = every[:, n_labels:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return Part(pixels=np.ascontiguousarray(pixels), labels=labels)
