"""The scaling laws, one value each, and the table of them all."""

from __future__ import annotations

from collections.abc import Iterable

from mlproject.errors import BadInput, unknown
from mlproject.scaling.laws.bounded import BOUNDED, BOUNDED_SUM, M4, OVERFITTING, ROSENFELD
from mlproject.scaling.laws.broken import BNSL1, BNSL1_NO_FLOOR, BNSL2, BNSL2_NO_FLOOR
from mlproject.scaling.laws.law import ScalingLaw
from mlproject.scaling.laws.one_axis import LOG_LINEAR, M3, POWER, POWER_FLOOR, SHIFTED, ZHAI
from mlproject.scaling.laws.several_axes import (
    COUPLED,
    INTERACTION,
    KAPLAN,
    LOG_PLANE,
    PRODUCT,
    PRODUCT3,
    SEPARABLE,
    SEPARABLE3,
)

ONE_AXIS = (
    POWER,
    POWER_FLOOR,
    SHIFTED,
    ZHAI,
    M3,
    BOUNDED,
    M4,
    BNSL1,
    BNSL2,
    BNSL1_NO_FLOOR,
    BNSL2_NO_FLOOR,
    LOG_LINEAR,
)
TWO_AXES = (SEPARABLE, PRODUCT, LOG_PLANE, INTERACTION, COUPLED, KAPLAN, BOUNDED_SUM, ROSENFELD)
THREE_AXES = (SEPARABLE3, PRODUCT3, OVERFITTING)
STANDARD = {
    1: ("power", "power_floor"),
    2: ("separable", "product", "log_plane", "coupled", "bounded_sum"),
    3: ("separable3", "product3"),
}
"""Laws that an assessment fits on their own, by number of axes: profiles of richer laws rarely close."""
AVERAGED = {
    1: ("power", "power_floor", "m3", "bnsl1", "bnsl1_no_floor", "bnsl2", "bnsl2_no_floor"),
    2: ("separable", "product", "log_plane", "coupled", "bounded_sum"),
    3: ("separable3", "product3"),
}
"""Laws that are averaged where none are named, by number of axes; m4 too with a known ceiling."""
ADMITTED = LOG_LINEAR
"""A law of one axis that is averaged with these only where its evidence is far above theirs (``weights``)."""
LAWS: dict[str, ScalingLaw] = {law.name: law for law in ONE_AXIS + TWO_AXES + THREE_AXES}


def scales_needed(n_axes: int, n_parameters: int = 0) -> int:
    """Distinct scales from which on a law with so many parameters may be called *scaling*.

    One more than the parameters of the richest law of ``STANDARD``, which is then fitted with a degree of
    freedom: where the richer laws cannot be fitted, nothing can contradict a simple one. Below, a power law
    answers for data with a floor with false verdicts (benchmarks/scaling_verdicts.py). Richer laws need one
    more than their own parameters.
    """
    richest = max(LAWS[name].n_free() for name in STANDARD[n_axes])
    return max(richest, n_parameters) + 1


def find_law(name: str) -> ScalingLaw:
    """A law by its name; raises WrongUse with near matches for a name that does not exist."""
    if name not in LAWS:
        raise unknown("law", name, LAWS)
    return LAWS[name]


def check_laws(names: Iterable[str], n_axes: int) -> tuple[str, ...]:
    """The names as a tuple; raises WrongUse for an unknown law, BadInput for laws or data of other axes."""
    laws = [find_law(name) for name in names]
    other = [law for law in laws if law.axes != n_axes]
    if other:
        raise BadInput(f"law {other[0].name!r} has {other[0].axes} axes and x has {n_axes}")
    if n_axes not in STANDARD:
        raise BadInput(f"laws have one to three axes and x has {n_axes}")
    return tuple(law.name for law in laws)
