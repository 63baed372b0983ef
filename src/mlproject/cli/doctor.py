"""The command ``doctor``: check packages, device, weights, data, cache and store of this machine.

It lists what a crash or an older version left behind as well, and mends it on request.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from mlproject.cli.console import out
from mlproject.cli.leftovers import leftovers
from mlproject.errors import MLProjectError

ROOM = 1 << 30
PACKAGES = ("torch", "torchvision", "timm", "mlflow", "onnxruntime", "numpy", "opencv-python-headless")
MARKS = {True: ("ok  ", "green"), None: ("note", "yellow"), False: ("bad ", "red")}

BUSY_SECONDS = 5.0
"""How long a store that another process writes to is waited for."""
Finding = tuple[bool | None, str, str]
"""Whether it works (None: with limits), what it is, and the detail."""


def examine(*, repair: bool = False) -> int:
    """Print the findings, and mend what was left behind if asked to; the exit status.

    0, or 1 when something will not work, or was left behind and not mended.
    """
    findings = [*_packages(), *_device(), *_weights(), *_regions(), *_data(), *_cache(), *_store()]
    for finding in findings:
        _print(finding)
    is_bad = any(works is False for works, _, _ in findings)
    n_left = 0
    for leftover in leftovers():
        hint = "" if leftover.mend else f"; {leftover.remedy}"
        _print((leftover.works, leftover.what, leftover.fault + hint))
        if leftover.mend and repair:
            _print((True, leftover.what, leftover.mend() or leftover.remedy))
        n_left += leftover.mend is not None and not repair
        is_bad |= leftover.works is False and not repair
    if n_left:
        out.print(f"{n_left} to mend: mlproject doctor --repair")
    return int(is_bad)


def _print(finding: Finding) -> None:
    works, what, detail = finding
    out.print(Text.assemble(MARKS[works], f" {what}: {detail}"), soft_wrap=True)


def _packages() -> Iterator[Finding]:
    yield sys.version_info >= (3, 11), "python", sys.version.split()[0]
    for name in PACKAGES:
        try:
            yield True, name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield False, name, "not installed; run `pip install -e .` in this repository's checkout"


def _device() -> Iterator[Finding]:
    from mlproject.device import describe

    described = describe()
    on_cpu = described["device"] == "cpu"
    words = ", ".join(f"{name} {value}" for name, value in described.items() if name != "device")
    hint = " (no GPU found; features come from onnxruntime)" if on_cpu else ""
    yield (None if on_cpu else True), "device", f"{described['device']}{hint}, {words}"


def _weights() -> Iterator[Finding]:
    from mlproject.models import MODELS, find_weights

    for name, model in MODELS.items():
        if model.imagenet is None:
            continue
        try:
            yield True, f"weights of {name}", str(find_weights(model, "imagenet").path)
        except MLProjectError as problem:
            yield None, f"weights of {name}", str(problem)


def _regions() -> Iterator[Finding]:
    from mlproject.regions import NO_CHECKPOINT

    yield None, "SAM", NO_CHECKPOINT


def _data() -> Iterator[Finding]:
    from mlproject.data import load_images

    try:
        images = load_images("embedded")
        images.read(0)
        n = images.n_held_out
        yield True, "embedded data", f"{len(images):,} images, {n:,} of them held out; digest verified"
    except MLProjectError as problem:
        yield False, "embedded data", str(problem)


def _cache() -> Iterator[Finding]:
    from mlproject.features import list_tables
    from mlproject.files import cache_folder

    root = cache_folder()
    there = next(p for p in (root, *root.parents) if p.exists())
    free = shutil.disk_usage(there).free
    tables = list(list_tables())
    size = sum(row.n_bytes for row in tables)
    detail = f"{root}, {len(tables)} tables, {size / 2**20:.0f} MiB; {free / 2**30:.0f} GiB free"
    yield free > ROOM, "feature cache", detail


def _store() -> Iterator[Finding]:
    from mlproject.errors import masked
    from mlproject.tracking import open_store, sqlite_path, tracking_uri

    uri = tracking_uri()
    path = sqlite_path(uri)
    if path is not None and not os.path.exists(path):
        yield None, "tracking store", f"{path} is not there yet; the first cell creates it"
        return
    if path is not None:
        yield _integrity(path)
    try:
        open_store(create=False)
    except MLProjectError as problem:
        yield False, "tracking store", str(problem)
        return
    yield True, "tracking store", masked(uri)


def _integrity(path: Path) -> Finding:
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.as_uri()}?mode=ro", timeout=BUSY_SECONDS, uri=True)
        ) as connection:
            verdict = str(connection.execute("pragma integrity_check").fetchone()[0])
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            return (
                None,
                "store file",
                f"{path}: another process is writing to it; ask again when that has ended",
            )
        verdict = str(error)
    return verdict == "ok", "store file", f"{path}: integrity {verdict}"
