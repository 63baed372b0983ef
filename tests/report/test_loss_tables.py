"""Tables of per-image losses: kinds of loss beside each other, and one group in a file of its own."""

import csv
import io

import matplotlib
import pytest

from mlproject.analysis import AXES, Ablation, ClassExponent, ClassScaling, Confusion, Study, analyse
from mlproject.analysis.curves import label_curves, make_curves
from mlproject.report import study_document, to_csv
from mlproject.report.figures import RC, encode
from mlproject.report.loss_tables import classes_section, loss_kinds_table, loss_tables
from mlproject.scaling import Estimate
from tests.analysis.test_points import squared_and_absolute
from tests.studies import cell, drawn_pools, planted

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


GROUP = "lite0 · fashion-mnist · probe · target labels · cross_entropy · held-out"


def scaling_of(rows, confusion=(), left_out=(), n_runs=2):
    """Classes of a curve with differences, q-values and counts as given."""
    (curve,) = (c for c in analyse_without_laws() if c.axis is AXES["images"])
    exponents = tuple(
        ClassExponent(
            label=label, n_images=10, first=1.0, last=0.5, p=q / 2, q=q,
            alpha=Estimate(value=0.3 + d, low=0.2 + d, high=0.4 + d),
            difference=Estimate(value=d, low=d - 0.05, high=d + 0.05),
        )
        for label, d, q in rows
    )  # fmt: skip
    counts = tuple(Confusion(label=a, predicted=b, count=n) for a, b, n in confusion)
    return ClassScaling(curve=curve, exponents=exponents, left_out=left_out, confusion=counts, n_runs=n_runs)


def analyse_without_laws():
    ((pool, drawn),) = drawn_pools([planted(cell(size=size), n=20) for size in (100, 2000)], n_draws=5)
    return label_curves(make_curves(pool, drawn, 0))


def section_of(*scalings):
    study = Study(
        curves=tuple(scaling.curve for scaling in scalings), grids=(), ablation=Ablation(), image_scale=(),
        region_contrasts=(), iterations=None, notes=(), runs=(), n_left_out=0, n_draws=5,
    )  # fmt: skip
    vars(study)["classes"] = scalings
    return classes_section(study)


def test_classes_that_differ_are_named_with_the_most_common_error(monkeypatch):
    monkeypatch.setattr("mlproject.analysis.curves._assess", lambda curve: {})
    rows = [("bag", 0.21, 0.001), ("coat", -0.1, 0.04), ("dress", 0.02, 0.5)]
    counts = [("bag", "bag", 20), ("coat", "bag", 5), ("coat", "coat", 15)]
    section = section_of(scaling_of(rows, counts, left_out=("hat",)))
    assert section.bullets == (
        f"{GROUP}: of 3 classes 2 fall at another rate than all images (false-discovery rate 5 %): "
        "faster bag (+0.21 [+0.16, +0.26]); slower coat (-0.10 [-0.15, -0.05]). No exponent (no image or a "
        "loss of 0 at some scale): hat. At 2,000 images the most common error is coat taken for bag: 25 % "
        "(5 of 20 in 2 runs).",
    )
    classes, confusion = section.tables
    assert [row["label"] for row in read(classes)] == ["bag", "coat", "dress"]
    assert classes.texts[0][1:] == (
        "bag", "10", "1", "0.5", "0.51 [0.41, 0.61]", "+0.21 [+0.16, +0.26]", "–", "0.001"
    )  # fmt: skip
    assert [list(row.values())[5:] for row in read(confusion)][1] == ["2000", "coat", "bag", "5"]


def test_classes_of_which_none_is_seen_to_differ_are_not_called_alike(monkeypatch):
    monkeypatch.setattr("mlproject.analysis.curves._assess", lambda curve: {})
    (text,) = section_of(scaling_of([("bag", 0.1, 0.5), ("coat", 0.0, 0.9)])).bullets
    assert "of 2 classes none is seen to fall at another rate than all images (" in text


def test_many_classes_are_all_in_the_file_and_the_least_q_values_on_the_page(monkeypatch):
    monkeypatch.setattr("mlproject.analysis.curves._assess", lambda curve: {})
    section = section_of(scaling_of([(f"c{i:02d}", 0.01 * i, 1 / (i + 1)) for i in range(30)]))
    (table,) = section.tables
    assert len(read(table)) == 30
    assert [row[1] for row in table.texts] == [f"c{i:02d}" for i in range(18, 30)]
    assert "Of each group the 12 classes of the least q." in table.caption
    assert "faster c29 (+0.29" in section.bullets[0]
    assert " and 6 more. At 2,000 images no image is assigned to a wrong class." in section.bullets[0]


def test_a_study_without_exponents_of_classes_has_its_confusion_alone_and_one_without_labels_nothing():
    matrix = section_of(scaling_of([], [("bag", "coat", 1)], n_runs=1))
    assert [table.name for table in matrix.tables] == ["confusion"]
    assert matrix.bullets == (
        "lite0: At 2,000 images the most common error is bag taken for coat: 100 % (1 of 1 in 1 run).",
    )
    assert section_of().tables == ()
