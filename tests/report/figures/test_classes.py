"""The forest plot of classes: the steepest on top, discoveries filled, of many those that differ most."""

from dataclasses import replace

import pytest

from mlproject.analysis import ClassExponent
from mlproject.report.figures.classes import MOST_DRAWN, classes_figure, drawn_scalings
from mlproject.scaling import Estimate
from tests.analysis.test_mistakes import observations
from tests.studies import without_laws


def exponent(label: str, value: float, q: float) -> ClassExponent:
    estimate = Estimate(value=value, low=value - 0.1, high=value + 0.1)
    return ClassExponent(
        label=label, n_images=9, first=1.0, last=0.5, alpha=estimate, difference=estimate, p=q, q=q,
        shrunk=estimate,
    )  # fmt: skip


@pytest.fixture(scope="module")
def scalings():
    known = without_laws(observations(), n_draws=20).classes
    many = tuple(exponent(f"c{i:02d}", 0.01 * i, 0.01 if i > 40 else 0.5) for i in range(MOST_DRAWN + 5))
    return [replace(scaling, exponents=many) for scaling in known]


def test_the_steepest_class_is_on_top_and_those_that_differ_least_are_left_out(scalings):
    axes = classes_figure(drawn_scalings(scalings)).axes
    assert len(axes) == len(scalings) == 2
    names = [text.get_text() for text in axes[0].get_yticklabels()]
    assert names[0] == f"c{MOST_DRAWN + 4}"
    assert len(names) == MOST_DRAWN
    assert "c04" not in names


def test_discoveries_alone_are_filled(scalings):
    (first, _) = classes_figure(scalings).axes
    faces = [line.get_markerfacecolor() for line in first.lines if line.get_marker() == "o"]
    assert faces.count("white") == MOST_DRAWN - 4
    assert drawn_scalings([replace(scalings[0], exponents=())]) == []
