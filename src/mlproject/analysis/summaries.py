"""Mean, median and trimmed mean of the losses of runs under the same bootstrap weights of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mlproject.analysis.ordered_losses import OrderedLosses, Weights, image_weights, ordered_losses
from mlproject.analysis.runs import EvaluatedRun, Floats

SUMMARIES = ("mean", "median", "trimmed mean")
TRIMMED = 0.1
"""Share of the images that the trimmed mean leaves out at either end."""


@dataclass(frozen=True, kw_only=True)
class Summaries:
    """Summaries of runs under draws that all of them share; those of a run are computed once."""

    n_draws: int
    seed: int
    _known: dict[tuple[str, str], Floats] = field(default_factory=dict)

    def of(self, runs: Sequence[EvaluatedRun], kind: str, n_images: int) -> Floats:
        """``SUMMARIES`` [summaries, runs, 1 + draws] of losses of a kind; those of equal weights come first.

        ``n_images`` are in the pool of the runs.
        """
        missing = [run for run in runs if (kind, run.run_id) not in self._known]
        values = np.empty((len(missing), len(SUMMARIES), 1 + self.n_draws))
        ordered, rng = ordered_losses(missing, kind), np.random.default_rng([self.seed, 3])
        for losses in ordered:
            values[losses.places, :, 0] = _summaries(losses, np.ones((n_images, 1)))[..., 0]
        for draws, weights in image_weights(rng, self.n_draws if missing else 0, n_images):
            for losses in ordered:
                values[losses.places, :, 1 + draws.start : 1 + draws.stop] = _summaries(losses, weights)
        self._known.update(zip([(kind, run.run_id) for run in missing], values, strict=True))
        return np.stack([self._known[kind, run.run_id] for run in runs], axis=1)


def _summaries(losses: OrderedLosses, weights: Weights) -> Floats:
    """The summaries [runs, summaries, sets] under sets of weights [images, sets]."""
    total = losses.total(weights)
    low, high = (losses.products_below(weights, total, share) for share in (TRIMMED, 1 - TRIMMED))
    mean = losses.products(weights) / total
    trimmed = (high - low) / ((1 - 2 * TRIMMED) * total)
    return np.stack([mean, losses.quantile(weights, total, 0.5), trimmed], axis=1)
