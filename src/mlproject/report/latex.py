"""LaTeX: the exponents as a booktabs table that can be input into a paper."""

from __future__ import annotations

from mlproject.aggregate.study import Curve, Study, Verdict
from mlproject.report.escape import tex
from mlproject.report.tables import seeds
from mlproject.report.words import TEX_FORMULAS, interval, parameter, unfitted
from mlproject.scaling import Estimate

HEAD = r"""% Needs \usepackage{booktabs}. Intervals are 95 %, by bootstrap over images and seeds.
\begin{tabular}{llllllrr}
\toprule
Group & Loss & Law & $\alpha$ [95\,\%] & $E$ [95\,\%] & Verdict & Scales & Seeds \\
\midrule
"""
FOOT = "\\bottomrule\n\\end{tabular}\n"


def exponents_tex(study: Study) -> bytes:
    """One row for each group, statistic and law that was fitted; one for each group that was not."""
    rows = [_row(c, v) for c in study.curves for v in c.verdicts if v.fit is not None]
    rows += [_refused(curve) for curve in unfitted(study)]
    if not rows:
        rows = [r"\multicolumn{8}{l}{No group has two scales: no law is fitted.} \\"]
    return (HEAD + "\n".join(rows) + "\n" + FOOT).encode()


def _row(curve: Curve, verdict: Verdict) -> str:
    alpha, floor = (_estimate(parameter(verdict, name)) for name in ("alpha", "E"))
    cells = [
        tex(curve.label),
        verdict.statistic,
        TEX_FORMULAS[verdict.law],
        alpha,
        floor,
        tex(verdict.verdict),
    ]
    return " & ".join([*cells, str(curve.n_scales), seeds(curve)]) + r" \\"


def _refused(curve: Curve) -> str:
    cells = [tex(curve.label), "both", "both", "--", "--", tex(curve.verdicts[0].verdict)]
    return " & ".join([*cells, str(curve.n_scales), seeds(curve)]) + r" \\"


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return "--"
    return "$" + interval(estimate).replace("∞", r"\infty").replace("–", "-") + "$"
