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
from operator import itemgetter
from typing import Any

from mlproject.device import available_memory, find_device, find_n_cores, n_gpus
from mlproject.errors import WrongUse, unknown

__all__ = ["Engine", "InProcess", "check_engine", "engine_and_reason", "engine_for", "open_engine"]

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

    ``in_process``: tasks run in this process, as they are submitted. ``ends_workers``: its workers are of
    other machines and end with the engine, whatever they run.
    """

    name: str
    executor: Executor
    n_workers: int
    in_process: bool = False
    ends_workers: bool = False


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
        has = f"this machine has {_counted(n_cores, 'core')}"
        raise WrongUse(f"engine local:{number}: {has}, and runs at most {most} processes: --engine local")


def engine_for(text: str, n_tasks: int) -> str:
    """The engine that runs so many tasks: the one that is given, or that the environment names, or a choice.

    Without either it is this process for few tasks, on a single core and beside a single GPU; else as many
    worker processes as there are GPUs, or cores and memory for. Nothing starts for no task at all.
    Raises: WrongUse as ``check_engine``.
    """
    return engine_and_reason(text, n_tasks)[0]


def engine_and_reason(text: str, n_tasks: int) -> tuple[str, str]:
    """The engine that ``engine_for`` gives, and why it is this one, in a few words."""
    reason = "as asked for" if text else f"as {VARIABLE} says"
    text = text or os.environ.get(VARIABLE, "")
    if text:
        check_engine(text)
    if n_tasks == 0:
        return "serial", "nothing to run"
    if text not in ("", "local"):
        return text, reason
    n_workers, limit = _n_workers(n_tasks)
    few = 2 if n_gpus() > 1 else FEW_TASKS
    if text or (n_tasks >= few and n_workers > 1 and not current_process().daemon):
        return f"local:{n_workers}", limit
    if current_process().daemon:
        return "serial", "this process may start no others"
    return "serial", limit if n_workers == 1 else f"workers pay from {few} tasks on, these are {n_tasks}"


def _n_workers(n_tasks: int) -> tuple[int, str]:
    """Worker processes that suit this machine, at most as many as there are tasks, and what limits them."""
    if find_device() != "cpu":
        n_devices = max(1, n_gpus())
        limits = [(n_devices, _counted(n_devices, "GPU"))]
    else:
        n_cores, n_fit = find_n_cores(), max(1, available_memory() // WORKER_BYTES)
        limits = [(n_cores, _counted(n_cores, "core")), (n_fit, f"memory for {_counted(n_fit, 'worker')}")]
    return min([*limits, (n_tasks, _counted(n_tasks, "task"))], key=itemgetter(0))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


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
