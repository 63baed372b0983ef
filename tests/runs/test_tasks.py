"""Tasks in a process that did not plan them: its store, its images, what it says, which errors it gives."""

from __future__ import annotations

import errno
import logging
from dataclasses import replace

import pytest

from mlproject.errors import BadInput, MLProjectError, NoRoom
from mlproject.plans import Plan, plan_of
from mlproject.runs import tasks
from mlproject.runs.cell_run import CellRun
from mlproject.runs.tasks import CellTask, Site, run_task
from mlproject.tracking import Store


@pytest.fixture(autouse=True)
def _worker(monkeypatch: pytest.MonkeyPatch, tmp_path, store: Store) -> None:
    """A process like a worker's, once the store is there: what tasks set in it is taken back."""
    monkeypatch.setattr(tasks, "_kept", None)
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.setenv(name, "of somebody else")


@pytest.fixture(scope="module")
def plan() -> Plan:
    words = {"model": "resblock_w2_d1", "weights": "random:0", "target": "labels"}
    return plan_of("x", words | {"dataset_size": 20, "eval_size": 20, "epochs": 1})


def cell_task(plan: Plan, store: Store) -> CellTask:
    return CellTask(site=Site.of(store), cell=plan.cells[0], reading={}, name="a cell", sweep="x")


def test_a_worker_opens_the_store_of_the_plan_whatever_its_environment_says(plan: Plan, store: Store) -> None:
    task = cell_task(plan, store)
    first, second = run_task(task), run_task(task)
    assert [result.value.status for result in (first, second)] == ["done", "was done"]
    (run,) = store.search("tags.kind = 'cell'")
    assert run.info.run_id == first.value.run_id == second.value.run_id
    assert run.info.run_name == "a cell"


def test_other_images_than_were_planned_fail_the_cell_and_say_so(plan: Plan, store: Store) -> None:
    task = cell_task(plan, store)
    result = run_task(replace(task, cell=replace(task.cell, data_digest="e" * 64)))
    assert (result.error, result.value.status) == (None, "failed")
    assert "differ from those that were planned" in result.value.reason
    (run,) = store.search("tags.kind = 'cell'")
    assert (run.info.status, run.info.run_name) == ("FAILED", "a cell")
    assert "differ from those that were planned" in run.data.tags["failure"]
    assert run.data.tags["cell.key"] == result.value.cell.key, "found where other attempts are"


def test_what_a_worker_has_to_say_comes_with_its_result(
    plan: Plan, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_cell(cell, *_: object, **__: object) -> CellRun:
        logging.getLogger("a.library").warning("%s is slow", "it")
        logging.getLogger("a.library").info("not shown")
        return CellRun(cell=cell, name="", status="done")

    monkeypatch.setattr(tasks, "run_cell", run_cell)
    result = run_task(cell_task(plan, store))
    assert result.lines == (("a.library", logging.WARNING, "it is slow"),)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), NoRoom),
        (NoRoom("no room: here"), NoRoom),
        (BadInput("as it is"), None),
        (ZeroDivisionError("x"), None),
    ],
)
def test_errors_that_every_cell_would_meet_are_given_back_and_others_fail_the_cell(
    plan: Plan, store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type | None
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(tasks, "run_cell", fail)
    result = run_task(cell_task(plan, store))
    if expected is None:
        assert result.value.status == "failed"
        assert str(error) in result.value.reason
    else:
        assert isinstance(result.error, expected)
        assert str(result.error).startswith("no room: ")


def test_a_store_that_cannot_be_opened_is_an_error_of_ours(plan: Plan, store: Store) -> None:
    task = cell_task(plan, store)
    result = run_task(replace(task, site=replace(task.site, uri="sqlite:////nowhere/mlflow.db")))
    assert isinstance(result.error, MLProjectError)
    assert result.value is None


def test_neither_the_address_nor_credentials_are_shown_where_an_engine_logs_a_task(
    plan: Plan, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("MLPROJECT_WORKERS", "3")
    task = cell_task(plan, replace(store, uri="postgresql://user:hidden@host/runs"))
    assert task.site.environment["AWS_SECRET_ACCESS_KEY"] == "hidden"
    assert "MLPROJECT_WORKERS" not in task.site.environment, "of the driver's machine"
    assert "hidden" not in repr(task)
