"""Training speeds measured on this machine, from which the duration of a plan is estimated.

<cache folder>/training-speed-<kind>.json   images a second of the last training of this kind
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from mlproject.cell import Cell
from mlproject.device import find_device, find_n_threads
from mlproject.errors import MLProjectError
from mlproject.files import cache_folder, read_signed, sha256, write_signed

COSTLY = (
    "side", "batch_size", "accumulate", "precision", "compile", "deterministic", "optimizer", "ema",
    "trained_stages", "augmentation", "contrast",
)  # fmt: skip
"""Knobs that change the time of a step; of the others, the lengths are counted."""


def keep_speed(cell: Cell, images_per_second: float) -> None:
    """Keep the speed of a training that has ended; without room for it nothing is kept."""
    with contextlib.suppress(OSError, MLProjectError):
        write_signed(_path(cell), images_per_second)


def training_seconds(cell: Cell) -> float | None:
    """Seconds that the training of a cell takes at the speed of the last one of its kind; None without one.

    Of a kind are trainings of one recipe, model, image scales and costly knobs, on one device with as many
    threads.
    """
    try:
        speed = float(read_signed(_path(cell)))
    except (OSError, ValueError):
        return None
    epochs, steps = int(cell.knobs.get("epochs", 0)), int(cell.knobs.get("steps", 0))
    n_images = steps * int(cell.knobs["batch_size"]) if steps else epochs * cell.dataset_size
    return n_images / speed


def _path(cell: Cell) -> Path:
    knobs = [cell.knobs.get(name) for name in COSTLY]
    kind = [cell.recipe, cell.model, cell.image_scales, knobs, find_device(), find_n_threads()]
    return cache_folder() / f"training-speed-{sha256(json.dumps(kind).encode())[:24]}.json"
