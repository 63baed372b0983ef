"""Tables of a study: its points read back give its numbers, and what is not identified has no value."""

import csv
import io
import json
import math
import re

import numpy as np
import pytest

from mlproject.analysis import HORIZONS, STATISTICS, Columns, analyse, assess_csv
from mlproject.report import render_markdown, study_document, study_json, terminal_text, to_csv, to_json
from mlproject.report.loss_tables import loss_tables
from mlproject.report.study_tables import (
    LIMITS,
    curve_json,
    data_tables,
    exponents_table,
    limits_at,
    parameters_json,
    points_table,
    predictions_table,
)
from tests.studies import cell, default_study, planted, usual_study

SIZES = (100, 200, 400, 700, 1200, 2000)
N_MODELS, N_IMAGES, N_SEEDS = 4, 100, 3


@pytest.fixture(scope="module")
def study():
    return usual_study()


def read(table):
    return list(csv.DictReader(io.StringIO(to_csv(table).decode())))


def file_of(study, name):
    tables = (*loss_tables(study), *data_tables(study))
    return read(next(table for table in tables if table.name == name))


def test_the_exported_points_assessed_as_a_csv_give_the_exponents_of_the_study(study, tmp_path):
    rows = [
        row
        for row in read(points_table(study))
        if row["statistic"] == "mean" and row["axis"] == "training images"
    ]
    path = tmp_path / "points.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    read_back = assess_csv(path, Columns(x=("x",), y="loss", sd="sd", group=("group",)), laws=("power",))
    curves = {curve.label: curve for curve in study.along("images")}
    assert {group.name for group in read_back.groups} == curves.keys()
    for group in read_back.groups:
        want = curves[group.name].law("mean", "power").fit
        have = group.assessment.law("power").fit
        assert have.parameters["alpha"].value == pytest.approx(want.parameters["alpha"].value, rel=1e-9)
        assert have.parameters["k"].value == pytest.approx(want.parameters["k"].value, rel=1e-9)
        assert have.residuals == pytest.approx(want.residuals, abs=1e-9)


def test_the_exported_points_are_those_of_the_study(study):
    rows = read(points_table(study))
    want = study.points()
    assert len(rows) == len(want)
    for row, values in zip(rows, want, strict=True):
        assert row["group"] == values["group"]
        assert float(row["loss"]) == values["loss"]
        assert float(row["low"]) <= float(row["loss"]) <= float(row["high"])


def test_a_value_is_in_the_table_exactly_where_its_parameter_is_identified(study):
    rows = exponents_table(study).rows
    laws = [(law, row) for law, row in zip(_laws(study), rows, strict=True) if law.fit is not None]
    assert laws
    for law, row in laws:
        for name in ("alpha", "k", "E"):
            estimate = law.parameters.get(name)
            assert (row[name] is not None) == (estimate is not None and estimate.identified)
            if estimate is not None:
                assert (row[f"{name}_low"], row[f"{name}_high"]) == (estimate.low, estimate.high)
        content = parameters_json(law)
        assert all(
            (content[name]["value"] is None) == (not e.identified) for name, e in law.parameters.items()
        )


def _laws(study):
    return [law for curve in study.curves for name in STATISTICS for law in curve.reported_laws(name)]


def test_a_value_that_is_not_identified_is_in_no_renderer_and_no_file():
    runs = [planted(cell("lite0", size), n=40, floor=0.0, noise=0.3) for size in (100, 200, 400, 800)]
    noisy = analyse(runs, n_draws=60)
    hidden = [e.value for law in _laws(noisy) if law.fit for e in law.parameters.values() if not e.identified]
    assert hidden
    document = study_document(noisy)
    texts = [
        render_markdown(document),
        terminal_text(document, width=300),
        to_csv(exponents_table(noisy)).decode(),
    ]
    texts.append(to_json(study_json(noisy)).decode())
    slope = re.compile(r"the average slope is [^\]]*\]")  # of the points, which no law is needed for
    texts = [slope.sub("", text) for text in texts]
    for value in hidden:
        assert not any(f"{value!r}" in text for text in texts)
        assert not any(f" {value:.3g} [" in text for text in texts)


def test_predictions_are_at_the_horizons_with_nested_intervals(study):
    rows = read(predictions_table(study))
    assert {float(row["horizon"]) for row in rows} == set(HORIZONS)
    for row in rows:
        mean, low, high, new_low, new_high = (float(row[name]) for name in LIMITS)
        assert new_low <= low <= mean <= high <= new_high
        assert float(row["x"]) == float(row["horizon"]) * float(row["x_max"])


def test_the_page_shows_the_numbers_of_the_predictions_file(study):
    table = predictions_table(study)
    for shown in table.shown:
        (first,) = [
            r
            for r in table.rows
            if r["horizon"] == 2.0 and r["statistic"] == "mean" and r["mean"] == shown["at_2"]
        ]
        assert (shown["at_2_low"], shown["at_2_high"]) == (first["low"], first["high"])


def test_ranks_of_laws_count_from_one_and_weights_sum_to_one(study):
    groups = {}
    for row in file_of(study, "laws"):
        groups.setdefault((row["group"], row["axis"], row["statistic"]), []).append(row)
    assert groups
    for rows in groups.values():
        assert sum(float(row["weight"]) for row in rows) == pytest.approx(1.0)
        assert sum(float(row["prior"]) for row in rows) == pytest.approx(1.0)
        assert sorted(int(row["rank_in_sample"]) for row in rows) == list(range(1, len(rows) + 1))


def test_losses_of_an_image_average_to_the_loss_of_the_point(study):
    rows = file_of(study, "losses_by_size")
    curve = study.along("images")[0]
    column = [float(row["loss_100"]) for row in rows if row["group"] == curve.label]
    assert len(column) == curve.n_images == N_IMAGES
    assert np.mean(column) == pytest.approx(curve.points[0].value("mean"))


def test_quantiles_of_a_distribution_ascend_between_its_extremes(study):
    for row in file_of(study, "distributions"):
        values = [float(row[name]) for name in ("min", "q05", "q25", "q50", "q75", "q95", "max")]
        assert values == sorted(values)
        assert values[0] <= float(row["mean"]) <= values[-1]


def test_correlations_are_between_minus_one_and_one_over_counted_images(study):
    rows = file_of(study, "correlations_by_size")
    assert len(rows) == N_MODELS * len(SIZES) * (len(SIZES) - 1) // 2
    assert all(abs(float(row[name])) <= 1.0 for row in rows for name in ("pearson", "spearman"))
    assert {row["n_images"] for row in rows} == {str(N_IMAGES)}


def test_json_of_a_curve_is_strict_and_holds_the_points_and_seeds(study):
    curve = study.along("images")[0]
    content = json.loads(to_json(curve_json(curve)))
    assert [point["x"] for point in content["points"]] == list(map(float, SIZES))
    assert all(len(point["mean"]["seeds"]) == N_SEEDS for point in content["points"])
    assert [point["mean"]["value"] for point in content["points"]] == pytest.approx(curve.values("mean"))
    assert sum(content["averages"]["mean"]["weights"].values()) == pytest.approx(1.0)
    held_out = content["averages"]["mean"]["held_out"]
    assert held_out["x"] == SIZES[-1]
    assert held_out["low"] <= held_out["mean"] <= held_out["high"]


def test_limits_are_those_of_the_place_asked_for(study):
    predicted = study.along("images")[0].predictions["mean"]
    first, last = limits_at(predicted, 0), limits_at(predicted, -1)
    assert list(first) == list(LIMITS)
    assert math.log(last["high"] / last["low"]) > math.log(first["high"] / first["low"])


def test_a_study_of_no_scales_has_tables_with_their_columns_and_no_row():
    alone = analyse([planted(cell(), n=20)], n_draws=20)
    for table in (predictions_table(alone), exponents_table(alone)):
        assert to_csv(table).decode().splitlines() == [",".join(table.columns)]


def test_every_group_of_a_larger_study_is_in_the_table_of_points():
    larger = analyse(default_study(n=20, sizes=(100, 400), seeds=1), n_draws=20)
    assert {row["group"] for row in read(points_table(larger))} == {curve.label for curve in larger.curves}
