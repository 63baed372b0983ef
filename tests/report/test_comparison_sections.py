"""Comparisons in a report: no difference without its interval, all files, nothing where there is none."""

from __future__ import annotations

import csv
import re
from dataclasses import replace

import pytest

from mlproject.analysis import Discordant, analyse
from mlproject.report import (
    render_markdown,
    study_document,
    terminal_text,
    write_document,
    write_report,
)
from mlproject.report.comparison_sections import ablation_sections
from mlproject.report.document import Table
from mlproject.report.formats import as_signed
from mlproject.report.image_scale_section import crossing_sentence
from mlproject.report.loss_tables import regions_table
from tests.analysis.test_ablations import ARMS, by_size, observations
from tests.analysis.test_exponent_differences import study as regions
from tests.analysis.test_image_scale import bent, study
from tests.report.figures import legible
from tests.studies import with_two_laws, without_laws

STUDY = [
    *(seen for seen in observations(3)),
    *(seen for seen in by_size(0.1) if seen.cell.dataset_size != 100),
]


COMPARED = {"ablations", "interactions", "exponent_differences"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A study of arms, and the sections on them as files."""
    analysed = with_two_laws(STUDY, n_draws=200)
    whole = study_document(analysed)
    sections = [
        part
        for part in whole.sections
        if COMPARED & {table.name for table in part.tables}
        or any(figure.name.startswith("arm") for figure in part.figures)
    ]
    folder = tmp_path_factory.mktemp("report")
    document = replace(whole, sections=tuple(sections))
    return analysed, {path.name: path for path in write_document(document, folder, page="summary.md")}


def test_every_artifact_of_an_ablation_is_written(written):
    _, files = written
    wanted = {"ablations.csv", "interactions.csv", "exponent_differences.csv"}
    wanted |= {f"arms_net_a-100-images-toys.{kind}" for kind in ("png", "pdf")}
    wanted |= {"arm_augmentation-flips_by_training_images.png", "ablations.tex"}
    assert wanted <= set(files)
    assert all(files[name].stat().st_size > 500 for name in wanted)


def test_no_difference_stands_without_its_interval(written):
    _, files = written
    with files["ablations.csv"].open() as file:
        rows = list(csv.DictReader(file))
    compared = [row for row in rows if row["arm"] != "baseline"]
    assert {row["arm"] for row in compared} == {*ARMS, "model=net_b"}
    for row in compared:
        for name in ("loss_difference", "error_difference"):
            low, value, high = (float(row[f"{name}{end}"]) for end in ("_low", "", "_high"))
            assert low <= value <= high
            assert row[f"{name}_p_holm"]
            assert row[f"{name}_verdict"]
    assert all(row["loss_best_on_validation"] and row["loss_final"] for row in rows)


def test_the_summary_and_the_terminal_show_every_arm(written):
    analysed, files = written
    page, text = files["summary.md"].read_text("utf-8"), terminal_text(study_document(analysed))
    for arm in [*ARMS, "model=net_b"]:
        assert arm.replace("_", r"\_") in page
        assert arm in text
    assert "## Interactions" in page
    assert "## Exponents of arms" in page
    lines = [line for line in page.splitlines() if "| augmentation=flips |" in line]
    assert lines
    assert all(len(re.findall(r"\[[^\]]+\]", line)) >= 2 for line in lines)


def test_accuracies_are_in_percent_and_their_differences_in_points_with_a_sign(written):
    analysed, _ = written
    row = {"points": 1.2, "points_low": -0.8, "points_high": 3.2}
    assert as_signed("points", 1).write(row) == "+1.2 [-0.8, +3.2]"
    table: Table = next(t for t in study_document(analysed).tables if t.name == "ablations")
    for values in table.rows:
        assert values["accuracy"] == pytest.approx(100 * (1 - values["error_evaluation"]))
        assert values["accuracy_low"] <= values["accuracy"] <= values["accuracy_high"]
        if values["error_difference"] is not None:
            assert values["points"] == pytest.approx(-100 * values["error_difference"])
            assert values["points_low"] <= values["points"] <= values["points_high"]


def test_a_study_without_arms_has_nothing_of_them(tmp_path):
    runs = [seen for seen in observations(2) if seen.cell.knobs["dropout"] == 0.2][:1]
    analysed = analyse(runs, n_draws=50)
    names = {path.name for path in write_report(analysed, tmp_path)}
    assert not [name for name in names if name.startswith("arm") or "ablation" in name]
    assert "Arms" not in terminal_text(study_document(analysed))


def test_model_size_against_image_scale_has_figure_tables_and_sentences(tmp_path):
    whole = study_document(without_laws(bent(0.6), n_draws=200))
    (section,) = (part for part in whole.sections if any("sweet" in table.name for table in part.tables))
    document = replace(whole, sections=(section,))
    names = {path.name for path in write_document(document, tmp_path, page="summary.md")}
    assert {"compute_curves.csv", "sweet_spots.csv"} <= names
    kinds = {name.rpartition(".")[2] for name in names if name.startswith("sweet_spot_1_")}
    assert kinds == {"png", "pdf", "csv"}
    text = render_markdown(whole)
    assert "## Model size against image scale, at equal compute" in text
    rows = list(csv.DictReader((tmp_path / "tables" / "compute_curves.csv").read_text().splitlines()))
    assert [row["image_scales"] for row in rows] == ["1", "1", "1", "1", "1,2"]
    assert [float(row["gain"]) for row in rows] == pytest.approx([0, -0.05, -0.6, 0, -0.4], abs=0.02)
    plain = study_document(without_laws((s for s in bent(0.6) if s.cell.image_scales == (1.0,)), n_draws=200))
    assert not any("sweet" in part.name for part in (*plain.figures, *plain.tables))


def test_a_crossing_out_of_range_is_called_none_in_range_with_the_way_that_is_ahead():
    (comparison,) = without_laws(study(lambda gmac: 1.5), n_draws=200).image_scale
    (crossing,) = comparison.crossings
    assert "none in range" in crossing_sentence(crossing)
    assert "model size ahead" in crossing_sentence(crossing)


def test_pairs_of_regions_are_rows_of_a_table_paired_over_shared_images():
    contrasts = regions({"full": 0.5, "background": 0.2, "blobs": 0.5}).region_contrasts
    table = regions_table(contrasts)
    assert table.name == "exponents_by_region"
    assert {(row["first"], row["second"]) for row in table.rows} >= {
        ("full", "blobs"),
        ("full", "background"),
    }
    assert all(row["paired"] for row in table.rows)


def test_whole_images_object_and_background_are_in_one_figure():
    contrasted = regions({"full": 0.5, "background": 0.3})
    figures = {figure.name: figure for figure in study_document(contrasted).figures}
    (name,) = (name for name in figures if name.startswith("regions_"))
    data = figures[name].data
    assert {row["group"].split(" · ")[0] for row in data.rows} == {"full", "background"}
    assert legible.faults(figures[name].draw) == []


def test_a_study_of_arms_alone_says_so_and_its_text_is_not_empty(tmp_path):
    arms = analyse([seen for seen in observations(2) if seen.cell.model == "net_a"], n_draws=20)
    document = study_document(arms)
    page = render_markdown(document)
    assert "in 0 groups" not in page
    assert "no group has two or more scales" in page
    assert terminal_text(document).strip()


def test_mcnemars_test_beside_an_undecided_loss_is_explained(written):
    analysed, _ = written
    (table, *_) = analysed.ablation.tables
    undecided = next(row for row in table.rows if row.loss_difference and row.loss_difference.holm > 0.05)
    clear = replace(undecided, mcnemar=Discordant(first_only=2, second_only=17, p=0.0035))
    ablation = replace(analysed.ablation, tables=(replace(table, rows=(table.rows[0], clear)),))
    (section, *_) = ablation_sections(ablation)
    (sentence,) = section.bullets
    assert "McNemar's p = 0.0035" in sentence
    assert "the verdict is on the mean loss" in sentence
    unclear = replace(clear, mcnemar=Discordant(first_only=2, second_only=3, p=0.9))
    quiet = replace(ablation, tables=(replace(table, rows=(table.rows[0], unclear)),))
    assert next(iter(ablation_sections(quiet))).bullets == ()
