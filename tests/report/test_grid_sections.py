"""Grids in a report: tables, page, LaTeX and figures say the same, and a grid without a law says why."""

import csv
import io
import json
from dataclasses import replace

import pytest

from mlproject.report import (
    render_markdown,
    study_document,
    study_json,
    terminal_text,
    to_csv,
    to_json,
    write_document,
)
from mlproject.report.study_report import grid_json
from tests.report.figures import legible
from tests.report.pictures import assert_not_blank
from tests.studies import WIDTHS, grid_study, without_laws


def rows(content):
    return list(csv.DictReader(io.StringIO(content.decode())))


@pytest.fixture(scope="module")
def study():
    runs = grid_study(n=60, seeds=1, models=tuple(WIDTHS)[:4], sizes=(100, 400, 1600, 3200))
    return without_laws(runs, n_draws=50)


def test_joint_laws_are_in_tables_page_latex_and_pictures(study, tmp_path):
    whole = study_document(study)
    (section,) = (part for part in whole.sections if any(figure.name == "joint" for figure in part.figures))
    write_document(replace(whole, sections=(section,)), tmp_path, page="summary.md")
    assert [fault for figure in section.figures for fault in legible.faults(figure.draw)] == []
    names = {path.name for path in tmp_path.rglob("*")}
    assert {"joint.png", "joint.pdf", "joint.csv", "frontier.png", "joint_laws.tex", "frontier.csv"} <= names
    (grid,) = study.grids
    tables = tmp_path / "tables"
    laws = rows((tables / "joint_laws.csv").read_bytes())
    weights = grid.assessment.average.weights
    assert [row["law"] for row in laws] == sorted(weights, key=lambda law: -weights[law])
    assert {row["rank_in_sample"] for row in laws} == {str(i + 1) for i in range(len(laws))}
    cells = rows((tables / "joint_cells.csv").read_bytes())
    assert len(cells) == 16
    assert sum(bool(row["held_out_mean"]) for row in cells) == grid.held_out.rows.sum()
    ahead = rows((tables / "joint_predictions.csv").read_bytes())
    assert {float(row["horizon"]) for row in ahead} == {2.0, 10.0}
    methods = {row["method"] for row in rows((tables / "frontier.csv").read_bytes())}
    assert f"closed form of {grid.allocation.law}" in methods
    text = (tmp_path / "summary.md").read_text()
    assert "## Joint laws" in text
    assert "rank out of sample" in text
    assert "10 ×" in text
    assert "most expensive cells" in text
    assert r"\alpha" in (tmp_path / "latex" / "joint_laws.tex").read_text()
    assert_not_blank(tmp_path)
    content = json.loads(to_json(study_json(study)))
    assert content["joints"][0]["cost"]["measured"] is True
    assert len(content["joints"][0]["predictions"]) == 6


def test_the_terminal_shows_the_joint_law(study):
    text = " ".join(terminal_text(study_document(study), width=400).split())
    assert "N* ~ C^" in text
    assert "weight" in text


def test_the_flags_of_a_grid_are_on_the_page_and_in_the_json(study):
    (grid,) = study.grids
    flag = "1 run is far from all laws and left out: N = 9, D = 100 (loss 2)"
    flagged = replace(grid, assessment=replace(grid.assessment, flags=(flag,)))
    assert flag in render_markdown(study_document(replace(study, grids=(flagged,))))
    assert grid_json(flagged)["flags"] == [flag]


def test_a_grid_without_a_law_is_refused_on_the_page_and_in_the_table():
    runs = grid_study(n=30, seeds=1, models=("net-8", "net-16"))
    small = study_document(without_laws(runs, n_draws=50))
    assert "No joint law: 2 values of model size" in render_markdown(small)
    table = next(table for table in small.tables if table.name == "joint_laws")
    (row,) = rows(to_csv(table))
    assert row["verdict"] == "not identifiable"
    assert "at least 3 of each" in row["reason"]
