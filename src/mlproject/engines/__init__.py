"""Where tasks run: this process, processes of this machine, or a Dask cluster."""

from __future__ import annotations

from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass

from mlproject.errors import unknown

DASK = ("dask", "slurm", "pbs", "lsf", "kubernetes")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Where tasks run: ``executor`` takes them, ``n_workers`` run at a time."""

    name: str
    executor: Executor
    n_workers: int


def open_engine(text: str) -> AbstractContextManager[Engine]:
    """The engine of a text such as ``dask:ADDRESS`` or ``slurm:FILE.toml``. Raises: WrongUse."""
    kind, _, rest = text.partition(":")
    if kind not in DASK:
        raise unknown("engine", kind, DASK)
    from mlproject.engines.dask import open_dask

    return open_dask(kind, rest)
