"""What a request for features would cost, before anything is computed: forwards, disk, time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlproject.device import find_device, find_n_threads
from mlproject.features.extraction import Extraction, LargeImages
from mlproject.features.store import find_engine
from mlproject.features.table import read_meta, stored_digests, table_name
from mlproject.files import cache_folder, try_locked
from mlproject.models import Model, Weights

BYTES_OF_VALUE, BYTES_OF_DIGEST = 4, 68


@dataclass(frozen=True, kw_only=True)
class ExtractionCost:
    """Images to embed (once per scale), the bytes that their features take, and the seconds that this takes.

    ``seconds`` is None where no extraction by this backbone was measured with this device and these threads.
    ``is_busy``: another process computes some of them at the moment.
    """

    n_forwards: int
    n_bytes: int
    seconds: float | None
    is_busy: bool = False


def extraction_cost(
    model: Model,
    weights: Weights,
    digests: Sequence[str],
    *,
    image_scales: Sequence[float] = (1.0,),
    large_images: LargeImages = "interpolated",
    precision: str = "fp32",
    root: Path | None = None,
) -> ExtractionCost:
    """The cost of the images of these digests that have no stored row; headers alone are read.

    Raises: WrongUse, BadInput as the extraction itself would.
    """
    n_forwards, seconds = 0, 0.0
    at_one = Extraction(
        model=model,
        weights=weights,
        precision=precision,
        engine=find_engine("auto", precision),
        large_images=large_images,
    )
    is_known, is_busy = True, False
    for image_scale in image_scales:
        extraction = replace(at_one, image_scale=float(image_scale))
        folder, meta = _table(extraction, root or cache_folder())
        n_missing = len(_missing(folder, digests))
        speed = meta.get("speed", {})
        alike = speed.get("device") == find_device() and speed.get("threads") == find_n_threads()
        n_forwards += n_missing
        is_busy = is_busy or _is_locked(folder.with_name(f"{folder.name}.lock"))
        is_known = is_known and (alike or not n_missing)
        seconds += n_missing / speed["images_per_second"] if alike else 0.0
    n_bytes = n_forwards * (BYTES_OF_VALUE * model.width + BYTES_OF_DIGEST)
    return ExtractionCost(
        n_forwards=n_forwards, n_bytes=n_bytes, seconds=seconds if is_known else None, is_busy=is_busy
    )


def missing_digests(
    model: Model,
    weights: Weights,
    digests: Sequence[str],
    *,
    image_scale: float,
    large_images: LargeImages = "interpolated",
    precision: str = "fp32",
) -> list[str]:
    """Those of the images of these digests, each once, that have no stored row at a scale; headers are read.

    Raises: WrongUse, BadInput as the extraction itself would.
    """
    extraction = Extraction(
        model=model,
        weights=weights,
        precision=precision,
        engine=find_engine("auto", precision),
        image_scale=image_scale,
        large_images=large_images,
    )
    folder, _ = _table(extraction, cache_folder())
    return _missing(folder, digests)


def _missing(folder: Path, digests: Sequence[str]) -> list[str]:
    stored = stored_digests(folder)
    return [digest for digest in dict.fromkeys(digests) if digest not in stored]


def _is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    with try_locked(path) as is_free:
        return not is_free


def _table(extraction: Extraction, root: Path) -> tuple[Path, dict[str, Any]]:
    """Folder and description of the features' table, which torch fills where onnxruntime cannot."""
    folder = root / table_name(extraction.key)
    meta = read_meta(folder) or {}
    return _table(replace(extraction, engine="eager"), root) if "refused" in meta else (folder, meta)
