"""Engines: where the tasks of a plan run, each behind a ``concurrent.futures.Executor``.

    serial            this process
    local, local:N    N worker processes of this machine
    dask:ADDRESS      a running Dask cluster
    slurm:FILE        jobs of a batch system, whose resources a TOML file gives; also pbs, lsf and kubernetes

Whoever has tasks calls ``executor.submit`` with functions of a module and values that can be pickled, and
waits with ``concurrent.futures``: any other executor will do as well. A task whose worker died is run again
by its engine, up to three times; it has to bear that.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from multiprocessing import current_process
from typing import Any

from mlproject.device import available_memory, find_device, find_n_cores, n_gpus
from mlproject.errors import WrongUse, unknown

__all__ = ["Engine", "InProcess", "check_engine", "engine_for", "open_engine"]

VARIABLE = "MLPROJECT_ENGINE"
CLUSTERS = {
    "dask": "the address of a scheduler: dask:tcp://127.0.0.1:8786",
    "slurm": "a TOML file of resources: slurm:cluster.toml",
    "pbs": "a TOML file of resources: pbs:cluster.toml",
    "lsf": "a TOML file of resources: lsf:cluster.toml",
    "kubernetes": "a TOML file of resources: kubernetes:cluster.toml",
}
"""Engines of several machines, and what has to be given with each."""
KINDS = ("serial", "local", *CLUSTERS)
FEW_TASKS = 8
"""Fewer tasks are run by this process: workers take seconds to start."""
PER_CORE = 8
"""Most worker processes for each core or GPU: more only wait for one another."""
WORKER_BYTES = 2_000_000_000
"""Memory that a worker is counted with where their number is not given."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An executor of tasks, and how many it runs at once.

    ``in_process``: tasks run in this process, as they are submitted.
    """

    name: str
    executor: Executor
    n_workers: int
    in_process: bool = False


class InProcess(Executor):
    """Runs each task in this process when it is submitted: signals and tracebacks are those of a call."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The finished future of a call."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def check_engine(text: str) -> None:
    """Refuse an engine that does not exist or lacks what it needs, as far as no connection tells.

    Raises: WrongUse.
    """
    kind, colon, rest = text.partition(":")
    if kind not in KINDS:
        raise unknown("engine", kind, KINDS)
    if kind == "serial" and colon:
        raise WrongUse(f"engine serial takes nothing more, not {text!r}; for worker processes write local:N")
    if kind == "local" and colon:
        _check_n_workers(rest)
    if kind in CLUSTERS and not rest:
        raise WrongUse(f"engine {kind} needs {CLUSTERS[kind]}")
    if kind in CLUSTERS:
        from mlproject.engines.dask import check_cluster

        check_cluster(kind, rest)


def _check_n_workers(number: str) -> None:
    """Refuse a number of worker processes that is none, or far above what this machine can run at once."""
    if not (number.isascii() and number.isdecimal() and int(number) > 0):
        raise WrongUse(f"engine local:N needs a number of processes of at least 1, not 'local:{number}'")
    n_cores, most = find_n_cores(), PER_CORE * max(find_n_cores(), n_gpus())
    if int(number) > most:
        has = f"this machine has {n_cores} core{'s' * (n_cores != 1)}"
        raise WrongUse(f"engine local:{number}: {has}, and runs at most {most} processes: --engine local")


def engine_for(text: str, n_tasks: int) -> str:
    """The engine that runs so many tasks: the one that is given, or that the environment names, or a choice.

    Without either it is this process for few tasks, on a single core and beside a single GPU; else as many
    worker processes as there are GPUs, or cores and memory for. Nothing starts for no task at all.
    Raises: WrongUse as ``check_engine``.
    """
    text = text or os.environ.get(VARIABLE, "")
    if text:
        check_engine(text)
    if n_tasks == 0 or text not in ("", "local"):
        return text if n_tasks else "serial"
    n_workers = _n_workers(n_tasks)
    few = n_tasks < (2 if n_gpus() > 1 else FEW_TASKS)
    few = few or n_workers == 1 or current_process().daemon  # such a process may start no others
    return "serial" if few and not text else f"local:{n_workers}"


def _n_workers(n_tasks: int) -> int:
    """Worker processes that suit this machine, and at most as many as there are tasks."""
    gpus = find_device() != "cpu"
    most = max(1, n_gpus()) if gpus else min(find_n_cores(), max(1, available_memory() // WORKER_BYTES))
    return max(1, min(most, n_tasks))


@contextlib.contextmanager
def open_engine(text: str, imports: Sequence[str] = ()) -> Iterator[Engine]:
    """Open the engine of this name (default: ``local`` with a worker for each core, or GPU).

    Workers of this machine import the modules ``imports`` once for all. Leaving the block waits for all
    tasks; leaving it by an exception, a signal included, cancels those that wait and stops those that run.

    Raises: WrongUse for a name that is none.
    """
    check_engine(text)
    kind, _, rest = text.partition(":")
    if kind == "serial":
        yield Engine(name=text, executor=InProcess(), n_workers=1, in_process=True)
    elif kind == "local":
        from mlproject.engines.local import open_local

        with open_local(int(rest or find_n_cores()), imports) as engine:
            yield engine
    else:
        from mlproject.engines.dask import open_dask

        with open_dask(kind, rest) as engine:
            yield engine
