"""Quantities of many predictions along one axis, computed at a few and read between them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlproject.scaling.laws.law import Array

KNOTS = 40


def between_knots(quantities: Callable[[Array], Array], at: Array) -> Array:
    """Quantities [q, n] at log scales at [n, axes]: along one axis KNOTS at most, lines between."""
    if at.shape[1] > 1 or len(at) <= KNOTS:
        return quantities(at)
    knots = np.linspace(at.min(), at.max(), KNOTS)
    return np.stack([np.interp(at[:, 0], knots, row) for row in quantities(knots[:, None])])
