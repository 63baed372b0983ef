"""What handing out tasks costs: time a task, CPU seconds and memory of driver, scheduler and workers.

python benchmarks/scheduler.py 1000 10000            a window of tasks at a time, and all at once
python benchmarks/scheduler.py 100000 --way waiting  no worker: what the tasks that wait take

Tasks do nothing, so that only the engine is measured: a scheduler and two workers, each a process of its own,
on the loopback interface, reached through ``mlproject.engines`` as by a sweep. Needs the extra ``engines``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlproject.engines import Engine, open_engine

WINDOW = 4
"""Tasks that are handed out for each worker, in the bounded way."""
TICKS = os.sysconf("SC_CLK_TCK")
N_WORKERS = 2
SETTLE_SECONDS = 5.0


def nothing(number: int) -> int:
    """A task that does nothing."""
    return number


@dataclass(frozen=True, kw_only=True)
class Use:
    """CPU seconds so far, and the largest resident memory in MB, of a process."""

    cpu: float
    peak: float


def use_of(pid: int) -> Use:
    """What a process has used, from /proc."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return Use(cpu=(int(words[11]) + int(words[12])) / TICKS, peak=peak / 1024)


@contextmanager
def cluster(n_workers: int) -> Iterator[tuple[str, int, list[int]]]:
    """Address and process of a scheduler, and the processes of its workers."""
    settings = os.environ | {"DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION": "1.0", "OMP_NUM_THREADS": "1"}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mlproject-")))
        file = folder / "scheduler.json"

        def start(*words: str) -> int:
            command = [sys.executable, "-m", *words, "--scheduler-file", str(file)]
            process = subprocess.Popen(command, env=settings, cwd=folder, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process.pid

        closed = ("--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0")
        scheduler = start("distributed.cli.dask_scheduler", "--port", "0", *closed)
        while not file.exists():
            time.sleep(0.1)
        words = ("distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", *closed)
        workers = [start(*words) for _ in range(n_workers)]
        yield json.loads(file.read_text())["address"], scheduler, workers


def run(engine: Engine, n_tasks: int, window: int) -> None:
    """Run tasks, at most ``window`` of them handed out at a time."""
    numbers = iter(range(n_tasks))
    futures: set[Future[int]] = set()
    n_done = 0
    while n_done < n_tasks:
        room = itertools.islice(numbers, window - len(futures))
        futures |= {engine.executor.submit(nothing, number) for number in room}
        done, futures = wait(futures, return_when=FIRST_COMPLETED)
        n_done += len(done)
        assert all(future.result() >= 0 for future in done)


def measure(n_tasks: int, way: str) -> str:
    """A row of the table, on a cluster of its own."""
    n_workers = 0 if way == "waiting" else N_WORKERS
    with cluster(n_workers) as (address, scheduler, workers), open_engine(f"dask:{address}") as engine:
        pids = {"driver": os.getpid(), "scheduler": scheduler} | ({"a worker": workers[0]} if workers else {})
        if workers:
            engine.executor.submit(nothing, 0).result()
        before, start = {name: use_of(pid) for name, pid in pids.items()}, time.perf_counter()
        if workers:
            run(engine, n_tasks, WINDOW * N_WORKERS if way == "window" else n_tasks)
        else:
            futures = [engine.executor.submit(nothing, number) for number in range(n_tasks)]
            time.sleep(SETTLE_SECONDS)  # the last of them may be on their way
            assert not any(future.done() for future in futures)
        seconds = time.perf_counter() - start
        after = {name: use_of(pid) for name, pid in pids.items()}
    cpu = {name: f"{1000 * (after[name].cpu - before[name].cpu) / n_tasks:.2f}" for name in pids}
    peak = [f"{before[name].peak:.0f} → {after[name].peak:.0f}" for name in ("driver", "scheduler")]
    each = [cpu["driver"], cpu["scheduler"], cpu.get("a worker", "")]
    return " | ".join([f"{n_tasks:,}", way, f"{1000 * seconds / n_tasks:.2f}", *each, *peak])


def main() -> None:
    """Print the table, each row in a process of its own, so that its peaks are its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="+", type=int)
    parser.add_argument("--way", choices=("window", "all", "waiting"))
    parser.add_argument("--row", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.row:
        print(f"| {measure(asked.tasks[0], asked.way)} |", flush=True)
        return
    head = (
        "tasks",
        "way",
        "ms a task",
        "CPU-ms driver",
        "scheduler",
        "a worker",
        "peak MB driver",
        "scheduler",
    )
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}", flush=True)
    for n_tasks in asked.tasks:
        for way in [asked.way] if asked.way else ["window", "all"]:
            words = [sys.executable, __file__, str(n_tasks), "--way", way, "--row"]
            subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
