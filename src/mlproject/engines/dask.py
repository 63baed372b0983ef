"""Tasks on a Dask cluster that runs already, or that is started as jobs of a queue or pods of Kubernetes.

Nothing here imports Dask before an engine asks for it. Whoever reaches the port of a Dask scheduler can run
code as its user: ports are on one network interface, and on that of this machine alone wherever it suffices.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from mlproject.engines import Engine
from mlproject.engines.tables import JobTable, PodTable, read_table
from mlproject.engines.workers import SCHEDULER
from mlproject.errors import MLProjectError, StoreUnreachable, WrongUse, one_line, unknown
from mlproject.signals import stop_received

log = logging.getLogger(__name__)

WAIT_SECONDS = 60.0
"""Tasks that wait for a first worker do so for this time before a line says what is waited for."""
POLL_SECONDS = 2.0
CONNECT_SECONDS = 30
N_EXPECTED = 8
"""Workers that a cluster is counted with which has none yet."""
LOGGERS = ("distributed", "distributed.client")
UNREADABLE = "deserialization of the task graph"
"""In the message on a task whose function a scheduler cannot import."""
INSTALL = "python -m pip install --editable '.[engines]'"
SCHEMES = ("tcp", "tls", "ws", "wss", "ucx", "inproc")
T = TypeVar("T")


def check_cluster(kind: str, rest: str) -> JobTable | PodTable | None:
    """The resources that the engine ``KIND:REST`` asks for, None for a running cluster; nothing is started.

    Raises: WrongUse for a file or an address that cannot be used, or where Dask is not installed.
    """
    needs = {"dask": "distributed", "kubernetes": "dask_kubernetes"}.get(kind, "dask_jobqueue")
    if not importlib.util.find_spec(needs):
        install = INSTALL.replace("engines", "engines,kubernetes") if kind == "kubernetes" else INSTALL
        raise WrongUse(f"engine {kind} needs {needs}, which is not installed; from the repository: {install}")
    if kind == "dask":
        scheme, there, place = rest.rpartition("://")
        port = place.rpartition(":")[2] if ":" in place else ""
        has_port = port.isdecimal() and 0 < int(port) < 1 << 16
        if (there and scheme not in SCHEMES) or not (has_port or scheme == "inproc"):
            raise WrongUse(f"engine dask needs an address such as tcp://HOST:8786 or tls://…, not {rest!r}")
        return None
    path = Path(rest)
    return read_table(PodTable, path) if kind == "kubernetes" else read_table(JobTable, path)


def open_dask(kind: str, rest: str) -> AbstractContextManager[Engine]:
    """The engine ``KIND:REST``: ``dask`` and an address, or ``slurm``, ``pbs``, ``lsf``, ``kubernetes`` and a
    TOML file.

    Raises: WrongUse for a file or an address that cannot be used, or where Dask is not installed;
    StoreUnreachable where no scheduler answers at the address.
    """
    table = check_cluster(kind, rest)
    if table is None:
        return _open_running(rest)
    if isinstance(table, PodTable):
        return _open_pods(table)
    _require_interface(table.interface, Path(rest).name)
    return _open_jobs(kind, table)


def _require_interface(name: str, file: str) -> None:
    """Refuse a network interface that this machine, where the scheduler runs, does not have."""
    known = [each for _, each in socket.if_nameindex()]
    if name not in known:
        raise unknown(f"network interface in {file}", name, known)


@contextlib.contextmanager
def _open_running(address: str) -> Iterator[Engine]:
    """A cluster that somebody started; it goes on when the engine is closed."""
    from distributed import Client

    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        try:
            client = stack.enter_context(Client(address, timeout=CONNECT_SECONDS, set_as_default=False))
        except (OSError, ValueError, TypeError) as error:
            text = (
                f"no Dask scheduler answers at {address} ({one_line(error)}); start one with: dask scheduler"
            )
            raise StoreUnreachable(text) from error
        n_threads = client.nthreads()
        if many := sorted(worker for worker, n in n_threads.items() if n > 1):
            rule = "a worker runs one task at a time; start it with --nthreads 1"
            raise WrongUse(f"the worker {many[0]} runs {n_threads[many[0]]} tasks at once: {rule}")
        hint = f"the cluster has none; start some with: dask worker {address} --nthreads 1"
        yield stack.enter_context(_engine("dask", client, len(n_threads) or N_EXPECTED, lambda: hint))


@contextlib.contextmanager
def _open_jobs(kind: str, table: JobTable) -> Iterator[Engine]:
    """Jobs of a batch system, between ``min_jobs`` and ``max_jobs`` by the tasks that wait."""
    import dask
    from distributed import Client

    from mlproject.engines.jobs import OneGpu, open_jobs

    with _quiet(), dask.config.set(SCHEDULER), open_jobs(kind, table) as jobs:
        # Durations are unknown at first: as many workers as tasks, up to the most.
        jobs.cluster.adapt(minimum_jobs=table.min_jobs, maximum_jobs=table.max_jobs, target_duration="10ms")
        with Client(jobs.cluster, set_as_default=False) as client:
            if table.n_workers > 1:
                client.register_plugin(OneGpu())
            n_workers = table.max_jobs * table.n_workers
            with _engine(kind, client, n_workers, jobs.waiting, jobs.refusal) as engine:
                yield engine


@contextlib.contextmanager
def _open_pods(table: PodTable) -> Iterator[Engine]:
    """Pods of Kubernetes, between ``min_jobs`` and ``max_jobs`` by the tasks that wait."""
    from distributed import Client

    from mlproject.engines.pods import pending_pods, pod_cluster

    with _quiet(), pod_cluster(table) as cluster:
        cluster.adapt(minimum=table.min_jobs, maximum=table.max_jobs)
        with (
            Client(cluster, set_as_default=False) as client,
            _engine("kubernetes", client, table.max_jobs, lambda: pending_pods(cluster)) as engine,
        ):
            yield engine


@contextlib.contextmanager
def _engine(
    name: str, client: Any, n_workers: int, waiting: Callable[[], str], refusal: Callable[[], str] = str
) -> Iterator[Engine]:
    """The engine of a client, watched for tasks that wait in vain: ``waiting`` says what for, in words, and
    ``refusal`` why there will be no worker."""
    executor, ends_workers = DaskExecutor(client), name != "dask"  # else somebody else's cluster goes on
    closed = threading.Event()
    watch = threading.Thread(target=_watch, args=(executor, waiting, refusal, closed), daemon=True)
    watch.start()
    try:
        yield Engine(name=name, executor=executor, n_workers=n_workers, ends_workers=ends_workers)
    except BaseException:
        stop_received()  # a signal that led here is not raised again while workers and jobs are given back
        raise
    finally:
        closed.set()
        executor.shutdown(wait=False)
        watch.join(POLL_SECONDS)


class DaskExecutor(Executor):
    """Executor of a Dask client whose futures end with one line where workers or the scheduler are gone."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.waiting: dict[Future[Any], Future[Any]] = {}
        self._given_up: MLProjectError | None = None
        self._inner = client.get_executor(pure=False)
        self._name, self._numbers = f"task-{uuid.uuid4().hex[:8]}", itertools.count()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run a function on a worker, once more where the worker dies, up to three times."""
        outer: Future[T] = Future()
        if self._given_up or self.client.status != "running":
            outer.set_exception(self._lost())
            return outer
        # Keys of one group: the scheduler hands them out one by one, as workers are free.
        inner = self._inner.submit(fn, *args, key=(self._name, next(self._numbers)), **kwargs)
        self.waiting[outer] = inner
        outer.add_done_callback(self.waiting.pop)
        outer.add_done_callback(lambda done: inner.cancel() if done.cancelled() else None)
        inner.add_done_callback(lambda done: self._pass_on(done, outer))
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no further tasks; without ``wait`` those that wait or run are given up."""
        self._inner.shutdown(wait=wait and not cancel_futures)

    def give_up(self, error: MLProjectError) -> None:
        """End all tasks with an error, those too that are submitted later."""
        self._given_up = error
        for inner in list(self.waiting.values()):
            inner.cancel()

    def n_running(self) -> dict[str, int]:
        """How many tasks each worker runs that the scheduler has now, by its address."""
        return {worker: len(tasks) for worker, tasks in self.client.processing().items()}

    def _pass_on(self, inner: Future[T], outer: Future[T]) -> None:
        """The outcome of a task to the future that was handed out."""
        from distributed.scheduler import KilledWorker

        if not outer.set_running_or_notify_cancel():
            return
        error = self._lost() if inner.cancelled() else inner.exception()
        if isinstance(error, KilledWorker):
            times = f"its worker died {error.allowed_failures + 1} times, as a rule for want of memory"
            error = MLProjectError(f"{times}; the log of worker {error.last_worker.address} may say why")
        elif isinstance(error, RuntimeError) and UNREADABLE in str(error):
            rule = "scheduler and workers need the same versions of it, of Dask and of Python as are here"
            error = StoreUnreachable(f"the Dask scheduler cannot read a task of mlproject: {rule}")
        if error:
            outer.set_exception(error)
        else:
            outer.set_result(inner.result())

    def _lost(self) -> MLProjectError:
        if self._given_up:
            return self._given_up
        address = self.client.scheduler.address
        rule = "what was finished is recorded, and the same command goes on from there"
        return StoreUnreachable(f"the Dask scheduler at {address} is gone; {rule}")


def _watch(
    executor: DaskExecutor, waiting: Callable[[], str], refusal: Callable[[], str], closed: threading.Event
) -> None:
    """Say which workers are gone whose tasks run again, and once what is waited for where tasks have waited a
    minute for a first worker."""
    since, is_said, running = time.monotonic(), False, dict[str, int]()
    while not closed.wait(POLL_SECONDS):
        if reason := refusal():
            executor.give_up(StoreUnreachable(reason))
            return
        try:
            before, running = running, executor.n_running()
        except Exception:  # the scheduler is gone: the futures say so
            return
        for worker in before.keys() - running.keys():
            if before[worker]:
                log.warning("the worker at %s is gone; what it ran runs again", worker)
        if running or not executor.waiting:
            since, is_said = time.monotonic(), False
        elif not is_said and time.monotonic() - since > WAIT_SECONDS:
            log.warning("no worker yet, and %d tasks wait: %s", len(executor.waiting), waiting())
            is_said = True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out Dask's log lines on workers and connections: futures and ``_watch`` say what matters."""
    import distributed  # noqa: F401 (it sets the levels when it is imported)

    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
