"""Tables of per-image losses: kinds of loss beside each other, and one group in a file of its own."""

import csv
import io

import matplotlib
import pytest

from mlproject.analysis import analyse
from mlproject.report import study_document, to_csv
from mlproject.report.figures import RC, encode
from mlproject.report.loss_tables import loss_kinds_table, loss_tables
from tests.analysis.test_points import squared_and_absolute
from tests.studies import cell, planted

SIZES = (100, 200, 300)


@pytest.fixture(scope="module")
def study():
    return analyse([squared_and_absolute(size) for size in SIZES], n_draws=20)


def read(table):
    return list(csv.DictReader(io.StringIO(to_csv(table).decode())))


def test_a_group_has_a_file_of_its_own_with_the_image_and_a_loss_for_each_size(study):
    (curve,) = study.along("images")
    (table,) = [table for table in loss_tables(study) if table.name.startswith("losses_by_size/")]
    rows = read(table)
    assert list(rows[0]) == ["image_name", "loss_100", "loss_200", "loss_300"]
    assert [row["image_name"] for row in rows] == list(curve.image_ids)
    assert [float(row["loss_200"]) for row in rows] == curve.losses[:, 1].tolist()


def test_groups_whose_names_would_be_one_file_name_have_two():
    knobs = [{"target": "labels", "lr": rate} for rate in ("1e-3", "1e+3")]
    runs = [planted(cell(size=size, knobs=k), n=20) for size in (100, 200) for k in knobs]
    names = [t.name for t in loss_tables(analyse(runs, n_draws=10)) if t.name.startswith("losses_by_size/")]
    assert len(set(names)) == 2


def test_kinds_of_loss_have_a_row_each_with_spread_agreement_and_exponent(study):
    rows = read(loss_kinds_table(study))
    assert [(row["loss"], row["trained"]) for row in rows] == [("mse", "True"), ("mae", "False")]
    trained, other = rows
    assert float(trained["agreement"]) == 1.0
    assert float(other["agreement"]) == pytest.approx(1.0)
    assert float(other["spread_last"]) < float(trained["spread_last"])
    assert float(trained["alpha_low"]) < 0.5 < float(trained["alpha_high"])
    assert not trained["alpha"], "three sizes identify no exponent"


def test_kinds_of_loss_are_drawn(study):
    figure = next(f for f in study_document(study).figures if f.name == "loss_kinds_training_images")
    with matplotlib.rc_context(RC):
        assert len(encode(figure.draw(), "png")) > 5000


def test_a_study_that_logs_one_kind_compares_none():
    alone = analyse([planted(cell(size=size), n=20) for size in SIZES], n_draws=10)
    assert loss_kinds_table(alone).rows == []
    assert not [f for f in study_document(alone).figures if f.name.startswith("loss_kinds")]
