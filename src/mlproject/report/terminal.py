"""The closing table of a terminal: exponents with intervals, and in one line what is not fitted."""

from __future__ import annotations

from io import StringIO

from rich.box import SIMPLE
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from mlproject.analysis.axes import AXES
from mlproject.analysis.matrix import Matrix
from mlproject.analysis.study import Curve, Statistic, Study, Verdict
from mlproject.report.arms import accuracy, loss_difference, points
from mlproject.report.joint_text import joint_lines
from mlproject.report.tables import seeds
from mlproject.report.words import FORMULAS, estimate, name_of, number, shared_family

STYLES = {
    "scaling": "green", "flat": "yellow", "not identifiable": "dim",
    "better": "green", "worse": "red", "no difference seen": "dim",
}  # fmt: skip


def exponents(study: Study, *, statistic: Statistic = "mean") -> Group:
    """A Rich table with a row for each law that was fitted to a curve, and the study's notes."""
    shared = shared_family(study)
    title = f"Exponents of the {statistic} loss, 95 % intervals"
    table = Table(title=Text(f"{title}\n{shared}".rstrip()), title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column("group", overflow="fold")
    for name in ("law", "α", "E", "verdict", "scales × seeds"):
        table.add_column(name, no_wrap=True)
    for curve in study.curves:
        rows = [v for v in curve.verdicts if v.statistic == statistic and v.fit and _shown(curve, v)]
        for verdict in rows:
            name = name_of(curve, shared) if verdict is rows[0] else ""
            table.add_row(*_row(name, curve, verdict), end_section=verdict is rows[-1])
    shown = [*([table] if table.row_count else []), *map(_arms, study.ablation.matrices)]
    return Group(*shown, *(Text(f"• {line}") for line in (*joint_lines(study), *study.notes)))


def _arms(matrix: Matrix) -> Table:
    """Every arm of a setting beside its baseline."""
    title = f"Arms, difference from the baseline [95 %] (verdict after Holm)\n{matrix.label}"
    table = Table(title=Text(title), title_justify="left", box=SIMPLE, pad_edge=False)
    for name in ("arm", "loss", "accuracy [%]", "Δ loss", "Δ accuracy [points]", "loss is"):
        table.add_column(name, overflow="fold", no_wrap=name != "arm")
    for row in matrix.rows:
        own = [row.arm, number(row.loss["eval"].value)]
        own.append(accuracy(row.error["eval"]).partition(" ")[0] if "eval" in row.error else "–")
        loss, error = row.versus_loss, row.versus_error
        told = [loss_difference(loss) if loss else "", points(error) if error else ""]
        said = Text(loss.verdict if loss else "", style=STYLES.get(loss.verdict if loss else "", ""))
        table.add_row(*map(Text, [*own, *told]), said)
    return table


def as_text(study: Study, *, width: int = 120) -> str:
    """The same as plain text, as it is kept beside the fit."""
    console = Console(file=StringIO(), width=width)
    console.print(exponents(study))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def _shown(curve: Curve, verdict: Verdict) -> bool:
    """Model sizes that carry no law are told in a note, not in a row for each dataset size."""
    return curve.axis is not AXES["params"] or verdict.verdict != "not identifiable"


def _row(name: str, curve: Curve, verdict: Verdict) -> list[Text]:
    law = FORMULAS[verdict.law].replace("x", curve.axis.symbol)
    plain = [name, law, estimate(verdict, "alpha"), estimate(verdict, "E")]
    said = Text(verdict.verdict, style=STYLES.get(verdict.verdict, ""))
    return [*map(Text, plain), said, Text(f"{curve.n_scales} × {seeds(curve)}")]
