"""The section on sealed predictions: the answer, the table with every verdict, the seals and the figure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlproject.analysis import PredictionRecord, score_predictions
from mlproject.cell import Cell
from mlproject.report.figures.predictions import predictions_figure
from mlproject.report.predictions_section import predictions_section
from tests.analysis.test_prediction_record import AT, finished, sealed
from tests.studies import cell


def at(size: int) -> Cell:
    return cell(size=size)


@pytest.fixture(scope="module")
def record() -> PredictionRecord:
    """A prediction of each verdict."""
    sizes = (800, 900, 1000, 1100)
    first = sealed(1, losses=tuple(replace(AT, cell=at(size)) for size in sizes))
    dropped = replace(sealed(2, [first.name], losses=(replace(AT, cell=at(1200)),)), fault="its file is gone")
    runs = [
        finished(0.6, [first.name], cell=at(800)),
        finished(0.9, [first.name], cell=at(900), ended=400.0),
        finished(0.5, cell=at(1000)),
    ]
    return score_predictions([first, dropped], {(3, "c" * 64): 2}, runs)


def test_the_answer_counts_what_is_inside_and_names_all_that_is_not_scored(record: PredictionRecord) -> None:
    answer, *_ = predictions_section(record).paragraphs
    assert answer.startswith(
        "1 of 2 predicted losses came inside their 95 % intervals: a share of 0.5 [0.1, 0.9]"
    )
    assert "Not scored: 1 pending, 1 late, 1 altered, 2 missing." in answer
    assert "With what is late, altered or missing as misses it is 0.17 [0.03, 0.56]." in answer
    none = predictions_section(replace(record, losses=(), predictions=(), missing=()))
    assert none.paragraphs[0] == "No prediction is scored yet."
    assert none.figures == ()


def test_every_loss_has_a_row_with_its_verdict_and_every_seal_is_printed(record: PredictionRecord) -> None:
    section = predictions_section(record)
    table, steps = section.tables
    assert [row["verdict"] for row in table.rows] == [
        "inside", "outside", "late", "pending", "altered", "missing",
    ]  # fmt: skip
    texts = [row[table.header.index("reason")] for row in table.frame.itertuples(index=False)]
    assert texts[4] == "its file is gone"
    assert "2 or more losses" in texts[5]
    assert table.texts[0][4] == "0.50 [0.40, 0.70]"
    assert section.bullets[1].endswith("(its file is gone)")
    assert all(each.seal in " ".join(section.bullets) for each in record.predictions)
    assert [(row["n_scored"], row["coverage"]) for row in steps.rows] == [(1, 1.0), (2, 0.5)]


def test_the_figure_draws_what_came_beside_each_interval(record: PredictionRecord) -> None:
    (figure,) = predictions_section(record).figures
    above, below = figure.draw().axes
    marks = [line for line in above.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in marks] == pytest.approx([0.6 / 0.5, 0.9 / 0.5])
    assert [line.get_markerfacecolor() == "white" for line in marks] == [False, True]
    assert len(above.get_yticklabels()) == 3
    assert list(below.lines[0].get_ydata()) == [1.0, 0.5]
    (alone,) = predictions_figure(record.losses[:1], record.coverage[:1]).axes
    assert alone.get_xlabel() == "loss / predicted loss"
