"""Artifacts read back: done means losses that match their digest; planning looks at the file alone."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mlproject.errors import DigestMismatch, StoreUnreachable
from mlproject.losses import PREDICTIONS, PerImageLosses, predictions_table, write_losses, write_table
from mlproject.tracking import Store
from mlproject.tracking.artifacts import (
    LOSSES_DIGEST,
    LOSSES_FILE,
    SUMS_DIGEST,
    SUMS_FILE,
    SUSPECT,
    Artifacts,
    artifacts_of,
    deletion,
    write_sums,
)
from tests.conftest import make_cell, make_losses
from tests.tracking.test_store import log_cell

HOUR_MS = 3_600_000


def run_of(
    tmp_path: Path,
    losses: PerImageLosses | None = None,
    *,
    sums: bool = True,
    tables: Mapping[str, Mapping[str, Sequence[object]]] | None = None,
) -> Artifacts:
    """A run of an hour ahead, whose folder of artifacts needs no store."""
    folder = tmp_path / "experiment" / "run" / "artifacts"
    folder.mkdir(parents=True)
    losses = losses or make_losses(3)
    write_losses(losses, folder)
    for name, columns in (tables or {}).items():
        write_table(folder, name, columns)
    tags = {LOSSES_DIGEST: losses.digest} | ({SUMS_DIGEST: write_sums(folder)} if sums else {})
    ended = int((folder / LOSSES_FILE).stat().st_mtime * 1000) + HOUR_MS
    return Artifacts(run_id="R", uri=str(folder), ended=ended, tags=tags, client=None)


def later(run: Artifacts, *, suspect: bool = False) -> Artifacts:
    """The run as another process reads it."""
    tags = dict(run.tags) | ({SUSPECT: "true"} if suspect else {})
    return Artifacts(run_id="R", uri=run.uri, ended=run.ended, tags=tags, client=None)


@pytest.mark.parametrize("sums", [True, False])
def test_changed_bytes_of_losses_and_cuts_are_recognised_by_run(tmp_path: Path, sums: bool) -> None:
    run = run_of(tmp_path, sums=sums)
    path = run.path(LOSSES_FILE)
    content = path.read_bytes()
    assert run.losses().digest == make_losses(3).digest
    messages = []
    for i in range(0, len(content), 41):
        flipped = bytearray(content)
        flipped[i] ^= 1 << i % 8
        for damaged in (bytes(flipped), content[:i]):
            path.write_bytes(damaged)
            try:
                assert later(run).losses().digest == make_losses(3).digest, "harmless"
            except DigestMismatch as error:
                messages.append(str(error))
    assert len(messages) > len(content) / 41
    assert all(m.startswith("run R is damaged: its losses.parquet ") for m in messages)
    assert all(m.endswith(f"or leave it out: {deletion('R')}") for m in messages)


def test_the_digests_of_a_run_are_those_that_sha256sum_checks(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    assert run.folder is not None
    command = ["sha256sum", "--check", "--strict", SUMS_FILE]
    checked = subprocess.run(command, cwd=run.folder, capture_output=True, text=True, check=True).stdout
    assert checked == "losses.csv: OK\nlosses.parquet: OK\n"


def test_a_look_tells_missing_and_changed_losses_and_leaves_the_rest_to_the_reader(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    path = run.path(LOSSES_FILE)
    content = path.read_bytes()
    assert run.damage() == ""
    path.unlink()
    assert later(run).damage() == "its losses.parquet is missing"
    path.write_bytes(content[:-1] + b"x")
    assert later(run).damage() == "", "bits that rot leave no trace but their digest"
    assert later(run, suspect=True).damage() == "its losses.parquet differs from what was logged"
    after = run.ended / 1000 + 10
    os.utime(path, (after, after))
    assert later(run).damage() == "its losses.parquet differs from what was logged"
    path.write_bytes(content)
    os.utime(path, (after, after))
    assert later(run).damage() == "", "changed back, or copied: verified"
    assert later(run, suspect=True).damage() == ""


@pytest.mark.parametrize("left", ["nothing", "an empty folder", "a file", "the folder of a mount point"])
def test_a_disk_that_is_not_mounted_makes_no_cell_run_again_but_ends_who_reads(
    tmp_path: Path, left: str
) -> None:
    run, root = run_of(tmp_path), tmp_path / "experiment"
    shutil.rmtree(root)
    if left != "nothing":
        root.touch() if left == "a file" else root.mkdir()
    if "mount" in left:
        (root / "lost+found").mkdir()
        (root / ".hidden").mkdir()
        (root / "README").touch()
    assert run.damage() == ""
    with pytest.raises(StoreUnreachable, match=r"run R lie below .*experiment, which is missing, empty"):
        run.losses()
    assert not run.is_whole(LOSSES_FILE), "a fit is made again where its cells can be read"
    given_up = later(run, suspect=True).damage()
    assert given_up == f"its losses.parquet is missing, as is all that lay in {root}"


@pytest.mark.parametrize("error", [ModuleNotFoundError("No module named 'botocore'"), OSError("no libhdfs")])
def test_an_address_that_needs_another_package_or_server_is_out_of_reach_and_named(error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    client = SimpleNamespace(download_artifacts=fail, list_artifacts=fail)
    run = Artifacts(run_id="R", uri="s3://u:p@bucket/R", ended=0, tags={}, client=client)
    with pytest.raises(StoreUnreachable, match=r"run R at s3://\*\*\*@bucket/R cannot be read"):
        run.losses()


def test_a_run_whose_database_row_is_damaged_can_be_looked_at() -> None:
    info = SimpleNamespace(run_id="R", artifact_uri=None, end_time="x")
    artifacts = artifacts_of(SimpleNamespace(info=info, data=SimpleNamespace(tags={})), None)
    assert (artifacts.folder, artifacts.ended, artifacts.damage()) == (None, 0, "")


def test_an_address_that_no_system_can_open_is_a_damaged_run() -> None:
    def fail(*_: object) -> None:
        raise ValueError("embedded null byte")

    client = SimpleNamespace(download_artifacts=fail, list_artifacts=fail)
    run = Artifacts(run_id="R", uri="/a\0b", ended=0, tags={}, client=client)
    assert run.damage() == ""
    with pytest.raises(DigestMismatch, match="run R is damaged: embedded null byte"):
        run.losses()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_disk_that_fails_or_a_folder_that_is_closed_makes_no_cell_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    run = run_of(tmp_path)

    def fail(path: Path, **options: object) -> None:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(Path, "stat", fail)
    assert run.damage() == ""
    with pytest.raises(StoreUnreachable, match=r"losses\.parquet cannot be read: " + os.strerror(code)):
        run.losses()


def test_losses_that_are_no_file_are_damaged(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    path = run.path(LOSSES_FILE)
    path.unlink()
    path.symlink_to("/dev/zero")
    assert run.damage() == "its losses.parquet is missing"


def test_nothing_is_written_where_the_folder_of_finished_cells_is_gone_until_it_is_given_up(
    store: Store, tmp_path: Path
) -> None:
    finished = log_cell(store, tmp_path)
    folder = store.artifact(finished, LOSSES_FILE).parents[2]
    away = folder.rename(tmp_path / "away")
    with pytest.raises(StoreUnreachable, match=rf"run {finished} lie below {folder}, which is missing"):
        log_cell(store, tmp_path, seed=1)
    assert not folder.exists(), "else all cells of the disk would count as damaged"
    away.rename(folder)
    assert list(store.done()) == [make_cell().key]
    shutil.rmtree(folder)
    for run_id in store.faults():
        store.mark_suspect(run_id)
    log_cell(store, tmp_path, seed=1)
    assert list(store.done()) == [make_cell(seed=1).key]


def test_a_disk_that_goes_away_during_a_run_is_not_written_to_and_the_run_ends(
    store: Store, tmp_path: Path
) -> None:
    folder = store.artifact(log_cell(store, tmp_path), LOSSES_FILE).parents[2]
    with (
        contextlib.suppress(StoreUnreachable),
        store.run(kind="cell", name="x", tags={}) as run,
    ):
        away = folder.rename(tmp_path / "away")
        with pytest.raises(StoreUnreachable, match="which is missing"):
            run.log_files(away)
        raise StoreUnreachable("as the command that is tracked does")
    assert store.client.get_run(run.run_id).info.status == "FAILED"
    assert not folder.exists(), "no traceback either"


def test_a_table_is_verified_and_one_that_was_never_logged_is_empty(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    assert run.table("losses")["split"] == list(make_losses(3).splits)
    assert run.table("epochs") == {}
    path = run.path("losses.csv")
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(DigestMismatch, match=r"run R is damaged: its losses.csv differs"):
        later(run).table("losses")
    assert "its losses.csv differs" in later(run, suspect=True).damage()
    path.unlink()
    with pytest.raises(DigestMismatch, match=r"run R is damaged: its losses.csv is missing"):
        later(run).table("losses")


def test_a_table_of_images_is_verified_too(tmp_path: Path) -> None:
    tables = predictions_table(make_losses(3), *np.zeros((2, 6), int), ["a"])
    run = run_of(tmp_path, tables=tables)
    assert run.table(PREDICTIONS)["label"] == ["a"] * 6
    run.path("predictions.parquet").write_bytes(b"PAR1")
    with pytest.raises(DigestMismatch, match=r"run R is damaged: its predictions.parquet differs"):
        later(run).table(PREDICTIONS)


def test_a_list_of_digests_that_was_changed_is_no_list(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    run.path(SUMS_FILE).write_text("")
    with pytest.raises(DigestMismatch, match="its SHA256SUMS differs"):
        later(run).losses()
    run.path(SUMS_FILE).unlink()
    with pytest.raises(DigestMismatch, match="its SHA256SUMS is missing"):
        later(run).losses()


def test_an_artifact_elsewhere_is_missing_only_where_the_store_does_not_list_it() -> None:
    listed = [SimpleNamespace(path="there.txt")]

    def download(run_id: str, name: str) -> str:
        raise OSError("no answer")

    client = SimpleNamespace(download_artifacts=download, list_artifacts=lambda run_id, folder: listed)
    run = Artifacts(run_id="R", uri="mlflow-artifacts:/1/R", ended=0, tags={}, client=client)
    with pytest.raises(OSError, match="no answer"):
        run.path("there.txt")
    with pytest.raises(FileNotFoundError, match=r"absent\.txt"):
        run.path("absent.txt")
    assert run.damage() == "", "a server is not asked for each cell"


def test_a_cell_that_lost_its_losses_is_not_done_and_named_once(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lost, other = log_cell(store, tmp_path), log_cell(store, tmp_path, seed=1)
    store.artifact(lost, LOSSES_FILE).unlink()
    expected = {make_cell(seed=1).key: other}
    assert store.done() == store.done([make_cell().key, *expected]) == expected
    assert store.done([make_cell().key]) == {}
    (line,) = caplog.messages
    assert line == f"run {lost} does not count as done: its losses.parquet is missing; its cell runs again"
    assert {r["run_id"]: r["status"] for r in store.records()} == {lost: "damaged", other: "done"}
    again = log_cell(store, tmp_path)
    assert store.done() == {make_cell().key: again} | expected


def test_losses_that_do_not_match_when_read_mark_their_run_which_then_is_not_done(
    store: Store, tmp_path: Path
) -> None:
    run_id = log_cell(store, tmp_path)
    path = store.artifact(run_id, LOSSES_FILE)
    content, before = path.read_bytes(), path.stat().st_mtime
    path.write_bytes(content[:-8] + b"????PAR1")
    os.utime(path, (before, before))
    assert store.done() == {make_cell().key: run_id}
    (seen,) = store.observations()
    with pytest.raises(DigestMismatch, match=f"run {run_id} is damaged"):
        seen.load_losses()
    assert store.done() == {}
    path.write_bytes(content)
    assert store.done() == {make_cell().key: run_id}, "restored from a copy"


def test_a_finished_run_counts_as_long_as_its_artifacts_are_whole(store: Store, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "summary.md").write_text("text")
    (tmp_path / "tables" / "a.csv").write_text("a")
    runs = []
    for _ in range(2):
        with store.run(kind="fit", name="f", tags={"fit.key": "k"}) as run:
            run.log_files(tmp_path)
        runs.append(run.run_id)
    first, last = runs

    def newest() -> str | None:
        return store.finished(kind="fit", tags={"fit.key": "k"}, reads="summary.md")

    assert newest() == last
    store.artifact(last, "tables/a.csv").unlink()
    assert newest() == first
    store.artifact(first, "summary.md").write_text("changed")
    assert newest() is None
    store.client.delete_tag(first, SUMS_DIGEST)
    assert newest() == first, "version 0.2 recorded no digests"
    assert store.finished(kind="fit", tags={"fit.key": "k"}) == last
