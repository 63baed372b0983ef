"""An experiment that version 0.2 kept: its cells are found done, and every number of its fit is as it was."""

import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.golden import plain
from tests.golden import store_api as api
from tests.golden.kernels import kernels

HERE = Path(__file__).parent
KEPT = HERE.parent / "fixtures" / "v0_2"
PLANS = sorted((KEPT / "plans").glob("*.toml"))
KEYS = plain.read(HERE / "v0_2_keys.json")
FIT = plain.read(HERE / "v0_2_fit.json")
PLACE = "@PLACE@"
TUNED = "tuned"
"""The plan whose cells have knobs that a search found: its keys are known once the search is read back."""
SAME_KERNELS = plain.read(HERE / "kernels.json") == kernels()
LOOSER = {} if SAME_KERNELS else {r"/(fits?|difference|own|baseline|frontier)/": 1e-5, "/averages?/": 1e-6}
"""With other kernels the numbers of single laws may differ by more: see ``test_scaling_numbers``. The
weakest is the lower limit of a floor that may be nothing, by 5e-6. All else is the same to 1e-9."""


def unpack(place: Path) -> None:
    """The experiment as it was kept, its artifacts at ``place``."""
    with tarfile.open(KEPT / "experiment.tar.xz") as archive:
        archive.extractall(place, filter="data")
    with closing(sqlite3.connect(place / "mlflow.db")) as database:
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            database.execute(
                f"update {table} set {column} = replace({column}, ?, ?)", (PLACE, place.as_posix())
            )
        database.commit()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the experiment, which the environment names while the tests of this file run."""
    place = tmp_path_factory.mktemp("kept")
    unpack(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")
        patch.chdir(place)
        yield place


@pytest.fixture(scope="module")
def study(kept: Path) -> Any:
    """All that an aggregation says of the experiment."""
    return plain.plain(api.study_of(api.observations(api.stored())))


@pytest.fixture(scope="module")
def done(kept: Path) -> list[set[str]]:
    """Keys that ``sweep --dry-run`` marks as done, and those that ``ls`` lists so."""
    return [api.shown_done(), api.listed_done(api.stored())]


@pytest.mark.parametrize("plan", PLANS, ids=lambda path: path.stem)
def test_a_plan_names_the_cells_that_it_named(plan: Path) -> None:
    found = api.cells_of(plan)
    assert list(found) == KEYS["plans"][plan.stem]
    assert found == {key: KEYS["cells"][key] for key in found}


def test_the_fields_of_every_stored_cell_give_its_key(kept: Path) -> None:
    found = api.cells_in(api.observations(api.stored()))
    assert sorted(found) == KEYS["done"]
    assert found == {key: KEYS["cells"][key] for key in found}
    assert {key: api.key_of(fields) for key, fields in KEYS["cells"].items()} == {
        key: key for key in KEYS["cells"]
    }


@pytest.mark.parametrize("plan", [p for p in PLANS if p.stem != TUNED], ids=lambda path: path.stem)
def test_every_cell_of_a_plan_is_shown_as_done(plan: Path, done: list[set[str]]) -> None:
    planned = set(KEYS["plans"][plan.stem])
    assert all(planned <= keys for keys in done)


@pytest.mark.parametrize("plan", PLANS, ids=lambda path: path.stem)
def test_a_sweep_over_a_plan_has_nothing_to_run(plan: Path, kept: Path) -> None:
    outcomes = api.outcomes(plan, api.stored())
    assert {status for _, status in outcomes} == {"was done"}
    assert {key for key, _ in outcomes} <= set(KEYS["done"])
    assert len(outcomes) == len(KEYS["plans"][plan.stem])


def test_the_stored_fit_used_every_cell(kept: Path) -> None:
    assert set(api.fitted_cells(api.stored())) == set(KEYS["done"])


@pytest.mark.parametrize("part", list(FIT))
def test_the_fit_of_the_stored_cells_is_that_of_version_0_2(part: str, study: Any) -> None:
    assert list(plain.differences({part: study[part]}, {part: FIT[part]}, LOOSER)) == []


def test_the_fit_covers_what_it_is_there_to_pin() -> None:
    """What ``v0_2_fit.json`` holds at least: a reader sees what a green test says."""
    curves, grids = FIT["curves"], FIT["grids"].values()
    assert {name.split()[0] for name in curves} == {"images", "params", "epochs"}
    words = {one["verdict"] for curve in curves.values() for one in curve["verdicts"].values()}
    assert words >= {"scaling", "not identifiable"}
    assert any("average" in grid for grid in grids)
    assert FIT["contrasts"]
    assert FIT["ablations"]["matrices"]
    assert FIT["sweet spots"]
    assert FIT["ledger"]
