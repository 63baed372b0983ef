"""A CSV of points as a study: every group assessed and predicted, and the exponents of two groups compared.

Accuracies are fitted as errors, 1 - accuracy, which laws with a floor describe and whose predictions stay
within 0 and 1. A column that looks like accuracies and was not declared is fitted as it is, which is asked
about; its predictions go through the errors all the same, since a rising power law leaves 0 to 1.

Source of the interval of a difference: Zou and Donner 2008 (Statist. Med. 27, 1693).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mlproject.analysis.csv_groups import (
    BOUNDS,
    Columns,
    CsvGroup,
    Floats,
    PredictionScales,
    read_at,
    read_groups,
)
from mlproject.errors import BadInput, WrongUse, unknown
from mlproject.scaling import (
    Assessment,
    Difference,
    Estimate,
    LawFit,
    Library,
    Prediction,
    PriorChoice,
    assess,
    compare,
    rising_axes,
)

LEAST_WEIGHT = 0.1
"""Laws with less weight in either group are compared only where there is no other."""
PER_CENT_ABOVE = 10.0
"""A rising column that stays below this is not taken for per cent: losses in nats are as large."""
LEAST_RISE = 1.05
"""How many times the loss of the smallest scale a rise over few scales must reach to count."""
ACCURACY = re.compile(
    r"(?i)(?:^|[^a-z])(?:acc|accuracy|top.?[15]|m?iou|auc|auroc|f1|dice|precision|recall)(?:$|[^a-z])"
)
"""Names of quantities that lie between 0 and 1 and grow with quality."""
AXIS_NAMES = {
    "images": re.compile(r"(?i)image|sample|example|^d$"),
    "parameters": re.compile(r"(?i)param|^n$"),
    "compute": re.compile(r"(?i)flop|compute|^c$"),
}
"""Names of columns by the axis of a library that they are."""
ERROR_NAMES = re.compile(r"(?i)(?:^|[^a-z])err(?:or)?(?:$|[^a-z])")
EXPONENTS = ("alpha", "beta", "gamma")
"""Names of the parameters that are exponents of an axis."""


@dataclass(frozen=True, kw_only=True)
class AssessedGroup:
    """A group of a file, its assessment, and the scales [n, axes] where its loss is predicted.

    ``predictions`` is None where the group carries no law, or nothing is to be predicted. ``asked`` is the
    bound, 1 or 100, below which predictions are kept where a column looks like accuracies and nobody said.
    """

    group: CsvGroup
    assessment: Assessment
    scales: Floats
    predictions: Prediction | None
    asked: float | None = None

    @property
    def name(self) -> str:
        """The name of the group in every table."""
        return self.group.name

    @property
    def laws(self) -> tuple[LawFit, ...]:
        """The laws with parameters, heaviest first."""
        return tuple(law for law in self.assessment.laws if law.parameters)


@dataclass(frozen=True, kw_only=True)
class GroupComparison:
    """Exponents of the first group minus those of the second: law by law (heaviest pair first), and over all.

    An exponent depends on its law (without a floor it is smaller), so every law is compared by itself.
    """

    first: str
    second: str
    by_law: tuple[tuple[LawFit, LawFit, tuple[Difference, ...]], ...]
    over_all_laws: tuple[Difference, ...]


@dataclass(frozen=True, kw_only=True)
class CsvStudy:
    """All groups of a file, assessed, and the comparison of two of them where it was asked for."""

    columns: Columns
    groups: tuple[AssessedGroup, ...]
    comparison: GroupComparison | None = None
    has_predictions: bool = False
    faults: tuple[str, ...] = ()

    @property
    def fitted(self) -> str:
        """The quantity that laws describe: the column, or its distance from the largest accuracy."""
        bound = next((group.group.bound for group in self.groups if group.group.bound), None)
        return self.columns.y if bound is None else f"{bound:g} - {self.columns.y}"


def assess_csv(
    path: Path,
    columns: Columns,
    *,
    predict_at: Path | None = None,
    ceiling: float | None = None,
    laws: Sequence[str] = (),
    compared: tuple[str, str] | None = None,
    prior: PriorChoice | None = None,
) -> CsvStudy:
    """Assess every group of a file; all of it is read and checked before anything is fitted.

    ``predict_at`` is a CSV of scales, ``ceiling`` the known uninformed loss, ``laws`` the laws to use (by
    default those that suit the number of scales), ``compared`` two groups whose exponents are compared,
    ``prior`` a library of laws. Raises: BadInput where it has none of this axis and loss.
    """
    library = None if prior is None else _library(prior, columns)
    columns, groups = read_groups(path, columns)
    at = None if predict_at is None else read_at(predict_at, columns, groups)
    with np.errstate(over="ignore", invalid="ignore"):  # laws that overflow get no weight
        assessed = tuple(_assess_group(group, columns.x, at, ceiling, laws, library) for group in groups)
        if columns.accuracy is None:
            assessed = tuple(_asked(group, columns, laws) for group in assessed)
    return CsvStudy(
        columns=columns,
        groups=assessed,
        comparison=None if compared is None else compare_groups(assessed, *compared),
        has_predictions=at is not None,
        faults=tuple(group.fault for group in groups if group.fault),
    )


def compare_groups(groups: Sequence[AssessedGroup], first: str, second: str) -> GroupComparison:
    """The differences of all exponents between two groups.

    Raises: WrongUse for a group that does not exist, BadInput where no law was fitted to both.
    """
    by_name = {group.name: group for group in groups}
    for name in (first, second):
        if name not in by_name:
            raise unknown("group", name, list(by_name))
    pairs = _shared_laws(by_name[first], by_name[second])
    if not pairs:
        raise BadInput(f"{first} and {second} cannot be compared: no law was fitted to both")
    a, b = (by_name[name].assessment.exponents for name in (first, second))
    return GroupComparison(
        first=first,
        second=second,
        by_law=tuple((*pair, _compare_laws(*pair)) for pair in pairs),
        over_all_laws=tuple(
            _difference(name, a[name], b[name]) for name in EXPONENTS if name in a and name in b
        ),
    )


def _assess_group(
    group: CsvGroup,
    axes: Sequence[str],
    at: PredictionScales | None,
    ceiling: float | None,
    laws: Sequence[str],
    library: Library | None = None,
) -> AssessedGroup:
    scales = np.empty((0, group.x.shape[1])) if at is None else at.of(group.key)
    if group.fault:
        reason = f"not fitted: {group.fault}"
        refused = Assessment(verdict="not identifiable", reason=reason, n_points=0, n_scales=0)
        return AssessedGroup(group=group, assessment=refused, scales=scales, predictions=None)
    x = group.x[:, 0] if group.x.shape[1] == 1 else group.x
    losses = group.y if group.bound is None else group.bound - group.y
    assessment = assess(
        x, losses, sd=group.sd, ceiling=ceiling, runs=group.runs, laws=laws, axes=axes, library=library
    )
    predictions = assessment.predict(scales) if len(scales) else None
    if predictions is not None and group.bound is not None:
        predictions = _below(group.bound, predictions)
    return AssessedGroup(group=group, assessment=assessment, scales=scales, predictions=predictions)


def _library(prior: PriorChoice, columns: Columns) -> Library:
    """The laws of a library for a file, by what is stated, else by the names of its columns.

    Raises: WrongUse where a column has the name of another axis or loss than is stated.
    """
    axis = next((axis for axis, names in AXIS_NAMES.items() if names.search(columns.x[0])), columns.x[0])
    error = columns.accuracy or ERROR_NAMES.search(columns.y) is not None
    named = [(prior.axis, axis if axis in AXIS_NAMES else "", columns.x[0])]
    named += [(prior.loss, "error" if error else "", columns.y)]
    for stated, known, column in named:
        if stated and known and stated != known:
            raise WrongUse(
                f"--prior {prior.text} asks for laws of {stated}, and column {column} is of {known}: leave"
                f" {stated} out, or name it {known}"
            )
    return prior.find(axis, "error" if error else columns.y)


def _below(bound: float, errors: Prediction) -> Prediction:
    """Accuracies from predicted errors, which are above 0 and at most ``bound``.

    NaN where the whole interval of the errors exceeds the bound: the laws do not hold there, and an interval
    that is cut to a point would pretend to certainty.
    """
    outside = errors.low >= bound
    mean, low, high, run_low, run_high = (
        np.where(outside, np.nan, np.maximum(bound - values, 0.0))
        for values in (errors.mean, errors.high, errors.low, errors.new_run_high, errors.new_run_low)
    )
    return replace(errors, mean=mean, low=low, high=high, new_run_low=run_low, new_run_high=run_high)


def _asked(assessed: AssessedGroup, columns: Columns, laws: Sequence[str]) -> AssessedGroup:
    """A group whose column looks like accuracies: marked, and predicted by laws of its errors."""
    group = assessed.group
    bound = None if group.fault else _likely_bound(group, columns.y, assessed.assessment)
    if bound is None:
        return assessed
    scales = PredictionScales(x=assessed.scales) if len(assessed.scales) else None
    as_errors = _assess_group(replace(group, bound=bound), columns.x, scales, None, laws)
    return replace(assessed, predictions=as_errors.predictions, asked=bound)


def _likely_bound(group: CsvGroup, y: str, assessment: Assessment) -> float | None:
    """1 or 100 where all of y lies below it, and y rises with scale or is named like an accuracy."""
    largest = float(group.y.max())
    bound = next((bound for bound in BOUNDS if largest <= bound), None)
    named = ACCURACY.search(y.replace("_", " ")) is not None
    small = BOUNDS[0] < largest <= PER_CENT_ABOVE
    return bound if named or (not small and _rises(group, assessment)) else None


def _rises(group: CsvGroup, assessment: Assessment) -> bool:
    """Whether y rises along an axis, or with every one of at least three scales where these are too few."""
    if assessment.points is not None and rising_axes(assessment.points):
        return True
    scales = np.unique(group.x[:, 0])
    means = [float(group.y[group.x[:, 0] == scale].mean()) for scale in scales]
    steps = np.diff(means)
    return (
        group.x.shape[1] == 1
        and len(steps) > 1
        and bool((steps > 0).all())
        and means[-1] > LEAST_RISE * means[0]
    )


def _shared_laws(a: AssessedGroup, b: AssessedGroup) -> list[tuple[LawFit, LawFit]]:
    """Laws that were fitted to both, the heaviest pair first; light ones only where there is no other."""
    others = {law.law: law for law in b.laws if law.fit is not None}
    pairs = [(law, others[law.law]) for law in a.laws if law.fit is not None and law.law in others]
    pairs.sort(key=lambda pair: -pair[0].weight * pair[1].weight)
    heavy = [pair for pair in pairs if min(pair[0].weight, pair[1].weight) >= LEAST_WEIGHT]
    return heavy or pairs[:1]


def _compare_laws(first: LawFit, second: LawFit) -> tuple[Difference, ...]:
    assert first.fit is not None
    assert second.fit is not None
    names = [name for name in EXPONENTS if name in first.parameters]
    return tuple(compare(first.fit, second.fit, parameter=name) for name in names)


def _difference(name: str, a: Estimate, b: Estimate) -> Difference:
    """The difference of two independent estimates, its limits from both intervals."""
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    high = value + math.hypot(a.high - a.value, b.value - b.low)
    return Difference(parameter=name, difference=Estimate(value=value, low=low, high=high), paired=False)
