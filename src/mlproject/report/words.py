"""Words and numbers as reports write them: intervals, laws, which curves a reader wants first."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mlproject.analysis.study import Curve, Statistic, Study, Verdict
from mlproject.scaling import Average, Estimate

FORMULAS = {"power": "k x^-α", "power_floor": "E + k x^-α"}
TEX_FORMULAS = {"power": r"$k x^{-\alpha}$", "power_floor": r"$E + k x^{-\alpha}$"}
UNITS = {"cross_entropy": "nats"}


def number(value: float) -> str:
    """Three significant digits; open ends of intervals as infinities."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return "–" if math.isnan(value) else f"{value:.3g}"


def interval(estimate: Estimate | None, *, known: bool = True) -> str:
    """``0.55 [0.51, 0.60]``; the limits alone where a value would claim to be ``known``."""
    if estimate is None:
        return "–"
    limits = f"[{number(estimate.low)}, {number(estimate.high)}]"
    return f"{number(estimate.value)} {limits}" if known else limits


def heaviest(found: Average) -> tuple[str, float]:
    """The law with the largest weight in an average, and that weight."""
    return max(found.weights.items(), key=lambda item: item[1])


def parameter(verdict: Verdict, name: str) -> Estimate | None:
    """A parameter of the fit, None without a fit or in a law that has no such parameter."""
    return None if verdict.fit is None else verdict.fit.parameters.get(name)


def estimate(verdict: Verdict, name: str) -> str:
    """A parameter as reports print it; one that is not identified is an interval without a value."""
    return interval(parameter(verdict, name), known=name in verdict.identified)


def entry(estimate: Estimate, *, known: bool) -> dict[str, float | None]:
    """Value, low and high of a parameter for tables and JSON; no value where it is not ``known``."""
    return {"value": estimate.value if known else None, "low": estimate.low, "high": estimate.high}


def loss_label(curve: Curve, statistic: Statistic) -> str:
    """``mean cross entropy [nats]``."""
    kind = str(curve.fixed["kind"])
    unit = f" [{UNITS[kind]}]" if kind in UNITS else ""
    return f"{statistic} {kind.replace('_', ' ')}{unit}"


def preferred(curve: Curve, statistic: Statistic) -> Verdict | None:
    """The verdict that is drawn with its band: with a floor where that holds, else the other."""
    fitted = [v for v in curve.verdicts if v.statistic == statistic and v.fit is not None]
    fitted.sort(key=lambda v: (v.verdict == "not identifiable", v.law != "power_floor"))
    return fitted[0] if fitted else None


def shared_family(study: Study) -> str:
    """The family that all curves with a verdict belong to, or nothing where there are several."""
    families = {curve.family for curve in study.curves if curve.verdicts}
    return families.pop() if len(families) == 1 else ""


def name_of(curve: Curve, shared: str) -> str:
    """A curve's name in a table whose heading gives the shared family, if there is one."""
    return curve.series if shared else curve.label


def fitted(study: Study) -> Iterator[tuple[Curve, Verdict]]:
    """Every verdict that has a fit, with its curve."""
    for curve in study.curves:
        for verdict in curve.verdicts:
            if verdict.fit is not None:
                yield curve, verdict


def unfitted(study: Study) -> Iterator[Curve]:
    """Curves with several points that no law was fitted to."""
    for curve in study.curves:
        if curve.verdicts and all(verdict.fit is None for verdict in curve.verdicts):
            yield curve
