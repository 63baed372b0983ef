"""The iteration ledger on disk: a row for each run with its interval, a page, and training histories."""

import csv

import pytest

from mlproject.analysis import analyse
from mlproject.report import iterations_document, write_document
from tests.analysis.test_iterations import run
from tests.report.pictures import assert_not_blank


def test_files_hold_a_row_for_each_run_with_its_interval_and_histories(tmp_path):
    observations = [run(m, seed=s, right=150 + s) for m in ("net1", "net2") for s in (0, 1)]
    document = iterations_document(analyse(observations, n_draws=50).iterations)
    paths = write_document(document, tmp_path, page="ledger.md")
    with (tmp_path / "tables" / "ledger.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert (rows[0]["n_correct"], rows[0]["n_total"], rows[0]["device"]) == ("150", "200", "cpu")
    assert float(rows[0]["low"]) == pytest.approx(0.6857, abs=1e-4)
    assert float(rows[0]["gap"]) == pytest.approx(0.01)
    page = (tmp_path / "ledger.md").read_text()
    assert "400 images: 4 epochs, 1,600 samples, 4 s" in page
    assert {p.suffix for p in paths} == {".md", ".csv", ".png", ".pdf", ".tex"}
    assert (tmp_path / "tables" / "ledger_arms.csv").exists()
    assert_not_blank(tmp_path)
