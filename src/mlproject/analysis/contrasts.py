"""Contrasts: curves that differ in the region alone, by their exponents and by their losses.

The cells of such curves draw and judge the same images, so that bootstrap draws over images and seeds are
taken pair by pair: shared images and seeds stay shared in every interval.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from mlproject.analysis.fits import LAWS, UNIDENTIFIABLE
from mlproject.analysis.study import STATISTICS, Curve, Statistic
from mlproject.cell import LABELS_ONLY, Region
from mlproject.errors import MLProjectError
from mlproject.scaling import Difference, Estimate, compare

REGION_FIELDS = {"region", "region_digest", *LABELS_ONLY}


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """The exponent of the first curve minus that of the second, under one law of one statistic.

    ``identified`` says that both exponents are, so that their difference may be read as a number.
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
    def regions(self) -> tuple[str, str]:
        """The region of either curve."""
        return str(self.first.fixed["region"]), str(self.second.fixed["region"])


def contrasts(curves: Sequence[Curve]) -> tuple[Contrast, ...]:
    """All pairs of curves that share everything but the region, under every law fitted to both."""
    alike: dict[str, list[Curve]] = {}
    for curve in curves:
        shared = {name: value for name, value in curve.fixed.items() if name not in REGION_FIELDS}
        key = json.dumps([curve.axis.name, shared], sort_keys=True, default=str)
        alike.setdefault(key, []).append(curve)
    order = get_args(Region)
    found: list[Contrast] = []
    for some in alike.values():
        some.sort(key=lambda curve: order.index(curve.fixed["region"]))
        for first, second in itertools.combinations(some, 2):
            found += _pair(first, second)
    return tuple(found)


def _pair(first: Curve, second: Curve) -> Iterator[Contrast]:
    for statistic, law in itertools.product(STATISTICS, LAWS):
        verdicts = [curve.verdict(statistic, law) for curve in (first, second)]
        fits = [verdict.fit for verdict in verdicts if verdict is not None and verdict.fit is not None]
        if len(fits) < 2:
            continue
        try:
            difference, (scale, ratio) = compare(*fits), _ratio(first, second, statistic)
        except (MLProjectError, ValueError):
            continue
        yield Contrast(
            first=first,
            second=second,
            statistic=statistic,
            law=law,
            identified=all(v is not None and v.verdict != UNIDENTIFIABLE for v in verdicts),
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
