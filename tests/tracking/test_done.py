"""Which cells are done: asked of the store as seldom and for as little as possible."""

from __future__ import annotations

import gc
import uuid
import weakref
from pathlib import Path
from typing import Any

import pytest

from mlproject.tracking import Store, done_runs, keep_done_runs, open_store
from mlproject.tracking.artifacts import KEPT
from mlproject.tracking.done import FINISHED_CELLS, beginning_with
from tests.conftest import make_cell
from tests.tracking.test_location import name_of
from tests.tracking.test_store import log_cell

N_CELLS = 5


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """An experiment with five finished cells, for tests that change nothing."""
    store = open_store(f"done-{uuid.uuid4().hex[:8]}")
    for seed in range(N_CELLS):
        log_cell(store, tmp_path_factory.mktemp("cell"), seed=seed)
    return store


@pytest.fixture
def five(logged: Store) -> Store:
    """The same experiment, opened anew."""
    return open_store(name_of(logged))


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The condition of every page that MLflow is asked for; a page holds two runs."""
    from mlflow import MlflowClient

    asked: list[str] = []
    search = MlflowClient.search_runs

    def counted(client: Any, ids: list[str], clause: str = "", **named: Any) -> Any:
        asked.append(clause)
        return search(client, ids, clause, **named)

    monkeypatch.setattr(MlflowClient, "search_runs", counted)
    monkeypatch.setattr("mlproject.tracking.store.PAGE", 2)
    for module in ("store", "done"):
        monkeypatch.setattr(f"mlproject.tracking.{module}.FEW", 2)
    return asked


def keys() -> list[str]:
    return [make_cell(seed=seed).key for seed in range(N_CELLS)]


def test_the_cells_of_a_plan_are_asked_for_together_and_once(five: Store, pages: list[str]) -> None:
    done = five.done(keys())
    assert list(done) == keys()[::-1]
    assert pages == [FINISHED_CELLS] * 3
    assert five.done([*keys(), "0" * 16]) == done
    assert five.done() == done
    assert len(pages) == 3, "nothing has changed since"
    assert five.done(keys()[:2]) == {key: done[key] for key in keys()[:2]}
    assert len(pages) == 5, "whoever is about to run a cell asks again, and for this cell alone"
    assert all(key in page for key, page in zip(sorted(keys()[:2]), pages[3:], strict=True))


def test_a_store_that_did_not_change_is_not_asked_at_all(five: Store, pages: list[str]) -> None:
    known = keep_done_runs(five, name_of(five))
    again = open_store(name_of(five))
    pages.clear()
    assert again.done(keys()) == known
    assert keep_done_runs(again, name_of(five)) == known
    assert pages == []
    assert {k: run.digest for k, run in (again.done_cells.recorded() or {}).items()} == {
        seen.cell.key: seen.losses_digest for seen in five.observations()
    }


def test_after_a_sweep_only_its_own_runs_are_asked_for(
    store: Store, pages: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlproject.tracking.done.CLOCKS_APART", 0)
    log_cell(store, tmp_path)
    log_cell(store, tmp_path, seed=1)
    store.done()
    log_cell(store, tmp_path, seed=2)
    pages.clear()
    kept = keep_done_runs(store, name_of(store))
    assert len(kept) == 3
    assert len(pages) == 4, "what ended since, what was deleted, what is suspect, what is running"
    assert done_runs(name_of(store)) == (store.experiment_id, kept)
    assert len(pages) == 4


@pytest.mark.parametrize("change", ["deleted", "suspect"])
def test_a_run_that_was_deleted_or_is_suspect_is_not_recorded_as_it_was(
    store: Store, tmp_path: Path, change: str
) -> None:
    first, second = log_cell(store, tmp_path), log_cell(store, tmp_path, seed=1)
    store.done()
    if change == "deleted":
        store.client.delete_run(first)
    else:
        store.artifact(first, "losses.parquet").unlink()
        store.mark_suspect(first)
    assert keep_done_runs(store, name_of(store)) == {make_cell(seed=1).key: second}


def test_a_cell_is_found_by_the_beginning_of_its_key_without_reading_the_others(
    five: Store, pages: list[str]
) -> None:
    for clause in beginning_with(keys()[3][:9]):
        found = [record["cell"] for record in five.records(where=clause)]
        assert found == ([keys()[3]] if "cell.key" in clause else [])
    assert len(pages) == 2
    assert beginning_with("") == beginning_with("it's") == beginning_with("a%") == ()


def test_nothing_is_kept_of_the_runs_that_were_read_but_their_numbers(
    five: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.entities import Run

    seen = []
    read = Run.__init__

    def watched(run: Any, *values: Any, **named: Any) -> None:
        read(run, *values, **named)
        seen.append(weakref.ref(run))

    monkeypatch.setattr(Run, "__init__", watched)
    observations = list(five.observations())
    artifacts = five.done_artifacts()
    gc.collect()
    assert len(seen) >= 2 * N_CELLS
    assert [run for run in seen if run() is not None] == []
    assert all(set(each.tags) <= set(KEPT) for each in artifacts.values())
    names = [list(observation.metrics) for observation in observations]
    assert all(a is b for a, b in zip(*names[:2], strict=True)), "names of metrics are held once"
