"""The table of laws, written by hand."""

from __future__ import annotations

from mlproject.errors import unknown

from .law import ScalingLaw
from .laws import M3, POWER, POWER_FLOOR, SHIFTED, ZHAI

LAWS: dict[str, ScalingLaw] = {law.name: law for law in (POWER, POWER_FLOOR, SHIFTED, ZHAI, M3)}


def find_law(name: str) -> ScalingLaw:
    """A law by its name; raises WrongUse with near matches for a name that does not exist."""
    if name not in LAWS:
        raise unknown("law", name, LAWS)
    return LAWS[name]
