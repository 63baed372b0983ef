"""A study on disk: every artifact is there, says what it must, and lets no name break it."""

import csv
import io
import json
import re

import matplotlib
import pytest
from PIL import Image
from rich.console import Console

from mlproject.analysis import analyse, shared_law
from mlproject.report import (
    render_markdown,
    render_terminal,
    study_document,
    study_json,
    to_csv,
    to_json,
    write_report,
)
from mlproject.report.figures import RC, encode
from mlproject.report.figures.curves import FORMULAS
from mlproject.report.formats import interval
from mlproject.report.renderers.latex import render_latex
from tests.report.pictures import assert_not_blank
from tests.studies import cell, observe, planted, usual_study

SIZES = (100, 200, 400, 700, 1200, 2000)
N_IMAGES = 100


@pytest.fixture(scope="module")
def study():
    return usual_study()


@pytest.fixture(scope="module")
def folder(study, tmp_path_factory):
    where = tmp_path_factory.mktemp("report")
    write_report(study, where)
    return where


def rows(content):
    return list(csv.DictReader(io.StringIO(content.decode())))


def tables(study):
    return {f"{table.name}.csv": to_csv(table) for table in study_document(study).tables}


def page(study):
    return render_markdown(study_document(study))


def latex(study, name, **how):
    return render_latex(next(table for table in study_document(study).tables if table.name == name), **how)


def test_every_artifact_of_the_contract_is_written(study, folder):
    assert {path.name for path in folder.iterdir()} == {
        "report.html", "summary.md", "exponents.txt", "data", "figures", "latex", "tables",
    }  # fmt: skip
    names = {path.name for path in folder.rglob("*")}
    assert {"losses_by_size.csv", "losses_by_model.csv", "exponents.csv", "exponents.tex"} <= names
    assert {"fits.json", "points.csv", "image_exponents.csv", "distributions.csv"} <= names
    assert {"correlations_by_size.csv", "correlations_by_model.csv"} <= names
    pictures = {name.removesuffix(".png") for name in names if name.endswith(".png")}
    assert {"scaling_training_images_mean", "correlation_model_size"} <= pictures
    assert {f"{picture}.pdf" for picture in pictures} <= names


def test_every_figure_lies_beside_its_data_and_names_it(study, folder):
    figures = study_document(study).figures
    assert len({figure.name for figure in figures}) == len(figures) > 0
    for figure in figures:
        path = folder / "figures" / figure.name
        named = f"Data: {figure.name}.csv, in the same folder"
        with Image.open(f"{path}.png") as picture:
            assert picture.info["Subject"] == named
        assert named.encode() in (folder / "figures" / f"{figure.name}.pdf").read_bytes()
        assert (
            len(rows((folder / "figures" / f"{figure.name}.csv").read_bytes())) == len(figure.data.rows) > 0
        )


def test_a_reader_can_refit_a_curve_from_the_data_of_its_figure(study, folder):
    table = rows((folder / "figures" / "scaling_training_images_mean.csv").read_bytes())
    for curve in study.along("images"):
        points = [row for row in table if (row["group"], row["what"]) == (curve.label, "point")]
        assert [float(row["x"]) for row in points] == curve.x.tolist()
        assert [float(row["value"]) for row in points] == curve.values("mean").tolist()
        assert {(row["model"], row["data"], row["recipe"]) for row in points} == {
            (curve.fixed["model"], "fashion-mnist", "probe")
        }
    assert {row["law"] for row in table} == {"", shared_law(study.along("images"), "mean")}


def test_one_law_is_shown_for_all_curves_of_a_figure(study):
    figure = next(f for f in study_document(study).figures if f.name == "scaling_training_images_mean")
    with matplotlib.rc_context(RC):
        (legend,) = figure.draw().legends
    texts = [text.get_text() for text in legend.get_texts()]
    law = shared_law(study.along("images"), "mean")
    assert [text for text in texts if "$" in text] == [f"law {FORMULAS[law].format(x='D')} and its 95 % band"]
    for curve in study.along("images"):
        alpha = curve.law("mean", law).parameters["alpha"]
        assert any(text.startswith(f"{curve.series}: α = {interval(alpha)}") for text in texts)


def test_pictures_are_not_blank(folder):
    assert_not_blank(folder)


def test_the_same_runs_give_the_same_bytes_in_any_order():
    runs = [planted(cell(size=size), n=30) for size in SIZES[:2]]
    first, second = analyse(runs, n_draws=20), analyse(reversed(runs), n_draws=20)
    assert tables(first) == tables(second)
    figures = [study_document(study).figures[0] for study in (first, second)]
    assert [figure.name for figure in figures] == ["scaling_training_images_mean"] * 2
    with matplotlib.rc_context(RC):
        for kind in ("png", "pdf"):
            pictures = [encode(figure.draw(), kind) for figure in figures]
            assert pictures[0] == pictures[1]


def test_losses_by_size_has_the_columns_of_the_contract(study, folder):
    table = rows((folder / "tables" / "losses_by_size.csv").read_bytes())
    assert list(table[0]) == ["image_name", "group", *(f"loss_{size}" for size in SIZES)]
    assert len(table) == 4 * N_IMAGES
    curve = next(c for c in study.along("images") if c.series == "lite0")
    mine = [float(row["loss_400"]) for row in table if row["group"] == curve.label]
    assert mine == curve.losses[:, 2].tolist()


def test_losses_by_model_keeps_random_apart(folder):
    table = rows((folder / "tables" / "losses_by_model.csv").read_bytes())
    assert list(table[0])[:2] == ["image_name", "group"]
    for row in table:
        assert bool(row["loss_resnet18"]) == ("(random)" in row["group"])
        assert bool(row["loss_lite1"]) != ("(random)" in row["group"])


def test_exponents_have_one_row_for_each_group_statistic_and_law(study):
    table = rows(tables(study)["exponents.csv"])
    assert len(table) == 4 * (4 + len(SIZES))
    assert {row["weights"] for row in table if "(random)" in row["group"]} == {"random"}
    needed = {"alpha", "alpha_low", "alpha_high", "E", "verdict", "reason", "n_scales", "n_seeds", "n_images"}
    assert needed | {"split", "weights", "estimator"} <= set(table[0])
    assert all(row["alpha"] == "" for row in table if row["axis"] == "model size")


def test_a_parameter_that_is_not_identified_has_limits_and_no_value_wherever_it_stands():
    runs = [planted(cell(size=size, seed=seed), n=60) for size in SIZES[:4] for seed in (0, 1)]
    few = analyse(runs, n_draws=100)
    shown = tables(few)
    table = rows(shown["exponents.csv"])
    lines = [r for r in table if r["law"] == "power_floor" and r["alpha_low"] and r["verdict"] != "scaling"]
    assert lines, "from four sizes the exponent of a law with a floor is often not identified"
    for row in lines:
        assert row["alpha"] == row["k"] == row["E"] == ""
        assert float(row["alpha_low"]) <= float(row["alpha_high"])
    fits = [one for curve in json.loads(to_json(study_json(few)))["curves"] for one in curve["fits"]]
    unclear = [fit for fit in fits if fit["law"] == "power_floor" and fit["verdict"] != "scaling"]
    own = [fit["parameters"]["alpha"] for fit in unclear if fit["parameters"]]
    assert [one["value"] for one in own] == [None] * len(lines)
    assert all(one["low"] is not None for one in own)


def test_fits_are_strict_json(folder):
    def refuse(name):
        raise AssertionError(name)

    content = json.loads((folder / "data" / "fits.json").read_text(), parse_constant=refuse)
    assert content["curves"][0]["points"][0]["mean"]["interval"][0] > 0


def test_losses_beyond_the_data_are_predicted_over_all_laws(study, folder):
    told = rows((folder / "tables" / "predictions.csv").read_bytes())
    assert len(told) == 4 * 2 * 2, "four curves over sizes, two statistics, two horizons"
    assert {row["x"] for row in told} == {"4000.0", "20000.0"}
    for row in told:
        limits = [float(row[name]) for name in ("new_run_low", "low", "mean", "high", "new_run_high")]
        assert limits == sorted(limits)
    laws = rows((folder / "tables" / "laws.csv").read_bytes())
    for curve in study.along("images"):
        mine = [row for row in laws if (row["group"], row["statistic"]) == (curve.label, "mean")]
        assert sum(float(row["weight"]) for row in mine) == pytest.approx(1.0)
        assert sorted(int(row["rank_in_sample"]) for row in mine) == list(range(1, len(mine) + 1))
    assert "10 × the largest" in (folder / "summary.md").read_text()
    assert not any("model size" in row["axis"] for row in told), "three close models carry no law"


def test_the_summary_tells_what_is_not_fitted_and_why(folder):
    text = (folder / "summary.md").read_text()
    assert "An exponent of model size: 3 models within a factor of 1.43" in text
    assert "resnet18 (random)" in text
    for part in text.split("\n## "):
        lines = [line for line in part.splitlines() if line.startswith("| ") and "---" not in line]
        assert len({line.count(" | ") for line in lines}) <= 1


def test_in_sample_is_said_in_every_table_and_page():
    runs = []
    for size in (20, 40, 60, 80, 120):
        whole = planted(cell(size=size, eval_size=0), n=120).load_losses()
        runs.append(observe(cell(size=size, eval_size=0), whole.loss[:size], ids=whole.image_ids[:size]))
    study = analyse(runs, n_draws=50)
    content = tables(study)
    for name in ("losses_by_size", "losses_by_model", "exponents", "image_exponents", "distributions"):
        assert all("in-sample" in row["group"] for row in rows(content[f"{name}.csv"])), name
    assert {row["split"] for row in rows(content["exponents.csv"])} == {"in-sample"}
    assert "in-sample" in latex(study, "exponents")
    assert "In-sample" in page(study)


EVIL = "=cmd|' /C calc'!A0 & 5% of $x_1 {a} #~^\\ <b>|*[x](y)`\n+1"


def test_names_from_files_cannot_break_a_table(tmp_path):
    model = EVIL.replace("\n", " ")  # a cell refuses what cannot be printed; an image's id does not
    runs = [
        observe(cell(model, size, data=f"/d/{model}"), [1.0, 2.0, 3.0 + size / 100], ids=(EVIL, "@b", "-c"))
        for size in SIZES[:2]
    ]
    study = analyse(runs, n_draws=50)
    written = {path.name: path for path in write_report(study, tmp_path)}
    table = rows(written["losses_by_size.csv"].read_bytes())
    assert {row["image_name"] for row in table} == {"'" + EVIL, "'@b", "'-c"}
    for name in ("losses_by_size.csv", "exponents.csv", "distributions.csv"):
        for row in rows(written[name].read_bytes()):
            assert not any(value[:1] in "=+@" for value in row.values() if value)
    balanced(written["exponents.tex"].read_text(), 9)
    assert "<b>" not in written["summary.md"].read_text()


def balanced(text, n_columns, environment="table"):
    """Braces, dollars and environments close; every row has the columns that the table declares."""
    plain = re.sub(r"^%.*$", "", text, flags=re.M)
    assert len(re.findall(r"(?<!\\)\{", plain)) == len(re.findall(r"(?<!\\)\}", plain))
    assert len(re.findall(r"(?<!\\)\$", plain)) % 2 == 0
    assert re.findall(r"\\begin\{([\w*]+)\}", plain) == [environment, "tabular"]
    assert re.findall(r"\\end\{([\w*]+)\}", plain) == ["tabular", environment]
    body = plain.split(r"\midrule", 1)[1].split(r"\bottomrule")[0].strip().splitlines()
    assert body
    assert all(line.endswith(r"\\") and len(re.findall(r"(?<!\\)&", line)) == n_columns - 1 for line in body)


def test_the_latex_table_is_balanced(study):
    balanced(latex(study, "exponents"), 3)
    balanced(latex(study, "exponents", full=True), 9, "table*")


def test_the_terminal_shows_the_answer_then_exponents_and_notes(study):
    console = Console(width=150, file=io.StringIO())
    console.print(render_terminal(study_document(study)))
    text = console.file.getvalue()
    assert "resnet18 (random)" in text
    assert "held-out" in text
    assert text.startswith("Answer\n")
    assert text.index("What may not be concluded") < text.index("Exponents of the mean loss")
    assert "3 models within a factor of 1.43" in " ".join(text.split())


def test_a_study_of_one_cell_is_written_without_figures_and_without_tables_of_headers(tmp_path):
    names = {path.name for path in write_report(analyse([planted(cell())], n_draws=20), tmp_path)}
    assert not any(name.endswith((".png", ".pdf")) for name in names)
    assert "losses_by_size.csv" in names
    assert not {"exponents.csv", "laws.csv", "joint_laws.csv", "exponents.tex"} & names
    assert (tmp_path / "exponents.txt").read_text().strip()


def test_local_exponents_hold_the_slope_of_the_planted_law(study):
    found = [
        row
        for row in rows(tables(study)["local_exponents.csv"])
        if row["axis"] == "training images" and row["statistic"] == "mean"
    ]
    assert len(found) == 4 * (len(SIZES) - 1)
    inside = [float(row["low"]) <= float(row["exponent"]) <= float(row["high"]) for row in found]
    assert all(inside)
    first = [float(row["exponent"]) for row in found if row["group"].startswith("lite0")]
    assert first[0] > first[-1], "a law with a floor flattens"
