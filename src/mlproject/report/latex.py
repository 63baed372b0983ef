"""LaTeX: the exponents as a booktabs table that can be input into a paper."""

from __future__ import annotations

from mlproject.analysis.study import Curve, Study, Verdict
from mlproject.report.escape import tex
from mlproject.report.tables import seeds
from mlproject.report.words import TEX_FORMULAS, estimate, fitted, name_of, parameter, shared_family, unfitted

HEAD = r"""% Needs \usepackage{booktabs}. Intervals are 95 %, by bootstrap over images and seeds.
\begin{tabular}{llllllrr}
\toprule
Group & Loss & Law & $\alpha$ [95\,\%] & $E$ [95\,\%] & Verdict & Scales & Seeds \\
\midrule
"""
FOOT = "\\bottomrule\n\\end{tabular}\n"


def exponents_tex(study: Study) -> bytes:
    """One row for each group, statistic and law that was fitted; one for each group that was not."""
    shared = shared_family(study)
    rows = [rf"\multicolumn{{8}}{{l}}{{{tex(shared)}}} \\", r"\midrule"] if shared else []
    rows += [_row(name_of(c, shared), c, v) for c, v in fitted(study)]
    rows += [_refused(name_of(curve, shared), curve) for curve in unfitted(study)]
    if not rows:
        rows = [r"\multicolumn{8}{l}{No group has two scales: no law is fitted.} \\"]
    return (HEAD + "\n".join(rows) + "\n" + FOOT).encode()


def _row(name: str, curve: Curve, verdict: Verdict) -> str:
    alpha, floor = (_estimate(verdict, symbol) for symbol in ("alpha", "E"))
    cells = [tex(name), verdict.statistic, TEX_FORMULAS[verdict.law], alpha, floor, tex(verdict.verdict)]
    return " & ".join([*cells, str(curve.n_scales), seeds(curve)]) + r" \\"


def _refused(name: str, curve: Curve) -> str:
    cells = [tex(name), "both", "both", "--", "--", tex(curve.verdicts[0].verdict)]
    return " & ".join([*cells, str(curve.n_scales), seeds(curve)]) + r" \\"


def _estimate(verdict: Verdict, name: str) -> str:
    if parameter(verdict, name) is None:
        return "--"
    return "$" + estimate(verdict, name).replace("∞", r"\infty").replace("–", "-") + "$"
