import base64
import errno
import json
import os
import signal
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlproject import cli
from mlproject.cli.progress import Lines
from mlproject.engines import Engine
from mlproject.errors import BadInput, DigestMismatch, Stopped, StoreUnreachable
from mlproject.files import try_locked
from mlproject.plans import Plan, plan_of
from mlproject.runs import fit_study, kept_results, run_plan
from mlproject.runs.kept_results import CellRecord, discard_result, keep_result, read_result
from mlproject.tracking import Store, open_store, ownership, reach
from tests import processes
from tests.conftest import NewStore, make_cell

pytestmark = pytest.mark.usefixtures("undrawn")


def small_plan(**changes: object) -> Plan:
    coordinates = {
        "model": "efficientnet_lite0", "weights": "imagenet", "dataset_size": "10,20,40", "seed": "0,1",
        "eval_size": 20, "target": "labels", "epochs": 5,
    }  # fmt: skip
    return plan_of("small", coordinates | changes)


def statuses(store: Store, plan: Plan) -> list[str]:
    return [result.status for result in run_plan(plan, store, Lines(len(plan.cells)))]


def n_forwards(store: Store) -> list[int]:
    """Images that each run of the experiment put through the backbone."""
    runs = store.client.search_runs([store.experiment_id], "tags.kind = 'cell'")
    return [int(run.data.tags["provenance.forwards_done_now"]) for run in runs]


def needed(plan: Plan) -> set[str]:
    """Digests of all images that the cells of a plan train on or are evaluated on."""
    found: set[str] = set()
    for cell in plan.cells:
        images = plan.images_of(cell)
        train = images.draw(cell.dataset_size, seed=cell.seed, how="balanced")
        found |= {images.digests[i] for i in (*train, *images.evaluation(cell.eval_size))}
    return found


@pytest.fixture
def _cold_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path / "features"))


@pytest.mark.usefixtures("_cold_cache")
def test_a_plan_runs_once_and_then_only_what_is_missing(store: Store) -> None:
    plan = small_plan(dataset_size="10,20", eval_size=10)
    assert statuses(store, plan) == ["done"] * 4
    assert statuses(store, plan) == ["was done"] * 4
    larger = small_plan(dataset_size="10,20,21", eval_size=10)
    assert sorted(statuses(store, larger)) == ["done"] * 2 + ["was done"] * 4
    assert sum(n_forwards(store)) == len(needed(larger)), "one forward for each image, whatever the cells"
    assert len(list(store.records())) == 6


def test_the_contract_of_a_cell_run_holds(store: Store) -> None:
    plan = small_plan(dataset_size="20", seed="0")
    (result,) = run_plan(plan, store, Lines(1), summary=False)
    run = store.client.get_run(result.run_id)
    assert run.info.run_name == result.name == plan.naming.name(result.cell)
    assert result.name.endswith("embedded · eval_size=20 · epochs=5 · target=labels · seed 0")
    assert result.accuracy == run.data.metrics["accuracy"]
    assert run.data.tags["kind"] == "cell"
    assert run.data.params["cell.knobs.lr"] == "0.001"
    names = {"eval.loss", "eval.loss_median", "eval.loss_max", "train.loss", "params", "params_trained"}
    names |= {"flops", "seconds.features", "seconds.head", "accuracy", "dataset_size"}
    assert names <= set(run.data.metrics)
    assert run.data.metrics["params_trained"] == 1280 * 10 + 10
    files = {entry.path for entry in store.client.list_artifacts(result.run_id)}
    assert files == {
        "SHA256SUMS",
        "cell.json",
        "head.safetensors",
        "losses.csv",
        "losses.parquet",
        "losses.png",
        "losses_compared.json",
        "predictions.parquet",
    }
    os.umask(mask := os.umask(0o022))
    modes = {path.stat().st_mode for path in store.artifact(result.run_id, "cell.json").parent.iterdir()}
    assert {oct(mode & 0o777) for mode in modes} == {oct(0o666 & ~mask)}
    (seen,) = store.observations()
    table = seen.load_table("predictions")
    evaluated = [
        a == b
        for a, b, s in zip(table["label"], table["predicted"], table["split"], strict=True)
        if s == "eval"
    ]
    assert sum(evaluated) == run.data.metrics["n_correct"]
    compared = json.loads(store.artifact(result.run_id, "losses_compared.json").read_text())
    assert compared["columns"] == ["image_name", "loss", "label", "predicted", "confidence"]
    assert [row[2] == row[3] for row in compared["data"]] == evaluated
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [
        {"path": "losses_compared.json", "type": "table"}
    ]
    assert run.data.tags["mlflow.runColor"] == store.colours["efficientnet_lite0"]
    cell = json.loads(store.artifact(result.run_id, "cell.json").read_text())
    assert cell == plan.cells[0].to_dict()
    assert [dataset.dataset.name for dataset in run.inputs.dataset_inputs] == ["fashion-mnist-subset"]


def test_an_experiment_shows_what_is_to_come_and_by_what_its_cells_differ(store: Store) -> None:
    run_plan(small_plan(dataset_size="20", seed="0", lr=["1e-3", "1e-2"], loss="mse"), store, Lines(2))
    tags = store.client.get_experiment(store.experiment_id).tags
    assert "2 cells" in tags["mlflow.note.content"]
    packed = json.loads(tags["mlflow.sharedViewState.cells-by-loss"])["state"].removeprefix("deflate;")
    shown = json.loads(zlib.decompress(base64.b64decode(packed)))["selectedColumns"]
    assert shown[:4] == [
        "metrics.`eval.loss`", "params.`cell.model`", "params.`cell.dataset_size`", "params.`cell.knobs.lr`",
    ]  # fmt: skip


def test_the_same_cell_gives_the_same_losses_in_another_experiment(store: Store) -> None:
    plan = small_plan(dataset_size="20", seed="0")
    other = open_store("another experiment")
    for place in (store, other):
        run_plan(plan, place, Lines(1))
    (first,), (second,) = store.observations(), other.observations()
    assert first.run_id != second.run_id
    assert first.losses_digest == second.losses_digest


def test_a_failing_cell_is_recorded_and_the_others_go_on(store: Store) -> None:
    plan = small_plan(dataset_size="20", seed="0", lr=["1e-3", "1e30"], loss="mse", optimizer="sgd")
    good, bad = run_plan(plan, store, Lines(2))
    assert (good.status, bad.status) == ("done", "failed")
    assert "diverged" in bad.reason
    assert statuses(store, plan)[0] == "was done"


@pytest.mark.parametrize(("ends_workers", "expected"), [(True, "KILLED"), (False, "RUNNING")])
def test_what_the_jobs_of_a_stopped_plan_ran_is_closed_once_they_are_ended_and_nothing_else(
    store: Store, ends_workers: bool, expected: str
) -> None:
    """A cluster of somebody else goes on with what it runs, and ends it."""
    runs = {}

    def begun(driver: str) -> str:
        tags = {"engine.task": f"{driver}-key", "lock": f"run-{driver}"}
        return str(store.client.create_run(store.experiment_id, tags=tags).info.run_id)

    class Interrupted(Executor):
        def submit(self, _: object, /, *args: Any, **__: object) -> Any:
            runs.update(here=begun(args[0].site.driver), other=begun("other"))
            raise Stopped(signal.SIGINT)

    jobs = Engine(name="slurm", executor=Interrupted(), n_workers=1, ends_workers=ends_workers)
    with pytest.raises(Stopped):
        run_plan(small_plan(dataset_size="20", seed="0"), store, Lines(1), engine=jobs)
    statuses = {name: store.client.get_run(run_id).info.status for name, run_id in runs.items()}
    assert statuses == {"here": expected, "other": "RUNNING"}


def test_a_cell_that_another_process_runs_is_left_to_it(store: Store) -> None:
    plan = small_plan(dataset_size="20", seed="0")
    with try_locked(store.lock_path(plan.cells[0].key)):
        assert statuses(store, plan) == ["busy"]
    assert statuses(store, plan) == ["done"]


def test_a_cell_that_another_host_runs_is_left_to_it_and_the_others_go_on(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small_plan(dataset_size="20")
    theirs, ours = (replace(store, file=None, locks=tmp_path / name) for name in ("theirs", "ours"))
    monkeypatch.setattr(ownership, "this_machine", lambda: {"owner.host": "lab", "owner.machine": "m"})
    tags = {"cell.key": plan.cells[0].key}
    with suppress(KeyboardInterrupt), theirs.run(kind="cell", name="x", tags=tags) as run:
        monkeypatch.undo()  # it runs there, and this is another machine
        busy, done = run_plan(plan, ours, Lines(2))
        assert (busy.status, done.status) == ("busy", "done")
        assert busy.reason.startswith(f"run {run.run_id} of host lab is running it")
        raise KeyboardInterrupt
    assert statuses(ours, plan) == ["done", "was done"]


def locked_store(*_: object, **__: object) -> None:
    from mlflow.exceptions import MlflowException

    raise MlflowException("database is locked", error_code=2)


@pytest.mark.parametrize("step", ["log_batch", "log_artifacts", "set_terminated", "set_tag"])
def test_a_cell_that_cannot_be_logged_is_kept_and_logged_once_by_the_next_start(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    plan = small_plan(dataset_size="20", seed="0")
    (expected,) = run_plan(plan, other := open_store(f"reference {step}"), Lines(1), summary=False)
    with monkeypatch.context() as patch:
        patch.setattr(store.client.client, step, locked_store)
        patch.setattr(reach, "PATIENCE_SECONDS", 0.0)
        store.client.patience = 0.0
        with pytest.raises(StoreUnreachable, match=r"is computed, the result is kept in .*\.result"):
            run_plan(plan, store, Lines(1), summary=False)
    assert store.done() == {}
    with monkeypatch.context() as patch:
        patch.setattr("mlproject.runs.cell_run.build_recipe", lambda *_: pytest.fail("computed again"))
        (result,) = run_plan(plan, store, Lines(1), summary=False)
    assert (result.status, result.loss, result.accuracy) == ("done", expected.loss, expected.accuracy)
    (kept,), (reference,) = store.observations(), other.observations()
    assert kept.losses_digest == kept.load_losses().digest == reference.losses_digest
    files = [
        {e.path for e in s.client.list_artifacts(o.run_id)} for s, o in ((store, kept), (other, reference))
    ]
    assert files[0] == files[1]
    assert statuses(store, plan) == ["was done"]
    assert list(store.locks.glob("*.result")) == []
    assert store.running() == []


@pytest.mark.parametrize(
    ("error", "ending"),
    [(OSError(errno.EROFS, "Read-only file system"), "FAILED"), (Stopped(signal.SIGTERM), "KILLED")],
)
def test_a_cell_that_is_stopped_or_fails_while_it_is_logged_is_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: BaseException, ending: str
) -> None:
    plan = small_plan(dataset_size="20", seed="0")

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(store.client.client, "log_artifacts", fail)
        with pytest.raises(type(error)):
            run_plan(plan, store, Lines(1), summary=False)
    (run,) = store.client.search_runs([store.experiment_id])
    assert run.info.status == ending
    monkeypatch.setattr("mlproject.runs.cell_run.build_recipe", lambda *_: pytest.fail("computed again"))
    assert statuses(store, plan) == ["done"]
    assert list(store.locks.glob("*.result")) == []


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_in_place_of_a_kept_result_is_named_and_neither_waited_for_nor_fatal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "x.result"
    assert read_result(path, make_cell(), tmp_path) is None
    assert caplog.text == "", "most cells have none"
    make(path)
    assert read_result(path, make_cell(), tmp_path) is None
    assert "x.result is no regular file" in caplog.text
    discard_result(path)
    assert ("cannot be deleted" in caplog.text) == path.is_dir()


@pytest.mark.parametrize("fault", ["damaged", "cut", "another code"])
def test_a_kept_result_is_used_for_the_same_cell_and_code_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    cell, path, artifacts = make_cell(), tmp_path / "x.result", tmp_path / "artifacts"
    artifacts.mkdir()
    (artifacts / "a").write_bytes(b"content")
    record = CellRecord(
        params={"a": "1"}, metrics={"b": 2.0}, tags={}, history=[(1, {"c": 3.0})], dataset={}, loss=4.0,
        accuracy=float("nan"),
    )  # fmt: skip
    assert "is kept in" in keep_result(path, cell, record, artifacts)
    again = tmp_path / "again"
    again.mkdir()
    read = read_result(path, cell, again)
    assert read is not None
    assert repr(read) == repr(record)
    assert (again / "a").read_bytes() == b"content"
    assert read_result(path, make_cell(data_digest="e" * 64), again) is None
    content = path.read_bytes()
    if fault == "another code":
        monkeypatch.setattr(kept_results, "source_digest", lambda: "another")
    else:
        path.write_bytes(content[:-1] if fault == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    caplog.clear()
    assert read_result(path, cell, again) is None
    assert "is not used" in caplog.text


def test_the_fit_is_a_tracked_run_that_names_the_runs_it_used(store: Store) -> None:
    plan = small_plan(dataset_size="10,20")  # two sizes carry no law, and every file is written
    results = run_plan(plan, store, Lines(4))
    fitted = fit_study(store, name="small", keys=[cell.key for cell in plan.cells])
    run = store.client.get_run(fitted.run_id)
    assert run.data.tags["kind"] == "fit"
    folders = ("", "data", "figures", "latex", "tables")
    files = {e.path for folder in folders for e in store.client.list_artifacts(fitted.run_id, folder)}
    assert {
        "tables/losses_by_size.csv",
        "tables/exponents.csv",
        "latex/exponents.tex",
        "data/fits.json",
        "data/points.csv",
        "data/runs.csv",
        "summary.md",
        "report.html",
    } <= files
    used = store.artifact(fitted.run_id, "data/runs.csv").read_text()
    assert all(result.run_id in used for result in results)
    assert fit_study(store, name="small").run_id == fitted.run_id, "the same losses are not fitted twice"
    store.artifact(fitted.run_id, "tables/exponents.csv").unlink()
    again = fit_study(store, name="small")
    assert again.run_id != fitted.run_id, "a fit that lost an artifact is made again"
    assert again.text == fitted.text
    lost = results[1]
    store.artifact(lost.run_id, "losses.parquet").unlink()
    with pytest.raises(
        DigestMismatch, match=rf"damaged: run {lost.run_id} \(its losses.parquet is missing\); "
    ):
        fit_study(store, name="small")
    rerun = run_plan(plan, store, Lines(4))
    assert [r.status for r in rerun] == ["was done", "done", *["was done"] * 2]
    assert fit_study(store, name="small").run_id == again.run_id, "the same losses again"


def test_an_empty_experiment_cannot_be_aggregated(store: Store) -> None:
    with pytest.raises(BadInput, match="nothing to aggregate"):
        fit_study(store, name="none")


PLAN = """
[[grid]]
model = "efficientnet_lite0"
weights = "imagenet"
eval_size = 20
dataset_size = [10, 20]
seed = [0, 1, 2]
knobs = { target = "labels", epochs = 5 }
"""


@pytest.mark.slow
def test_a_sweep_that_was_stopped_goes_on_where_it_was(
    tmp_path: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed after two cells, terminated after two more, and then run to its end in this process."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path))
    monkeypatch.chdir(tmp_path)
    plan = tmp_path / "p.toml"
    plan.write_text(PLAN)
    for n_ended, number, status in ((2, signal.SIGKILL, -9), (4, signal.SIGTERM, 143)):
        (lines := tmp_path / f"output{n_ended}").touch()
        stopped = processes.started(processes.command, "sweep", f"--plan={plan}", output=lines)
        processes.wait_for(
            lambda path=lines, n=n_ended: path.exists() and f"[{n}/6]" in path.read_text(), stopped
        )
        os.kill(stopped.pid, number)
        assert processes.ended(stopped) == status
    monkeypatch.setattr(cli, "raise_on_signals", lambda: None)  # the command line would keep its handlers
    monkeypatch.setattr(sys, "argv", ["mlproject", "sweep", f"--plan={plan}"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code in (0, None)
    assert "Tables and figures: " in capsys.readouterr().out
    store = open_store(create=False)
    found = [record["status"] for record in store.records()]
    assert found.count("done") == 6, "each cell once, none lost"
    assert "running" not in found


def test_a_plan_of_several_cells_takes_the_launchers_run_as_its_sweep(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small_plan(dataset_size="10,20", seed="0")
    launched = store.client.create_run(store.experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    statuses(store := open_store(), plan)
    kinds = {
        run.info.run_id: run.data.tags["kind"] for run in store.client.search_runs([store.experiment_id])
    }
    assert kinds.pop(launched) == "sweep"
    assert list(kinds.values()) == ["cell"] * 2


def test_lines_say_how_far_a_plan_is(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    plan = small_plan(dataset_size="20", seed="0,1")
    start = time.monotonic()
    run_plan(plan, store, Lines(2))
    text = capsys.readouterr().out
    assert "[1/2]" in text
    assert "loss" in text
    assert time.monotonic() - start < 100
