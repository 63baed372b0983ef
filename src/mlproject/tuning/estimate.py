"""Estimate the duration of a search from sizes alone, without torch."""

from __future__ import annotations

from mlproject.data import ImageSet
from mlproject.models import find_model
from mlproject.tuning.coordinate import Coordinate

GFLOPS = 20
"""Assumed speed of one core on the matrix products of a head."""
SUGGESTION = 0.03
"""Seconds for suggesting and storing a trial."""
STEP = 3e-5
"""Smallest duration of a step in seconds, shared by the heads of a block."""
N_PIXELS = 512


def search_seconds(coordinate: Coordinate, images: ImageSet) -> float:
    """Seconds for all trials of a coordinate on one core, without features."""
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
    return coordinate.tune.trials * (flops / (GFLOPS * 1e9) + STEP * n_steps + SUGGESTION)
