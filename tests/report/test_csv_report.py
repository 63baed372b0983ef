"""The report of a CSV: laws, verdicts, predictions and comparison as a terminal shows them."""

from dataclasses import replace

import numpy as np
import pytest

from mlproject.analysis import Columns, assess_csv
from mlproject.report import csv_document, render_markdown, terminal_text
from mlproject.report.csv_report import MOST_GROUPS, comparison_sentences, csv_json
from mlproject.report.formats import ABSENT, interval

SIZES = (100, 200, 400, 800, 1600, 3200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("points")


def write(path, rows):
    path.write_text("\n".join(["model,images,loss", *rows]) + "\n")
    return path


def power_law(model, alpha, *, k=8.0, seed=0):
    noise = np.exp(0.01 * np.random.default_rng(seed).normal(size=len(SIZES)))
    return [f"{model},{n},{k * n**-alpha * e}" for n, e in zip(SIZES, noise, strict=True)]


@pytest.fixture(scope="module")
def two(folder):
    """Two models compared, with predictions."""
    path = write(folder / "two.csv", [*power_law("A", 0.6), *power_law("B", 0.3, seed=1)])
    at = folder / "at.csv"
    at.write_text("images\n150\n6400\n")
    columns = Columns(x=("images",), y="loss", group=("model",))
    return assess_csv(path, columns, predict_at=at, compared=("A", "B"))


def test_laws_verdicts_predictions_and_comparison_are_shown(two):
    document = csv_document(two)
    for text in (terminal_text(document), render_markdown(document)):
        words = " ".join(text.split())
        for word in ("power", "scaling", "Predictions", "A: scaling.", "The exponent α of A is larger"):
            assert word in words
        assert "inside" in words
        assert "2 ×" in words


def test_the_answer_of_a_comparison_is_that_over_all_laws(two):
    """One law may call a difference significant that is none over all laws."""
    found = two.comparison
    (over_all,) = found.over_all_laws
    unsure = replace(over_all, difference=replace(over_all.difference, low=-1.0, high=1.0))
    sentence = comparison_sentences(replace(found, over_all_laws=(unsure,)))
    by_law = interval(found.by_law[0][2][0].difference)
    assert found.by_law[0][2][0].verdict == "first larger"
    assert sentence.startswith("No difference between the exponents α of A and B is seen (over all laws).")
    assert f"0.3 [-1.0, 1.0] over all laws, {by_law} under {found.by_law[0][0].law}" in sentence
    alone = comparison_sentences(replace(found, over_all_laws=()))
    assert alone.startswith(f"The exponent α of A is larger than that of B (under {found.by_law[0][0].law}).")
    assert csv_json(two)["comparison"]["answer"] == comparison_sentences(found)


def test_a_group_that_cannot_be_read_says_where(folder):
    path = write(folder / "broken.csv", [*power_law("A", 0.5), "C,100,-1"])
    study = assess_csv(path, Columns(x=("images",), y="loss", group=("model",)), laws=("power",))
    text = " ".join(terminal_text(csv_document(study)).split())
    assert "C: not identifiable. Not fitted: broken.csv, row 8, column 'loss': '-1'" in text


def test_many_groups_have_a_row_each(folder):
    names = [f"m{i}" for i in range(MOST_GROUPS + 1)]
    path = write(folder / "many.csv", [row for name in names for row in (f"{name},100,2", f"{name},200,1.5")])
    study = assess_csv(path, Columns(x=("images",), y="loss", group=("model",)))
    (section,) = csv_document(study).sections
    (table,) = section.tables
    assert [row[0] for row in table.texts] == names
    assert csv_document(study).answer.sentences == ()


def test_a_parameter_that_is_not_identified_has_limits_alone_on_page_and_terminal(folder):
    noise = np.exp(0.4 * np.random.default_rng(2).normal(size=len(SIZES)))
    path = write(folder / "noisy.csv", [f"A,{n},{e}" for n, e in zip(SIZES, noise, strict=True)])
    columns = Columns(x=("images",), y="loss", group=("model",))
    study = assess_csv(path, columns, laws=("power", "power_floor"))
    (group,) = study.groups
    document = csv_document(study)
    (table,) = document.sections[0].tables
    for law, cells in zip(group.laws, table.texts, strict=True):
        row = dict(zip(table.formats, cells, strict=True))
        for name, head in (("alpha", "α"), ("E", "E")):
            if name in law.parameters:
                estimate = law.parameters[name]
                assert row[head] == interval(estimate, identified=estimate.identified)
    assert any(not e.identified for law in group.laws for e in law.parameters.values())
    assert all(cell in render_markdown(document) for cell in (row["α"], row["E"]) if cell != ABSENT)
