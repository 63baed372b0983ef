"""What was spent: the width of every curve after each round, as rows and as a figure."""

import math

from mlproject.analysis import Round, Spending, Spent, read_until
from mlproject.report.spending_section import spending_section


def spending(*widths):
    rounds = [
        Round(spent=Spent(n_cells=i, images=100.0 * i, seconds=1.0, budgeted=100.0 * i), widths=by_name)
        for i, by_name in enumerate(widths, 1)
    ]
    return Spending(
        until=read_until("width <= 0.1 at 1000 images", "900"), rounds=tuple(rounds), whole=rounds[-1].spent,
        targets={}, narrow=False, reason="The budget is spent.",
    )  # fmt: skip


def test_the_figure_has_the_known_widths_of_every_round_beside_what_was_asked_for():
    section = spending_section(
        spending({"a": math.inf, "b": 2.0}, {"a": 0.5, "b": 0.4}, {"a": 0.2, "b": 0.1})
    )
    (figure,) = section.figures
    drawn = {line.get_label(): line.get_xydata().tolist() for line in figure.draw().axes[0].lines}
    assert drawn["a"] == [[200.0, 0.5], [300.0, 0.2]]
    assert drawn["b"] == [[100.0, 2.0], [200.0, 0.4], [300.0, 0.1]]
    assert drawn["asked for: 0.1"][0][1] == 0.1
    assert drawn["budget"][0][0] == 900.0
    assert [row["width"] for row in section.tables[0].rows] == [None, 2.0, 0.5, 0.4, 0.2, 0.1]


def test_rounds_that_predict_nothing_twice_have_no_figure():
    assert spending_section(spending({"a": math.inf}, {"a": 3.0})).figures == ()
