import contextlib
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from sqlalchemy import URL

from mlproject.errors import BadInput, StoreUnreachable, WrongUse
from mlproject.files import locked
from mlproject.tracking import Store, done_runs, keep_done_runs, open_store, sqlite_path, ui_command
from mlproject.tracking.ownership import owner_tags
from mlproject.tracking.place import store_lock, sweep
from tests import processes
from tests.conftest import NewStore, make_cell
from tests.tracking.test_store import log_cell


def done_keys(experiment: str | None = None) -> set[str]:
    return set(done_runs(experiment)[1])


SOURCE = str(Path(__file__).parents[2] / "src")


def name_of(store: Store) -> str:
    return str(store.client.get_experiment(store.experiment_id).name)


def test_a_bare_question_mark_in_the_name_of_a_store_is_refused_and_an_escaped_one_is_part_of_it() -> None:
    with pytest.raises(WrongUse, match="in a file's name write %3F"):
        sqlite_path("sqlite:///q?y.db")
    assert sqlite_path("sqlite:////tmp/q%3Fy #%25.db") == Path("/tmp/q?y #%.db")


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
    """Asked by this process, whose answer is kept; told to new ones, which do not import MLflow."""
    log_cell(store, tmp_path)
    code = (
        "import sys; from mlproject.tracking import done_runs\n"
        f"print(done_runs({name_of(store)!r}), 'mlflow' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": SOURCE}

    def answer() -> str:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    known = (store.experiment_id, store.done())
    assert done_runs(name_of(store)) == known
    assert answer() == f"{known} False"
    log_cell(store, tmp_path, seed=1)
    known = (store.experiment_id, keep_done_runs(store, name_of(store)))
    assert answer() == f"{known} False"
    assert len(known[1]) == 2


def test_done_keys_are_asked_again_while_a_run_may_be_dead_and_a_start_closes_it(
    store: Store, tmp_path: Path
) -> None:
    log_cell(store, tmp_path)
    tags = owner_tags("run-dead")
    dead = store.client.create_run(store.experiment_id, tags=tags).info.run_id
    store.lock_path("run-dead").touch()
    assert done_keys(name_of(store)) == set(store.done())
    assert store.client.get_run(dead).info.status == "RUNNING", "who only asks closes nothing"
    done_runs(name_of(store), close_dead=True)
    assert store.client.get_run(dead).info.status == "KILLED"


def test_a_damaged_record_of_done_keys_is_asked_again(store: Store, tmp_path: Path) -> None:
    run_id = log_cell(store, tmp_path)
    known = (store.experiment_id, {make_cell().key: run_id})
    assert done_runs(name_of(store)) == known
    path = store.locks / "done.json"
    kept = path.read_bytes()
    renamed = kept.replace(run_id.encode(), b"0" * 32)
    for content in (b"", b"[]", b"{}", b'{"question": 1, "keys": 2}', b'["", "[]"]', kept[:-1], renamed):
        path.write_bytes(content)
        assert done_runs(name_of(store)) == known
        assert path.read_bytes() == kept


def test_a_cell_whose_losses_were_deleted_or_changed_is_not_done_though_the_store_is_as_it_was(
    store: Store, tmp_path: Path
) -> None:
    run_id, other = log_cell(store, tmp_path), log_cell(store, tmp_path, seed=1)
    key, other_key = make_cell().key, make_cell(seed=1).key
    path = store.artifact(run_id, "losses.parquet")
    content = path.read_bytes()
    assert done_runs(name_of(store))[1] == {key: run_id, other_key: other}
    path.unlink()
    assert done_runs(name_of(store))[1] == {other_key: other}
    assert done_runs(name_of(store), {key})[1] == {}
    path.write_bytes(content)
    assert done_runs(name_of(store))[1] == {key: run_id, other_key: other}
    path.write_bytes(content[:-1])
    assert done_runs(name_of(store), {key})[1] == {}


def test_a_file_beside_the_store_is_beside_its_database(store: Store) -> None:
    assert store.file is not None
    assert store.beside("optuna.log") == store.file.parent / "optuna.log"


def test_a_server_that_is_away_is_one_clear_error_within_fifteen_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@127.0.0.1:9")
    waits: list[float] = []  # between repetitions: counted, not waited for
    monkeypatch.setattr(time, "sleep", waits.append)
    start = time.monotonic()
    with pytest.raises(StoreUnreachable, match=r"127\.0\.0\.1:9") as caught:
        open_store()
    assert sum(waits) > 0
    assert time.monotonic() - start + sum(waits) < 15
    assert "secret" not in str(caught.value)


def test_reading_a_store_that_is_not_there_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(StoreUnreachable, match="no tracking store"):
        open_store(create=False)
    assert list(tmp_path.iterdir()) == []


def tell_experiment() -> None:
    print(open_store("x").experiment_id)


@pytest.mark.slow
def test_three_first_starts_at_once_build_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/new.db")
    monkeypatch.chdir(tmp_path)
    answers = [tmp_path / f"answer{i}" for i in range(3)]
    starts = [processes.started(tell_experiment, output=answer) for answer in answers]
    assert [processes.ended(start) for start in starts] == [0, 0, 0]
    assert len({answer.read_text() for answer in answers}) == 1
    assert not list(tmp_path.glob("*.part*"))


def test_a_store_and_its_artifacts_lie_in_the_working_folder_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run #2 50% a%41b what?x=1 ünï {x}[1];&= q'uo\"te@host "
    files = tmp_path / "files"
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
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_store: NewStore
) -> None:
    file = tmp_path / name / "runs.db"
    driver, query = FORMS[name]
    url = URL.create(driver, database=file.as_uri() if "uri" in query else str(file), query=query)
    uri = url.render_as_string(hide_password=False)
    assert sqlite_path(uri) == file
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    file.parent.mkdir()
    if "uri" not in query:  # this form builds its store, which takes seconds
        new_store(file.parent)
        (file.parent / "mlflow.db").rename(file)
    store = open_store("x")
    assert open_store("x", create=False).file == file
    assert store.uri == uri
    assert {path.name for path in tmp_path.iterdir()} == {name}
    assert {path.name for path in file.parent.iterdir()} - {"runs.db.locks"} == {"runs.db"}


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


def refused(uri: str, monkeypatch: pytest.MonkeyPatch, *, create: bool) -> str:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(StoreUnreachable) as refusal:
        open_store(create=create)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("scheme", ["sqlite:///", "file://", "file:", ""])
def test_a_mistyped_folder_of_a_store_is_not_made(
    scheme: str, create: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = refused(f"{scheme}{tmp_path}/no/such/mlflow.db", monkeypatch, create=create)
    assert f"no tracking store at {tmp_path}/no/such/mlflow.db" in text
    assert (f"and no folder {tmp_path}/no/such for one" in text) == create
    assert list(tmp_path.iterdir()) == []


def no_database(path: Path) -> None:
    path.write_bytes(b"%PDF-1.4 something else entirely")


def other_database(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("create table trials (number int)")
        connection.commit()


def damaged_database(path: Path) -> None:
    other_database(path)
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 5000)


NO_STORES = {
    "empty": (Path.touch, r"is empty \(0 bytes\); restore it from a copy, delete it for a new store, or"),
    "another file": (no_database, "is no SQLite database, and so no tracking store"),
    "another database": (other_database, "is a database without MLflow's tables"),
    "damaged": (damaged_database, "is damaged"),
    "folder": (Path.mkdir, "is no file, and so no tracking store"),
    "pipe": (os.mkfifo, "is no file, and so no tracking store"),
    "dangling link": (lambda path: path.symlink_to(path.with_name("gone")), "is no file"),
}


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("make_and_reason", NO_STORES.values(), ids=NO_STORES)
def test_what_is_no_store_is_named_and_left_as_it_is(
    make_and_reason: tuple[Callable[[Path], None], str],
    create: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make, reason = make_and_reason
    path = tmp_path / "mlflow.db"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    assert re.search(reason, refused(f"sqlite:///{path}", monkeypatch, create=create))
    assert (path.read_bytes() if path.is_file() else b"") == before


@pytest.mark.parametrize("answer", [b"{}", b'{"hello": "world"}', b'{"experiment": {"experiment_id": {}}}'])
def test_a_server_of_another_kind_is_named(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        text = refused(f"http://127.0.0.1:{server.server_port}", monkeypatch, create=False)
        server.shutdown()
    assert "as a tracking server of MLflow does" in text or "ParseError" in text


def test_a_read_only_store_is_refused_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mlflow.db"
    no_database(path)
    monkeypatch.setattr(os, "access", lambda place, _: Path(place) != path)  # root may write anything
    assert "mlflow.db is read-only; make it writable, or set" in refused(
        f"sqlite:///{path}", monkeypatch, create=True
    )


def test_a_name_too_long_for_a_store_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"sqlite:///{tmp_path}/{'x' * 300}.db"
    assert "File name too long" in refused(uri, monkeypatch, create=True)
    assert done_runs() == ("", {})


def test_a_store_in_a_read_only_folder_is_out_of_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)  # root may write anywhere
    text = refused(f"sqlite:///{tmp_path}/mlflow.db", monkeypatch, create=True)
    assert f"the folder of the tracking store, {tmp_path}, is read-only; make it writable" in text


def test_what_a_killed_first_start_left_is_swept_unless_one_is_at_work(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    names = [f"mlflow.db.{'0' * 32}.part", f"mlflow.db.{'a1' * 16}.part-journal"]
    others = ["mlflow.db", "mlflow.db.part", "mlflow.db.old.part", f"other.db.{'0' * 32}.part"]
    for name in (*names, *others):
        (tmp_path / name).touch()
    with locked(store_lock(path)):
        sweep(path)
    assert {each.name for each in tmp_path.iterdir()} >= {*names, *others}
    sweep(path)
    assert {each.name for each in tmp_path.iterdir()} == {*others, "mlflow.db.locks"}
