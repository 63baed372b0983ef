import errno
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproject.errors import NoRoom, StoreUnreachable
from mlproject.files import (
    abandoned_stubs,
    delete_stub,
    escape_formula,
    locked,
    read_signed,
    require_regular,
    sha256,
    sha256_file,
    temporary_folder,
    try_locked,
    unescape_formula,
    write_atomic,
    write_signed,
)
from mlproject.tracking.addresses import database_file, database_url, lock_folder


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


@pytest.mark.parametrize("step", ["mkdir", "open", "fdopen", "fsync", "replace", "fsync of the folder"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_at_any_step_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    name = "mlproject.files._sync_folder" if "folder" in step else f"os.{step}"
    monkeypatch.setattr(name, full)
    with pytest.raises(NoRoom, match="file needs 3 bytes"):
        write_atomic(tmp_path / "new folder" / "file", b"new")
    monkeypatch.undo()
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("name", "n_free", "expected"), [(None, 0, NoRoom), (None, 2**30, OSError), ("mlruns/file", 0, OSError)]
)
def test_a_full_disk_of_temporary_files_is_no_room_there_and_of_other_files_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None, n_free: int, expected: type[Exception]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=n_free))
    with pytest.raises(expected) as error:
        write_half(name)
    if expected is NoRoom:
        where = f"no room for temporary files in {tmp_path}"
        assert str(error.value) == f"{where}; free some space, or set TMPDIR"
    assert list(tmp_path.iterdir()) == []


def write_half(name: str | None) -> None:
    with temporary_folder() as folder:
        (folder / "half").write_bytes(b"written")
        raise OSError(errno.ENOSPC, "No space left on device", name)


def pipe_of_nobody(path: Path) -> None:
    os.mkfifo(path)


def link_without_end(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [pipe_of_nobody, link_without_end, Path.mkdir])
def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x")
    with pytest.raises(ValueError, match="x is no regular file"):
        read_signed(tmp_path / "x")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert require_regular(tmp_path / "link") == tmp_path / "link"


def test_a_lock_that_cannot_be_made_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, kind, text in (
        (
            errno.EACCES,
            StoreUnreachable,
            "Permission denied; make its folder writable, or choose another one",
        ),
        (errno.EIO, StoreUnreachable, "Input/output error"),
        (errno.ENOENT, StoreUnreachable, "No such file or directory"),
        (errno.ENOSPC, NoRoom, "no room for the lock"),
    ):
        failure = OSError(number, os.strerror(number))
        monkeypatch.setattr(os, "open", lambda *_, failure=failure: (_ for _ in ()).throw(failure))
        with pytest.raises(kind, match=text), locked(tmp_path / "lock"):
            pass


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


def test_all_writings_of_the_address_of_a_file_lead_to_one_folder_of_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "a" / "same.db").symlink_to("runs.db")
    (tmp_path / "a" / "runs.db").touch()
    monkeypatch.chdir(tmp_path / "a")
    names = ["runs.db", "./runs.db", "b/../runs.db", f"{tmp_path}/a/runs.db", f"{tmp_path}/link/runs.db"]
    addresses = [f"sqlite:///{name}" for name in [*names, "same.db", "runs.db?timeout=5"]]
    addresses += ["sqlite+pysqlite:///runs.db", f"sqlite:///file:{tmp_path}/a/runs.db?uri=true"]
    assert {lock_folder(address) for address in addresses} == {tmp_path / "a" / "runs.db.locks"}
    assert lock_folder(tmp_path / "link" / "runs.db") == tmp_path / "a" / "runs.db.locks"
    runs = {
        lock_folder(address)
        for address in ("./mlruns", f"{tmp_path}/a/mlruns", f"file://{tmp_path}/link/mlruns")
    }
    assert len(runs) == 1


@pytest.mark.parametrize(
    "addresses",
    [
        [
            "http://localhost:5000",
            "http://127.0.0.1:5000/",
            "HTTP://LocalHost:5000//",
            "http://me:x@[::1]:5000",
        ],
        [
            "https://Lab.example",
            "https://lab.example:443/",
            "https://u:p@lab.example.",
            "https://lab.EXAMPLE/?a=1",
        ],
        ["http://lab/ml flow/", "http://lab:80/ml flow"],
        ["postgresql://me@db/runs", "postgresql+psycopg2://you:p%40ss@DB:5432/runs?sslmode=require"],
        ["postgresql:///me", "postgres://me:x@localhost"],
    ],
)
def test_all_writings_of_the_address_of_a_server_lead_to_one_folder_of_locks(addresses: list[str]) -> None:
    assert len({lock_folder(address) for address in addresses}) == 1


def test_different_servers_have_different_folders_of_locks() -> None:
    places = [
        "http://lab:5000",
        "https://lab:5000",
        "http://lab:5001",
        "http://lab2:5000",
        "http://lab:5000/b",
    ]
    places += [
        "postgresql://lab/a",
        "postgresql://lab/A",
        "postgresql://lab:5433/a",
        "mysql://lab/a",
        "databricks",
    ]
    assert len({lock_folder(place) for place in places}) == len(places)


@pytest.mark.parametrize("obstacle", ["a file for the folder", "a folder for the lock"])
def test_what_is_in_the_way_of_a_lock_is_named(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / "locks" / "x.lock"
    path.mkdir(parents=True) if obstacle == "a folder for the lock" else path.parent.touch()
    with pytest.raises(StoreUnreachable, match=r"no lock can be at .*x\.lock: .* in its way"):
        locked(path).__enter__()
    with pytest.raises(StoreUnreachable), try_locked(path):
        pass


def test_a_lock_without_a_file_is_not_free_where_none_is_to_be_created(tmp_path: Path) -> None:
    with try_locked(tmp_path / "x.lock", create=False) as free:
        assert not free
    assert list(tmp_path.iterdir()) == []


def test_a_half_written_file_is_abandoned_once_its_writer_is_dead(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    dead, alive = tmp_path / "folder" / "a.part", tmp_path / "b.part"
    for path in (dead, alive, tmp_path / "c"):
        path.write_bytes(b"half")
    with try_locked(alive):  # as write_atomic does
        assert abandoned_stubs(tmp_path) == [dead]
    assert abandoned_stubs(tmp_path) == [alive, dead]
    assert abandoned_stubs(tmp_path / "absent") == []
    with try_locked(alive):
        for path in (alive, dead, tmp_path / "absent"):
            delete_stub(path)
    assert (alive.exists(), dead.exists()) == (True, False)


def test_a_file_is_written_though_another_process_takes_its_start_for_an_abandoned_one(
    tmp_path: Path, monkeypatch
) -> None:
    """The moment between the creation of the temporary file and its lock."""
    lock, n_deleted = fcntl.flock, []

    def delete_first(handle: int, operation: int) -> None:
        if operation == fcntl.LOCK_EX and not n_deleted:
            (stub,) = tmp_path.glob("*.part")
            n_deleted.append(stub)
            delete_stub(stub)
        lock(handle, operation)

    monkeypatch.setattr("fcntl.flock", delete_first)
    write_atomic(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
    assert len(n_deleted) == 1


def test_a_file_that_is_being_written_is_not_abandoned(tmp_path: Path, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr("os.fsync", lambda handle: seen.append(abandoned_stubs(tmp_path)))
    write_atomic(tmp_path / "file", b"a", memoryview(b"b"))
    assert seen[0] == []
    assert (tmp_path / "file").read_bytes() == b"ab"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'["a", "b"]', b'"ab"', b"[1, 2]", b"\xff", b"[" * 9999]
)
def test_signed_values_are_read_back_and_anything_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.json"
    value = {"a": [1, None, "ü"]}
    write_signed(path, value)
    assert read_signed(path) == value
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(ValueError, match=r"file.json differs from what was written"):
        read_signed(path)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"differs|Expecting|decode|nested"):
        read_signed(path)


@given(text=st.text(alphabet="';=+a@ \uff1d\n", max_size=12))
def test_every_text_is_escaped_and_read_back_as_it_was(text: str) -> None:
    escaped = escape_formula(text)
    assert unescape_formula(escaped) == text
    assert not any(cell.startswith(("=", "+", "@", "\uff1d", "\n")) for cell in escaped.split(";"))


def test_a_formula_after_a_semicolon_is_escaped_where_it_begins() -> None:
    assert escape_formula("a;=1;b;-c") == "a;'=1;b;'-c"


@pytest.mark.parametrize("text", ["=1", "+1", "-a", "@a", "\t=1", "＝1", "＋1", "－1", "＠a", "'＝1"])
def test_formulas_are_escaped_in_full_width_too(text: str) -> None:
    assert escape_formula(text) == "'" + text
    assert unescape_formula(escape_formula(text)) == text


def test_a_shared_lock_is_free_for_others_that_share_it_and_for_no_owner(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with locked(path, shared=True), try_locked(path, shared=True) as shared, try_locked(path) as alone:
        assert (shared, alone) == (True, False)
    with locked(path), try_locked(path, shared=True) as shared:
        assert not shared
