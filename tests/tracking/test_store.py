import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlproject.errors import DigestMismatch, Stopped, StoreUnreachable
from mlproject.files import try_locked
from mlproject.losses import NotFinite, write_losses
from mlproject.tracking import LOSSES_DIGEST, Store, open_store, peek_done
from mlproject.tracking.store import Run
from tests.conftest import make_cell, make_losses


def log_cell(store: Store, tmp_path: Path, **changes: object) -> str:
    cell, losses = make_cell(**changes), make_losses()
    tags = {"cell.key": cell.key, "cell.json": json.dumps(cell.to_dict()), LOSSES_DIGEST: losses.digest}
    with store.run(kind="cell", name=cell.label, lock=cell.key, tags=tags) as run:
        write_losses(losses, tmp_path)
        run.log(params=cell.to_params(), metrics={"eval.loss": 0.5}, history=[(1, {"train.loss": 0.7})])
        run.log_files(tmp_path)
    return run.run_id


def status(store: Store, run_id: str) -> str:
    return str(store.client.get_run(run_id).info.status)


def test_a_finished_cell_is_read_back_as_it_was(store: Store, tmp_path: Path) -> None:
    run_id = log_cell(store, tmp_path, seed=3)
    (seen,) = store.observations()
    assert seen.cell == make_cell(seed=3)
    assert seen.run_id == run_id
    assert seen.metrics["eval.loss"] == 0.5
    assert seen.load_losses().digest == make_losses().digest
    assert store.done() == {seen.cell.key: run_id}


def test_peeking_without_mlflow_sees_what_is_done(store: Store, tmp_path: Path) -> None:
    log_cell(store, tmp_path)
    name = store.client.get_experiment(store.experiment_id).name
    assert peek_done(name) == set(store.done())


def test_a_finished_run_without_its_last_tag_is_not_done(store: Store, tmp_path: Path) -> None:
    run_id = log_cell(store, tmp_path)
    store.client.delete_tag(run_id, "cell.complete")
    assert store.done() == {}


def test_a_recipe_that_raises_leaves_a_failed_run_with_its_reason(store: Store) -> None:
    cell = make_cell()
    with (
        pytest.raises(NotFinite),
        store.run(kind="cell", name="x", lock=cell.key, tags={"cell.key": cell.key}) as run,
    ):
        raise NotFinite("mse is not finite for 3 images")
    assert status(store, run.run_id) == "FAILED"
    assert "3 images" in store.client.get_run(run.run_id).data.tags["failure"]
    assert "NotFinite" in store.artifact(run.run_id, "error.txt").read_text()
    assert store.done() == {}


def test_a_signal_leaves_a_killed_run(store: Store) -> None:
    with pytest.raises(Stopped), store.run(kind="cell", name="x", lock="k", tags={}) as run:
        raise Stopped(signal.SIGTERM)
    assert status(store, run.run_id) == "KILLED"


def test_a_dead_owner_is_told_from_a_living_one_by_its_lock(store: Store) -> None:
    dead = store.client.create_run(store.experiment_id, tags={"lock": "dead"}).info.run_id
    alive = store.client.create_run(store.experiment_id, tags={"lock": "alive"}).info.run_id
    foreign = store.client.create_run(store.experiment_id).info.run_id
    with try_locked(store.lock_path("alive")) as ours:
        assert ours
        assert store.reconcile() == [dead]
    assert [status(store, r) for r in (dead, alive, foreign)] == ["KILLED", "RUNNING", "RUNNING"]


def test_losses_that_changed_on_disk_are_refused_by_name(store: Store, tmp_path: Path) -> None:
    run_id = log_cell(store, tmp_path)
    path = store.artifact(run_id, "losses.parquet")
    write_losses(make_losses(seed=1), path.parent)
    (seen,) = store.observations()
    with pytest.raises(DigestMismatch, match=run_id):
        seen.load_losses()
    path.write_bytes(b"PAR1 cut short")
    with pytest.raises(DigestMismatch, match=run_id):
        seen.load_losses()


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


def test_a_data_set_that_another_process_logs_at_the_same_moment_is_logged_again():
    from mlflow.exceptions import MlflowException

    class Client:
        def __init__(self, failures):
            self.failures, self.logged = failures, []

        def log_inputs(self, run_id, inputs):
            if self.failures:
                self.failures -= 1
                raise MlflowException("UNIQUE constraint failed: datasets")
            self.logged.append(inputs[0].dataset.name)

    said = {"name": "embedded", "digest": "d", "source": "here", "context": "training"}
    client = Client(failures=1)
    Run(run_id="r", client=client).log_dataset(**said)
    assert client.logged == ["embedded"]
    with pytest.raises(MlflowException):
        Run(run_id="r", client=Client(failures=2)).log_dataset(**said)
