"""Only runs whose owner is known to be dead are closed, and only by who can know."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlproject.files import try_locked
from mlproject.tracking import Store, ownership
from mlproject.tracking.ownership import claim_launched_run, close_dead_runs, launched_lock, owner_tags

SOURCE = str(Path(__file__).parents[2] / "src")
LAUNCHED = {"mlflow.project.entryPoint": "main", "mlflow.user": "someone"}


class Runs:
    """A client and the runs it lists: their tags and status, and a folder of locks."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, {}

    def add(self, run_id: str, **tags: str) -> None:
        named = {name.replace("__", "."): value for name, value in tags.items()}
        info = SimpleNamespace(run_id=run_id, status="RUNNING", experiment_id="0")
        self.runs[run_id] = SimpleNamespace(info=info, data=SimpleNamespace(tags=named))

    def lock(self, name: str) -> Path:
        return self.folder / f"{name}.lock"

    def get_run(self, run_id: str) -> SimpleNamespace:
        return self.runs[run_id]

    def search_runs(self, experiments: list[str], clause: str) -> list[SimpleNamespace]:
        return [
            run for run in self.runs.values() if clause == f"tags.attempt = '{run.data.tags.get('attempt')}'"
        ]

    def set_tag(self, run_id: str, name: str, value: str) -> None:
        self.runs[run_id].data.tags[name] = value

    def set_terminated(self, run_id: str, status: str) -> None:
        self.runs[run_id].info.status = status

    def reconcile(self, file: Path | None = None) -> ownership.Reconciled:
        return close_dead_runs(list(self.runs.values()), self, self.lock, file)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def here(lock: str, **changes: str) -> dict[str, str]:
    return {name.replace(".", "__"): value for name, value in (owner_tags(lock) | changes).items()}


def test_a_run_names_its_host_its_process_and_a_lock_of_its_own_when_it_is_created(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = []
    create = store.client.client.create_run
    monkeypatch.setattr(
        store.client.client,
        "create_run",
        lambda *a, **named: created.append(named["tags"]) or create(*a, **named),
    )
    locks = []
    for _ in range(2):
        with store.run(kind="sweep", name="x", tags={}) as run:
            tags = store.client.get_run(run.run_id).data.tags
            locks.append(tags["lock"])
            with try_locked(store.lock_path(tags["lock"])) as free:
                assert not free
            assert store.reconcile().alive == [run.run_id]
    assert created[0]["owner.process"].split()[0] == str(os.getpid())
    assert created[0]["owner.host"]
    assert created[0]["lock"] == locks[0] != locks[1], "in the request that creates the run"


def test_the_lock_of_a_run_tells_whether_its_owner_lives(runs: Runs) -> None:
    runs.add("dead", **here("run-dead"))
    runs.add("alive", **here("run-alive"))
    runs.add("of another program")
    runs.lock("run-dead").touch()
    with try_locked(runs.lock("run-alive")):
        found = runs.reconcile()
    assert (found.closed, found.alive, found.unknown) == (["dead"], ["alive"], {})
    assert [run.info.status for run in runs.runs.values()] == ["KILLED", "RUNNING", "RUNNING"]
    assert not runs.lock("run-dead").exists()


def test_a_run_that_ended_since_it_was_listed_stays_as_it_ended(runs: Runs) -> None:
    runs.add("r", **here("run-r"))
    listed = [
        SimpleNamespace(
            info=SimpleNamespace(run_id="r", status="RUNNING", experiment_id="0"), data=runs.runs["r"].data
        )
    ]
    runs.lock("run-r").touch()
    runs.set_terminated("r", "FINISHED")
    found = close_dead_runs(listed, runs, runs.lock, None)
    assert found.closed == []
    assert runs.runs["r"].info.status == "FINISHED"


def test_a_run_that_finishes_while_another_process_reconciles_stays_finished(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interleaving: list (RUNNING) — the owner ends it and frees its lock — lock, read again."""
    block = contextlib.ExitStack()
    run = block.enter_context(store.run(kind="cell", name="x", tags={}))
    listed = store.running()
    block.close()
    monkeypatch.setattr(Store, "running", lambda self: listed)
    assert store.reconcile().closed == []
    assert store.client.get_run(run.run_id).info.status == "FINISHED"


@pytest.mark.parametrize("tag", ["owner.machine", "owner.boot"])
def test_after_a_reboot_and_in_another_container_the_machine_is_the_same(runs: Runs, tag: str) -> None:
    runs.add("r", **here("run-r", **{tag: "another", "owner.host": "another"}))
    runs.lock("run-r").touch()
    assert runs.reconcile().closed == ["r"]


def test_a_run_of_another_machine_is_never_closed_and_is_named(runs: Runs) -> None:
    other = {"owner.machine": "b", "owner.boot": "b", "owner.process": "7 99"}
    runs.add("r", **here("run-r", **other))  # the same name of the host proves nothing
    runs.lock("run-r").touch()
    found = runs.reconcile()
    assert found.closed == []
    assert "process 7 of another machine" in found.unknown["r"]
    assert runs.runs["r"].info.status == "RUNNING"


@pytest.mark.parametrize("name", ["../run-x", "run-\0", "x" * 8000, ""])
def test_a_tag_that_names_no_lock_is_no_path(runs: Runs, name: str) -> None:
    runs.add("r", **here(name))
    assert runs.reconcile().unknown == {"r": "its tag lock names no lock"}


def test_a_run_of_a_repeated_request_is_closed_once_the_run_that_its_process_knows_has_ended(
    runs: Runs,
) -> None:
    for name in ("known", "ghost"):
        runs.add(name, **here("run-r", attempt="a1"))
    runs.add("another", **here("run-s", attempt="a2"))
    assert list(runs.reconcile().unknown) == ["known", "ghost", "another"]
    runs.set_terminated("known", "FINISHED")
    found = close_dead_runs([runs.runs["ghost"], runs.runs["another"]], runs, runs.lock, None)
    assert (found.closed, list(found.unknown)) == (["ghost"], ["another"])


def test_two_runs_that_a_repeated_request_began_are_closed_with_their_lock(runs: Runs) -> None:
    runs.add("first", **here("run-r"))
    runs.add("second", **here("run-r"))
    runs.lock("run-r").touch()
    assert runs.reconcile().closed == ["first", "second"]
    assert not runs.lock("run-r").exists()


def test_a_lock_that_lies_elsewhere_proves_nothing(runs: Runs) -> None:
    runs.add("r", **here("run-r"))
    found = runs.reconcile()
    assert found.closed == []
    assert "is not there" in found.unknown["r"]
    assert list(runs.folder.iterdir()) == [], "asking creates no lock"


@pytest.mark.parametrize(
    ("kind", "has_file", "closed"),
    [
        ("cell", True, True),
        ("regions", True, True),
        ("study", True, True),
        ("sweep", True, False),
        ("fit", True, False),
        ("cell", False, False),
    ],
)
def test_of_version_0_2_those_runs_are_closed_that_held_the_lock_they_name(
    runs: Runs, kind: str, has_file: bool, closed: bool
) -> None:
    runs.add("r", kind=kind, lock="0123")
    runs.lock("0123").touch()
    found = runs.reconcile(runs.folder / "mlflow.db" if has_file else None)
    assert found.closed == (["r"] if closed else [])
    assert ("0.2" in found.unknown.get("r", "")) != closed
    assert runs.lock("0123").exists(), "the lock of a cell serves its next run"


def test_one_line_names_runs_that_cannot_be_checked_and_a_command_that_works(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    tags = owner_tags("run-x") | {"owner.machine": "b", "owner.boot": "b"}
    run_id = store.client.create_run(store.experiment_id, tags=tags).info.run_id
    for _ in range(2):
        assert list(store.reconcile().unknown) == [run_id]
    (text,) = caplog.messages
    assert text.startswith("1 run says RUNNING and cannot be checked from here: run ")
    assert f"doctor --take-over {tags['owner.host']}`" in text
    store.client.delete_run(run_id)
    assert store.reconcile().unknown == {}


def launched(store: Store) -> str:
    return store.client.create_run(store.experiment_id, tags=LAUNCHED).info.run_id


def test_the_program_of_a_launcher_owns_its_run_from_its_first_moment(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying, other = launched(store), launched(store)
    code = (
        "import os, sys; from mlproject.tracking.ownership import claim_launched_run\n"
        f"claim_launched_run({store.uri!r}); print('claimed', flush=True); sys.stdin.read()"
    )
    environment = os.environ | {"PYTHONPATH": SOURCE, "MLFLOW_RUN_ID": dying}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"claimed\n"
        found = store.reconcile()
        assert (found.alive, list(found.unknown)) == ([dying], [other])
        assert "`mlflow run`" in found.unknown[other]
        program.kill()
    assert store.reconcile().closed == [dying]


def test_a_run_whose_launcher_cannot_be_alive_is_closed(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    file = runs.folder / "mlflow.db"
    file.touch()
    monkeypatch.setattr(ownership, "_is_on_local_disk", lambda file: True)
    monkeypatch.setattr(ownership, "_sees_all_processes", lambda: True)
    user = {"mlflow.user": ownership._user(), "mlflow.project.entryPoint": "main"}
    runs.add("0123", **user)
    waiting = [
        sys.executable,
        "-c",
        "import sys; f = open(sys.argv[1]); print(1, flush=True); sys.stdin.read()",
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    for path, environment in (file, {}), (os.devnull, {"MLFLOW_RUN_ID": "0123"}):
        with subprocess.Popen([*waiting, str(path)], env=os.environ | environment, **pipes) as launcher:
            assert launcher.stdout is not None
            launcher.stdout.readline()
            assert list(runs.reconcile(file).unknown) == ["0123"], "a process may be its launcher or program"
            launcher.kill()
    assert list(runs.reconcile(None).unknown) == ["0123"], "on a server nothing is known"
    runs.set_tag("0123", "mlflow.user", "another")
    assert list(runs.reconcile(file).unknown) == ["0123"], "processes of another user are not seen"
    runs.set_tag("0123", "mlflow.user", user["mlflow.user"])
    assert runs.reconcile(file).closed == ["0123"]


def test_a_claim_of_another_machine_proves_nothing(runs: Runs) -> None:
    runs.add("0123", **LAUNCHED)
    runs.lock(launched_lock("0123")).write_text(json.dumps({"owner.machine": "b", "owner.host": "a"}))
    assert runs.reconcile().closed == []


def test_the_adopted_run_of_a_launcher_is_reopened_and_owned(store: Store) -> None:
    run_id = launched(store)
    store.client.set_terminated(run_id, "KILLED")
    store.launcher_run = run_id
    with store.run(kind="sweep", name="x", tags={}, adopt=True) as run:
        assert run.run_id == run_id
        assert store.reconcile().alive == [run_id]
    assert store.client.get_run(run_id).info.status == "FINISHED"


def test_a_variable_that_is_no_run_id_names_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "../../x")
    claim_launched_run(f"sqlite:///{tmp_path}/mlflow.db")
    assert list(tmp_path.iterdir()) == []
