"""One verdict over several laws of the same points: who may speak, and whose reason is given."""

from __future__ import annotations

from collections.abc import Sequence

from mlproject.scaling.fitting.fit import Fit
from mlproject.scaling.fitting.verdict import FLAT, UNIDENTIFIABLE

HEARD = 0.1
"""The least weight at which a law may speak where the heaviest law cannot be judged."""


def overall(judged: Sequence[tuple[float, Fit]]) -> tuple[str, str]:
    """Verdict and reason from fits with their weights, heaviest first.

    The heaviest law that can be judged speaks, else the heaviest says why not. *Flat* is said of the average
    slope, whatever the law, so one law that says it is enough.
    """
    if not judged:
        return UNIDENTIFIABLE, "none of the laws could be fitted by itself"
    flat = [one for _, one in judged if one.verdict == FLAT]
    sure = [one for weight, one in judged if one.verdict != UNIDENTIFIABLE and weight >= HEARD]
    chosen = (flat or sure or [judged[0][1]])[0]
    return chosen.verdict, f"{chosen.law}: {chosen.reason}"
