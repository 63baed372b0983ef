"""The table of laws, written by hand."""

from __future__ import annotations

from mlproject.errors import unknown
from mlproject.scaling.laws.bounded import BOUNDED, M4
from mlproject.scaling.laws.broken import BNSL1, BNSL2
from mlproject.scaling.laws.law import ScalingLaw
from mlproject.scaling.laws.one_axis import M3, POWER, POWER_FLOOR, SHIFTED, ZHAI
from mlproject.scaling.laws.overfitting import OVERFITTING
from mlproject.scaling.laws.three_axes import PRODUCT3, SEPARABLE3
from mlproject.scaling.laws.two_axes import (
    BOUNDED_SUM,
    COUPLED,
    INTERACTION,
    KAPLAN,
    PRODUCT,
    ROSENFELD,
    SEPARABLE,
)

ONE_AXIS = (POWER, POWER_FLOOR, SHIFTED, ZHAI, M3, BOUNDED, M4, BNSL1, BNSL2)
TWO_AXES = (SEPARABLE, PRODUCT, INTERACTION, COUPLED, KAPLAN, BOUNDED_SUM, ROSENFELD)
THREE_AXES = (SEPARABLE3, PRODUCT3, OVERFITTING)
LAWS: dict[str, ScalingLaw] = {law.name: law for law in ONE_AXIS + TWO_AXES + THREE_AXES}


def find_law(name: str) -> ScalingLaw:
    """A law by its name; raises WrongUse with near matches for a name that does not exist."""
    if name not in LAWS:
        raise unknown("law", name, LAWS)
    return LAWS[name]
