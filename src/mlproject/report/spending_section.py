"""The section of a report on a plan that was run until its prediction was narrow: what each round spent."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from mlproject.analysis import Round, Spending
from mlproject.report.document import Figure, Row, Section, Table
from mlproject.report.formats import as_count, as_number, as_text

CAUTION = (
    "The rounds stop at the first interval that is narrow enough, and so more often at one that is narrow by "
    "chance: such intervals hold the truth less often than those of a design that was fixed before."
)
ROUNDS = ("round", "n_cells", "images", "seconds", "group", "width")


def spending_section(spending: Spending) -> Section:
    """Why the plan stopped, what it spent of the whole, and the width of every curve after each round."""
    spent, whole = spending.spent, spending.whole
    total = (
        f"{spending.until.words}, {spending.until.budget_words}. Spent: {spent.n_cells} of {whole.n_cells} "
        f"cells, {spent.images:,.0f} of {whole.images:,.0f} training images; the first row is what was "
        "finished before, or the smallest sizes."
    )
    rows = [row for place, done in enumerate(spending.rounds, 1) for row in _rows(place, done)]
    formats = {"round": as_count("round"), "cells": as_count("n_cells"), "images": as_count("images")}
    formats |= {"seconds": as_count("seconds"), "curve": as_text("group"), "width": as_number("width")}
    caption = "Spent up to the end of each round, and the relative width of the 95 % interval at the target."
    table = Table(name="spending", rows=rows, columns=ROUNDS, formats=formats, caption=caption)
    return Section(
        title="What was spent",
        paragraphs=(spending.reason, total, CAUTION),
        tables=(table,),
        figures=tuple(_figures(spending, rows)),
    )


def _figures(spending: Spending, rows: list[Row]) -> Iterator[Figure]:
    """The widths by what was spent, where any is known after two rounds."""
    from mlproject.report.figures.spending import spending_figure

    if any(len(points) > 1 for points in spending.known_widths.values()):
        yield Figure(
            name="spending",
            draw=partial(spending_figure, spending),
            caption="Relative width of the 95 % interval at the target after each round, against the "
            "training images spent; dashed: the width that was asked for.",
            data=Table(name="spending", rows=rows, columns=ROUNDS),
        )


def _rows(place: int, done: Round) -> list[Row]:
    spent = {"n_cells": done.spent.n_cells, "images": done.spent.images, "seconds": done.spent.seconds}
    return [
        {"round": place, **spent, "group": name, "width": width if math.isfinite(width) else None}
        for name, width in done.widths.items()
    ]
