"""Differences of exponents between two curves: arms of an ablation, and regions of the same images.

The cells of such curves draw and evaluate the same images, so that bootstrap draws over images and seeds
are paired: shared images and seeds stay shared in every interval.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from mlproject.analysis.ablations import ArmTable
from mlproject.analysis.arms import arm_of, name_of_arm
from mlproject.analysis.bootstrap import STATISTICS, Statistic
from mlproject.analysis.comparable import ARM_FIELDS, REGION_FIELDS, comparison_key
from mlproject.analysis.curves import Curve
from mlproject.cell import Region
from mlproject.errors import MLProjectError
from mlproject.scaling import UNIDENTIFIABLE, Difference, Estimate, compare


@dataclass(frozen=True, kw_only=True)
class ExponentDifference:
    """The exponents of an arm and of the baseline under one law, and their difference.

    ``identified`` is whether both laws are, so that the difference may be read as a number.
    """

    arm: str
    axis: str
    series: str
    law: str
    exponent: Estimate
    baseline: Estimate
    difference: Difference
    identified: bool


@dataclass(frozen=True, kw_only=True)
class RegionContrast:
    """The exponent of the first curve minus that of the second, under one law of one statistic.

    ``identified`` is whether both laws are, so that the difference may be read as a number.
    ``loss_ratio`` is the first loss over the second at ``scale``, the largest that both have; 95 % intervals.
    """

    first: Curve
    second: Curve
    statistic: Statistic
    law: str
    identified: bool
    difference: Difference
    scale: float
    loss_ratio: Estimate

    @property
    def n_seeds(self) -> int:
        """The fewest seeds of a point of either curve; with one, the ratio's interval is over images."""
        return min(self.first.n_seeds[0], self.second.n_seeds[0])

    @property
    def headline(self) -> bool:
        """Whether this is the contrast that answers name: of the mean loss, under the law without a floor."""
        return (self.statistic, self.law) == ("mean", "power")

    @property
    def regions(self) -> tuple[str, str]:
        """The region of either curve."""
        return str(self.first.fixed["region"]), str(self.second.fixed["region"])


def shared_law(curves: Sequence[Curve], statistic: Statistic) -> str:
    """The law under which several curves are shown, so that their exponents compare; empty without a fit.

    The law with a floor where every fitted curve identifies it, else the power law.
    """
    fitted = [curve for curve in curves if curve.fitted_laws(statistic)]
    floors = [curve.law(statistic, "power_floor") for curve in fitted]
    if not fitted:
        return ""
    identified = all(law and law.fit is not None and law.verdict != UNIDENTIFIABLE for law in floors)
    return "power_floor" if identified else "power"


def arm_exponents(curves: Sequence[Curve], tables: Sequence[ArmTable]) -> list[ExponentDifference]:
    """Exponents of the mean loss of every arm minus those of its baseline, law by law."""
    arms = {(comparison_key(table.baseline), row.arm) for table in tables for row in table.rows}
    differences: list[ExponentDifference] = []
    for base, other in itertools.permutations(curves, 2):
        baseline = arm_of(base.fixed)
        name = name_of_arm(arm_of(other.fixed), baseline)
        if (comparison_key(baseline), name) in arms and base.axis is other.axis and _one_setting(base, other):
            differences += _exponents(name, base, other)
    return differences


def _one_setting(first: Curve, second: Curve) -> bool:
    return comparison_key(first.fixed, ARM_FIELDS) == comparison_key(second.fixed, ARM_FIELDS)


def _exponents(name: str, base: Curve, other: Curve) -> Iterator[ExponentDifference]:
    for law in other.fitted_laws("mean"):
        against = base.law("mean", law.law)
        if law.fit is None or against is None or against.fit is None:
            continue
        fixed = base.fixed
        yield ExponentDifference(
            arm=name,
            axis=base.axis.name,
            series=str(fixed["model"]) if "model" in fixed else f"{fixed['dataset_size']:,} images",
            law=law.law,
            exponent=law.parameters["alpha"],
            baseline=against.parameters["alpha"],
            difference=compare(law.fit, against.fit),
            identified=UNIDENTIFIABLE not in (law.verdict, against.verdict),
        )


def region_contrasts(curves: Sequence[Curve]) -> tuple[RegionContrast, ...]:
    """All pairs of curves that share everything but the region, under every law fitted to both."""
    comparable: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        key = (curve.axis.name, comparison_key(curve.fixed, REGION_FIELDS))
        comparable.setdefault(key, []).append(curve)
    order = get_args(Region)
    contrasts: list[RegionContrast] = []
    for group in comparable.values():
        group.sort(key=lambda curve: order.index(curve.fixed["region"]))
        for first, second in itertools.combinations(group, 2):
            contrasts += _contrasts(first, second)
    return tuple(contrasts)


def _contrasts(first: Curve, second: Curve) -> Iterator[RegionContrast]:
    for statistic in STATISTICS:
        for law in first.fitted_laws(statistic):
            against = second.law(statistic, law.law)
            if law.fit is None or against is None or against.fit is None:
                continue
            try:
                difference = compare(law.fit, against.fit)
                scale, ratio = _ratio(first, second, statistic)
            except (MLProjectError, ValueError):
                continue
            yield RegionContrast(
                first=first,
                second=second,
                statistic=statistic,
                law=law.law,
                identified=UNIDENTIFIABLE not in (law.verdict, against.verdict),
                difference=difference,
                scale=scale,
                loss_ratio=ratio,
            )


def _ratio(first: Curve, second: Curve, statistic: Statistic) -> tuple[float, Estimate]:
    """The largest scale of both curves, and the ratio of their losses there. Raises: ValueError."""
    scale = max({point.x for point in first.points} & {point.x for point in second.points})
    a, b = (next(p for p in curve.points if p.x == scale) for curve in (first, second))
    low, high = np.percentile(a.draws[statistic] / b.draws[statistic], (2.5, 97.5))
    value = a.value(statistic) / b.value(statistic)
    return scale, Estimate(value=value, low=float(low), high=float(high))
