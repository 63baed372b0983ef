"""Two hosts with a folder of locks each at one server: nothing is closed wrongly, nothing counts twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlproject.errors import WrongUse
from mlproject.tracking import Store, look_up_cell, nothing_of, other_hosts, ownership, take_over
from tests.conftest import make_cell
from tests.tracking.test_store import log_cell, status

KEY = make_cell().key


class Hosts:
    """One experiment as hosts see it that share a server, and the host that this process is."""

    def __init__(self, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.folder, self.monkeypatch = store, folder, monkeypatch

    def __call__(self, name: str) -> Store:
        """This process is on the host now; its store."""
        identity = {"owner.host": name, "owner.machine": f"m-{name}", "owner.boot": f"b-{name}"}
        for module in (ownership, other_hosts):
            self.monkeypatch.setattr(module, "this_machine", lambda: identity)
        return replace(self.store, file=None, locks=self.folder / name, _reported=set())

    def running(self, name: str, key: str = KEY) -> AbstractContextManager[Any]:
        """A run of a cell on the host."""
        return self(name).run(kind="cell", name="x", tags={"cell.key": key})


@pytest.fixture
def on(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    return Hosts(store, tmp_path, monkeypatch)


def test_a_cell_is_busy_while_another_host_runs_it_and_a_line_says_what_to_do(on: Hosts) -> None:
    with on.running("gpu01") as run:
        text = look_up_cell(on("gpu02"), KEY).elsewhere
        assert text.startswith(f"run {run.run_id} of host gpu01 is running it; where gpu01 is gone, `")
        assert text.endswith("doctor --take-over gpu01`")
        assert look_up_cell(on("gpu02"), make_cell(seed=1).key).elsewhere == ""
        assert look_up_cell(on("gpu01"), KEY).elsewhere == "", "of its own runs the locks of a host tell"
        assert on("gpu02").reconcile().closed == []
    assert look_up_cell(on("gpu02"), KEY).elsewhere == ""


def test_a_host_closes_its_own_dead_runs_and_another_hosts_on_request_alone(on: Hosts) -> None:
    runs = {}
    for name in ("gpu01", "gpu02"):
        here = on(name)
        tags = ownership.owner_tags(f"run-{name}") | {"cell.key": KEY}
        runs[name] = here.client.create_run(here.experiment_id, tags=tags).info.run_id
        here.locks.mkdir()
        here.lock_path(f"run-{name}").touch()  # its process was killed
    here = on("gpu02")
    assert list(here.reconcile().hosts.values()) == ["gpu01"]
    assert (status(here, runs["gpu01"]), status(here, runs["gpu02"])) == ("RUNNING", "KILLED")
    taken = take_over([here], "gpu01")
    assert (taken.n_closed, taken.hosts) == (1, {"gpu01"})
    assert status(here, runs["gpu01"]) == "KILLED"
    assert here.client.get_run(runs["gpu01"]).data.tags["reconciled"] == "taken over from gpu01"
    assert look_up_cell(here, KEY).elsewhere == ""


def test_of_a_host_that_is_taken_over_a_run_that_just_ended_stays_as_it_ended(
    on: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on.running("gpu01") as run:
        listed = on.store.running()
    monkeypatch.setattr(Store, "running", lambda self: listed)
    assert take_over([on("gpu02")], "gpu01").n_closed == 0
    assert status(on.store, run.run_id) == "FINISHED"


@pytest.mark.parametrize(
    ("host", "others", "text"),
    [
        ("gpu02", {"gpu01"}, "gpu02 is this machine: its locks tell which of its runs are dead"),
        ("gpu1", {"gpu01", "lab"}, "'gpu1'; did you mean gpu01?"),
        ("gpu1", set(), "is of a host gpu1: nothing to take over"),
    ],
)
def test_a_host_of_which_nothing_is_in_doubt_is_refused_in_a_line(
    on: Hosts, host: str, others: set[str], text: str
) -> None:
    on("gpu02")
    error = nothing_of(host, others)
    assert isinstance(error, WrongUse)
    assert text in str(error)
    assert "\n" not in str(error)


def test_a_living_run_of_this_machine_is_not_taken_over(on: Hosts) -> None:
    with on.running("gpu01") as run:
        assert take_over([on("gpu01")], "gpu01").n_closed == 0
        assert status(on.store, run.run_id) == "RUNNING"


def test_a_cell_that_two_hosts_finished_counts_once_and_for_everyone_the_one_that_began_last(
    on: Hosts, tmp_path: Path, listed: Callable[[Store], list[str]]
) -> None:
    runs = [log_cell(on(name), tmp_path) for name in ("gpu01", "gpu02")]
    began = {run_id: on.store.client.get_run(run_id).info.start_time for run_id in runs}
    counts = min(runs, key=lambda run_id: (-began[run_id], run_id))
    for name in ("gpu01", "gpu02"):
        here = on(name)
        assert here.done() == here.done([KEY]) == {KEY: counts}
        assert next(iter(here.observations())).run_id == counts
        assert listed(here) == [counts]


@pytest.fixture
def listed() -> Callable[[Store], list[str]]:
    from mlproject.analysis.runs import read_runs
    from mlproject.cli.listing import list_runs

    def runs(store: Store) -> list[str]:
        """The runs of ``ls``, after a look that the analysis reads the same."""
        read, n_repeated = read_runs(store.observations())
        assert n_repeated == 1
        assert [run.run_id for run in read] == [row["run_id"] for row in list_runs(store)]
        return [run.run_id for run in read]

    return runs
