"""Definitions: every column of every table of every kind of study has one, with its unit."""

import pytest

from mlproject.analysis import analyse
from mlproject.report import iterations_document, study_document, study_page
from mlproject.report.columns import COLUMNS, TABLES, definition, definitions
from mlproject.report.grid_sections import CELLS, FRONTIER, JOINT_LAWS, PREDICTED
from mlproject.report.image_scale_section import CROSSINGS, POINTS
from mlproject.report.loss_tables import CLASSES, CONFUSION, REGIONS
from mlproject.report.page import page_tables
from mlproject.report.paper.data import cells_table, images_header
from mlproject.report.predictions_section import COVERAGE, SEALED
from mlproject.report.study_tables import points_table
from tests.analysis.test_ablations import observations
from tests.analysis.test_iterations import run
from tests.studies import cell, planted

RUNS = {
    "curves": lambda: [planted(cell(size=size), n=20) for size in (100, 200)],
    "arms": observations,
    "networks": lambda: [run(seed=seed) for seed in (0, 1)],
}


@pytest.mark.parametrize("kind", RUNS)
def test_every_column_of_every_table_has_a_definition(kind):
    study = analyse(RUNS[kind](), n_draws=20)
    documents = [study_document(study)]
    if study.iterations is not None:
        documents.append(iterations_document(study.iterations))
    page = study_page(study, documents[0])
    tables = [cells_table(study), points_table(study), *page_tables(page, documents[0])]
    for document in documents:
        tables += [*document.tables, *(figure.data for figure in document.figures if figure.data is not None)]
    headers = [(table.name, table.header) for table in tables] + [("images", images_header(study))]
    for table, column, _, words in definitions(headers):
        assert words, f"{column} of {table}"


@pytest.mark.parametrize(
    ("table", "header"),
    [
        ("exponents_by_region", REGIONS), ("sweet_spots", CROSSINGS), ("compute_curves", POINTS),
        ("joint_cells", CELLS), ("joint_laws", JOINT_LAWS), ("frontier", FRONTIER),
        ("joint_predictions", PREDICTED),
        ("frontier_exponents", ("group", "data", "recipe", "way", "budgets", "N_low", "D")),
        ("interactions", ("held", "scales", "loss_change_by_doubling", "error_change_by_doubling_p_holm")),
        ("exponent_differences", ("alpha_baseline_low", "difference", "difference_high", "identified")),
        ("classes", CLASSES),
        ("confusion", CONFUSION),
        ("runs", ("cell", "losses_digest", "run_id")),
        ("sealed_predictions", tuple(SEALED)), ("sealed_coverage", tuple(COVERAGE)),
    ],
)  # fmt: skip
def test_tables_of_rarer_studies_are_defined(table, header):
    assert all(words for *_, words in definitions([(table, header)]))


def test_a_limit_has_the_unit_of_its_value_and_says_of_what_it_is():
    assert definition("exponents", "E_low") == ("loss", "Lower 95 % limit of E")
    assert "at the scale 2000" in definition("losses_by_size/x", "loss_2000")[1]
    assert definition("ledger_arms", "gap") == TABLES["ledger"]["gap"]


@pytest.mark.parametrize("split", ["train", "validation", "eval"])
@pytest.mark.parametrize("measured", ["loss", "accuracy", "correct", "total", "brier", "error", "miou"])
def test_every_column_of_a_training_history_has_a_definition(split, measured):
    assert definition("epochs_scratch-on-embedded_100_images", f"{split}_{measured}")[1]
    assert all(definition("epochs_x", name)[1] for name in ("epoch", "step", "samples", "seconds", "lr"))


def test_a_column_without_a_definition_is_named():
    with pytest.raises(LookupError, match="column colour of table exponents has no definition"):
        definition("exponents", "colour")


def test_definitions_are_words_in_one_style():
    everything = [*COLUMNS.values(), *(value for table in TABLES.values() for value in table.values())]
    for _, words in everything:
        first = words.split()[0].rstrip(":,")
        assert words[0].isupper() or first in {"ln(predicted", "p-value", "scaling", "eval"}
        assert not words.endswith(".")
