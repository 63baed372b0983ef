"""Errors of stores, databases and networks as one-line messages."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mlproject.errors import (
    MLProjectError,
    NoRoom,
    Stopped,
    StoreUnreachable,
    WrongUse,
    is_disk_full,
    masked,
    one_line,
)


@contextlib.contextmanager
def reaching(uri: str, *, clause: str = "") -> Iterator[None]:
    """Raise errors of MLflow, databases and networks as MLProjectError; ``clause`` is the filter in use."""
    try:
        yield
    except (MLProjectError, Stopped):
        raise
    except Exception as error:
        module = type(error).__module__.partition(".")[0]
        if module in {"mlflow", "sqlalchemy", "requests", "urllib3", "sqlite3", "alembic"}:
            raise _problem(uri, error, clause) from error
        raise


def _problem(uri: str, error: Exception, clause: str) -> MLProjectError:
    where = masked(uri)
    if is_disk_full(error):
        return NoRoom(f"no room in the tracking store {where}; free some space")
    if clause and getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE":
        return WrongUse(masked(f"MLflow refuses this: {one_line(error)}"))
    if "Max retries exceeded" in str(error):
        return StoreUnreachable(
            f"no tracking server answers at {where}; start it, or set MLFLOW_TRACKING_URI"
        )
    return StoreUnreachable(masked(f"tracking store {where}: {one_line(error)}"))
