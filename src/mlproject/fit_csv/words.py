"""Numbers and symbols as tables of points write them."""

from __future__ import annotations

import math

from mlproject.scaling import Estimate

SYMBOLS = {"alpha": "α", "beta": "β", "gamma": "γ"}


def interval(estimate: Estimate | None) -> str:
    """``0.55 [0.51, 0.60]``."""
    return "–" if estimate is None else f"{number(estimate.value)} {span(estimate.low, estimate.high)}"


def span(low: float, high: float) -> str:
    """``[0.51, 0.60]``."""
    return f"[{number(low)}, {number(high)}]"


def number(value: float, digits: int = 3) -> str:
    """Significant digits; open ends of intervals as infinities."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.{digits}g}"
