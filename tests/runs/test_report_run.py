"""Reports written from a store: of a fit, of cells, with pictures of images that are still what they were."""

from __future__ import annotations

import uuid
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from mlproject.data import load_images
from mlproject.errors import BadInput, WrongUse
from mlproject.runs import NamedRuns, find_runs, fit_study, write_study_report
from mlproject.runs.report_run import surroundings, thumbnails
from mlproject.scaling import PriorChoice
from mlproject.tracking import Store
from tests.docs.stored import store_study

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def store() -> Store:
    return store_study(f"test-{uuid.uuid4().hex[:8]}", sizes=(100, 200))


def test_the_report_of_a_fit_is_of_its_cells_and_lies_with_its_artifacts(
    store: Store, tmp_path: Path
) -> None:
    fitted = fit_study(store, name="all")
    keys = find_runs(store, "latest").keys
    assert keys == find_runs(store, fitted.run_id[:6]).keys
    assert len(keys) == 4
    logged = store.artifact(fitted.run_id, "report.html").read_text("utf-8")
    assert "Losses against scale" in logged
    written = write_study_report(
        store, tmp_path / "new" / "folder", runs=NamedRuns(name="latest", keys=tuple(keys[:2]))
    )
    assert (written.n_runs, written.left_out) == (2, ())
    assert written.page.read_text("utf-8").startswith("<!doctype html>")
    assert (written.page.parent / "tables" / "runs.csv").read_text("utf-8").count("run-") == 0
    reproduce = (written.page.parent / "paper" / "REPRODUCE.md").read_text("utf-8")
    assert "report latest --out report" in reproduce
    assert str(tmp_path) not in reproduce
    with pytest.raises(WrongUse, match="no finished cell, fit or plan is named 'zz'"):
        find_runs(store, "zz")


def test_the_report_of_a_fit_has_its_prior(store: Store, tmp_path: Path) -> None:
    fitted = fit_study(store, name="known", prior=PriorChoice.of("vision"))
    runs = find_runs(store, fitted.run_id)
    assert runs.prior == PriorChoice.of("vision")
    write_study_report(store, tmp_path, runs=runs)
    assert "no error rate could use it" in (tmp_path / "summary.md").read_text("utf-8")
    assert "--prior vision" in (tmp_path / "paper" / "REPRODUCE.md").read_text("utf-8")


def test_a_folder_that_cannot_be_written_and_cells_that_are_not_there_are_named(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WrongUse, match="cannot write"):
        write_study_report(
            store, tmp_path / "file" / "below", runs=NamedRuns(name="latest", keys=tuple(store.done()))
        )
    with pytest.raises(BadInput, match="none of these cells is finished"):
        write_study_report(store, tmp_path, runs=NamedRuns(name="latest", keys=("0" * 16,)))


def test_pictures_are_small_and_only_of_the_data_that_was_evaluated() -> None:
    images = load_images("embedded")
    files, why_not = thumbnails("embedded", images.digest, [images.ids[3], "no such image"])
    assert (list(files), why_not) == ([images.ids[3]], "")
    picture = Image.open(BytesIO(files[images.ids[3]]))
    assert (picture.format, picture.size) == ("WEBP", (28, 28))
    assert thumbnails("embedded", "other", images.ids[:1]) == (
        {}, "embedded is not what it was when the cells were run",
    )  # fmt: skip
    files, why_not = thumbnails("./nowhere", images.digest, [])
    assert not files
    assert "cannot read the folder" in why_not


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("sqlite:///mlflow.db", ""),
        (
            "https://user:secret@host:5000/ml/",
            "https://host:5000/ml/#/experiments/7/runs/abc?workflowType=machine_learning",
        ),
    ],
)
def test_runs_are_linked_on_a_server_without_its_password(store: Store, uri: str, address: str) -> None:
    page = surroundings(replace(store, uri=uri, experiment_id="7")).run_page
    assert (page("abc") if page else "") == address
