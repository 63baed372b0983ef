"""What stores, databases and networks raise, turned into one line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from mlproject.errors import Problem, StoreAway
from mlproject.signals import Stopped


@contextlib.contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Turn what a store, a database or a network raises into one line."""
    try:
        yield
    except (Problem, Stopped):
        raise
    except Exception as error:
        module = type(error).__module__.partition(".")[0]
        if module in {"mlflow", "sqlalchemy", "requests", "urllib3", "sqlite3", "alembic"}:
            raise StoreAway(masked(f"tracking store {uri}: {one_line(error)}")) from error
        raise


def masked(text: str) -> str:
    """The text with users and passwords taken out of its addresses."""
    return re.sub(r"//[^/@]*@", "//***@", text)


def one_line(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
