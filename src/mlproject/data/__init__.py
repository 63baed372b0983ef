"""Image sets: the embedded images, a folder, a table, shards, or a published set that torchvision reads."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from mlproject.data.embedded import load_embedded, load_scenes
from mlproject.data.folder import load_folder
from mlproject.data.image_set import (
    UNLABELLED,
    ImageSet,
    Indices,
    Skipped,
    SplitIndices,
    digest_of_pixels,
    split_indices,
)
from mlproject.data.image_table import is_image_table, load_table
from mlproject.data.label_map_names import find_label_map_folders
from mlproject.data.label_maps import Ignore, load_label_maps
from mlproject.data.manifest import Verify, list_manifests
from mlproject.data.published import load_published, load_published_maps
from mlproject.data.published_files import OWN_FILES
from mlproject.data.shards import is_file, is_pattern, list_shards, load_shards
from mlproject.data.tree import walk
from mlproject.errors import BadInput, WrongUse, unknown

__all__ = [
    "DATASETS",
    "UNLABELLED",
    "Ignore",
    "ImageSet",
    "Indices",
    "Skipped",
    "SplitIndices",
    "Verify",
    "digest_of_pixels",
    "full_name",
    "list_manifests",
    "load_images",
    "split_indices",
]

DATASETS: dict[str, Callable[[bool, int, Verify], ImageSet]] = {
    "embedded": lambda *_: load_embedded(),
    "fashion-mnist-subset": lambda *_: load_embedded(),
    "mnist": lambda download, *_: load_published("mnist", download=download),
    "fashion-mnist": lambda download, *_: load_published("fashion-mnist", download=download),
    "cifar10": lambda download, *_: load_published("cifar10", download=download),
    "cifar100": lambda download, *_: load_published("cifar100", download=download),
    "embedded-scenes-32": lambda *_: load_scenes(32),
    "embedded-scenes-64": lambda *_: load_scenes(64),
    "voc2012": lambda *how: _published_maps("voc2012", *how),
    "oxford-pets": lambda *how: _published_maps("oxford-pets", *how),
}
"""Data sets by name; each is a function of whether it may be downloaded, ``max_bad`` and ``verify``."""


def load_images(
    spec: str,
    *,
    max_bad: int = 0,
    download: bool = False,
    ignore: Ignore = "255",
    verify: Verify = "changed",
) -> ImageSet:
    """The images that ``spec`` names: a set (``embedded``), a class of it (``embedded:sneaker``), a path.

    A path is that of a folder of images or of shards, of a table (``images.csv``: path, label, split), of a
    shard, or a pattern of shards (``train-{000..009}.tar``, ``*.parquet``).

    A name wins over a folder of that name (say ``./mnist`` for the folder). ``max_bad`` is how many bad
    images of a path or of a set with label maps may be left out. With ``download`` a published set that is
    not there is fetched. ``verify`` says which files are read again. ``ignore`` is the pixel value of a
    folder's label maps that counts for nothing; ``none`` reads 255 as the class after all others.

    Raises: WrongUse for an unknown name, BadInput for images that are not there or refused.
    """
    if max_bad < 0:
        raise WrongUse(f"max_bad must be 0 or more, not {max_bad}")
    if not spec.strip():  # the path of which would be the working folder
        raise WrongUse(f"data must name a data set or a folder, not {spec!r}")
    name, _, one_class = spec.partition(":")
    if name in DATASETS:
        _require_default(ignore, name)
        images = DATASETS[name](download, max_bad, verify)
        return images.only(one_class) if one_class else images
    path = Path(os.path.expanduser(spec))
    if not (is_pattern(path) or is_file(path) or "/" in spec or os.path.isdir(path) or spec[0] in ".~"):
        raise unknown("data set or folder", name, DATASETS)
    with _without_collector():
        return _load_path(path, max_bad, ignore, verify)


def _published_maps(name: str, download: bool, max_bad: int, verify: Verify) -> ImageSet:
    return load_published_maps(name, download=download, max_bad=max_bad, verify=verify)


def _load_path(path: Path, max_bad: int, ignore: Ignore, verify: Verify) -> ImageSet:
    """The images of a folder of images, of label maps or of shards, of a table, or of shards."""
    is_folder = not (is_pattern(path) or is_file(path))
    if is_folder and (pair := find_label_map_folders(path)):
        return load_label_maps(*pair, max_bad=max_bad, ignore=ignore, verify=verify)
    _require_default(ignore, str(path))
    path = Path(os.path.abspath(path))  # reads go on after a change of directory
    if not is_folder:
        return _load_files(path, max_bad, verify)
    _require_no_published_files(path)
    listing = walk(path)
    if listing.shards and not listing.files:
        return load_shards(path, listing, max_bad=max_bad, verify=verify)
    return load_folder(path, listing, max_bad=max_bad, verify=verify)


def _load_files(path: Path, max_bad: int, verify: Verify) -> ImageSet:
    """The images of a table of paths, or of the shards that a path or a pattern names."""
    suffix = path.suffix.casefold()
    if suffix in (".csv", ".tsv") or (suffix == ".parquet" and is_image_table(path)):
        return load_table(path, max_bad=max_bad, verify=verify)
    return load_shards(path, list_shards(path), max_bad=max_bad, verify=verify)


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Keep Python from looking for cycles among the objects of a million files again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _require_no_published_files(folder: Path) -> None:
    """Refuse a folder of published files, which hold no pictures that a folder could have."""
    for name, files in OWN_FILES.items():
        if any(os.path.isfile(folder / file) or os.path.isfile(folder / f"{file}.gz") for file in files):
            raise BadInput(
                f"{folder} holds files of {name}, not pictures; name the set (data={name}) and set "
                f"MLPROJECT_DATA={folder}"
            )


def _require_default(ignore: Ignore, name: str) -> None:
    if ignore != "255":
        raise WrongUse(f"ignore must be 255, not {ignore!r}: {name} is no folder of images and label maps")


def full_name(spec: str) -> str:
    """``spec`` as a run records it: that of a path is absolute, wherever the command was given."""
    path = os.path.expanduser(spec)
    is_path = os.path.exists(path) or is_pattern(Path(path))
    named = spec.partition(":")[0] in DATASETS or not is_path
    return spec if named else os.path.abspath(path)
