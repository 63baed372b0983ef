"""The closing table of a terminal: exponents with intervals, and in one line what is not fitted."""

from __future__ import annotations

from io import StringIO

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from mlproject.aggregate.axes import AXES
from mlproject.aggregate.study import Curve, Statistic, Study, Verdict
from mlproject.report.tables import seeds
from mlproject.report.words import FORMULAS, interval, name_of, parameter, preferred, shared_family

STYLES = {"scaling": "green", "flat": "yellow", "not identifiable": "dim"}


def exponents(study: Study, *, statistic: Statistic = "mean") -> Group:
    """A Rich table with one row for each fitted curve (its preferred law), and the study's notes."""
    chosen = [(curve, v) for curve in study.curves if (v := preferred(curve, statistic)) and _shown(curve, v)]
    shared = shared_family(study)
    title = f"Exponents of the {statistic} loss, 95 % intervals"
    table = Table(title=Text(f"{title}\n{shared}".rstrip()), title_justify="left")
    for name in ("group", "axis", "law", "α", "E", "verdict"):
        table.add_column(name, overflow="fold")
    for name in ("scales", "seeds", "images"):
        table.add_column(name, justify="right")
    for curve, verdict in chosen:
        table.add_row(*_row(name_of(curve, shared), curve, verdict))
    return Group(*([table] if chosen else []), *(Text(f"• {note}") for note in study.notes))


def as_text(study: Study, *, width: int = 118) -> str:
    """The same as plain text, as it is kept beside the fit."""
    console = Console(file=StringIO(), width=width)
    console.print(exponents(study))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def _shown(curve: Curve, verdict: Verdict) -> bool:
    """Model sizes that carry no law are told in a note, not in a row for each dataset size."""
    return curve.axis is not AXES["params"] or verdict.verdict != "not identifiable"


def _row(name: str, curve: Curve, verdict: Verdict) -> list[Text]:
    n_images = max(point.n_images for point in curve.points)
    plain = [name, curve.axis.symbol, FORMULAS[verdict.law]]
    plain += [interval(parameter(verdict, "alpha")), interval(parameter(verdict, "E"))]
    said = Text(verdict.verdict, style=STYLES.get(verdict.verdict, ""))
    counts = [str(curve.n_scales), seeds(curve), f"{n_images:,}"]
    return [*map(Text, plain), said, *map(Text, counts)]
