"""Storages of studies: every form of an address, whatever its folder is named, and no stray files."""

import contextlib
import sqlite3
from pathlib import Path

import optuna
import pytest
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from sqlalchemy import URL

from mlproject.errors import StoreUnreachable, WrongUse
from mlproject.tuning.search import storage as storages


@pytest.mark.parametrize("name", ["run #2", "what?x=1", "a%41 {x}"])
def test_a_storage_lies_in_its_folder_whatever_its_name_and_keeps_its_parameters(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    file = folder / "studies.db"
    url = URL.create("sqlite", database=str(file), query={"timeout": "7"})
    address = url.render_as_string(hide_password=False)
    with storages.open_storage(address, folder / "unused") as storage:
        optuna.create_study(storage=storage.optuna, study_name="s")
        assert storage.locks == folder / "studies.db.locks"
        assert storage.optuna.engine.dialect.create_connect_args(storage.optuna.engine.url)[1]["timeout"] == 7
    with storages.open_storage(str(folder / "journal.log"), folder / "unused") as storage:
        optuna.create_study(storage=storage.optuna, study_name="s")
    assert {path.name for path in tmp_path.iterdir()} == {name}
    made = {path.name for path in folder.iterdir()}
    assert {"studies.db", "journal.log"} <= made
    assert made <= {f"{n}{end}" for n in ("studies.db", "journal.log") for end in ("", ".locks", ".lock")}


def test_a_time_to_wait_that_the_address_gives_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    monkeypatch.setattr(storages, "RDBStorage", lambda url, engine_kwargs: given.append(engine_kwargs))
    for query in ("", "?timeout=7"):
        with storages.open_storage(f"sqlite:///{tmp_path}/s.db{query}", tmp_path / "unused"):
            pass
    assert [options["connect_args"] for options in given] == [{"timeout": 60}, {}]


def test_an_address_that_is_none_is_refused_with_examples(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreUnreachable, match=r"is no address of a database, such as postgresql://"),
        storages.open_storage("://nothing", tmp_path / "unused"),
    ):
        pass


def test_a_storage_in_memory_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(WrongUse, match="in memory"),
        storages.open_storage("sqlite://", tmp_path / "unused"),
    ):
        pass


def test_a_password_with_a_slash_is_masked_where_no_server_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    address = "postgresql://me:se/cret@127.0.0.1:9/studies?connect_timeout=1"
    with (
        pytest.raises(StoreUnreachable, match=r"postgresql://\*\*\*@127\.0\.0\.1:9") as caught,
        storages.open_storage(address, tmp_path / "unused"),
    ):
        pass
    assert "cret" not in str(caught.value)


def journal(path: Path) -> BaseJournalBackend:
    return storages._SignedJournal(path, JournalFileBackend(str(path)))


def test_a_changed_byte_of_a_journal_is_no_other_loss_but_reported(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    with storages.open_storage(str(path), path) as storage:
        study = optuna.create_study(storage=storage.optuna, study_name="s")
        study.add_trial(optuna.trial.create_trial(value=0.125, user_attrs={"ü": [1, 1e-300]}))
    written, content = list(journal(path).read_logs(0)), path.read_bytes()
    assert len(written) == content.count(b"\n") == 2
    assert not any("sha256" in record for record in written)
    messages = []
    for i in range(len(content)):
        damaged = bytearray(content)
        damaged[i] ^= 1 << i % 8
        path.write_bytes(damaged)
        try:
            read = list(journal(path).read_logs(0))
        except StoreUnreachable as error:
            messages.append(str(error))
        else:  # the name of a digest was changed, or a last line, whose end Optuna waits for
            for record, expected in zip(read, written, strict=False):
                assert {name: record[name] for name in expected} == expected, f"byte {i}"
    assert len(messages) > len(content) / 2
    assert all("is damaged (" in m and "restore it from a copy, or delete it" in m for m in messages)


def test_records_of_version_0_2_without_digests_are_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    JournalFileBackend(str(path)).append_logs([{"a": 1}])
    journal(path).append_logs([{"b": 2}])
    assert list(journal(path).read_logs(0)) == [{"a": 1}, {"b": 2}]
    assert list(journal(path).read_logs(1)) == [{"b": 2}]


@pytest.mark.parametrize("content", [b"notes", b"5", b'{"a": 1}', b"\x89PNG\r\n\x1a\n", b"a = 1\nb"])
def test_a_file_that_is_no_journal_is_refused_and_stays_as_it_is(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with (
        pytest.raises(StoreUnreachable, match="is not a journal of studies: name another file"),
        storages.open_storage(str(tmp_path / "file"), tmp_path),
    ):
        pass
    assert (tmp_path / "file").read_bytes() == content


def test_a_database_that_is_given_as_a_path_stays_as_it_is_and_opens_as_the_remedy_says(
    tmp_path: Path,
) -> None:
    path = tmp_path / "my #1 %41.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("create table notes (text)")
    content = path.read_bytes()
    with (
        pytest.raises(StoreUnreachable, match="is a database, not a journal: write ") as caught,
        storages.open_storage(str(path), tmp_path),
    ):
        pass
    assert path.read_bytes() == content
    address = str(caught.value).partition("write ")[2]
    with storages.open_storage(address, tmp_path) as storage:
        optuna.create_study(storage=storage.optuna, study_name="s")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select study_name from studies").fetchall() == [("s",)]


@pytest.mark.parametrize("begun", [b"", b'{"op_co', b'{"op_code":0,"work'])
def test_a_journal_whose_writer_was_killed_within_its_first_line_is_continued(
    begun: bytes, tmp_path: Path
) -> None:
    (tmp_path / "journal.log").write_bytes(begun)
    with storages.open_storage(str(tmp_path / "journal.log"), tmp_path) as storage:
        optuna.create_study(storage=storage.optuna, study_name="s")
        assert optuna.get_all_study_names(storage.optuna) == ["s"]
