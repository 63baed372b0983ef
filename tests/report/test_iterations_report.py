"""The iteration ledger on disk: a row for each run with its interval, a page, and training histories."""

import csv
from dataclasses import replace

import matplotlib
import pytest

from mlproject.analysis import analyse
from mlproject.report import iterations_document, render_markdown, write_document
from mlproject.report.figures import RC
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
    assert {p.suffix for p in paths} >= {".md", ".csv", ".png", ".pdf", ".tex"}
    assert (tmp_path / "tables" / "ledger_arms.csv").exists()
    assert_not_blank(tmp_path)


def segmented(model, majority):
    """A run whose accuracy is that of pixels, with what guessing the most common class reaches."""
    plain = run(model)
    return replace(plain, metrics=plain.metrics | {"miou": 0.41, "majority_accuracy": majority})


def test_a_segmentation_shows_mean_intersection_and_the_majority_baseline_beside_its_accuracy():
    document = iterations_document(analyse([segmented("net1", 0.752), run("net2")], n_draws=20).iterations)
    page = render_markdown(document)
    assert "| mIoU | majority baseline |" in page
    assert "| 0.410 | 0.752 |" in page
    with matplotlib.rc_context(RC):
        (figure,) = [one.draw() for one in document.figures]
    accuracy = figure.axes[2:]
    heights = [{line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == ":"} for ax in accuracy]
    assert heights == [{0.752}, {0.752}]
    (legend,) = figure.legends
    assert "guessing the most common class" in [text.get_text() for text in legend.get_texts()]


def test_a_ledger_without_pixels_has_no_column_for_them():
    page = render_markdown(iterations_document(analyse([run("net1")], n_draws=20).iterations))
    assert "mIoU |" not in page
    assert "majority baseline |" not in page
