"""Fits of groups as tables for a terminal: laws with weights and ranks, predictions, verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mlproject.fit_csv.fits import GroupFit, LawFit
from mlproject.fit_csv.reading import At, Columns
from mlproject.fit_csv.words import SYMBOLS, interval, number, span

STYLES = {"scaling": "green", "flat": "yellow", "not identifiable": "magenta"}
MOST_GROUPS = 6
"""With more groups than these, each has one row."""
MOST_ROWS = 24
RIGHT = ("weight", "in", "out", "points")


def shown(fits: Sequence[GroupFit], columns: Columns, at: At | None) -> RenderableType:
    """Everything that a person sees of a fit."""
    few = len(fits) <= MOST_GROUPS
    parts: list[RenderableType] = [_laws(fits, columns) if few else _groups(fits, columns)]
    if at is not None:
        parts.append(_predictions(fits, columns, at))
    return Stack(*parts, *(_verdict(one) for one in fits if few))


def _laws(fits: Sequence[GroupFit], columns: Columns) -> Table:
    title = f"Laws of {columns.y} against {' and '.join(columns.x)}, 95 % intervals"
    table = Table(title=Text(f"{title}; in, out: rank in and out of sample"), title_justify="left")
    exponents = [name for name in SYMBOLS if any(name in row.parameters for one in fits for row in one.laws)]
    table.add_column("group", overflow="fold")
    for name in ("law", "weight", *(SYMBOLS[name] for name in exponents), "E", "in", "out"):
        table.add_column(name, justify="right" if name in RIGHT else "left", no_wrap=name == "law")
    table.add_column("verdict")
    for one in fits:
        for row in one.laws:
            table.add_row(*_law(one, row, exponents))
        if not one.laws:
            table.add_row(*_cells([one.name, *["–"] * (len(table.columns) - 2)]), _said(one))
        table.add_section()
    return table


def _law(one: GroupFit, row: LawFit, exponents: Iterable[str]) -> list[Text]:
    first = row is one.laws[0]
    values = [interval(row.parameters.get(name)) for name in (*exponents, "E")]
    ranks = ["–" if rank is None else str(rank) for rank in (row.in_sample_rank, row.out_of_sample_rank)]
    cells = _cells([one.name if first else "", row.law, f"{row.weight:.2f}", *values, *ranks])
    return [*cells, _said(one) if first else Text()]


def _groups(fits: Sequence[GroupFit], columns: Columns) -> Table:
    """One row for each of many groups: the exponent over all laws in which it means the same."""
    title = f"Laws of {columns.y} against {' and '.join(columns.x)}, 95 % intervals over all laws"
    table = Table(title=Text(title), title_justify="left")
    exponents = [name for name in SYMBOLS if any(name in one.exponents for one in fits)]
    table.add_column("group", overflow="fold")
    for name in ("points", *(SYMBOLS[name] for name in exponents), "heaviest law", "weight", "verdict"):
        table.add_column(name, justify="right" if name in RIGHT else "left")
    for one in fits:
        values = [interval(one.exponents.get(name)) for name in exponents]
        law = (one.laws[0].law, f"{one.laws[0].weight:.2f}") if one.laws else ("–", "–")
        table.add_row(*_cells([one.name, f"{one.n_points:,}", *values, *law]), _said(one))
    return table


def _said(one: GroupFit) -> Text:
    return Text(one.verdict, style=STYLES.get(one.verdict, ""))


def _verdict(one: GroupFit) -> Text:
    slopes = ", ".join(f"{SYMBOLS[name]} {interval(e)}" for name, e in one.exponents.items())
    over = f" Over all laws: {slopes}." if slopes else ""
    return Text.assemble("• ", (one.name, "bold"), ": ", _said(one), f". {one.reason.rstrip('.')}.{over}")


def _predictions(fits: Sequence[GroupFit], columns: Columns, at: At) -> RenderableType:
    rows = [(one, at.of(one.key)) for one in fits]
    n_rows = sum(len(x) for _, x in rows)
    if n_rows > MOST_ROWS:
        return Text(f"{n_rows:,} predictions: --json writes them.")
    table = Table(title=Text("Predictions, 95 % intervals"), title_justify="left")
    for name in (
        "group",
        *columns.x,
        columns.y,
        "mean within",
        "new run within",
        "beyond the data",
    ):
        table.add_column(name, justify="left" if name == "group" else "right", overflow="fold")
    for one, x in rows:
        told = one.predict(x)
        for i, scales in enumerate(x):
            cells = ["–"] * 4
            if told is not None:
                cells = [number(told.mean[i]), span(told.low[i], told.high[i])]
                cells += [span(told.new_run_low[i], told.new_run_high[i]), _horizon(told.horizon[i])]
            table.add_row(*_cells([one.name, *(number(v, 6) for v in scales), *cells]))
    return table


def _horizon(times: float) -> str:
    return "inside" if times <= 1.0 else f"{times:.3g}×"


def _cells(words: Iterable[str]) -> list[Text]:
    return [Text(word) for word in words]
