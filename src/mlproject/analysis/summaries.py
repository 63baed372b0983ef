"""Mean, median and trimmed mean of the losses of runs under the same bootstrap weights of images."""

from __future__ import annotations

from collections.abc import Sequence

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
    first = np.ones((1, n_images), np.float32)
    for start in range(0, n_draws, step):
        draws = rng.standard_exponential((min(step, n_draws - start), n_images), dtype=np.float32)
        weights = np.vstack([first, draws]) if start == 0 else draws
        for run in runs:
            losses = run.losses if kind == run.kind else np.asarray(run.columns[kind], np.float64)
            order = np.argsort(losses, kind="stable")
            values = _weighted(weights[:, run.rows[order]], losses[order])
            for name, value in zip(SUMMARIES, values, strict=True):
                parts[name].setdefault(run.run_id, []).append(value)
    return {
        name: {run_id: np.concatenate(pieces) for run_id, pieces in by_run.items()}
        for name, by_run in parts.items()
    }


def _weighted(weights: NDArray[np.float32], losses: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean, median and trimmed mean [sets] of ascending losses [images] under weights [sets, images]."""
    mass = np.cumsum(weights, axis=1, dtype=np.float64)
    mass /= mass[:, -1:]
    mean = np.diff(mass, axis=1, prepend=0.0) @ losses
    median = losses[np.minimum(np.count_nonzero(mass < 0.5, axis=1), len(losses) - 1)]
    within = np.diff(np.clip(mass, TRIMMED, 1 - TRIMMED), axis=1, prepend=TRIMMED)
    return mean, median, within @ losses / (1 - 2 * TRIMMED)
