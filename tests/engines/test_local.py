"""Worker processes: each has its share of the machine, a killed one is replaced, none outlives its driver."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path

import pytest

from mlproject.device import find_n_cores, find_n_threads
from mlproject.engines import Engine, open_engine
from mlproject.errors import MLProjectError, Stopped, WrongUse
from tests import processes


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with open_engine("local:2", ["torch"]) as engine:
        yield engine


def share(pause: float) -> tuple[int, int, int, int, object]:
    import torch

    time.sleep(pause)  # so that no worker gets both tasks
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    return os.getpid(), find_n_threads(), torch.get_num_threads(), find_n_cores(), ignored


def test_workers_divide_the_machine_and_leave_the_interrupt_key_to_their_driver(engine: Engine) -> None:
    first, second = (engine.executor.submit(share, 0.5) for _ in range(2))
    half = max(1, find_n_cores() // 2)
    assert first.result()[0] != second.result()[0]
    assert first.result()[1:] == second.result()[1:] == (min(half, find_n_threads()),) * 2 + (half, True)


def refuse() -> None:
    raise WrongUse("as it was raised")


def test_an_error_of_a_task_is_that_of_its_future(engine: Engine) -> None:
    with pytest.raises(WrongUse, match="as it was raised"):
        engine.executor.submit(refuse).result()


def die(file: Path, times: int, number: int) -> int:
    """Append a byte to a file, and die unless it had so many before."""
    with file.open("ab") as opened:
        opened.write(b".")
    if file.stat().st_size <= times:
        os.kill(os.getpid(), number)
        time.sleep(60)
    return os.getpid()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_task_whose_worker_is_killed_runs_again_and_no_other_one_does(
    engine: Engine, tmp_path: Path, number: int
) -> None:
    killed = engine.executor.submit(die, tmp_path / "killed", 2, number)
    beside = engine.executor.submit(die, tmp_path / "beside", 0, number)
    assert killed.result() > 0
    assert beside.result() > 0
    assert (tmp_path / "killed").stat().st_size == 3
    assert (tmp_path / "beside").stat().st_size == 1


def test_a_task_that_kills_every_worker_is_given_up_in_one_line(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(MLProjectError, match="its worker process was killed 4 times, as a rule"):
        engine.executor.submit(die, tmp_path / "killed", 9, signal.SIGKILL).result()
    assert engine.executor.submit(divmod, 7, 2).result() == (3, 1), "the slot has a new worker"


def wait(started: Path, stopped: Path) -> None:
    """Wait for the end, and say how it came."""
    try:
        started.write_text(str(os.getpid()))
        time.sleep(60)
    except Stopped as stop:
        stopped.write_text(str(stop))
        raise


def interrupted(futures: list[Future[None]], started: Path, *arguments: Path) -> None:
    with open_engine("local:1") as engine:
        futures += [
            engine.executor.submit(wait, started.with_name(n), *arguments) for n in ("started", "never")
        ]
        while not started.exists():
            time.sleep(0.01)
        raise KeyboardInterrupt


def test_leaving_by_an_error_stops_what_runs_and_cancels_what_waits(tmp_path: Path) -> None:
    started, stopped = tmp_path / "started", tmp_path / "stopped"
    futures: list[Future[None]] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted(futures, started, stopped)
    running, waiting = futures
    assert stopped.read_text() == "stopped by SIGTERM"
    with pytest.raises(MLProjectError, match="its worker process was stopped by SIGTERM"):
        running.result()
    with pytest.raises(CancelledError):
        waiting.result()
    assert not (tmp_path / "never").exists()


def drive(started: Path, stopped: Path) -> None:
    with open_engine("local:1") as engine:
        engine.executor.submit(wait, started, stopped).result()


def test_workers_end_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    started, stopped = tmp_path / "started", tmp_path / "stopped"
    driver = processes.started(drive, started, stopped, children=True)
    processes.wait_for(lambda: started.exists() and started.read_text(), driver)
    os.kill(driver.pid or 0, signal.SIGKILL)
    assert processes.ended(driver) == -signal.SIGKILL
    worker, end = int(started.read_text()), time.monotonic() + 30
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < end:
            os.kill(worker, 0)
            time.sleep(0.02)
    assert time.monotonic() < end
    assert stopped.read_text() == "stopped by SIGTERM"
