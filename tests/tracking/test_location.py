import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlproject.errors import StoreUnreachable
from mlproject.tracking import Store, done_keys, open_store
from tests.tracking.test_store import log_cell

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
        "import sys; from mlproject.tracking import done_keys\n"
        f"print(done_keys({name_of(store)!r}), 'mlflow' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": SOURCE}
    texts = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]
    keys = set(store.done())
    assert texts == [f"{keys} True", f"{keys} False"]


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
