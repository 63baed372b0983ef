import errno
import os
from pathlib import Path

import pytest

from mlproject.errors import NoRoom
from mlproject.files import locked, sha256, sha256_file, try_locked, write_atomic


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
