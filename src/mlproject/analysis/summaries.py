"""Mean, median and trimmed mean of the losses of runs under the same bootstrap weights of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlproject.analysis.effects import CHUNK
from mlproject.analysis.runs import EvaluatedRun, Floats

SUMMARIES = ("mean", "median", "trimmed mean")
TRIMMED = 0.1
"""Share of the images that the trimmed mean leaves out at either end."""


def summaries(
    runs: Sequence[EvaluatedRun], kind: str, n_images: int, *, n_draws: int, seed: int
) -> dict[str, dict[str, Floats]]:
    """Summaries [1 + draws] of every run's losses of a kind, by summary and run; equal weights come first."""
    rng, step = np.random.default_rng([seed, 3]), max(1, CHUNK // n_images)
    parts: dict[str, dict[str, list[Floats]]] = {name: {} for name in SUMMARIES}
    equal = np.ones((n_images, 1))
    for start in range(0, n_draws, step):
        size = (min(step, n_draws - start), n_images)
        # A row for each image is copied and added up much faster than a column.
        draws = np.ascontiguousarray(rng.standard_exponential(size, dtype=np.float32).T)
        for run in runs:
            losses = run.losses if kind == run.kind else np.asarray(run.columns[kind], np.float64)
            order = np.argsort(losses, kind="stable")
            for weights in (equal, draws) if start == 0 else (draws,):
                values = _weighted(weights[run.rows[order]], losses[order])
                for name, value in zip(SUMMARIES, values, strict=True):
                    parts[name].setdefault(run.run_id, []).append(value)
    return {
        name: {run_id: np.concatenate(pieces) for run_id, pieces in by_run.items()}
        for name, by_run in parts.items()
    }


def _weighted(weights: NDArray[Any], losses: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean, median and trimmed mean [sets] of ascending losses [images] under weights [images, sets].

    Draws have single precision: their spread is an interval's width, which needs no more. The weights are
    written over.
    """
    mass = np.cumsum(weights, axis=0)
    total = mass[-1].copy()
    like = losses.astype(mass.dtype)
    mean = like @ weights / total
    mass /= total
    median = losses[np.argmax(mass >= 0.5, axis=0)]
    np.clip(mass, TRIMMED, 1 - TRIMMED, out=mass)
    np.subtract(mass[0], TRIMMED, out=weights[0])
    np.subtract(mass[1:], mass[:-1], out=weights[1:])
    trimmed = like @ weights / (1 - 2 * TRIMMED)
    return mean.astype(np.float64), median, trimmed.astype(np.float64)
