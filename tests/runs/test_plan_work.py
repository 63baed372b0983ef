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
from mlproject.files import locked
from mlproject.plans import Plan, plan_of, read_plan
from mlproject.runs import run_plan
from mlproject.runs.tasks import FeatureTask, TaskResult
from mlproject.tracking import Store, open_store
from tests import processes
from tests.conftest import NewStore

MODELS = ("resblock_w2_d1", "resblock_w4_d1")
WORDS = {"weights": "random:0", "target": "labels", "eval_size": 20}


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
    return plan_of("small", WORDS | {"model": ",".join(MODELS), "dataset_size": "20", "epochs": 3} | changes)


def losses(store: Store) -> dict[str, str]:
    return {seen.cell.key: seen.losses_digest for seen in store.observations()}


def ran(plan: Plan, engine: Engine | None = None, name: str = "") -> tuple[Store, list[str]]:
    """The plan's own experiment after a run, and the status of each cell."""
    store = open_store(name or f"{os.urandom(4).hex()}")
    return store, [
        result.status for result in run_plan(plan, store, Lines(len(plan.cells), 1), engine=engine)
    ]


@pytest.mark.usefixtures("one_thread")
def test_a_plan_has_the_same_losses_on_every_engine_with_the_features_computed_before_its_cells(
    local: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, here = small_plan(seed="0"), os.environ["MLPROJECT_CACHE"]
    engines = (local, None, Engine(name="any", executor=Pickling(), n_workers=2))
    digests = []
    # Networks of this process are traced otherwise, for their annotations are checked: each has its features.
    for engine, cache in zip(
        (*engines, None), (here, here, tmp_path / "any", tmp_path / "none"), strict=True
    ):
        monkeypatch.setenv("MLPROJECT_CACHE", str(cache))
        forget()
        store, statuses = ran(plan, engine)
        assert statuses == ["done"] * 2
        assert "[2/2]" in capsys.readouterr().out
        digests.append(losses(store))
        forwards = [
            run.data.tags["provenance.forwards_done_now"] for run in store.search("tags.kind = 'cell'")
        ]
        assert (set(forwards) == {"0"}) == (cache != tmp_path / "none")
    assert digests[0] == digests[1]
    assert digests[2] == digests[3]
    assert len(digests[0]) == len(digests[2]) == 2


def test_every_cell_of_a_worker_names_its_task_and_is_not_run_again(local: Engine) -> None:
    plan = small_plan(seed="0", model=MODELS[0])
    store, _ = ran(plan, local)
    (run,) = store.search("tags.kind = 'cell'")
    assert run.data.tags["engine.task"].endswith(f"-{plan.cells[0].key}")
    assert [r.status for r in run_plan(plan, store, Lines(1), engine=local)] == ["was done"]


def test_a_cell_that_fails_in_a_worker_is_recorded_and_the_others_go_on(local: Engine) -> None:
    knobs = {"lr": ["1e-3", "1e30"], "loss": "mse", "optimizer": "sgd"}
    store, statuses = ran(small_plan(seed="0", model=MODELS[0], **knobs), local)
    assert statuses == ["done", "failed"]
    (failed,) = store.search("tags.kind = 'cell' and attributes.status = 'FAILED'")
    assert "diverged" in failed.data.tags["failure"]


def kill_workers(store: Store, stop: threading.Event, killed: list[int], n: int) -> None:
    """Kill the workers of ``n`` cells that are being run."""
    while len(killed) < n and not stop.is_set():
        for run in store.search("attributes.status = 'RUNNING' and tags.kind = 'cell'"):
            process = int(run.data.tags["owner.process"].split()[0])
            if process not in killed and len(killed) < n:
                os.kill(process, signal.SIGKILL)
                killed.append(process)
        time.sleep(0.01)


def test_a_worker_that_is_killed_in_the_middle_of_a_cell_loses_nothing_and_leaves_nothing(
    local: Engine,
) -> None:
    plan = small_plan(seed="0", model=MODELS[0], dataset_size="100,110", epochs=50)
    store, stop, killed = open_store("killed workers"), threading.Event(), list[int]()
    thread = threading.Thread(target=kill_workers, args=(open_store("killed workers"), stop, killed, 1))
    thread.start()
    try:
        results = run_plan(plan, store, Lines(2), engine=local)
    finally:
        stop.set()
        thread.join()
    assert len(killed) == 1
    assert [result.status for result in results] == ["done"] * 2
    runs = list(store.search("tags.kind = 'cell'"))
    assert sorted(run.info.status for run in runs) == ["FINISHED"] * 2 + ["KILLED"]
    assert {run.data.tags.get("reconciled") for run in runs} == {None, "its worker is gone"}
    assert store.running() == []


PLAN = """
[[grid]]
model = "resblock_w2_d1"
weights = "random:0"
eval_size = 20
dataset_size = [100, 110]
seed = 0
knobs = { target = "labels", epochs = 50 }
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
    driver = processes.started(
        processes.command, "sweep", f"--plan={path}", "--engine=local:2", children=True
    )
    clause = "attributes.status = 'RUNNING' and tags.kind = 'cell'"
    running: list[Any] = []
    processes.wait_for(lambda: running.extend(store.search(clause)) or running, driver)
    os.kill(driver.pid or 0, signal.SIGKILL)
    assert processes.ended(driver) == -signal.SIGKILL
    end = time.monotonic() + 30
    while list(store.search(clause)) and time.monotonic() < end:
        time.sleep(0.05)
    assert {store.client.get_run(run.info.run_id).info.status for run in running} == {"KILLED"}
    results = run_plan(read_plan(path, {}), store, Lines(2))
    assert {result.status for result in results} <= {"done", "was done"}
    runs = list(store.search("tags.kind = 'cell' and attributes.status = 'FINISHED'"))
    assert len({run.data.tags["cell.key"] for run in runs}) == len(runs) == 2
    assert store.running() == []


def searched(engine: Engine | None, folder: Path, **words: object) -> tuple[dict[str, str], list[list[str]]]:
    """Losses of the cells of a small tuned plan, and its trials: index, trial, state, loss, knobs, reason."""
    given = {"dataset_size": "20,30", "seed": "0", "batch_size": 8, "validation_size": 20, "trials": "18"}
    given |= {"tune": "lr=1e-4..1e-1,epochs=1..8", "storage": str(folder / f"{engine}"[:12])}
    plan = plan_of("tuned", WORDS | {"model": MODELS[0]} | given | words, tuned=True)
    store, statuses = ran(plan, engine)
    assert set(statuses) == {"done"}
    studies = sorted(store.search("tags.kind = 'study'"), key=lambda run: run.data.tags["study"])
    tables = [store.artifact(run.info.run_id, "trials.csv").read_text() for run in studies]
    return losses(store), [line.split(",") for table in tables for line in table.splitlines()[1:]]


@pytest.mark.usefixtures("one_thread")
def test_a_tuned_plan_finds_the_same_knobs_on_every_engine(local: Engine, tmp_path: Path) -> None:
    serial, spread = searched(None, tmp_path), searched(local, tmp_path)
    assert serial == spread
    assert len(serial[1]) == 36


@pytest.mark.usefixtures("one_thread")
def test_a_pruner_that_sees_losses_after_a_block_stops_the_same_trials(local: Engine, tmp_path: Path) -> None:
    serial, spread = (
        searched(engine, tmp_path, pruner="median", dataset_size="20")[1] for engine in (None, local)
    )
    assert [row[2] for row in serial] == [row[2] for row in spread]
    assert any(row[2] == "pruned" for row in serial)
    for row, other in zip(
        serial, spread, strict=True
    ):  # heads that are trained with fewer others, in float32
        assert [float(x or 0) for x in row[3:6]] == pytest.approx(
            [float(x or 0) for x in other[3:6]], rel=1e-5
        )


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


def test_tables_are_divided_among_the_workers_of_one_plan_at_a_time(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path))
    plan, error = small_plan(seed="0", model=MODELS[0], dataset_size=300), MLProjectError("not computed")

    def parts() -> list[tuple[int, bool]]:
        broken = Broken(error, FeatureTask)
        run_plan(plan, store, Lines(1), engine=Engine(name="broken", executor=broken, n_workers=2))
        return [(len(task.rows), task.shared) for task in broken.submitted if isinstance(task, FeatureTask)]

    assert parts() == [(256, True), (64, True)]
    with locked(tmp_path / "divided.lock"):
        assert parts() == [(320, False)], "else the workers of both would compute the same rows"


def test_an_error_that_every_task_would_meet_ends_the_plan_and_cancels_the_others(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path))
    broken = Broken(StoreUnreachable("no tracking server answers"), FeatureTask)
    with pytest.raises(StoreUnreachable, match="no tracking server answers"):
        run_plan(small_plan(), store, Lines(2), engine=Engine(name="broken", executor=broken, n_workers=1))
    assert len(broken.submitted) == 1
    assert store.running() == []


def test_a_plan_names_its_engine_and_one_with_nothing_to_run_starts_none(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(small_plan(seed="0", model=MODELS[0]), engine="dask:tcp://127.0.0.1:9")
    monkeypatch.setenv("MLPROJECT_ENGINE", "dask:tcp://127.0.0.1:9")
    alone = run_plan(replace(plan, engine=""), store, Lines(1), summary=False)
    assert [r.status for r in alone] == ["done"], "a cell without a plan runs here, whatever is usual"
    assert [r.status for r in run_plan(plan, store, Lines(1))] == ["was done"]
