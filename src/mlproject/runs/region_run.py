"""Find the regions of a data set as one tracked run of kind ``regions``.

Every region is stored as soon as it is found, and the artifacts are made of stored regions: the run after a
killed one continues, and its artifacts are the same to the byte, seconds included.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mlproject import __version__
from mlproject.data import ImageSet
from mlproject.errors import MLProjectError
from mlproject.files import cache_folder, temporary_folder, try_locked
from mlproject.losses import Report
from mlproject.regions import RegionResult, RegionSettings, RegionStore
from mlproject.report import (
    N_SHEET,
    TILE,
    caption,
    coco_json,
    contact_sheet,
    overlay,
    png,
    region_document,
    region_summary,
    render_markdown,
    to_csv,
)
from mlproject.tracking import Store, TrackedRun

SUMMARY = "summary.md"
NAME_LENGTH = 80


@dataclass(frozen=True, kw_only=True)
class RegionRun:
    """A finished run of kind ``regions``: its id, its summary, and the address of its artifacts."""

    run_id: str
    text: str
    where: str


def mask_images(images: ImageSet, settings: RegionSettings, store: Store, *, report: Report) -> RegionRun:
    """Find the region of every image as a tracked run; an earlier run of the same content is returned,
    where its artifacts are whole.

    Raises: MLProjectError where another process runs it, NoRoom, DigestMismatch for a changed image.
    """
    digest = hashlib.sha256(f"{images.digest}:{settings.digest}:{__version__}".encode()).hexdigest()[:16]
    store.reconcile()
    earlier = store.finished(kind="regions", tags={"regions.key": digest}, reads=SUMMARY)
    if earlier and not store.launcher_run:
        text = store.artifact(earlier, SUMMARY).read_text("utf-8")
        return RegionRun(run_id=earlier, text=text, where=store.artifact_uri(earlier))
    lock, title = f"regions-{digest}", f"regions · {images.name} · {settings.label}"
    with try_locked(store.lock_path(lock)) as ours:
        if not ours:
            raise MLProjectError(f"another process is finding the regions of {images.name}; wait for it")
        tags = {"regions.key": digest}
        with store.run(kind="regions", name=title, tags=tags, adopt=True) as run:
            text = _run(run, images, settings, title, report)
    return RegionRun(run_id=run.run_id, text=text, where=store.artifact_uri(run.run_id))


def _run(run: TrackedRun, images: ImageSet, settings: RegionSettings, title: str, report: Report) -> str:
    regions = RegionStore(cache_folder(), settings)
    with regions.working(), temporary_folder() as folder:
        report.stage("regions", len(images))
        for index in range(len(images)):
            regions.region(images.digests[index], partial(images.read, index))
            report.advance(1)
        n_found = regions.finder.n_found
        text, numbers = _write(folder, images, regions, title, report)
        params = {"regions.method": settings.method, "regions.data": images.name}
        params |= {"regions.paths": settings.paths, "regions.refine": settings.refine}
        checkpoint = settings.checkpoint
        params["regions.checkpoint"] = checkpoint.spec if checkpoint else ""
        params["regions.checkpoint_sha256"] = checkpoint.sha256 if checkpoint else ""
        provenance = {"regions.settings": settings.digest, "regions.opencv": cv2.__version__}
        run.log(
            params={name: value for name, value in params.items() if value},
            metrics={f"regions.{name}": value for name, value in numbers.items()} | {"found_now": n_found},
            tags=provenance | {"mlflow.note.content": text},
        )
        run.log_dataset(name=images.name, digest=images.digest, source=images.source, context="regions")
        run.log_files(folder)
    return text


def _write(
    folder: Path, images: ImageSet, regions: RegionStore, title: str, report: Report
) -> tuple[str, dict[str, float]]:
    """Write all artifacts; returns the summary's text and its numbers."""
    (folder / "masks").mkdir()
    (folder / "overlays").mkdir()
    report.stage("pictures", len(images))
    rows: list[Mapping[str, Any]] = []
    results: list[RegionResult] = []
    tiles: list[tuple[str, NDArray[np.uint8]]] = []
    for index, (name, digest) in enumerate(zip(images.ids, images.digests, strict=True)):
        region = regions.region(digest, partial(images.read, index))
        image = images.read(index)
        file = file_name(index, name)
        (folder / "masks" / file).write_bytes(png(region.mask))
        (folder / "overlays" / file).write_bytes(png(overlay(image, region)))
        known = {"image": name, "sha256": digest, "file": file}
        rows.append({**known, **region.facts})
        results.append(region)
        if len(tiles) < N_SHEET:
            tiles.append((caption(name, region), overlay(image, region, TILE[0])))
        report.advance(1)
    return _write_tables(folder, images.ids, results, rows, tiles, title)


def _write_tables(
    folder: Path,
    names: Sequence[str],
    results: Sequence[RegionResult],
    rows: Sequence[Mapping[str, Any]],
    tiles: Sequence[tuple[str, NDArray[np.uint8]]],
    title: str,
) -> tuple[str, dict[str, float]]:
    document = region_document(rows, title)
    text = render_markdown(document)
    sheet = contact_sheet(tiles, f"{title} · {len(tiles)} of {len(names):,} images")
    (folder / "contact_sheet.png").write_bytes(png(sheet))
    (folder / "masks.json").write_bytes(coco_json(zip(names, results, strict=True)))
    for table in document.tables:
        if not table.formats:
            (folder / f"{table.name}.csv").write_bytes(to_csv(table))
    (folder / SUMMARY).write_text(text, "utf-8")
    return text, region_summary(rows)


def file_name(index: int, name: str) -> str:
    """A portable file name: the image's number, then the end of its id in ASCII letters."""
    stem = os.path.splitext(name)[0]
    return f"{index:05d}_{re.sub(r'[^A-Za-z0-9._-]', '_', stem)[-NAME_LENGTH:]}.png"
