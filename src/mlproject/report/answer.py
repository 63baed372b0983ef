"""The answer of a study: the result in sentences, what may not be concluded, and what the next scale gives.

Curves are answered here, axis by axis; joint laws, arms, image scales, regions and trained networks in
``comparison_answers``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mlproject.analysis import AXES, HORIZONS, Axis, Curve, Study
from mlproject.report.comparison_answers import comparison_answers
from mlproject.report.document import Answer
from mlproject.report.formats import interval, listed, number, percent, sentence
from mlproject.report.prior_section import prior_answer
from mlproject.scaling import Assessment, Estimate, interval_text, scale_text

MOST_NAMED = 4
"""Curves that a sentence names one by one; of more it gives the number and the extremes."""
LEAST_FITTED, WIDE = 4, 10.0
"""Scales, and the factor between the smallest and the largest, with which a curve can carry a law.

A predicted loss is a number where its limits are closer than this factor.
"""
FALLS, LEVELS, RISES, FLAT, UNKNOWN = "falls", "levels off", "rises", "is flat", "is unknown"


@dataclass(frozen=True, kw_only=True)
class AnsweredCurve:
    """A fitted curve of the mean loss under its name in the answer."""

    name: str
    curve: Curve
    assessment: Assessment

    @property
    def slope(self) -> Estimate | None:
        """The exponent at the largest scale over all laws; of a rising loss, that of the power law."""
        return self.assessment.local or self._average_slope

    @property
    def fell(self) -> bool:
        """Whether the loss fell on average between the smallest and the largest scale."""
        return self._average_slope is not None and self._average_slope.low > 0.0

    @property
    def _average_slope(self) -> Estimate | None:
        power = self.assessment.law("power")
        return None if power is None else power.parameters.get("alpha")

    @property
    def way(self) -> str:
        """Which way the loss goes at the largest scale."""
        if self.assessment.verdict == "flat":
            return FLAT
        if self.assessment.verdict != "scaling" or self.slope is None:
            return UNKNOWN
        if self.slope.holds(0.0):
            return LEVELS
        return FALLS if self.slope.low > 0.0 else RISES


def study_answer(study: Study) -> Answer:
    """The answer of a study, whatever it holds."""
    along = [(axis, _answered(study, key)) for key, axis in AXES.items()]
    along = [(axis, curves) for axis, curves in along if curves]
    compared = comparison_answers(study)
    results = [text for axis, curves in along for text in _results(axis, curves)]
    doubts = [text for axis, curves in along for text in _not_concluded(axis, curves)]
    expected = [text for axis, curves in along for text in _expected(axis, curves)]
    return Answer(
        result=(*_headline(along), *results, *prior_answer(study), *compared.result)
        or (_single_losses(study),),
        not_concluded=(*doubts, *_unfitted(study), *compared.not_concluded, *_seeds(study)),
        next_scale=(*expected, *compared.next_scale),
    )


def _answered(study: Study, key: str) -> list[AnsweredCurve]:
    fitted = [(curve, curve.assessments.get("mean")) for curve in study.along(key)]
    return [
        AnsweredCurve(name=study.name_of(curve), curve=curve, assessment=assessment)
        for curve, assessment in fitted
        if assessment is not None and assessment.fits
    ]


def _headline(along: Sequence[tuple[Axis, Sequence[AnsweredCurve]]]) -> Iterator[str]:
    """Whether more of each axis helps, in one sentence."""
    clauses = []
    for axis, curves in along:
        ways = [item.way for item in _without_controls(curves)]
        n, falling = len(ways), ways.count(FALLS)
        if falling:
            clauses.append(f"{axis.more} help" + ("" if falling == n else f" in {falling} of {n} curves"))
        elif ways.count(UNKNOWN) == n and all(item.fell for item in _without_controls(curves)):
            clauses.append(
                f"{axis.more} lowered the loss so far; whether the next scale helps cannot be concluded"
            )
        elif ways.count(UNKNOWN) == n:
            clauses.append(f"whether {axis.more} help cannot be concluded")
        else:
            clauses.append(f"{axis.more} {'raise the loss' if RISES in ways else 'do not help measurably'}")
    if clauses:
        yield sentence("; ".join(clauses))


def _without_controls(curves: Sequence[AnsweredCurve]) -> Sequence[AnsweredCurve]:
    """All but the controls with random weights; these alone where there is nothing else."""
    return [item for item in curves if not item.curve.random] or curves


def _results(axis: Axis, curves: Sequence[AnsweredCurve]) -> Iterator[str]:
    """A sentence for curves that go the same way, then one for each control."""
    main = _without_controls(curves)
    for way in (FALLS, LEVELS, RISES, FLAT):
        alike = [item for item in main if item.way == way]
        if alike:
            yield _result(axis, alike)
    for item in curves:
        if item not in main and item.way != UNKNOWN:
            yield _control(axis, item, main)


def _result(axis: Axis, curves: Sequence[AnsweredCurve]) -> str:
    first, way = curves[0].curve, curves[0].way
    ends = [scale_text(end) for end in _range([item.curve for item in curves])]
    split = {"eval": "held-out"}.get(first.split, first.split)
    kind = str(first.fixed["kind"]).replace("_", " ")
    text = f"From {ends[0]} to {ends[1]} {axis.unit} the {split} {kind} of {_names(curves)} {way}"
    if way != FLAT:
        laws = "under the power law" if way == RISES else "over all laws"
        slopes = _each_or_ends((item.slope for item in curves), interval)
        text += f", at the largest scale as {axis.symbol}^-α with α = {slopes} {laws}"
    if way == FALLS:
        removed = _each_or_ends((item.assessment.removed_by_doubling for item in curves), percent)
        text += f": there each doubling removes {removed}"
    return f"{text}."


def _control(axis: Axis, control: AnsweredCurve, main: Sequence[AnsweredCurve]) -> str:
    """A control with random weights: its exponent, and its loss beside those of the others."""
    slope = "" if control.way == FLAT else f" (α = {interval(control.slope)})"
    text = f"The loss of the control {control.name} {control.way}{slope}"
    ours = {point.x: point for point in control.curve.points}
    shared = sorted(set(ours).intersection(*({p.x for p in item.curve.points} for item in main)))
    if main[0].curve.random or not shared:
        return f"{text}."
    x = shared[-1]
    others = sorted(p.value("mean") for item in main for p in item.curve.points if p.x == x)
    among = " to ".join(dict.fromkeys(number(end, 2) for end in (others[0], others[-1])))
    loss = interval(ours[x].losses["mean"])
    return f"{text}; at {scale_text(x)} {axis.unit} it is {loss}, that of the others {among}."


def _not_concluded(axis: Axis, curves: Sequence[AnsweredCurve]) -> Iterator[str]:
    """Where the loss ends, and curves without a conclusion, together where they share the reason."""
    main = _without_controls(curves)
    falling = [item for item in main if item.way in (FALLS, LEVELS)]
    floors = [(item, item.assessment.floor) for item in falling if item.assessment.floor is not None]
    known = [(item, floor) for item, floor in floors if floor.identified]
    if known:
        ends = listed([f"{interval(floor)} ({item.name})" for item, floor in known[:MOST_NAMED]])
        yield f"The irreducible loss over all laws is {ends}; it is an extrapolation."
    unknown = [(item, floor) for item, floor in floors if not floor.identified]
    if unknown:
        highest = max(min(floor.high, float(item.curve.values("mean").min())) for item, floor in unknown)
        largest = scale_text(_range([item.curve for item, _ in unknown])[1])
        yield (
            f"Where the loss of {_names([item for item, _ in unknown])} ends: over all laws any irreducible "
            f"loss from 0 to {number(highest, 2)} fits; scales above {largest} {axis.unit} would tell."
        )
    reasons: dict[str, list[AnsweredCurve]] = {}
    for item in main:
        if item.way == UNKNOWN:
            reasons.setdefault(item.assessment.reason, []).append(item)
    for reason, items in list(reasons.items())[:MOST_NAMED]:
        yield f"The exponent of {_names(items)} along {axis.name}: {reason}."


def _unfitted(study: Study) -> Iterator[str]:
    """Axes along which no law could be fitted, with the reason of the first curve."""
    for key, axis in AXES.items():
        several = [curve for curve in study.along(key) if curve.n_scales > 1]
        refused = [curve for curve in several if curve.refusal]
        if not refused or any(curve.assessments["mean"].fits for curve in several):
            continue
        most = max(refused, key=lambda curve: (curve.n_scales, curve.x[-1] / curve.x[0]))
        factor = float(most.x[-1] / most.x[0])
        if most.n_scales >= LEAST_FITTED and factor >= WIDE:
            yield f"An exponent of {axis.name}: {most.refusal}."
        else:
            scales = "models" if key == "params" else "scales"
            fault = "too few" if most.n_scales < LEAST_FITTED else "too alike"
            yield (
                f"An exponent of {axis.name}: {most.n_scales} {scales} within a factor of {factor:.3g} are "
                f"{fault} for a law; {LEAST_FITTED} over a factor of {WIDE:g} would do."
            )


def _seeds(study: Study) -> Iterator[str]:
    if study.assessed and all(curve.n_seeds[1] == 1 for curve in study.assessed):
        yield (
            "What another seed would give: every scale has one, so the noise of training is estimated by how "
            "far the scales lie from the laws."
        )


def _expected(axis: Axis, curves: Sequence[AnsweredCurve]) -> Iterator[str]:
    """The loss of a new run at the next scale: of all curves, or of the lowest where there are many."""
    main = [item for item in _without_controls(curves) if "mean" in item.curve.predictions]
    known = [item for item in main if not _is_open(item)]
    if len(known) > MOST_NAMED:
        known = [min(known, key=lambda item: _new_run(item)[0])]
    for at, texts in _at_next_scale(axis, known, interval_text).items():
        yield f"At {at} expect a loss of {listed(texts)}; the intervals are those of a new run."
    unknown = [item for item in main if _is_open(item)][:MOST_NAMED]
    for at, texts in _at_next_scale(axis, unknown, _limits).items():
        yield (
            f"The loss at {at} is open: 95 % of new runs lie in {listed(texts)}, more than a factor "
            f"of {WIDE:g} wide."
        )


def _at_next_scale(
    axis: Axis, curves: Sequence[AnsweredCurve], write: Callable[[float, float, float], str]
) -> dict[str, list[str]]:
    """The losses of new runs with the names of their curves, by the next scale."""
    texts: dict[str, list[str]] = {}
    for item in curves:
        at = f"{scale_text(HORIZONS[0] * float(item.curve.x[-1]))} {axis.unit}"
        texts.setdefault(at, []).append(f"{write(*_new_run(item))} ({item.name})")
    return texts


def _limits(_: float, low: float, high: float) -> str:
    return f"[{number(low, 2)}, {number(high, 2)}]"


def _new_run(item: AnsweredCurve) -> tuple[float, float, float]:
    """The loss of a new run at the next scale, with its limits."""
    predicted = item.curve.predictions["mean"]
    mean, low, high = predicted.mean, predicted.new_run_low, predicted.new_run_high
    return float(mean[0]), float(low[0]), float(high[0])


def _is_open(item: AnsweredCurve) -> bool:
    """Whether next to nothing is known of the loss at the next scale."""
    _, low, high = _new_run(item)
    return high > WIDE * max(low, 0.0)


def _single_losses(study: Study) -> str:
    """What a study without any comparison holds: its losses, and what a curve needs."""
    losses = [f"{interval(curve.points[-1].losses['mean'])} ({curve.label})" for curve in study.curves]
    shown = f" Mean losses: {listed(losses[:MOST_NAMED])}." if losses else ""
    n = len(study.runs)
    cells = "1 cell has" if n == 1 else f"{n} cells have"
    return (
        f"No scaling is measured: {cells} nothing to be compared with.{shown} A curve needs cells that differ"
        " in their size alone; three sizes give an exponent."
    )


def _range(curves: Sequence[Curve]) -> tuple[float, float]:
    """The smallest and the largest scale of curves."""
    return min(float(curve.x[0]) for curve in curves), max(float(curve.x[-1]) for curve in curves)


def _names(curves: Sequence[AnsweredCurve]) -> str:
    names = [item.name for item in curves]
    return listed(names) if len(names) <= MOST_NAMED else f"{len(names)} curves"


def _each_or_ends(estimates: Iterable[Estimate | None], write: Callable[[Estimate], str]) -> str:
    """Estimates in the order of the curves' names, or the extremes of many."""
    known = [estimate for estimate in estimates if estimate is not None]
    if len(known) <= MOST_NAMED:
        return listed([write(estimate) for estimate in known])
    known.sort(key=lambda estimate: estimate.value)
    return f"{write(known[0])} to {write(known[-1])}"
