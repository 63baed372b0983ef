"""Joint laws in words: the section of the summary, the LaTeX table, and lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlproject.analysis.joint import Allocation, Joint, JointLaws
from mlproject.analysis.study import Study
from mlproject.report.escape import markdown, tex
from mlproject.report.words import interval, number
from mlproject.scaling import LAWS, Envelope, Estimate, Fit, Frontier

LEAST_SHOWN = 0.01
"""The least weight at which a law has a row in the summary."""
EXACT = 1e-3
"""A cost model that is nowhere further off than this is called exact."""
EXPONENTS = ("alpha", "beta")
HEAD = (
    "| law | weight | rank in sample | rank out of sample | α of N | β of D | E | verdict |\n"
    "| --- | --: | --: | --: | --- | --- | --- | --- |\n"
)
AHEAD = (
    "| N | D | beyond the data | loss | mean within | new run within |\n"
    "| --: | --: | --: | --: | --- | --- |\n"
)
SPLITS = "| way | N\\* ~ C^ | D\\* ~ C^ | budgets |\n| --- | --- | --- | --: |\n"
TEX_HEAD = r"""% Needs \usepackage{booktabs}. Intervals are 95 %, by bootstrap over images and seeds.
\begin{tabular}{lrrrllll}
\toprule
Law & Weight & In & Out & $\alpha$ [95\,\%] & $\beta$ [95\,\%] & $E$ [95\,\%] & Verdict \\
\midrule
"""
TEX_FOOT = "\\bottomrule\n\\end{tabular}\n"


def joint_md(study: Study) -> Iterator[str]:
    """A section for all grids; nothing where no group holds several models and several sizes."""
    if not study.joints:
        return
    yield "## Joint laws of model size N and images D\n\nMean loss; rank 1 is the best, weights sum to 1."
    for joint in study.joints:
        yield f"### {markdown(joint.label)}"
        if joint.laws is None:
            yield f"No joint law: {markdown(joint.refusal)}."
        else:
            yield from _grid(joint, joint.laws)


def _grid(joint: Joint, laws: JointLaws) -> Iterator[str]:
    n_models, n_sizes = joint.shape
    yield (
        f"{len(joint.points)} cells, {n_models} model sizes × {n_sizes} data sizes. "
        f"**{laws.verdict}**: {markdown(laws.reason)}."
    )
    yield HEAD + "\n".join(_law_row(joint, law) for law in by_weight(laws, LEAST_SHOWN))
    told = laws.average.predict(joint.beyond)
    rows = [
        f"| {n:,.4g} | {d:,.6g} | {told.horizon[i]:.3g} × | {number(told.mean[i])} "
        f"| [{number(told.low[i])}, {number(told.high[i])}] "
        f"| [{number(told.new_run_low[i])}, {number(told.new_run_high[i])}] |"
        for i, (n, d) in enumerate(joint.beyond.tolist())
    ]
    yield "Predictions over all laws:\n\n" + AHEAD + "\n".join(rows)
    if laws.held_out is not None:
        yield held_out_sentence(joint, laws)
    yield from _split(laws.allocation)


def by_weight(laws: JointLaws, least: float = 0.0) -> list[str]:
    """Names of laws, heaviest first."""
    weights = laws.average.weights
    return [name for name in sorted(weights, key=lambda law: -weights[law]) if weights[name] >= least]


def _cells(joint: Joint, law: str) -> tuple[list[str], list[str], str]:
    """Weight and ranks, parameters, and verdict of a law, as text."""
    assert joint.laws is not None
    one, fit = joint.laws.average.standings[law], joint.laws.fits.get(law)
    rank = "–" if one.out_of_sample_rank is None else str(one.out_of_sample_rank)
    ranks = [f"{one.weight:.2f}", str(one.in_sample_rank), rank]
    verdict = "–" if fit is None else fit.verdict
    return ranks, [_parameter(fit, name) for name in (*EXPONENTS, "E")], verdict


def _parameter(fit: Fit | None, name: str) -> str:
    if fit is None:
        return interval(None)
    return interval(fit.parameters.get(name), known=name in fit.identified)


def _law_row(joint: Joint, law: str) -> str:
    ranks, parameters, verdict = _cells(joint, law)
    return "| " + " | ".join([f"{law}: {markdown(LAWS[law].formula)}", *ranks, *parameters, verdict]) + " |"


def held_out_sentence(joint: Joint, laws: JointLaws) -> str:
    """How the dearest cells were predicted from the others."""
    assert laws.held_out is not None
    held, seen = laws.held_out, joint.values[laws.held_out.rows]
    error = np.log(held.told.mean / seen)
    inside = int(np.sum((held.told.new_run_low <= seen) & (seen <= held.told.new_run_high)))
    return (
        f"Held out: the {len(seen)} dearest cells, predicted from the other {len(joint.points) - len(seen)}, "
        f"are missed by {100 * float(np.sqrt(np.mean(error**2))):.2g} % (root mean square); "
        f"{inside} lie inside the 95 % interval of a new run."
    )


def _split(split: Allocation) -> Iterator[str]:
    cost, spending = split.spending.cost, split.spending
    what = (
        f"compute as logged, {cost.coefficient:.3g} N^{cost.n_power:.3g} D^{cost.d_power:.3g} FLOP, "
        f"{'exact' if spending.error < EXACT else f'off by at most {100 * spending.error:.2g} %'}"
        if spending.measured
        else "parameters × images, as no compute is logged that grows with both"
    )
    ways: list[tuple[str, Frontier | Envelope]] = [(one.method, one) for one in split.envelopes]
    if split.frontier is not None:
        ways.insert(0, (f"closed form of {split.law}", split.frontier))
    rows = [
        f"| {name} | {_exponent(one.n_exponent)} | {_exponent(one.d_exponent)} | {len(one.compute)} |"
        for name, one in ways
    ]
    why = "".join(f" {markdown(line[0].upper() + line[1:])}." for line in split.refusals)
    yield f"Best split of a budget C ({markdown(what)}); optima in `frontier.csv`.{why}"
    if rows:
        yield SPLITS + "\n".join(rows)


def _exponent(found: Estimate) -> str:
    return interval(found)


def joint_tex(study: Study) -> bytes:
    """A row for each law of each grid; one row for each grid that carries none."""
    rows = []
    for joint in study.joints:
        rows += [rf"\multicolumn{{8}}{{l}}{{{tex(joint.label)}}} \\", r"\midrule"]
        if joint.laws is None:
            rows.append(rf"\multicolumn{{8}}{{l}}{{No joint law: {tex(joint.refusal)}.}} \\")
            continue
        rows += [_tex_row(joint, law) for law in by_weight(joint.laws)]
    if not rows:
        rows = [r"\multicolumn{8}{l}{No group holds several models and several sizes.} \\"]
    return (TEX_HEAD + "\n".join(rows) + "\n" + TEX_FOOT).encode()


def _tex_row(joint: Joint, law: str) -> str:
    ranks, parameters, verdict = _cells(joint, law)
    values = ["--" if text == "–" else "$" + text.replace("∞", r"\infty") + "$" for text in parameters]
    return " & ".join([tex(law), *(r.replace("–", "--") for r in ranks), *values, tex(verdict)]) + r" \\"


def joint_lines(study: Study) -> list[str]:
    """A line for each grid, for a terminal."""
    return [_line(joint) for joint in study.joints if joint.laws is not None]


def _line(joint: Joint) -> str:
    assert joint.laws is not None
    laws, split = joint.laws, joint.laws.allocation
    law = laws.heaviest
    fit = laws.fits.get(law)
    found = ", ".join(f"{sign} {_parameter(fit, name)}" for name, sign in (("alpha", "α"), ("beta", "β")))
    line = f"{joint.label}: {law} (weight {laws.average.weights[law]:.2f}), {found}: {laws.verdict}."
    if split.frontier is not None:
        line += f" N* ~ C^{interval(split.frontier.n_exponent)} by {split.law}, C in {split.spending.unit}."
    return line
