"""Faults of a store are one line without passwords, with the exit status of their kind."""

from __future__ import annotations

import errno
import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from mlproject.errors import BadInput, MLProjectError, NoRoom, StoreUnreachable, WrongUse
from mlproject.tracking import store as store_errors

URI = "postgresql://user:secret@host/runs"


def raised_by(error: BaseException, clause: str = "") -> MLProjectError:
    with pytest.raises(MLProjectError) as caught, store_errors.reaching(URI, clause=clause):
        raise error
    return caught.value


def refused(text: str) -> Exception:
    from mlflow.exceptions import MlflowException

    return MlflowException.invalid_parameter_value(text)


def test_a_database_that_fails_is_a_store_out_of_reach() -> None:
    error = raised_by(sqlite3.OperationalError("disk I/O error\nand more"))
    assert type(error) is StoreUnreachable
    assert str(error) == "tracking store postgresql://***@host/runs: OperationalError: disk I/O error"
    assert error.status == 4


def test_a_full_disk_under_a_store_is_no_room() -> None:
    cause = OSError(errno.ENOSPC, "No space left on device")
    for error in (
        sqlite3.OperationalError("database or disk is full"),
        OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full")),
    ):
        assert raised_by(error).status == 5
    wrapped = sqlite3.OperationalError("cannot commit")
    wrapped.__cause__ = cause
    assert str(raised_by(wrapped)) == (
        "no room in the tracking store postgresql://***@host/runs; free some space"
    )


def test_a_filter_that_mlflow_refuses_is_wrong_use_and_anything_else_is_not() -> None:
    error = raised_by(refused("Invalid clause(s) in filter string: 'x'"), clause="x")
    assert type(error) is WrongUse
    assert str(error) == "MLflow refuses this: MlflowException: Invalid clause(s) in filter string: 'x'"
    assert type(raised_by(refused("too long"))) is StoreUnreachable


def test_a_server_that_does_not_answer_is_named_with_the_remedy() -> None:
    from requests.exceptions import ConnectionError as Unanswered

    error = raised_by(Unanswered("HTTPConnectionPool: Max retries exceeded with url"))
    assert str(error) == (
        "no tracking server answers at postgresql://***@host/runs; start it, or set MLFLOW_TRACKING_URI"
    )


def test_a_password_in_the_text_of_a_driver_is_masked() -> None:
    error = raised_by(sqlite3.OperationalError(f"cannot open {URI}"))
    assert "secret" not in str(error)


@pytest.mark.parametrize("error", [BadInput("a table"), NoRoom("full")])
def test_errors_that_have_a_message_already_pass_unchanged(error: MLProjectError) -> None:
    assert raised_by(error) is error


@pytest.mark.parametrize("error", [KeyError("a"), ZeroDivisionError(), KeyboardInterrupt()])
def test_faults_of_our_code_keep_their_traceback(error: BaseException) -> None:
    with pytest.raises(type(error)), store_errors.reaching(URI):
        raise error
