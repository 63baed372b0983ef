"""Cells of another machine: everything comes along, once, verified, and from a folder that was moved."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mlproject.cli.session import import_into
from mlproject.errors import BadInput, StoreUnreachable, WrongUse
from mlproject.losses import Silent, write_losses
from mlproject.tracking import (
    LOSSES_DIGEST,
    PREDICTION_HEAD,
    Imported,
    Store,
    import_cells,
    imports,
    open_store,
)
from mlproject.tracking.reach import PatientClient
from tests import processes
from tests.conftest import NewStore, make_cell, make_losses
from tests.tracking.test_store import log_cell, status

EXPERIMENT = "offline"
V0_2 = Path(__file__).parents[1] / "fixtures" / "v0_2" / "experiment.tar.xz"


@pytest.fixture(scope="module")
def moved(new_store: NewStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of three finished cells and a failed one, after it was moved elsewhere."""
    there = tmp_path_factory.mktemp("offline") / "work"
    there.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", new_store(there))
        patch.chdir(there)
        store = open_store(EXPERIMENT)
        for seed in range(3):
            run_id = log_cell(store, tmp_path_factory.mktemp("losses"), seed=seed)
        points = [(step, {"train.loss": 1 / step}) for step in range(1, 1001)]
        from mlproject.tracking import TrackedRun

        last = TrackedRun(run_id=run_id, client=store.client, check_root=lambda: None)
        last.log(
            history=points,
            params={f"p{i}": str(i) for i in range(90)},
            tags={"note": "ours", PREDICTION_HEAD: "1:abc"},
        )
        last.log_dataset(name="photos", digest="d" * 36, source="/photos", context="train+eval")
        store.client.set_terminated(run_id, "FINISHED", 1_700_000_000_000)
        with pytest.raises(ValueError, match="x"), store.run(kind="cell", name="x", tags=tags(seed=9)):
            raise ValueError("x")
    place = there.with_name("stick")
    there.rename(place)
    return place


def tags(**changes: object) -> dict[str, str]:
    cell = make_cell(**changes)
    return {"cell.key": cell.key, "cell.json": json.dumps(cell.to_dict())}


@pytest.fixture
def stick(moved: Path, tmp_path: Path) -> Path:
    """A copy of the folder, for a test that changes it."""
    return shutil.copytree(moved, tmp_path / "stick")


def imported(store: Store, source: Path | str, experiment: str = EXPERIMENT) -> Imported:
    return import_cells(store, str(source), report=Silent(), experiment=experiment)


def counts(result: Imported) -> tuple[int, int, int]:
    return result.n_copied, result.n_present, len(result.left_out)


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def change(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def test_cells_of_a_moved_folder_come_once_with_all_that_they_logged(
    store: Store, moved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(moved)
    result = imported(store, moved)
    assert counts(result) == (3, 0, 1)
    assert next(iter(result.left_out.values())) == "is not finished (FAILED)"
    assert contents(moved) == before, "nothing is written to the folder"
    assert set(store.done()) == {make_cell(seed=seed).key for seed in range(3)}
    assert store.faults() == {}
    (seen,) = store.observations(keys=[make_cell(seed=2).key])
    run = store.client.get_run(seen.run_id)
    assert (run.info.status, run.info.end_time) == ("FINISHED", 1_700_000_000_000)
    assert (run.data.params["p89"], run.data.tags["note"]) == ("89", "ours")
    assert PREDICTION_HEAD not in run.data.tags, "it names a prediction of another experiment"
    history = store.client.get_metric_history(seen.run_id, "train.loss")
    assert len(history) == 1001
    assert {point.step for point in history} == set(range(1, 1001))
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.tags[0].value) == ("photos", "train+eval")
    assert seen.load_losses().digest == make_losses().digest
    original = moved.joinpath("mlruns").rglob(f"{run.data.tags['imported.run_id']}/artifacts")
    assert contents(store.artifact(seen.run_id, "losses.parquet").parent) == contents(next(original))
    assert run.data.tags["imported.from"] == str(moved)
    assert run.data.tags["owner.host"] == run.data.tags["imported.host"]
    again = imported(store, moved)
    assert counts(again) == (0, 3, 1)
    assert len(list(store.records())) == 3


def test_an_import_that_died_is_made_up_for_by_the_next(
    store: Store, moved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise OSError("the machine is gone")

    with monkeypatch.context() as patch:
        patch.setattr(store.client.client, "set_terminated", die)
        with pytest.raises(OSError, match="gone"):
            imported(store, moved)
    (half,) = store.running()
    assert store.done() == {}
    assert counts(imported(store, moved)) == (3, 0, 1)
    assert status(store, half.info.run_id) == "KILLED"
    assert store.running() == []


def import_and_die(stick: Path, experiment: str) -> None:
    """Import, and be killed while the artifacts of the second cell are logged."""
    from mlproject.tracking import TrackedRun

    log_files, logged = TrackedRun.log_files, list[str]()

    def log_or_die(self: TrackedRun, folder: Path) -> None:
        logged.append(self.run_id)
        if len(logged) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        log_files(self, folder)

    TrackedRun.log_files = log_or_die  # type: ignore[method-assign]
    import_cells(open_store(experiment), str(stick), report=Silent(), experiment=EXPERIMENT)


def test_an_import_that_was_killed_midway_gives_the_same_store_when_it_is_started_again(
    store: Store, moved: Path
) -> None:
    name = store.client.get_experiment(store.experiment_id).name
    process = processes.started(import_and_die, moved, name)
    assert processes.ended(process) == -signal.SIGKILL
    (half,) = store.running()
    assert len(store.done()) == 1
    assert counts(imported(store, moved)) == (2, 1, 1)
    whole = open_store(f"{name}, at once")
    assert counts(imported(whole, moved)) == (3, 0, 1)
    assert status(store, half.info.run_id) == "KILLED"
    finished = [run.data.tags["cell.key"] for run in store.search("attributes.status = 'FINISHED'")]
    assert sorted(finished) == sorted(whole.done()), "each cell once"
    losses = [
        {seen.cell.key: seen.load_losses().digest for seen in place.observations()}
        for place in (store, whole)
    ]
    assert losses[0] == losses[1]


def damage_losses(stick: Path, run: str) -> str:
    next(stick.rglob(f"{run}/artifacts/losses.parquet")).write_bytes(b"PAR1")
    return "its losses.parquet differs from what was logged"


def damage_other(stick: Path, run: str) -> str:
    next(stick.rglob(f"{run}/artifacts/losses.csv")).write_text("a,b\n")
    return "its losses.csv differs from what was logged"


def lose_folder(stick: Path, run: str) -> str:
    shutil.rmtree(next(stick.rglob(f"{run}/artifacts")))
    return "its artifacts are neither at "


def lead_out(stick: Path, run: str) -> str:
    folder = next(stick.rglob(f"{run}/artifacts"))
    (folder.parents[1] / "evil").write_text("x")
    line = f"{hashlib.sha256(b'x').hexdigest()}  ../../evil\n"
    sums = (folder / "SHA256SUMS").read_text() + line
    (folder / "SHA256SUMS").write_text(sums)
    digest = hashlib.sha256(sums.encode()).hexdigest()
    change(stick, f"update tags set value = '{digest}' where key = 'artifacts.sha256' and run_uuid = '{run}'")
    return "an artifact named '../../evil' is refused"


def later_version(stick: Path, run: str) -> str:
    change(
        stick,
        "update tags set value = replace(value, '{', '{\"colour\": 1, ')"
        f" where key = 'cell.json' and run_uuid = '{run}'",
    )
    return "its tag cell.json holds no cell"


@pytest.mark.parametrize("harms", [(damage_losses, damage_other, lead_out), (lose_folder, later_version)])
def test_a_cell_that_cannot_be_imported_is_named_and_the_others_come(
    store: Store, stick: Path, harms: tuple[Callable[[Path, str], str], ...]
) -> None:
    texts = {}
    for seed, harm in enumerate(harms):
        with closing(sqlite3.connect(stick / "mlflow.db")) as database:
            query = "select run_uuid from tags where key = 'cell.key' and value = ?"
            (run,) = database.execute(query, (make_cell(seed=seed).key,)).fetchone()
        texts[run] = harm(stick, run)
    result = imported(store, stick)
    assert counts(result) == (3 - len(harms), 0, 1 + len(harms))
    for run, text in texts.items():
        assert result.left_out[run].startswith(text)
    assert set(store.done()) == {make_cell(seed=seed).key for seed in range(len(harms), 3)}
    assert "KILLED" not in {record["status"] for record in store.records()}


def test_other_losses_of_a_cell_that_is_done_here_are_named(
    store: Store, stick: Path, tmp_path: Path
) -> None:
    losses = make_losses(seed=7)
    with store.run(kind="cell", name="x", tags={**tags(), LOSSES_DIGEST: losses.digest}) as run:
        (tmp_path / "losses").mkdir()
        write_losses(losses, tmp_path / "losses")
        run.log_files(tmp_path / "losses")
    result = imported(store, stick)
    assert counts(result) == (2, 1, 2)
    assert f"has other losses than run {run.run_id} of the same cell here" in result.left_out.values()
    assert store.done()[make_cell().key] == run.run_id


def test_runs_of_version_0_2_come_from_where_nobody_has_been(store: Store, tmp_path: Path) -> None:
    with tarfile.open(V0_2) as archive:
        archive.extractall(tmp_path / "old", filter="data")
    done = "select run_uuid from tags where key = 'cell.complete'"
    cells = f"select run_uuid from tags where key = 'kind' and value = 'cell' and run_uuid in ({done})"
    change(tmp_path / "old", f"delete from runs where run_uuid not in ({cells} limit 2)")
    assert counts(imported(store, tmp_path / "old", "Default")) == (2, 0, 0)
    assert store.faults() == {}
    assert all(observation.load_losses() for observation in store.observations())


def test_a_folder_of_runs_of_an_old_mlflow_is_imported(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client: Any = MlflowClient(tracking_uri=f"file://{tmp_path}/mlruns")
    losses = make_losses()
    given = {**tags(), "kind": "cell", "cell.complete": "true", LOSSES_DIGEST: losses.digest}
    run_id = client.create_run("0", tags=given).info.run_id
    write_losses(losses, tmp_path)
    client.log_artifact(run_id, str(tmp_path / "losses.parquet"))
    client.set_terminated(run_id)
    os.rename(tmp_path / "mlruns", tmp_path / "copied")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    assert counts(imported(store, tmp_path / "copied", "Default")) == (1, 0, 0)
    assert store.faults() == {}


def test_the_command_counts_names_what_was_left_out_and_ends_with_one(
    moved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_into(str(moved), EXPERIMENT, "of the command") == 1
    text = capsys.readouterr()
    assert text.out == "Cells: 3 imported, 0 were here, 1 not imported.\n"
    assert re.fullmatch(r"warning: run \w+ was not imported: is not finished \(FAILED\)\n", text.err)
    with pytest.raises(WrongUse, match="name a copied folder"):
        import_into("", "", "of the command")


def test_what_is_no_store_is_named_in_a_line(
    store: Store, moved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(imports, "PatientClient", partial(PatientClient, patience=0.0))
    (tmp_path / "mlflow.db").write_text("no database")
    for source, text in (
        (tmp_path / "nowhere", f"nothing to import: there is no {tmp_path}/nowhere"),
        (tmp_path / "mlflow.db", "is no SQLite database"),
        (tmp_path, "is no SQLite database"),
        (V0_2.parent, "holds neither mlflow.db nor runs of MLflow"),
        ("https://nobody:secret@127.0.0.1:1", r"no tracking server answers at https://\*\*\*@127"),
    ):
        with pytest.raises((BadInput, StoreUnreachable), match=text) as caught:
            imported(store, source)
        assert "secret" not in str(caught.value)
    with pytest.raises(WrongUse, match=r"'offlin'; did you mean offline\?; name one of them: --from-exp"):
        imported(store, moved, "offlin")
