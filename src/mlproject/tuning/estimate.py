"""About how long a search takes, from sizes alone: nothing is run, and no torch is needed."""

from __future__ import annotations

from mlproject.data import ImageSet
from mlproject.models import find_model
from mlproject.tuning.coordinate import Coordinate

GFLOPS = 20
"""Assumed speed of one core on the matrix products of a head."""
ASKING = 0.03
"""Seconds that a trial's suggestion and its entries in the storage take."""
STEP = 3e-5
"""Seconds that a step takes however small the head, shared by the heads of a block."""
N_PIXELS = 512


def seconds(coordinate: Coordinate, images: ImageSet) -> float:
    """Seconds for all trials of a coordinate on one core, features not counted."""
    trial = coordinate.trial
    knobs = trial.knobs
    n_in = find_model(trial.model).width * len(trial.image_scales)
    target = knobs.get("target")
    n_out = len(images.classes) if target == "labels" else N_PIXELS if target == "pixels" else n_in
    batch = min(int(knobs.get("batch_size", 32)), trial.dataset_size)
    per_epoch = -(-trial.dataset_size // batch)
    n_steps = int(knobs.get("steps") or int(knobs.get("epochs", 1)) * per_epoch)
    if coordinate.length:
        last = coordinate.lengths[-1]
        n_steps = last if coordinate.length == "steps" else last * per_epoch
    flops = 6.0 * n_steps * batch * n_in * n_out
    return coordinate.tune.trials * (flops / (GFLOPS * 1e9) + STEP * n_steps + ASKING)
