import errno
import json
import signal
from pathlib import Path

import pytest

from mlproject.errors import BadInput, DigestMismatch, MLProjectError, Stopped, WrongUse
from mlproject.losses import NotFinite, write_losses
from mlproject.tracking import LOSSES_DIGEST, Store
from tests.conftest import make_cell, make_losses


def log_cell(store: Store, tmp_path: Path, **changes: object) -> str:
    cell, losses = make_cell(**changes), make_losses()
    tags = {"cell.key": cell.key, "cell.json": json.dumps(cell.to_dict()), LOSSES_DIGEST: losses.digest}
    with store.run(kind="cell", name=cell.label, tags=tags) as run:
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


def test_a_finished_run_without_its_last_tag_is_not_done(store: Store, tmp_path: Path) -> None:
    run_id = log_cell(store, tmp_path)
    store.client.delete_tag(run_id, "cell.complete")
    assert store.done() == {}


def test_a_recipe_that_raises_leaves_a_failed_run_with_its_reason(store: Store) -> None:
    cell = make_cell()
    with (
        pytest.raises(NotFinite),
        store.run(kind="cell", name="x", tags={"cell.key": cell.key}) as run,
    ):
        raise NotFinite("mse is not finite for 3 images")
    assert status(store, run.run_id) == "FAILED"
    assert "3 images" in store.client.get_run(run.run_id).data.tags["failure"]
    assert "NotFinite" in store.artifact(run.run_id, "error.txt").read_text()
    assert store.done() == {}


@pytest.mark.parametrize("broken", ["log_text", "log_batch"])
def test_a_run_ends_failed_although_its_reason_or_its_traceback_cannot_be_written(
    store: Store, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(store.client.client, broken, full)
    before = set(store.locks.glob("run-*.lock"))  # other tests share the folder, and kill processes
    with (
        pytest.raises(NotFinite),
        store.run(kind="cell", name="x", tags={}) as run,
    ):
        raise NotFinite("mse is not finite for 3 images")
    tags = store.client.get_run(run.run_id).data.tags
    assert status(store, run.run_id) == "FAILED"
    assert ("3 images" in tags.get("failure", "")) == (broken != "log_batch")
    assert set(store.locks.glob("run-*.lock")) <= before, "it has ended: its lock is of no use"


def test_a_run_that_could_not_be_ended_is_closed_by_the_next_start(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(store.client.client, "set_terminated", fail)
        with pytest.raises(NotFinite), store.run(kind="cell", name="x", tags={}) as run:
            raise NotFinite("mse is not finite for 3 images")
    assert status(store, run.run_id) == "RUNNING"
    assert store.reconcile().closed == [run.run_id]
    assert status(store, run.run_id) == "KILLED"


def test_a_run_whose_completion_cannot_be_written_does_not_stay_finished(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "I/O error")

    before = set(store.locks.glob("run-*.lock"))
    with monkeypatch.context() as patch:
        patch.setattr(store.client.client, "set_tag", fail)
        with pytest.raises(OSError, match="I/O error"), store.run(kind="cell", name="x", tags={}) as run:
            pass
    assert status(store, run.run_id) == "FAILED"
    assert set(store.locks.glob("run-*.lock")) <= before


def test_a_signal_leaves_a_killed_run(store: Store) -> None:
    with pytest.raises(Stopped), store.run(kind="cell", name="x", tags={}) as run:
        raise Stopped(signal.SIGTERM)
    assert status(store, run.run_id) == "KILLED"


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


def test_done_asks_for_the_wanted_keys_alone(store: Store, tmp_path: Path) -> None:
    first, second = log_cell(store, tmp_path), log_cell(store, tmp_path, seed=1)
    keys = {make_cell().key: first, make_cell(seed=1).key: second}
    assert store.done() == keys
    for key, run_id in keys.items():
        assert store.done([key]) == {key: run_id}
    assert store.done([*keys, "0" * 16]) == keys
    assert store.done([]) == {}


def test_of_two_runs_of_a_cell_the_newest_counts(store: Store, tmp_path: Path) -> None:
    log_cell(store, tmp_path)
    newest = log_cell(store, tmp_path)
    assert store.done() == {make_cell().key: newest}


def test_a_filter_that_mlflow_cannot_read_is_wrong_use(store: Store) -> None:
    with pytest.raises(WrongUse, match="MLflow refuses this: ") as refused:
        list(store.observations(where="colour = 'red'"))
    assert "\n" not in str(refused.value)


def test_records_tell_what_became_of_every_attempt(store: Store, tmp_path: Path) -> None:
    done = log_cell(store, tmp_path)
    cell = make_cell(seed=1)
    tags = {"cell.key": cell.key, "cell.json": json.dumps(cell.to_dict())}
    with (
        pytest.raises(NotFinite),
        store.run(kind="cell", name=cell.label, tags=tags),
    ):
        raise NotFinite("mse is not finite for 1 images")
    records = {record["cell"]: record for record in store.records()}
    assert records[make_cell().key]["run_id"] == done
    assert records[make_cell().key]["status"] == "done"
    assert records[make_cell().key]["metrics"]["eval.loss"] == 0.5
    assert records[cell.key]["status"] == "failed"
    assert records[cell.key]["coordinates"] == cell.to_dict()
    assert records[cell.key]["digest"] == ""


@pytest.mark.parametrize(
    ("tag", "text", "fault"),
    [
        ("cell.json", "{", "its tag cell.json holds no cell (JSONDecodeError"),
        ("cell.json", "[]", "its tag cell.json holds no cell"),
        ("cell.json", "[" * 4000, "its tag cell.json holds no cell"),
        ("cell.json", '{"image_scales": 1}', "its tag cell.json holds no cell"),
        (
            "cell.json",
            json.dumps(make_cell(seed=1).to_dict() | {"seed": -1}),
            "its tag cell.json holds no cell (WrongUse: seed",
        ),
        ("cell.key", "0" * 16, "its tags cell.json and cell.key are of different cells"),
    ],
)
def test_a_run_with_a_damaged_cell_is_left_out_and_named_and_the_others_are_read(
    store: Store, tmp_path: Path, tag: str, text: str, fault: str
) -> None:
    sound, damaged = log_cell(store, tmp_path), log_cell(store, tmp_path, seed=1)
    store.client.set_tag(damaged, tag, text)
    assert [seen.run_id for seen in store.observations()] == [sound]
    assert {r["run_id"]: r["status"] for r in store.records()} == {sound: "done", damaged: "damaged"}
    assert list(store.unreadable) == [damaged]
    assert f"run {damaged} is left out: {fault}" in store.unreadable[damaged]
    assert f"mlflow runs delete --run-id {damaged}" in store.unreadable[damaged]


def test_a_damaged_table_of_a_run_of_0_2_is_refused_by_run_and_file(store: Store, tmp_path: Path) -> None:
    run_id = log_cell(store, tmp_path)
    path = store.artifact(run_id, "losses.csv")
    path.write_text("a,b\n1\n")
    store.client.delete_tag(run_id, "artifacts.sha256")
    (seen,) = store.observations()
    with pytest.raises(BadInput, match=f"run {run_id}: losses.csv is damaged: row 2 has 1 of 2 cells"):
        seen.load_table("losses")


def test_losses_that_are_gone_are_refused_with_their_place_and_the_command_that_removes_the_run(
    store: Store, tmp_path: Path
) -> None:
    run_id = log_cell(store, tmp_path)
    path = store.artifact(run_id, "losses.parquet")
    path.unlink()
    (seen,) = store.observations()
    with pytest.raises(MLProjectError, match=f"runs delete --run-id {run_id}") as caught:
        seen.load_losses()
    assert str(path.parent) in str(caught.value)


def test_the_launchers_run_is_adopted_once(store: Store) -> None:
    launcher = store.client.create_run(store.experiment_id).info.run_id
    store.launcher_run = launcher
    runs = []
    for name in ("first", "second"):
        with store.run(kind="sweep", name=name, tags={}, adopt=True) as run:
            runs.append(run.run_id)
    assert runs[0] == launcher != runs[1]
    assert store.client.get_run(launcher).info.run_name == "first"
    assert [status(store, run_id) for run_id in runs] == ["FINISHED", "FINISHED"]


def test_names_fit_the_columns_of_every_database_and_keep_both_ends(store: Store) -> None:
    long = "resnet18 · 100 images · " + "x" * 600 + " · seed 7"
    store.launcher_run = store.client.create_run(store.experiment_id).info.run_id
    with (
        store.run(kind="fit", name=long, tags={}, adopt=True) as adopted,
        store.run(kind="fit", name=long, tags={}) as created,
    ):
        store.log_children(
            created.run_id,
            kind="trial",
            rows=[{"name": long, "status": "FINISHED", "params": {}, "metrics": {}, "tags": {}}],
        )
        created.log_dataset(name=long, digest="0", source="", context="train")
    runs = store.client.search_runs([store.experiment_id])
    names = [run.info.run_name for run in runs]
    assert len(names) == 3
    assert {(len(name), name[:8], name[-9:]) for name in names} == {(250, "resnet18", " · seed 7")}
    (used,) = store.client.get_run(created.run_id).inputs.dataset_inputs
    assert len(used.dataset.name) == 500
    assert adopted.run_id != created.run_id


def test_children_have_their_parent_and_their_status(store: Store) -> None:
    rows = [
        {"name": f"trial {i}", "status": end, "params": {"lr": "1"}, "metrics": {"loss": i}, "tags": {}}
        for i, end in enumerate(("FINISHED", "KILLED"))
    ]
    with store.run(kind="study", name="s", tags={"study": "s"}) as run:
        store.log_children(run.run_id, kind="trial", rows=rows)
    children = store.client.search_runs(
        [store.experiment_id], f"tags.`mlflow.parentRunId` = '{run.run_id}' and tags.kind = 'trial'"
    )
    assert sorted((c.info.run_name, c.info.status) for c in children) == [
        ("trial 0", "FINISHED"),
        ("trial 1", "KILLED"),
    ]
    assert store.finished(kind="study", tags={"study": "s"}) == run.run_id
    assert store.finished(kind="study", tags={"study": "other"}) is None


def test_a_child_that_could_not_be_ended_is_closed_by_the_next_start(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"name": "t", "status": "FINISHED", "params": {}, "metrics": {}, "tags": {}}]
    with monkeypatch.context() as patch:
        patch.setattr(store.client.client, "set_terminated", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.log_children("parent", kind="trial", rows=rows)
    (child,) = store.running()
    assert store.reconcile().closed == [child.info.run_id]


def test_a_table_that_a_run_does_not_have_is_empty(store: Store, tmp_path: Path) -> None:
    log_cell(store, tmp_path)
    (seen,) = store.observations()
    assert seen.load_table("absent") == {}
    assert seen.load_table("losses")["split"] == list(make_losses().splits)
