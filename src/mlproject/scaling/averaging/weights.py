"""How much each law counts: what was plausible before, how it predicted what was held out, how it fits.

Sources: Dawid 1984 (prequential scoring); Yao et al. 2018 (stacking predictive distributions).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import special

from mlproject.scaling.averaging.discrepancy import Cells
from mlproject.scaling.laws.law import Array, ScalingLaw

FAMILY = {"bounded_sum": "separable", "power": "power_floor"}  # laws that tend to another share its prior
HELD_BACK = 0.5  # of the weights, kept for the prior: a few cuts can be lucky
TEMPERED = 0.5  # power of the evidence on joint laws that rolling scores judge too


def prior_weights(members: Mapping[str, ScalingLaw], n_cells: int, ceiling: float | None) -> dict[str, float]:
    """Equal by family from eight cells on; with fewer, a factor e^-((8 - cells) / 6) for every parameter."""
    steep = max(0.0, 8.0 - n_cells) / 6.0
    family = [FAMILY.get(name, name) for name in members]
    raw = {
        name: float(np.exp(-steep * law.n_free(ceiling))) / family.count(FAMILY.get(name, name))
        for name, law in members.items()
    }
    return {name: value / sum(raw.values()) for name, value in raw.items()}


def weigh(prior: Array, scores: Array | None, evidence: Array, cells: Cells) -> Array:
    """Weights [laws] from prior weights, rolling scores and log evidence, each only where it can be trusted.

    Evidence compares laws by misfit, so it counts in full where the noise is known apart from the laws or
    cells are too few to roll over. Otherwise laws of one axis, which nest, go without, and joint laws, which
    exclude each other, by its square root, since each is a little wrong (power likelihood: Holmes and Walker
    2017, Biometrika 104, 497). The rest is the rolling score, half of it held back for the prior.
    """
    least = TEMPERED if cells.log_x.shape[1] > 1 else 0.0
    share = 1.0 if cells.noise_known else float(np.clip((8.0 - len(cells.log_y)) / 4.0, least, 1.0))
    base = np.log(prior) + share * (evidence - evidence.max())
    kept = np.exp(base - special.logsumexp(base))
    if scores is None or cells.noise_known:
        return np.asarray(kept)
    rolled = base + scores
    return np.asarray(HELD_BACK * kept + (1.0 - HELD_BACK) * np.exp(rolled - special.logsumexp(rolled)))
