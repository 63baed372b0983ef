"""Errors are one line and a status."""

import errno
import signal
import sys
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproject.errors import (
    BadInput,
    DigestMismatch,
    MLProjectError,
    NoRoom,
    Stopped,
    StoreUnreachable,
    WrongUse,
    command,
    has_password,
    is_disk_full,
    masked,
    one_line,
    unknown,
)

STATUSES = {
    MLProjectError: 1,
    WrongUse: 2,
    BadInput: 3,
    StoreUnreachable: 4,
    NoRoom: 5,
    DigestMismatch: 6,
}


@pytest.mark.parametrize(("kind", "status"), STATUSES.items())
def test_every_error_has_its_exit_status(kind: type[MLProjectError], status: int) -> None:
    assert kind("x").status == status
    assert issubclass(kind, MLProjectError)


def test_a_stop_is_no_error_that_a_library_would_catch() -> None:
    stop = Stopped(signal.SIGTERM)
    assert not isinstance(stop, Exception)
    assert (stop.status, str(stop)) == (143, "stopped by SIGTERM")


@pytest.mark.parametrize(
    ("value", "known", "message"),
    [
        ("resnet5", ["resnet50", "vit"], "unknown model 'resnet5'; did you mean resnet50?"),
        ("adamv", ["sgd", "adamw", "adam"], "unknown model 'adamv'; did you mean adam or adamw?"),
        ("MNIST", ["mnist", "fashion-mnist"], "unknown model 'MNIST'; did you mean mnist?"),
        (
            "Fashion MNIST",
            ["mnist", "fashion-mnist"],
            "unknown model 'Fashion MNIST'; did you mean fashion-mnist?",
        ),
        ("--", ["a", "-"], "unknown model '--'; did you mean -?"),
        ("zzz", ["b", "a"], "unknown model 'zzz'; known: a, b"),
        (7, ["a"], "unknown model '7'; known: a"),
    ],
)
def test_an_unknown_name_is_refused_with_near_matches_or_all_names(
    value: object, known: list[str], message: str
) -> None:
    error = unknown("model", value, known)
    assert str(error) == message
    assert error.status == 2


def test_a_long_list_of_names_is_cut_and_counted() -> None:
    text = str(unknown("model", "?", [f"name{i:03d}" for i in range(40)]))
    assert "name024" in text
    assert "name025" not in text
    assert text.endswith("… (40 in all)")


@given(text=st.text(), known=st.lists(st.text("abc", min_size=1), max_size=30))
def test_an_unknown_name_is_one_line_whatever_was_written(text: str, known: list[str]) -> None:
    assert len(str(unknown("knob", text, known)).splitlines()) == 1


@given(text=st.text())
def test_any_error_is_told_in_one_short_line(text: str) -> None:
    line = one_line(RuntimeError(text))
    assert len(line.splitlines()) == 1
    assert line.startswith("RuntimeError")
    assert len(line) <= len("RuntimeError: ") + 300


def test_the_note_of_sqlalchemy_does_not_hide_the_error_of_the_database() -> None:
    note = "(raised as a result of Query-invoked autoflush; consider using a session.no_autoflush block)"
    assert one_line(OSError(f"{note}\n(sqlite3.OperationalError) readonly")).endswith("Error) readonly")


def test_a_full_disk_is_recognised_through_the_errors_it_was_raised_from() -> None:
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        outer = RuntimeError("cannot save")
        outer.__cause__ = OSError(number, "full")
        assert is_disk_full(outer)
    assert is_disk_full(RuntimeError("(sqlite3) database or disk is full"))
    assert not is_disk_full(OSError(errno.EACCES, "Permission denied"))


SECRETS = st.text("abcXYZ019:@._-%", min_size=1, max_size=10)


@given(user=st.text("abc", min_size=1), secret=SECRETS, host=st.text("hst.", min_size=1))
def test_no_password_of_an_address_is_shown(user: str, secret: str, host: str) -> None:
    text = masked(f"cannot reach postgresql://{user}:{secret}@{host}:5432/runs")
    assert text == f"cannot reach postgresql://***@{host}:5432/runs"


def test_an_address_without_a_user_stays_as_it_is() -> None:
    for text in ("sqlite:////data/a@b.db", "http://host/path?mail=a@b", "no address: a@b"):
        assert masked(text) == text


@pytest.mark.parametrize("secret", ["a/b", "a/b:c//d", "@/:"])
def test_a_password_with_slashes_is_masked(secret: str) -> None:
    assert masked(f"at postgresql://me:{secret}@host/runs now") == "at postgresql://***@host/runs now"


def test_secrets_among_the_parameters_of_an_address_are_masked() -> None:
    text = "postgresql:///runs?user=me&password=a/b@c&sslmode=require and ?api_token=x"
    shown = "postgresql:///runs?user=me&password=***&sslmode=require and ?api_token=***"
    assert masked(text) == shown


def test_an_address_with_a_user_alone_holds_no_password() -> None:
    for text in ("--storage=postgresql://me@host/runs", "photos?x=1", "a:b@c", "sqlite:///a.db"):
        assert not has_password(text)
    for text in ("--storage=postgresql://me:x@host/runs", "http://:x@host", "postgresql:///runs?password=x"):
        assert has_password(text)


def test_both_addresses_of_a_message_are_masked() -> None:
    assert masked("http://a:b@c then http://d:e@f/g") == "http://***@c then http://***@f/g"


def test_a_command_in_a_message_runs_where_no_environment_is_activated(monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert command("mlflow", "ui", "--port", "1 #2") == "mlflow ui --port '1 #2'"
    monkeypatch.setenv("PATH", "")
    program = command("mlflow", "ui").removesuffix(" ui")
    assert Path(program).is_file()


def test_errors_and_stops_can_be_sent_to_another_process() -> None:
    for error in (NoRoom("no room: here"), Stopped(signal.SIGTERM)):
        sent = ForkingPickler.loads(ForkingPickler.dumps(error))
        assert (type(sent), str(sent), sent.status) == (type(error), str(error), error.status)
