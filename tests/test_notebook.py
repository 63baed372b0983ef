"""The functions of the package ``mlproject`` itself, as a notebook calls them."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mlproject
from mlproject.errors import MLProjectError, WrongUse
from tests.docs.stored import SIZES, store_study
from tests.studies import two_laws

SOURCE = str(Path(__file__).parents[1] / "src")


@pytest.fixture(scope="module")
def experiment() -> str:
    name = f"notebook-{uuid.uuid4().hex[:8]}"
    store_study(name)
    return name


@pytest.fixture(scope="module")
def study(experiment: str) -> mlproject.StudyTables:
    with two_laws():
        return mlproject.load_study(experiment)


def test_a_study_is_loaded_as_tables_of_cells_losses_exponents_and_predictions(
    study: mlproject.StudyTables,
) -> None:
    assert len(study.cells) == 2 * len(SIZES)
    assert set(study.cells["dataset_size"]) == set(SIZES)
    assert {"run_id", "cell", "model", "knobs.lr", "eval.loss"} <= set(study.cells.columns)
    assert len(study.losses) == 2 * len(SIZES) * 60
    assert set(study.exponents["law"]) == {"power", "power_floor"}
    assert set(study.predictions["horizon"]) == {2.0, 10.0}


def test_the_losses_of_a_cell_average_to_its_metric(study: mlproject.StudyTables) -> None:
    means = study.losses.groupby("cell")["loss"].mean()
    logged = study.cells.set_index("cell")["eval.loss"]
    np.testing.assert_allclose(means[logged.index], logged, rtol=1e-12)


def test_the_exponents_of_a_study_are_those_of_its_analysis(study: mlproject.StudyTables) -> None:
    rows = study.exponents.query("statistic == 'mean' and law == 'power'")
    assert float(rows["alpha"].iloc[0]) > 0
    assert float(rows["alpha_low"].iloc[0]) < float(rows["alpha"].iloc[0]) < float(rows["alpha_high"].iloc[0])


def test_a_filter_that_matches_nothing_says_that_no_cell_is_finished(experiment: str) -> None:
    with pytest.raises(MLProjectError, match="finished"):
        mlproject.load_study(experiment, where="tags.sweep = 'another'")


def test_another_store_is_read_and_the_environment_is_left_as_it_was(tmp_path: Path, experiment: str) -> None:
    before = os.environ["MLFLOW_TRACKING_URI"]
    with pytest.raises(MLProjectError, match="no tracking store"):
        mlproject.load_study(experiment, tracking_uri=f"sqlite:///{tmp_path}/none.db")
    assert os.environ["MLFLOW_TRACKING_URI"] == before


def test_points_in_a_table_are_assessed_as_the_same_arrays_are() -> None:
    from mlproject.scaling import assess

    x = np.array([100, 200, 400, 800, 1600, 3200])
    frame = pd.DataFrame({"images": x, "loss": 0.3 + 6 * x**-0.5})
    assessment = mlproject.assess(frame, x="images", y="loss")
    expected = assess(x, 0.3 + 6 * x**-0.5, axes=["images"])
    assert (assessment.verdict, assessment.reason) == (expected.verdict, expected.reason)
    assert assessment.weights == expected.weights


def test_a_column_that_does_not_exist_is_named() -> None:
    with pytest.raises(KeyError, match="pictures"):
        mlproject.assess(pd.DataFrame({"images": [1], "loss": [1]}), x="pictures", y="loss")


def test_a_curve_is_plotted_as_a_figure(study: mlproject.StudyTables, tmp_path: Path) -> None:
    figure = mlproject.plot_curve(study)
    figure.savefig(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 10_000


def test_a_curve_that_is_not_there_is_refused(study: mlproject.StudyTables) -> None:
    with pytest.raises(WrongUse, match="no curve along params"):
        mlproject.plot_curve(study, axis="params")
    with pytest.raises(WrongUse, match="unknown axis 'image'; did you mean images"):
        mlproject.plot_curve(study, axis="image")


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "('pandas', 'matplotlib', 'mlflow', 'torch', 'scipy', 'numpy')"
    code = f"import sys, mlproject; print([name for name in {heavy} if name in sys.modules])"
    command, environment = [sys.executable, "-c", code], os.environ | {"PYTHONPATH": SOURCE}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"
