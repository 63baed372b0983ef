"""A plan on engines: the same losses on each, features once, nothing lost or twice where processes die."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest

from mlproject.cli.progress import Lines
from mlproject.engines import Engine, open_engine
from mlproject.errors import MLProjectError, StoreUnreachable
from mlproject.features import forget
from mlproject.plans import Plan, plan_of, read_plan
from mlproject.runs import run_plan
from mlproject.runs.tasks import FeatureTask, TaskResult
from mlproject.tracking import Store, open_store
from tests import processes
from tests.conftest import NewStore

MODELS = "efficientnet_lite0,efficientnet_lite1"
WORDS = {"weights": "imagenet", "target": "labels", "eval_size": 20}


class Pickling(Executor):
    """Any executor will do: this one runs each task at once, with all that goes in and out pickled."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        call, given = ForkingPickler.loads(ForkingPickler.dumps((fn, args)))
        try:
            future.set_result(ForkingPickler.loads(ForkingPickler.dumps(call(*given))))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Two workers with one thread each, and features of their own; the tests' process has one thread too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("MLPROJECT_CACHE", str(tmp_path_factory.mktemp("features")))
        forget()  # networks that were loaded with more threads
        with open_engine("local:2", processes.IMPORTED) as engine:
            yield engine


def small_plan(**changes: object) -> Plan:
    return plan_of("small", WORDS | {"model": MODELS, "dataset_size": "20", "epochs": 3} | changes)


def losses(store: Store) -> dict[str, str]:
    return {seen.cell.key: seen.losses_digest for seen in store.observations()}


def ran(plan: Plan, engine: Engine | None = None, name: str = "") -> tuple[Store, list[str]]:
    """The plan's own experiment after a run, and the status of each cell."""
    store = open_store(name or f"{os.urandom(4).hex()}")
    return store, [
        result.status for result in run_plan(plan, store, Lines(len(plan.cells), 1), engine=engine)
    ]


@pytest.mark.usefixtures("one_thread")
def test_a_plan_has_the_same_losses_on_every_engine_and_each_feature_is_computed_once(
    local: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = small_plan(seed="0,1")
    digests = {}
    for engine in (local, None, Engine(name="any", executor=Pickling(), n_workers=2)):
        name = engine.name if engine else "serial"
        if engine is not local:
            monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path / name))
            forget()
        store, statuses = ran(plan, engine)
        assert statuses == ["done"] * 4, name
        digests[name] = losses(store)
        forwards = [r.data.tags["provenance.forwards_done_now"] for r in store.search("tags.kind = 'cell'")]
        assert (set(forwards) == {"0"}) == bool(engine), "before the cells, or by them"
        assert "[4/4]" in capsys.readouterr().out
    assert digests["serial"] == digests["local:2"] == digests["any"]
    assert len(digests["serial"]) == 4


def test_every_cell_of_a_worker_names_its_task_and_is_not_run_again(local: Engine) -> None:
    plan = small_plan(seed="0", model="efficientnet_lite0")
    store, _ = ran(plan, local)
    (run,) = store.search("tags.kind = 'cell'")
    assert run.data.tags["engine.task"].endswith(f"-{plan.cells[0].key}")
    assert [r.status for r in run_plan(plan, store, Lines(1), engine=local)] == ["was done"]


def test_a_cell_that_fails_in_a_worker_is_recorded_and_the_others_go_on(local: Engine) -> None:
    knobs = {"lr": ["1e-3", "1e30"], "loss": "mse", "optimizer": "sgd"}
    store, statuses = ran(small_plan(seed="0", model="efficientnet_lite0", **knobs), local)
    assert statuses == ["done", "failed"]
    (failed,) = store.search("tags.kind = 'cell' and attributes.status = 'FAILED'")
    assert "diverged" in failed.data.tags["failure"]


def kill_workers(store: Store, stop: threading.Event, killed: list[int], n: int) -> None:
    """Kill the workers of ``n`` cells that are being run."""
    while len(killed) < n and not stop.is_set():
        for run in store.search("attributes.status = 'RUNNING' and tags.kind = 'cell'"):
            process = int(run.data.tags["owner.process"].split()[0])
            if process not in killed:
                os.kill(process, signal.SIGKILL)
                killed.append(process)
        time.sleep(0.01)


def test_a_worker_that_is_killed_in_the_middle_of_a_cell_loses_nothing_and_leaves_nothing(
    local: Engine,
) -> None:
    plan = small_plan(seed="0,1", model="efficientnet_lite0", dataset_size="200,210", epochs=200)
    store, stop, killed = open_store("killed workers"), threading.Event(), list[int]()
    thread = threading.Thread(target=kill_workers, args=(open_store("killed workers"), stop, killed, 2))
    thread.start()
    try:
        results = run_plan(plan, store, Lines(4), engine=local)
    finally:
        stop.set()
        thread.join()
    assert len(killed) == 2
    assert [result.status for result in results] == ["done"] * 4
    runs = list(store.search("tags.kind = 'cell'"))
    assert sorted(run.info.status for run in runs) == ["FINISHED"] * 4 + ["KILLED"] * 2
    assert {run.data.tags.get("reconciled") for run in runs} == {None, "its worker is gone"}
    assert store.running() == []


PLAN = """
[[grid]]
model = "efficientnet_lite0"
weights = "imagenet"
eval_size = 20
dataset_size = [200, 210]
seed = [0, 1]
knobs = { target = "labels", epochs = 200 }
"""


@pytest.mark.slow
def test_a_driver_that_is_killed_takes_its_workers_along_and_the_next_start_finishes(
    tmp_path: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "p.toml"
    path.write_text(PLAN)
    store = open_store()
    driver = processes.started(processes.command, "sweep", f"--plan={path}", "--engine=local:2")
    clause = "attributes.status = 'RUNNING' and tags.kind = 'cell'"
    running: list[Any] = []
    processes.wait_for(lambda: running.extend(store.search(clause)) or running, driver)
    os.kill(driver.pid or 0, signal.SIGKILL)
    assert processes.ended(driver) == -signal.SIGKILL
    end = time.monotonic() + 30
    while list(store.search(clause)) and time.monotonic() < end:
        time.sleep(0.05)
    assert {store.client.get_run(run.info.run_id).info.status for run in running} == {"KILLED"}
    results = run_plan(read_plan(path, {}), store, Lines(4))
    assert {result.status for result in results} <= {"done", "was done"}
    runs = list(store.search("tags.kind = 'cell' and attributes.status = 'FINISHED'"))
    assert len({run.data.tags["cell.key"] for run in runs}) == len(runs) == 4
    assert store.running() == []


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("pruner", ["none", "median"])
def test_a_tuned_plan_finds_the_same_knobs_on_every_engine(
    local: Engine, tmp_path: Path, pruner: str
) -> None:
    rows = []
    for engine in (None, local):
        name = engine.name if engine else "serial"
        words = {"dataset_size": "20,30", "seed": "0", "batch_size": 8, "validation_size": 20, "trials": "18"}
        words |= {"tune": "lr=1e-4..1e-1,epochs=1..8", "storage": str(tmp_path / name), "pruner": pruner}
        plan = plan_of("tuned", WORDS | {"model": "efficientnet_lite0"} | words, tuned=True)
        store, statuses = ran(plan, engine)
        assert statuses == ["done"] * 2
        studies = sorted(store.search("tags.kind = 'study'"), key=lambda run: run.data.tags["study"])
        trials = [store.artifact(run.info.run_id, "trials.csv").read_text() for run in studies]
        rows.append((losses(store), trials, [run.data.metrics["validation.loss_half_lr"] for run in studies]))
    assert rows[0] == rows[1]
    assert ("pruned" in rows[0][1][0]) == (pruner == "median")


class Broken(Executor):
    """Gives every task of a kind an error, and runs no other."""

    def __init__(self, error: Exception, kind: type) -> None:
        self.error, self.kind, self.submitted = error, kind, list[Any]()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.submitted.append(args[0])
        if isinstance(args[0], self.kind):
            future.set_exception(self.error)
        else:
            future.set_result(TaskResult(error=self.error))
        return future


def test_cells_whose_features_or_workers_failed_say_why(store: Store, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path))
    broken = Broken(MLProjectError("its worker process was killed 3 times"), FeatureTask)
    engine = Engine(name="broken", executor=broken, n_workers=3)
    plan = small_plan(seed="0")
    results = run_plan(plan, store, Lines(2), engine=engine)
    assert [(r.status, r.reason) for r in results] == [
        ("failed", "its worker process was killed 3 times")
    ] * 2
    kinds = [type(task).__name__ for task in broken.submitted]
    assert kinds == ["FeatureTask", "FeatureTask", "CellTask", "CellTask"]


def test_an_error_that_every_task_would_meet_ends_the_plan_and_cancels_the_others(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path))
    broken = Broken(StoreUnreachable("no tracking server answers"), FeatureTask)
    with pytest.raises(StoreUnreachable, match="no tracking server answers"):
        run_plan(small_plan(), store, Lines(2), engine=Engine(name="broken", executor=broken, n_workers=1))
    assert len(broken.submitted) == 1
    assert store.running() == []


def test_a_plan_names_its_engine_and_one_with_nothing_to_run_starts_none(store: Store) -> None:
    plan = replace(small_plan(seed="0", model="efficientnet_lite0"), engine="slurm:nowhere.toml")
    assert [r.status for r in run_plan(replace(plan, engine=""), store, Lines(1))] == ["done"]
    assert [r.status for r in run_plan(plan, store, Lines(1))] == ["was done"]
