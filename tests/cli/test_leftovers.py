"""What is left behind is named, then mended; nothing that is in use is listed or touched."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlproject.cli import doctor
from mlproject.cli.leftovers import Leftover, leftovers
from mlproject.features import unfinished, unfinished_folder
from mlproject.features.table import FeatureTable
from mlproject.files import locked, try_locked, write_signed
from mlproject.tracking import Store, store_lock
from mlproject.tracking.ownership import owner_tags
from mlproject.training.networks.state import write_checkpoint
from tests.conftest import make_cell
from tests.tracking.test_store import log_cell, status
from tests.training.networks.test_state import small

DIGESTS = ["a" * 64, "b" * 64]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place without any leftover: no store, no cache, no weights."""
    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path / "features"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/s.db")
    return tmp_path


def mended() -> list[str]:
    """What was left, and what became of it; nothing of the kind is left then."""
    texts = []
    for left in leftovers():
        result = left.mend() if left.mend else None
        texts.append(f"{left.what}: {left.fault} -> {result or left.remedy}")
    assert [left for left in leftovers() if left.works is False] == []
    return texts


def listed() -> list[Leftover]:
    return list(leftovers())


def test_nothing_is_left_where_nothing_was_and_nothing_is_made(folder: Path) -> None:
    assert listed() == []
    assert list(folder.iterdir()) == []


def table(folder: Path) -> FeatureTable:
    stored = FeatureTable(folder / "features", {"model": "m"}, 3)
    stored.write_meta({})
    stored.add(DIGESTS, np.zeros((2, 3), np.float32))
    return stored


def flip(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    return path


def test_half_written_files_are_deleted_and_those_being_written_are_not(folder: Path) -> None:
    dead = [
        table(folder).folder / "x.safetensors.abc.part",
        unfinished_folder("k") / "training.safetensors.abc.part",
        folder / "torch" / "hub" / "checkpoints" / "w.pth.abc.part",
        folder / "s.db.locks" / "done.json.abc.part",
    ]
    for path in dead:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    with unfinished("k"), try_locked(dead[0]):
        assert [left.what for left in listed()] == [
            f"half-written file {path}" for path in (dead[1], *dead[2:])
        ]
    assert f"half-written file {dead[0]}: its process died -> deleted" in mended()
    assert not any(path.exists() for path in dead)


def test_a_half_built_store_is_deleted_unless_a_process_builds_it(folder: Path) -> None:
    stubs = [folder / f"s.db.{uuid.uuid4().hex}.part{end}" for end in ("", "-journal")]
    for path in (*stubs, folder / "s.db.mine.part", folder / "other.part"):
        path.write_bytes(b"half")
    with locked(store_lock(folder / "s.db")):
        assert listed() == []
    assert len(mended()) == 2
    assert sorted(path.name for path in folder.glob("*.part*")) == ["other.part", "s.db.mine.part"]


def test_damaged_files_of_the_cache_are_deleted_and_sound_ones_kept(folder: Path) -> None:
    stored = table(folder)
    stored.add(["c" * 64], np.ones((1, 3), np.float32))
    regions = folder / "features" / "regions-blobs-1"
    write_signed(regions / "a.json", {"size": 1})  # signed, but no region
    (regions / "b.json").write_text("[")
    sound, damaged = sorted(stored.folder.glob("*.safetensors"))
    aside = stored.folder / "x.damaged"
    aside.write_bytes(b"")
    flip(damaged)
    flip(stored.folder / "meta.json")
    with stored.writing(), locked(regions.with_name(regions.name + ".lock")):
        assert listed() == []
    texts = mended()
    assert len(texts) == 5
    assert f"cached file {damaged}: is damaged (SHA-256 differs from the recorded one) -> deleted" in texts
    assert list(stored.folder.iterdir()) == [sound]
    assert list(regions.iterdir()) == []


def test_trainings_whose_checkpoint_cannot_be_used_are_deleted_and_others_kept(folder: Path) -> None:
    for key in ("damaged", "intact", "held"):
        write_checkpoint(unfinished_folder(key) / "training.safetensors", small().pack(), key)
    flip(unfinished_folder("damaged") / "training.safetensors")
    flip(unfinished_folder("held") / "training.safetensors")
    unfinished_folder("empty").mkdir()
    with unfinished("held") as held:
        assert held == unfinished_folder("held")
        texts = mended()
    assert [text.partition(":")[0].rpartition("/")[2] for text in texts] == ["damaged", "empty", "intact"]
    assert "its checkpoint cannot be used: it is damaged" in texts[0]
    assert "intact -> kept: the next run of its cell resumes it" in texts[2]
    left = sorted(path.name for path in unfinished_folder("").iterdir())
    assert left == ["held", "intact"]


def test_a_training_that_saved_nothing_leaves_no_folder_and_has_it_to_itself() -> None:
    with unfinished("k") as first, unfinished("k") as second:
        assert (first, second) == (unfinished_folder("k"), None)
    assert not unfinished_folder("k").exists()


def test_runs_without_a_process_are_closed_and_cells_without_losses_marked_to_run_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlproject.tracking.open_stores", lambda: [store])
    dead, alive = (
        store.client.create_run(store.experiment_id, tags=owner_tags(name)).info.run_id
        for name in ("run-dead", "run-alive")
    )
    elsewhere = owner_tags("run-elsewhere") | {"owner.machine": "m", "owner.boot": "b", "owner.host": "lab"}
    unknown = store.client.create_run(store.experiment_id, tags=elsewhere).info.run_id
    store.lock_path("run-dead").touch()
    lost, sound = log_cell(store, tmp_path), log_cell(store, tmp_path, seed=1)
    store.artifact(lost, "losses.parquet").unlink()
    with try_locked(store.lock_path("run-alive")):
        found = listed()
        assert [left.works for left in found] == [None, None, False]
        assert found[1].what == f"run {unknown}"
        assert re.search(r"another machine, lab$", found[1].fault)
        assert found[1].remedy.endswith("mlproject doctor --take-over lab`")
        assert [status(store, run_id) for run_id in (dead, alive)] == ["RUNNING", "RUNNING"]
        texts = [
            f"{left.what}: {left.fault} -> {left.mend() or left.remedy}" for left in leftovers() if left.mend
        ]
    assert texts[0] == f"runs {dead}: RUNNING, but their process died -> 1 closed as KILLED"
    assert texts[1] == (
        f"finished cell of run {lost}: its losses.parquet is missing"
        " -> marked: the next sweep of its plan runs the cell again"
    )
    assert [status(store, each) for each in (dead, alive, unknown)] == ["KILLED", "RUNNING", "RUNNING"]
    assert store.client.get_run(lost).data.tags["artifacts.suspect"] == "true"
    assert store.done() == {make_cell(seed=1).key: sound}


@pytest.fixture
def examine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """The command without its examination of the machine: exit status and text."""
    for name in ("_packages", "_device", "_weights", "_regions", "_data", "_cache", "_store"):
        monkeypatch.setattr(doctor, name, lambda: iter(()))

    def call(*, repair: bool) -> tuple[int, str]:
        return doctor.examine(repair=repair), capsys.readouterr().out

    return call


def test_doctor_lists_and_touches_nothing_without_repair(
    folder: Path, examine: Callable[..., tuple[int, str]]
) -> None:
    (folder / "features").mkdir()
    path = folder / "features" / "x.part"
    path.write_bytes(b"half")
    write_checkpoint(unfinished_folder("k") / "training.safetensors", small().pack(), "k")
    found, text = examine(repair=False)
    assert (found, path.exists()) == (1, True)
    assert f"bad  half-written file {path}: its process died\n" in text
    assert f"note unfinished training {unfinished_folder('k')}: 0.0 MiB, intact; kept: " in text
    assert text.endswith("1 to mend: mlproject doctor --repair\n")
    found, text = examine(repair=True)
    assert (found, path.exists()) == (0, False)
    assert f"half-written file {path}: its process died\nok   half-written file {path}: deleted\n" in text
    assert examine(repair=False)[0] == 0
