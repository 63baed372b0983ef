"""The folder of a paper: every file, the same bytes twice, LaTeX that compiles whatever names a study has."""

import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache

import numpy as np
import pyarrow.parquet
import pytest

from mlproject.analysis import analyse
from mlproject.analysis.grids import label_grids, make_grids
from mlproject.files import sha256
from mlproject.report import Figure, Format, Section, Table, paper, write_paper
from mlproject.report.paper.tables import LONGEST, PaperTable, formula
from tests.studies import WIDTHS, cell, drawn_pools, grid_study, observe, planted

SIZES = (100, 200, 400, 800)
TUNING = {
    "knobs": "lr,steps", "space": "lr: 1e-05 to 0.1 (log); steps: 10 to 1000 (log)", "trials": 64,
    "sampler": "tpe", "pruner": "none", "seed": 0, "validation": "100 images of the training part",
}  # fmt: skip
HOSTILE = "50%_of #1 \\input{x} {a~b^c} $m & 你好 é ≤ µ 🙂 <b>"


def two_models(**fields):
    for size in SIZES:
        for seed in (0, 1):
            yield planted(cell("efficientnet_lite0", size, seed, **fields), n=40)
            if size in SIZES[:2]:
                yield planted(cell("resnet18", size, seed, weights="random", **fields), n=40, floor=0.5)


def tuned():
    for size, lr in zip(SIZES[:2], (1e-2, 3e-3), strict=True):
        for seed in (0, 1):
            knobs = {"target": "labels", "lr": lr, "steps": 10 * size, "optimizer": "adam"}
            yield planted(cell("resnet18", size, seed, knobs=knobs, tuning=TUNING), n=40)


def arms():
    for seed in range(3):
        for decay in (0.0, 0.1, 0.5):
            knobs = {"target": "labels", "lr": 1e-3, "weight_decay": decay}
            yield planted(cell("resnet18", 100, seed, knobs=knobs), n=40)


def hostile():
    """Names that are markup, and one seed."""
    return [planted(cell(HOSTILE, size, data=f"/data/{HOSTILE}", weights=HOSTILE), n=40) for size in SIZES]


STUDIES = {
    "default": two_models,
    "ablation": arms,
    "tuned": tuned,
    "hostile names, one seed": hostile,
    "one cell": lambda: [planted(cell(), n=40)],
    "one image": lambda: [planted(cell(size=size), n=1) for size in SIZES[:2]],
    "two sizes": lambda: [
        planted(cell(model, size), n=40) for size in SIZES[:2] for model in ("lite0", "resnet18")
    ],
    "in-sample": lambda: [planted(cell(size=size, eval_size=0), n=40) for size in SIZES[:2]],
    "nothing identified": lambda: [
        observe(cell(size=size, seed=seed), np.full(20, 1.0 + (size + seed) % 3))
        for size in SIZES
        for seed in (0, 1)
    ],
}  # fmt: skip


@cache
def study(name):
    if name == "grid":
        return grid_alone()
    return analyse(STUDIES[name](), n_draws=40)


def grid_alone():
    """A grid with its joint laws, without the curves that cross it: their laws take seconds."""
    runs = grid_study(n=40, models=tuple(WIDTHS)[:3], sizes=(100, 400, 1600), seeds=1)
    ((pool, drawn),) = drawn_pools(runs, n_draws=40)
    return replace(
        study("one cell"), curves=(), grids=label_grids(make_grids(pool, drawn, 0)), runs=pool.runs
    )


@pytest.fixture(scope="session")
def dot():
    """A small picture as PDF."""
    from matplotlib.figure import Figure

    from mlproject.report.figures import encode

    return encode(Figure(figsize=(1, 1)), "pdf")


@pytest.fixture
def undrawn(monkeypatch, dot):
    """Figures as dots, where a test is of the text around them."""
    monkeypatch.setattr(paper, "_drawn", lambda figures: {f"figures/{f.name}.pdf": dot for f in figures})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("paper")
    write_paper(study("two sizes"), where, command="mlproject report latest --out DIR")
    return where


def compiled(folder):
    """The log of pdflatex; the references are read in between."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    latex = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main"]
    for command in ([*latex[:-1], "-draftmode", "main"], ["bibtex", "main"], latex):
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    return (folder / "main.log").read_text("utf-8", errors="replace")


def too_wide(log):
    return [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]


@pytest.mark.parametrize("name", [*STUDIES, "grid"])
def test_the_worked_example_of_any_study_compiles_and_no_line_or_table_is_too_wide(name, tmp_path, undrawn):
    write_paper(study(name), tmp_path)
    log = compiled(tmp_path)
    assert all(points < 1.0 for points in too_wide(log)), re.findall(r"Overfull.*\n.*", log)
    assert "multiply defined" not in log


def test_every_file_of_the_contract_is_written_and_listed_with_its_digest(folder):
    listed = json.loads((folder / "MANIFEST.json").read_text())
    paths = {entry["path"] for entry in listed}
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert written >= paths | {"MANIFEST.json"}
    assert {
        "main.tex", "numbers.tex", "exponents.tex", "exponents-full.tex", "methods.tex", "captions.tex",
        "refs.bib", "checklist.md", "REPRODUCE.md", "data/images.parquet", "data/cells.csv",
        "data/columns.csv",
        "figures/scaling_training_images_mean.pdf", "figures/scaling_training_images_mean-wide.pdf",
    } <= paths  # fmt: skip
    assert "joint.tex" not in paths
    for entry in listed:
        content = (folder / entry["path"]).read_bytes()
        assert (entry["sha256"], entry["bytes"]) == (sha256(content), len(content))
        assert entry["description"]


def test_the_same_runs_give_the_same_bytes(tmp_path):
    runs = [planted(cell(size=size), n=40) for size in SIZES[:2]]
    for name, given in (("a", runs), ("b", reversed(runs))):
        write_paper(analyse(given, n_draws=40), tmp_path / name)
    files = [sorted(p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*")) for n in "ab"]
    assert files[0] == files[1]
    differ = [
        str(file)
        for file in files[0]
        if (tmp_path / "a" / file).is_file()
        and (tmp_path / "a" / file).read_bytes() != (tmp_path / "b" / file).read_bytes()
    ]
    assert differ == []


def test_a_joint_law_has_a_table_and_a_study_of_arms_another(tmp_path, undrawn):
    names = {path.name for path in write_paper(study("grid"), tmp_path / "grid")}
    assert "joint.tex" in names
    names = {path.name for path in write_paper(study("ablation"), tmp_path / "arms")}
    assert "arms.tex" in names
    assert "joint.tex" not in names
    assert r"\LossDifferenceWeightDecay" in (tmp_path / "arms" / "main.tex").read_text()


def test_images_hold_every_loss_of_every_run_with_its_place(folder):
    table = pyarrow.parquet.read_table(folder / "data" / "images.parquet").to_pylist()
    runs = study("two sizes").runs
    assert len(table) == sum(len(run.image_ids) for run in runs)
    run = runs[3]
    rows = [row for row in table if row["run"] == run.run_id]
    assert [row["loss"] for row in rows] == run.losses.tolist()
    assert [row["image"] for row in rows] == list(run.image_ids)
    first = rows[0]
    cell_of_run = run.cell
    assert (first["size"], first["seed"], first["model"], first["cell"], first["split"]) == (
        cell_of_run.dataset_size, cell_of_run.seed, cell_of_run.model, cell_of_run.key, "eval",
    )  # fmt: skip
    assert first["cross_entropy"] == first["loss"]
    assert (first["label"], first["predicted"]) == (None, None)


def test_images_hold_labels_and_predictions_where_runs_logged_them(tmp_path, undrawn):
    logged = planted(cell(), n=3)
    names = logged.load_losses().image_ids
    table = {
        "image_name": list(names), "split": ["eval"] * 3, "label": ["shoe", "bag", "shoe"],
        "predicted": ["shoe", "shoe", "bag"],
    }  # fmt: skip
    object.__setattr__(logged, "load_table", lambda name: table if name == "predictions" else {})
    write_paper(analyse([logged], n_draws=20), tmp_path)
    rows = pyarrow.parquet.read_table(tmp_path / "data" / "images.parquet").to_pylist()
    assert [(row["label"], row["predicted"]) for row in rows] == [
        ("shoe", "shoe"), ("bag", "shoe"), ("shoe", "bag"),
    ]  # fmt: skip


def test_cells_hold_knobs_losses_and_digests(folder):
    rows = list(csv.DictReader(io.StringIO((folder / "data" / "cells.csv").read_text())))
    runs = study("two sizes").runs
    assert [row["cell"] for row in rows] == [run.cell.key for run in runs]
    assert float(rows[0]["loss"]) == pytest.approx(runs[0].losses.mean())
    assert rows[0]["knob_lr"] == "0.001"
    assert rows[0]["losses_digest"] == runs[0].observation.losses_digest


def test_reproduction_names_command_versions_and_digests(folder):
    text = (folder / "REPRODUCE.md").read_text()
    assert "mlproject report latest --out DIR" in text
    assert "| torch | 2." in text
    for run in study("two sizes").runs:
        assert run.observation.losses_digest in text


@pytest.mark.parametrize("name", ["one cell", "two sizes", "ablation"])
def test_a_study_without_a_law_says_so(name, tmp_path, undrawn):
    write_paper(study(name), tmp_path)
    assert "No exponent is reported." in (tmp_path / "exponents.tex").read_text()
    assert "No law was fitted" in (tmp_path / "main.tex").read_text()


def test_files_of_others_in_the_folder_stay(tmp_path, undrawn):
    (tmp_path / "letter.tex").write_text("Dear editor")
    write_paper(study("one cell"), tmp_path)
    assert (tmp_path / "letter.tex").read_text() == "Dear editor"


def test_figures_and_tables_of_one_name_have_captions_of_their_own(tmp_path, undrawn):
    write_paper(study("grid"), tmp_path)
    macros = re.findall(r"newcommand\*\{(.+?)\}", (tmp_path / "captions.tex").read_text())
    assert len(set(macros)) == len(macros)
    assert {r"\CaptionTableJoint", r"\CaptionFigureJoint"} <= set(macros)


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("E + A N^-alpha + B D^-beta", r"E + A N^{-\alpha} + B D^{-\beta}"),
        ("E + (A N^-(alpha/c) + B D^-(beta/c))^c", r"E + (A N^{-(\alpha/c)} + B D^{-(\beta/c)})^{c}"),
        ("E + (L0 - E) h / (1 + h)", "E + (L_0 - E) h / (1 + h)"),
    ],
)
def test_formulas_of_laws_are_mathematics(text, latex):
    assert formula(text) == latex


def test_a_long_table_is_cut_between_names_and_every_row_stands_once():
    rows = [{"name": f"group {i // 4}", "value": f"row{i}"} for i in range(3 * LONGEST)]
    formats = {name: Format(write=lambda row, name=name: row[name]) for name in ("name", "value")}
    text = PaperTable(name="exponents", formats=formats, rows=rows, caption="").tex
    assert re.findall(r"row\d+", text) == [row["value"] for row in rows]
    assert len(re.findall(r"group \d+ &", text)) == len({row["name"] for row in rows})
    assert text.count("begin{table}") == 4


def test_the_data_behind_a_figure_lie_beside_it_and_are_defined(tmp_path, undrawn, monkeypatch):
    table = Table(name="seen", rows=[{"x": 100, "loss": 0.5}])
    shown = Figure(name="seen", draw=lambda: None, caption="Seen.", data=table)
    known = paper.study_document(study("one cell"))
    section = Section(title="", figures=(shown,))
    monkeypatch.setattr(
        paper, "study_document", lambda _: replace(known, sections=(*known.sections, section))
    )
    write_paper(study("one cell"), tmp_path)
    assert (tmp_path / "figures" / "seen.csv").read_text().splitlines() == ["x,loss", "100,0.5"]
    assert "seen,x,axis" in (tmp_path / "data" / "columns.csv").read_text()
    listed = {
        entry["path"]: entry["description"] for entry in json.loads((tmp_path / "MANIFEST.json").read_text())
    }
    assert listed["figures/seen.csv"] == "Seen: the data that are drawn"
