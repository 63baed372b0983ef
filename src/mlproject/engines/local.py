"""Worker processes on this machine, one task each at a time; a task whose worker is killed runs again.

Each worker is a process pool of its own, so that the death of one breaks no other. A server process without
threads starts them (``forkserver``), with the imports of a worker done once: one that is replaced starts in
a tenth of a second. Workers divide the machine between them, ignore the interrupt key (the driver decides),
treat SIGTERM as the program does, and end by it when the driver is gone, whatever ended it.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from mlproject.device import shares, take_share
from mlproject.engines import Engine
from mlproject.errors import MLProjectError, Stopped, one_line
from mlproject.signals import (
    changed_environment,
    end_on_signals,
    raise_on_signals,
    start_fork_server,
    stop_received,
)

log = logging.getLogger(__name__)

CONTEXT = multiprocessing.get_context("forkserver")
MOST_RUNS = 4
"""How often a task is run whose worker dies each time: once, and again three times, as Dask does."""
STOP_SECONDS = 90.0
"""Time that a worker has to end after SIGTERM: a run is closed within a minute even if its store is busy."""


@contextlib.contextmanager
def open_local(n_workers: int, imports: Sequence[str] = ()) -> Iterator[Engine]:
    """So many worker processes, which import these modules before their first task."""
    environments = shares(n_workers)
    # Libraries of numbers read the number of threads as they are imported, and all is imported from here.
    paths = os.pathsep.join(map(os.path.abspath, sys.path))
    with changed_environment({**environments[0], "PYTHONPATH": paths}):
        start_fork_server([__name__, *imports])
    workers = LocalWorkers(environments)
    try:
        yield Engine(name=f"local:{n_workers}", executor=workers, n_workers=n_workers)
        workers.shutdown()
    except BaseException:
        workers.stop()
        raise


@dataclass(frozen=True)
class _Call:
    """A call that a worker makes."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]


@dataclass(frozen=True)
class _Work:
    """A call that waits for a worker, and the future of its result."""

    future: Future[Any]
    call: _Call


class LocalWorkers(Executor):
    """An executor of one worker process for each of these environments."""

    def __init__(self, environments: Sequence[Mapping[str, str]]) -> None:
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._pids: dict[int, int] = {}
        self._stopping = False
        here = dict(os.environ)
        n_workers = len(environments)
        self._threads = [
            Thread(target=self._serve, args=(number, here | dict(environment), n_workers), daemon=True)
            for number, environment in enumerate(environments)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a call for the next worker that is free."""
        future: Future[Any] = Future()
        self._queue.put(_Work(future, _Call(fn, args, kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers once all tasks are done, or those that run where the others are cancelled."""
        if cancel_futures:
            with contextlib.suppress(Empty):
                while (work := self._queue.get_nowait()) is not None:
                    work.future.cancel()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def stop(self) -> None:
        """Cancel the tasks that wait, and stop those that run by SIGTERM; another signal kills them."""
        stop_received()  # the signal that led here is not raised again while the workers end
        self._stopping = True
        self.shutdown(wait=False, cancel_futures=True)
        try:
            self._signal(signal.SIGTERM)
            end = time.monotonic() + STOP_SECONDS
            for thread in (self._threads[number] for number in list(self._pids)):  # no others run a task
                thread.join(max(0.0, end - time.monotonic()))
        finally:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for pid in list(self._pids.values()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _serve(self, number: int, environment: Mapping[str, str], n_workers: int) -> None:
        """Run tasks of the queue, one at a time, in a worker process that is started anew where it dies."""
        pool: ProcessPoolExecutor | None = None
        while (work := self._queue.get()) is not None:
            if not work.future.set_running_or_notify_cancel():
                continue
            for n_runs in range(1, MOST_RUNS + 1):
                try:
                    pool = pool or self._started(number, environment, n_workers)
                    work.future.set_result(pool.submit(_run, self._unless_stopping(work)).result())
                    break
                except (BrokenProcessPool, Stopped) as death:
                    self._end(number, pool)
                    pool = None
                    if n_runs == MOST_RUNS or self._stopping:  # the future says it
                        work.future.set_exception(_gone(death, n_runs))
                        break
                    log.warning("a worker was killed, perhaps for lack of memory; its task runs again")
                except BaseException as error:
                    work.future.set_exception(error)
                    break
        self._end(number, pool)

    def _unless_stopping(self, work: _Work) -> _Call:
        if self._stopping:
            raise Stopped(signal.SIGTERM)
        return work.call

    def _end(self, number: int, pool: ProcessPoolExecutor | None) -> None:
        if pool is not None:
            pool.shutdown()
        self._pids.pop(number, None)

    def _started(self, number: int, environment: Mapping[str, str], n_workers: int) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(
            max_workers=1,
            mp_context=CONTEXT,
            initializer=_begin,
            initargs=(dict(environment), os.getcwd(), n_workers),
        )
        try:
            self._pids[number] = pool.submit(os.getpid).result()
        except (OSError, EOFError) as error:  # the server process was killed; the next one is another
            raise BrokenProcessPool(one_line(error)) from error
        return pool


def _gone(death: BaseException, n_runs: int) -> MLProjectError:
    if isinstance(death, Stopped):
        return MLProjectError(f"its worker process was {death}")
    return MLProjectError(
        f"its worker process was killed {n_runs} times, as a rule for lack of memory: run it with fewer "
        "workers (--engine local:N), or in this process (--engine serial)"
    )


def _begin(environment: dict[str, str], folder: str, n_workers: int) -> None:
    """Make a new worker one of the driver's: its environment and folder, a share of the machine, its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    take_share(n_workers)
    Thread(target=_end_with_driver, daemon=True).start()


def _end_with_driver() -> None:
    """Wait until the driver is gone, then stop this process as SIGTERM does; its task closes its run."""
    driver = multiprocessing.parent_process()
    assert driver is not None
    connection.wait([driver.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os._exit(128 + signal.SIGTERM)


def _run(call: _Call) -> Any:
    """Make a call; a signal meanwhile raises Stopped in it, and later ends a worker that waits."""
    raise_on_signals()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return call.function(*call.arguments, **call.named)
    except Stopped as stop:
        driver = multiprocessing.parent_process()
        if driver is None or not driver.is_alive():
            os._exit(stop.status)  # nobody is left to take the result
        raise
    finally:
        end_on_signals()
