"""The summary: a Markdown page with the exponents, what has to be said with them, and the list of files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlproject.analysis.study import HORIZONS, Curve, Study, Verdict
from mlproject.report.arms import arms_md
from mlproject.report.escape import markdown
from mlproject.report.joint_text import joint_md
from mlproject.report.sweet_spot import sweet_spot_md
from mlproject.report.tables import seeds
from mlproject.report.words import (
    FORMULAS,
    estimate,
    fitted,
    name_of,
    number,
    preferred,
    shared_family,
    unfitted,
)

HEAD = (
    "| group | axis | loss | law | α [95 %] | E [95 %] | verdict | scales | seeds | images |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --: | --: | --: |\n"
)
LEAST_SHOWN = 0.1
"""The least weight at which a law is named beside a prediction."""


def summary_md(study: Study, files: Sequence[str]) -> bytes:
    """The whole page; ``files`` are the other artifacts, by name."""
    figures = [name for name in files if name.endswith(".png")]
    parts = [
        _opening(study),
        _table(study),
        *_predictions(study),
        *joint_md(study),
        sweet_spot_md(study),
        *_refused(study),
        _verdicts(study),
        *arms_md(study.ablation),
        _caveats(study),
    ]
    parts += [
        _list("Figures", figures),
        _list("Tables", [f for f in files if not f.endswith((".png", ".pdf"))]),
    ]
    return ("\n\n".join(part for part in parts if part) + "\n").encode()


def _opening(study: Study) -> str:
    n = sum(bool(curve.verdicts) for curve in study.curves)
    return (
        f"# Scaling fits\n\n{len(study.run_ids)} runs in {n} groups with two or more scales. "
        "Loss L against scale x: L = k x^-α, and L = E + k x^-α with the irreducible loss E; a positive α "
        f"means that loss falls. Intervals are 95 %, from {study.n_draws:,} bootstrap draws over images "
        "(paired where scales share them) and seeds; one without a value is all that the data tell."
    )


def _table(study: Study) -> str:
    shared = shared_family(study)
    rows = [_row(name_of(curve, shared), curve, verdict) for curve, verdict in fitted(study)]
    same = f"All groups: {markdown(shared)}.\n\n" if shared else ""
    return f"## Exponents\n\n{same}{HEAD}" + "\n".join(rows) if rows else ""


def _row(name: str, curve: Curve, verdict: Verdict) -> str:
    alpha, floor = (estimate(verdict, symbol) for symbol in ("alpha", "E"))
    n_images = max(point.n_images for point in curve.points)
    cells = [markdown(name), f"{curve.axis.name} {curve.axis.symbol}", verdict.statistic]
    cells += [FORMULAS[verdict.law], alpha, floor, verdict.verdict]
    cells += [str(curve.n_scales), seeds(curve), f"{n_images:,}"]
    return "| " + " | ".join(cells) + " |"


def _predictions(study: Study) -> Iterator[str]:
    """Losses beyond the data over all laws, on the mean; the median is in predictions.csv."""
    rows = [
        _beyond(name_of(curve, shared_family(study)), curve)
        for curve in study.curves
        if "mean" in curve.averages
    ]
    if not rows:
        return
    columns = [f"{times:g} × the largest [95 %]" for times in HORIZONS]
    head = ["group", "axis", "largest", *columns, "laws by weight"]
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    said = (
        "Extrapolations of the mean loss, averaged over laws by their weights; the intervals allow for every "
        "law being a little wrong. All weights, and ranks inside and outside the data, are in laws.csv."
    )
    yield f"## Predictions beyond the data\n\n{said}\n\n" + "\n".join(lines)


def _beyond(name: str, curve: Curve) -> list[str]:
    told, found = curve.beyond("mean"), curve.averages["mean"]
    assert told is not None
    spans = [
        f"{number(told.mean[i])} [{number(told.low[i])}, {number(told.high[i])}]"
        for i in range(len(HORIZONS))
    ]
    weights = sorted(found.weights.items(), key=lambda item: -item[1])
    laws = ", ".join(f"{law} {weight:.2f}" for law, weight in weights if weight >= LEAST_SHOWN)
    return [
        markdown(name),
        f"{curve.axis.name} {curve.axis.symbol}",
        f"{curve.x[-1]:,.6g}",
        *spans,
        markdown(laws),
    ]


def _refused(study: Study) -> Iterator[str]:
    """Groups without a fit, together where they share the reason."""
    reasons: dict[str, list[str]] = {}
    for curve in unfitted(study):
        name = name_of(curve, shared_family(study))
        reasons.setdefault(curve.verdicts[0].reason, []).append(markdown(name))
    if reasons:
        lines = [f"- {_sentence(reason)} Groups: {'; '.join(names)}." for reason, names in reasons.items()]
        yield "## Not fitted\n\n" + "\n".join(lines)


def _verdicts(study: Study) -> str:
    """One sentence for each curve: its preferred law on the mean; all others are in exponents.csv."""
    shared = shared_family(study)
    chosen = [(curve, v) for curve in study.curves if (v := preferred(curve, "mean")) is not None]
    lines = [
        f"- **{markdown(name_of(curve, shared))}**, {FORMULAS[v.law]}: {v.verdict}. {_sentence(v.reason)}"
        for curve, v in chosen
    ]
    return "## Verdicts\n\n" + "\n".join(lines) if lines else ""


def _sentence(reason: str) -> str:
    text = markdown(reason.strip())
    return "" if not text else f"{text[0].upper()}{text[1:].rstrip('.')}."


def _caveats(study: Study) -> str:
    return (
        "## Read with this in mind\n\n" + "\n".join(f"- {note}" for note in study.notes)
        if study.notes
        else ""
    )


def _list(title: str, names: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- `{name}`" for name in names) if names else ""
