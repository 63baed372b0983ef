import errno
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproject.errors import NoRoom
from mlproject.files import (
    database_file,
    database_url,
    escape_formula,
    locked,
    sha256,
    sha256_file,
    try_locked,
    unescape_formula,
    write_atomic,
)


def test_a_written_file_is_whole_and_leaves_no_stub(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.bin"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file.bin"]


def test_a_full_disk_is_one_clear_error_and_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.bin"
    write_atomic(path, b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoRoom, match=r"file.bin needs 3 bytes"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_lock_has_one_owner_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path / "x.lock"), try_locked(tmp_path / "x.lock") as second:
        assert not second
    with try_locked(tmp_path / "x.lock") as free:
        assert free


def test_a_file_digest_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a") == sha256(b"abc")
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(
    old=st.binary(max_size=64),
    new=st.binary(max_size=64),
    step=st.sampled_from(["fsync", "fdopen", "replace"]),
)
def test_a_write_that_fails_anywhere_leaves_the_old_file_and_nothing_else(
    old: bytes, new: bytes, step: str
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(old)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, step, fail)
            with pytest.raises(KeyboardInterrupt):
                write_atomic(path, new)
        assert path.read_bytes() == old
        assert [p.name for p in Path(folder).iterdir()] == ["file"]
        write_atomic(path, new)
        assert path.read_bytes() == new


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077, 0o000])
def test_files_and_locks_obey_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_atomic(tmp_path / "file", b"")
        with try_locked(tmp_path / "lock"):
            pass
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o666 & ~mask}


def test_a_name_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    write_atomic(tmp_path / ("x" * 255), b"y")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"y"]


def test_a_folder_in_the_place_of_a_file_is_no_full_disk(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path / "file", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    code = f"import fcntl, os, time; h = os.open({str(path)!r}, os.O_RDWR | os.O_CREAT)\n"
    code += "fcntl.flock(h, fcntl.LOCK_EX); print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with try_locked(path) as free:
            assert not free
        process.kill()
        process.wait()
    with try_locked(path) as free:
        assert free


def test_locks_of_different_names_do_not_exclude_each_other(tmp_path: Path) -> None:
    with locked(tmp_path / "deep" / "a.lock"), try_locked(tmp_path / "deep" / "b.lock") as free:
        assert free


def test_a_lock_is_released_by_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "x.lock"):
        raise ZeroDivisionError
    with try_locked(tmp_path / "x.lock") as free:
        assert free


def test_threads_that_wait_for_a_lock_take_turns(tmp_path: Path) -> None:
    counts = [0]

    def add() -> None:
        for _ in range(50):
            with locked(tmp_path / "x.lock"):
                before = counts[0]
                time.sleep(0)
                counts[0] = before + 1

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [200]


@pytest.mark.parametrize("name", ["mlflow.db", "/tmp/a.b/c-d_é/mlflow.db", "./x", "../x/y.db", "/x//y"])
def test_an_address_that_is_read_as_it_stands_names_the_file_that_sqlalchemy_reads(name: str) -> None:
    url = database_url(f"sqlite:///{name}")
    assert url is not None
    assert url.database is not None
    assert database_file(f"sqlite:///{name}") == Path(url.database).absolute()


@pytest.mark.parametrize("text", ["=1", "+1", "-a", "@a", "\t=1", "＝1", "＋1", "－1", "＠a", "'＝1"])
def test_formulas_are_escaped_in_full_width_too(text: str) -> None:
    assert escape_formula(text) == "'" + text
    assert unescape_formula(escape_formula(text)) == text
