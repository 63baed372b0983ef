"""The scaling laws, one value each, and the table of them all."""

from __future__ import annotations

from mlproject.errors import unknown
from mlproject.scaling.laws.bounded import BOUNDED, BOUNDED_SUM, M4, OVERFITTING, ROSENFELD
from mlproject.scaling.laws.law import ScalingLaw
from mlproject.scaling.laws.one_axis import BNSL1, BNSL2, M3, POWER, POWER_FLOOR, SHIFTED, ZHAI
from mlproject.scaling.laws.several_axes import (
    COUPLED,
    INTERACTION,
    KAPLAN,
    PRODUCT,
    PRODUCT3,
    SEPARABLE,
    SEPARABLE3,
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
