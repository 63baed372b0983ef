"""Numbers as text: a scale, and a value with its limits, with the decimals that the interval carries."""

from __future__ import annotations

import math
from collections.abc import Sequence

TWO_DIGITS = 3.55
"""Leading digits of a half-width below which it is written with two of them."""
TINY = 1e-300
MOST_DIGITS, MOST_DECIMALS = 12, 6
"""Digits before and behind the point from which on numbers are written in powers of ten."""
MOST_ZEROS = 3
"""Zeros behind the point from which on a number of many decimals is written in powers of ten."""
MOST_SIGNIFICANT = 8
"""Losses are computed in single precision, which carries seven or eight digits, however narrow a limit is."""


def scale_text(value: float) -> str:
    """A scale with thousands separated: ``4,653,000``, ``0.25``; in powers of ten from 1e12 on."""
    whole = 1e6 <= abs(value) < 1e12 or (value == round(value) and abs(value) < 1e6)
    return f"{value:,.0f}" if whole else f"{value:,.6g}"


def interval_text(value: float | None, low: float, high: float, *, sign: bool = False) -> str:
    """A value with its limits, all with as many decimals as their half-width carries: ``0.26 [0.20, 0.33]``.

    The half-width has two digits where its first three are 100 to 354, one for 355 to 949, and above two of
    the next power of ten (Particle Data Group 2024, Introduction, section 5.3). Whole numbers are written in
    full; a limit that is not 0 is not written as 0 where two further decimals avoid it; open ends are
    infinities; no number has more than eight digits. Without a value (None, or not a number) the limits
    stand alone. ``sign`` writes the sign of positive numbers too, as of differences.
    """
    value = None if value is None or math.isnan(value) else value
    numbers = [x for x in (value, low, high) if x is not None]
    finite = [x for x in numbers if math.isfinite(x)]
    open_ended = not (math.isfinite(low) and math.isfinite(high))
    width = (max(finite) / 2 - min(finite) / 2) * (2.0 if open_ended else 1.0) if finite else 0.0
    width = min(width, 1e308)
    decimals = _decimals(width, finite, [x for x in (low, high) if math.isfinite(x) and x != 0.0])
    texts = [_with_decimals(x, decimals, max(map(abs, finite), default=0.0), sign=sign) for x in numbers]
    span = f"[{texts[-2]}, {texts[-1]}]"
    return span if value is None else f"{texts[0]} {span}"


def _decimals(width: float, numbers: Sequence[float], limits: Sequence[float]) -> int:
    """Decimals that a half-width carries, three digits of the largest number where it is zero."""
    largest = max(map(abs, numbers), default=0.0)
    if not width > TINY:
        return 2 - math.floor(math.log10(largest)) if largest > TINY else 0
    power = math.floor(math.log10(width))
    lead = width / 10.0**power
    decimals = (1 if lead < TWO_DIGITS else 0) - power
    most = MOST_SIGNIFICANT - 1 - math.floor(math.log10(largest))
    enough = [d for d in range(decimals, decimals + 3) if all(abs(x) >= 0.5 * 10.0**-d for x in limits)]
    return min(enough[0] if enough else decimals, most)


def _with_decimals(value: float, decimals: int, largest: float, *, sign: bool) -> str:
    plus = "+" if sign else ""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else f"{plus}∞" if value > 0 else "-∞"
    power = math.floor(math.log10(largest)) if largest > TINY else 0
    if power >= MOST_DIGITS or (decimals > MOST_DECIMALS and power < -MOST_ZEROS):
        digits = max(0, decimals + power)
        return f"{_rounded(value / 10.0**power, digits):{plus}.{digits}f}e{power:+03d}"
    return f"{_rounded(value, decimals):{plus},.{max(0, decimals)}f}"


def _rounded(value: float, decimals: int) -> float:
    """Without a negative zero."""
    return round(value, max(0, decimals)) + 0.0
