import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import URL

from mlproject.errors import BadInput, StoreUnreachable, WrongUse
from mlproject.tracking import Store, done_runs, keep_done_runs, open_store, sqlite_path, ui_command
from tests.tracking.test_store import log_cell


def done_keys(experiment: str | None = None) -> set[str]:
    return set(done_runs(experiment)[1])


SOURCE = str(Path(__file__).parents[2] / "src")


def name_of(store: Store) -> str:
    return str(store.client.get_experiment(store.experiment_id).name)


def test_done_keys_are_those_of_the_store(store: Store, tmp_path: Path) -> None:
    assert done_keys(name_of(store)) == set()
    log_cell(store, tmp_path)
    assert done_keys(name_of(store)) == set(store.done()) != set()
    assert done_keys("an experiment that does not exist") == set()


def test_done_keys_follow_every_change_of_the_store(store: Store, tmp_path: Path) -> None:
    first, second = log_cell(store, tmp_path), log_cell(store, tmp_path, seed=1)
    keys = done_keys(name_of(store))
    assert len(keys) == 2
    store.client.delete_run(first)
    assert done_keys(name_of(store)) == set(store.done()) < keys
    store.client.restore_run(first)
    assert done_keys(name_of(store)) == keys
    store.client.delete_tag(second, "cell.complete")
    assert done_keys(name_of(store)) == set(store.done()) < keys


def test_done_keys_are_asked_once_while_the_store_does_not_change(store: Store, tmp_path: Path) -> None:
    log_cell(store, tmp_path)
    code = (
        "import sys; from mlproject.tracking import done_runs\n"
        f"print(done_runs({name_of(store)!r}), 'mlflow' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": SOURCE}
    texts = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]
    known = (store.experiment_id, store.done())
    assert texts == [f"{known} True", f"{known} False"]
    log_cell(store, tmp_path, seed=1)
    known = (store.experiment_id, keep_done_runs(store, name_of(store)))
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert text.strip() == f"{known} False"
    assert len(known[1]) == 2


def test_a_damaged_record_of_done_keys_is_asked_again(store: Store, tmp_path: Path) -> None:
    log_cell(store, tmp_path)
    keys = done_keys(name_of(store))
    for content in ("", "[]", "{}", '{"question": 1, "keys": 2}'):
        (store.locks / "done.json").write_text(content)
        assert done_keys(name_of(store)) == keys


def test_a_file_beside_the_store_is_beside_its_database(store: Store) -> None:
    assert store.file is not None
    assert store.beside("optuna.log") == store.file.parent / "optuna.log"


def test_a_server_that_is_away_is_one_clear_error_within_fifteen_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(StoreUnreachable, match=r"127\.0\.0\.1:9") as caught:
        open_store()
    assert time.monotonic() - start < 15
    assert "secret" not in str(caught.value)


def test_reading_a_store_that_is_not_there_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(StoreUnreachable, match="no tracking store"):
        open_store(create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_three_first_starts_at_once_build_one_store(tmp_path: Path) -> None:
    code = "from mlproject.tracking import open_store; print(open_store('x').experiment_id)"
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/new.db",
        "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
    }
    starts = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=tmp_path, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    answers = {process.communicate(timeout=200)[0] for process in starts}
    assert [process.returncode for process in starts] == [0, 0, 0]
    assert len(answers) == 1
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize("name", ["run #2 50% a%41b what?x=1", "ünï {x}[1];&= q'uo\"te@host "])
def test_a_store_and_its_artifacts_lie_in_the_working_folder_whatever_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, files = tmp_path / name, tmp_path / "files"
    folder.mkdir()
    files.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    for store in (open_store(), open_store("named")):
        run_id = log_cell(store, files)
        losses = store.artifact(run_id, "losses.parquet")
        assert losses.is_relative_to(folder / "mlruns")
        assert losses.exists()
        assert store.artifact_uri(run_id) == str(losses.parent)
    assert done_keys() == set(store.done()) != set()
    assert {path.name for path in folder.iterdir()} == {"mlflow.db", "mlflow.db.locks", "mlruns"}
    assert set(tmp_path.iterdir()) == {folder, files}


FORMS = {
    "run #2": ("sqlite", {"timeout": "7"}),
    "50% a%41b": ("sqlite+pysqlite", {}),
    "what?x=1": ("sqlite", {"timeout": "7", "uri": "true", "vfs": "unix"}),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_an_address_opens_the_file_that_it_names_and_makes_no_other(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / name / "runs.db"
    driver, query = FORMS[name]
    url = URL.create(driver, database=file.as_uri() if "uri" in query else str(file), query=query)
    uri = url.render_as_string(hide_password=False)
    assert sqlite_path(uri) == file
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    store = open_store("x")
    assert open_store("x", create=False).file == file
    assert store.uri == uri
    assert {path.name for path in tmp_path.iterdir()} == {name}
    assert {path.name for path in file.parent.iterdir()} == {"runs.db", "runs.db.locks"}


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_a_store_in_memory_is_refused(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(WrongUse, match="in memory"):
        open_store()


@pytest.mark.parametrize("uri", ["http://host:5000", "postgresql://u:p@host/runs", "./mlruns", "databricks"])
def test_an_address_of_another_kind_has_no_file(uri: str) -> None:
    assert sqlite_path(uri) is None


def test_the_experiment_of_mlflows_variables_is_used_by_its_id_or_its_name(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_cell(store, tmp_path)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", store.experiment_id)
    for name in ("", name_of(store)):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
        assert open_store().experiment_id == store.experiment_id
        assert open_store(create=False).experiment_id == store.experiment_id
        assert done_keys() == set(store.done()) != set()
    other = open_store("another")
    assert other.experiment_id != store.experiment_id  # an option counts more than the environment
    assert done_keys("another") == set()
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    with pytest.raises(WrongUse, match=f"MLFLOW_EXPERIMENT_ID={store.experiment_id} is experiment 'test-"):
        open_store()
    with pytest.raises(WrongUse, match="unset one of them"):
        done_keys()
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    assert open_store().experiment_id == other.experiment_id


@pytest.mark.parametrize("given", ["987654", "no number", "-1"])
def test_an_experiment_id_that_does_not_exist_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", given)
    with pytest.raises(WrongUse, match=r"unknown MLFLOW_EXPERIMENT_ID .*; known: .*0 \(Default\)"):
        open_store()


def test_a_deleted_experiment_is_refused_with_the_command_that_restores_it(store: Store) -> None:
    name = name_of(store)
    store.client.delete_experiment(store.experiment_id)
    with pytest.raises(BadInput, match=f"mlflow experiments restore --experiment-id {store.experiment_id}"):
        open_store(name)
    store.client.restore_experiment(store.experiment_id)
    assert open_store(name).experiment_id == store.experiment_id


def test_the_command_of_the_ui_names_the_store_and_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    assert ui_command("sqlite:///mlflow.db") == "mlflow ui"
    commands = {
        "sqlite:///runs.db": f"sqlite:///{tmp_path}/runs.db",
        "sqlite:////a/runs.db?timeout=7": "'sqlite:////a/runs.db?timeout=7'",
        "sqlite:////a/run #2/runs.db": "'sqlite+pysqlite:////a/run %232/runs.db'",
        "postgresql://host/runs": "postgresql://host/runs",
        "postgresql://me:pass/word@host/runs": '"$MLFLOW_TRACKING_URI"',
        "postgresql:///runs?password=x": '"$MLFLOW_TRACKING_URI"',
    }
    for uri, address in commands.items():
        assert ui_command(uri) == f"mlflow ui --backend-store-uri {address}"
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert ui_command("postgresql://host/runs").startswith(str(Path(sys.executable).with_name("mlflow")))


def test_a_run_that_a_launcher_began_and_nobody_adopted_is_listed(store: Store) -> None:
    launched = {"mlflow.project.entryPoint": "main"}
    begun = store.client.create_run(store.experiment_id, tags=launched).info.run_id
    store.client.create_run(store.experiment_id, tags=launched | {"lock": "x"})
    store.client.create_run(store.experiment_id)
    ended = store.client.create_run(store.experiment_id, tags=launched).info.run_id
    store.client.set_terminated(ended, "FAILED")
    assert store.never_started() == [begun]
    store.client.delete_run(begun)
    assert store.never_started() == []
