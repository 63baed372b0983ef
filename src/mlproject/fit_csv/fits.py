"""One group: laws averaged over their weights, and each law with its own parameters.

A law whose only shapes are one exponent for each axis is fitted by itself too: its parameters are least
squares and profile likelihood, and it can be judged. The richer ones (shifts, breaks, ceilings), whose
profiles cost seconds and rarely close, show the quantiles of the posterior that the average is made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mlproject.errors import MLProjectError
from mlproject.fit_csv.reading import Floats, Group
from mlproject.scaling import LAWS, Average, Estimate, Fit, Prediction, average, fit, overall
from mlproject.scaling.fitting.points import read_points
from mlproject.scaling.fitting.verdict import FLAT, UNIDENTIFIABLE, rises


@dataclass(frozen=True, kw_only=True)
class LawFit:
    """A law of a group: weight, parameters, ranks from 1 inside and outside the data, its own fit."""

    law: str
    weight: float
    parameters: Mapping[str, Estimate]
    in_sample_rank: int | None = None
    out_of_sample_rank: int | None = None
    fit: Fit | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class GroupFit:
    """What is said of a group: verdict with its reason, laws from the heaviest down, and a predictor."""

    name: str
    key: tuple[str, ...]
    n_points: int
    verdict: str
    reason: str
    laws: tuple[LawFit, ...]
    exponents: Mapping[str, Estimate]
    predictor: Average | Fit | None = field(default=None, repr=False)

    def predict(self, x: Floats) -> Prediction | None:
        """Predicted losses at x [n, axes]; None where too few scales carry no law."""
        return None if self.predictor is None or not len(x) else self.predictor.predict(x)


def fit_group(group: Group, *, ceiling: float | None = None, laws: Sequence[str] = ()) -> GroupFit:
    """Fit and average the laws of a group (by default those that suit its axes).

    Raises: WrongUse for a law that does not exist, BadInput for one of other axes.
    """
    if group.fault:
        return _group(group, UNIDENTIFIABLE, f"not fitted: {group.fault}", (), {}, None)
    n_scales, axes = len(np.unique(group.x, axis=0)), group.x.shape[1]
    if n_scales >= 3:
        return _rising(group) if not laws and _rises(group) else _averaged(group, ceiling, laws)
    many = "scales" if n_scales > 1 else "scale"
    why = f"{n_scales} distinct {many}; laws are averaged over three or more"
    one = _fit(group, "power", ceiling) if n_scales == 2 and axes == 1 else None
    rows = (LawFit(law="power", weight=1.0, parameters=one.parameters, fit=one),) if one else ()
    exponents = {} if one is None else {"alpha": one.parameters["alpha"]}
    if one is not None and one.verdict == FLAT:
        return _group(group, FLAT, f"power: {one.reason}", rows, exponents, one)
    return _group(group, UNIDENTIFIABLE, why, rows, exponents, one)


def _rises(group: Group) -> bool:
    return rises(read_points(group.x, group.y, sd=group.sd, draws=None, ceiling=None))


def _rising(group: Group) -> GroupFit:
    """A power law alone, whose exponent may be negative: an average over falling laws would turn the loss."""
    one = _fit(group, "power", None)
    assert one is not None
    rows = (LawFit(law="power", weight=1.0, parameters=one.parameters, fit=one),)
    reason = f"power, as the averaged laws only fall: {one.reason}"
    return _group(group, one.verdict, reason, rows, {"alpha": one.parameters["alpha"]}, one)


def _averaged(group: Group, ceiling: float | None, laws: Sequence[str]) -> GroupFit:
    found = average(_x(group), group.y, sd=group.sd, ceiling=ceiling, laws=laws or None)
    plain = [name for name in found.weights if is_plain(name)] or list(found.weights)
    own = {name: _fit(group, name, ceiling) for name in plain}
    rows = [_row(found, name, own.get(name)) for name in found.weights]
    rows.sort(key=lambda row: -row.weight)
    verdict, reason = overall([(row.weight, row.fit) for row in rows if row.fit is not None])
    return _group(group, verdict, reason, tuple(rows), found.parameters, found)


def _group(
    group: Group,
    verdict: str,
    reason: str,
    rows: tuple[LawFit, ...],
    exponents: Mapping[str, Estimate],
    predictor: Average | Fit | None,
) -> GroupFit:
    return GroupFit(
        name=group.name,
        key=group.key,
        n_points=len(group.y),
        verdict=verdict,
        reason=reason,
        laws=rows,
        exponents=exponents,
        predictor=predictor,
    )


def is_plain(name: str) -> bool:
    """Whether a law's only shapes are one exponent for each axis."""
    return LAWS[name].n_shapes == LAWS[name].axes


def _x(group: Group) -> Floats:
    return group.x[:, 0] if group.x.shape[1] == 1 else group.x


def _fit(group: Group, law: str, ceiling: float | None) -> Fit | None:
    try:
        return fit(_x(group), group.y, law=law, sd=group.sd, ceiling=ceiling)
    except MLProjectError:
        return None


def _row(found: Average, name: str, own: Fit | None) -> LawFit:
    standing = found.standings[name]
    return LawFit(
        law=name,
        weight=standing.weight,
        parameters=found.law_parameters(name) if own is None else own.parameters,
        in_sample_rank=standing.in_sample_rank,
        out_of_sample_rank=standing.out_of_sample_rank,
        fit=own,
    )
