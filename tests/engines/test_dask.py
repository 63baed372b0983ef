from __future__ import annotations

import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import LocalCluster, Security

from mlproject.engines import Engine, open_engine
from mlproject.engines import dask as engine_module
from mlproject.engines.jobs import ROLES
from mlproject.engines.workers import SCHEDULER, WORKER
from mlproject.errors import MLProjectError, StoreUnreachable, WrongUse
from tests.engines.tasks import die, die_once, double, environment, fail, start_process

ROOT = Path(__file__).parents[2]
ONE_FAILURE = {"distributed.scheduler.allowed-failures": 1}
"""A worker takes seconds to start, so that a task is given up after two deaths here, and not after four."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Two workers on the loopback interface, reached by their address."""
    folder = tmp_path_factory.mktemp("dask")
    with (
        dask.config.set(SCHEDULER | WORKER | ONE_FAILURE),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            local_directory=folder,
        ) as cluster,
        open_engine(f"dask:{cluster.scheduler_address}") as opened,
    ):
        yield opened


def test_tasks_run_on_the_workers_and_the_engine_says_how_many_there_are(engine: Engine) -> None:
    assert (engine.name, engine.n_workers) == ("dask", 2)
    futures = [engine.executor.submit(double, number) for number in range(20)]
    assert [future.result(30) for future in futures] == list(range(0, 40, 2))
    pids = {engine.executor.submit(environment, "OMP_NUM_THREADS").result(30)}
    assert pids == {os.environ.get("OMP_NUM_THREADS", "1")}


def test_an_error_of_a_task_is_its_own_and_not_repeated(engine: Engine) -> None:
    with pytest.raises(ValueError, match="no such image"):
        engine.executor.submit(fail, "no such image").result(30)


def test_a_task_may_start_processes(engine: Engine) -> None:
    assert engine.executor.submit(start_process).result(30)


def test_a_task_whose_worker_is_killed_runs_again_and_counts_once(engine: Engine, tmp_path: Path) -> None:
    futures = [
        engine.executor.submit(die_once, tmp_path),
        *(engine.executor.submit(double, 1) for _ in range(10)),
    ]
    assert futures[0].result(60) == 2
    assert [future.result(60) for future in futures[1:]] == [2] * 10


def test_the_death_of_a_worker_is_logged_and_its_task_runs_again_in_another_process(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine_module, "POLL_SECONDS", 0.05)
    address = engine.executor.client.scheduler.address  # type: ignore[attr-defined]
    with caplog.at_level(logging.WARNING), open_engine(f"dask:{address}") as opened:
        assert opened.executor.submit(die_once, tmp_path, 0.5).result(60) == 2
        start = time.monotonic()
        while not caplog.messages and time.monotonic() - start < 10:
            time.sleep(0.05)
    assert len(list(tmp_path.iterdir())) == 2, "a file for each process that began it"
    gone = [message for message in caplog.messages if message.endswith("what it ran runs again")]
    assert gone
    assert all(message.startswith("the worker at tcp://127.0.0.1:") for message in gone)


def test_a_task_that_kills_every_worker_fails_with_one_line_and_the_others_are_done(engine: Engine) -> None:
    killer = engine.executor.submit(die)
    others = [engine.executor.submit(double, number) for number in range(10)]
    with pytest.raises(MLProjectError, match="its worker died 2 times") as error:
        killer.result(120)
    assert "\n" not in str(error.value)
    assert [future.result(60) for future in others] == list(range(0, 20, 2))


def test_a_cancelled_task_wakes_who_waits_for_it(engine: Engine) -> None:
    running = [engine.executor.submit(time.sleep, 0.5) for _ in range(2)]
    queued = engine.executor.submit(double, 1)
    assert queued.cancel()
    done, _ = wait([queued], timeout=5)
    assert done == {queued}
    assert all(future.result(30) is None for future in running)


DRIVES = """
import sys, time
from mlproject.engines import open_engine
from mlproject.errors import Stopped
from mlproject.signals import end_on_signals, raise_on_signals
raise_on_signals()
try:
    with open_engine(f"dask:{sys.argv[1]}") as engine:
        future = engine.executor.submit(time.sleep, 1)
        print("ready", flush=True)
        future.result()
except Stopped as stop:
    end_on_signals()
    sys.exit(stop.status)
"""


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_the_driver_without_a_traceback_and_the_cluster_goes_on(
    engine: Engine, times: int
) -> None:
    address = engine.executor.client.scheduler.address  # type: ignore[attr-defined]
    with subprocess.Popen(
        [sys.executable, "-c", DRIVES, address],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == b"ready\n"
        for _ in range(times):
            driver.send_signal(signal.SIGINT)
            time.sleep(0.05)
        _, errors = driver.communicate(timeout=50)
    assert (driver.returncode in (130, -signal.SIGINT), errors) == (True, b"")
    assert engine.executor.submit(double, 1).result(30) == 2


def test_a_worker_that_runs_several_tasks_at_once_is_refused() -> None:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        pytest.raises(WrongUse, match=r"runs 2 tasks at once: .* start it with --nthreads 1"),
        open_engine(f"dask:{cluster.scheduler_address}"),
    ):
        pytest.fail("opened")


def _dotted(settings: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Settings as Dask reads them from the environment, by dotted names."""
    dotted: dict[str, Any] = {}
    for name, value in settings.items():
        dotted |= (
            _dotted(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
        )
    return dotted


def test_a_cluster_with_tls_is_reached_by_the_files_that_dasks_variables_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = Security.temporary()
    names = {"ca.pem": temporary.tls_ca_file, "cert.pem": temporary.tls_worker_cert}
    for name, content in (names | {"key.pem": temporary.tls_worker_key}).items():
        (tmp_path / name).write_text(content)
    ca, cert, key = (str(tmp_path / name) for name in ("ca.pem", "cert.pem", "key.pem"))
    pairs = {f"tls_{role}_{part}": path for role in ROLES for part, path in (("cert", cert), ("key", key))}
    security = Security(require_encryption=True, tls_ca_file=ca, **pairs)
    words = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": "127.0.0.1:0"}
    variables = {
        "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": ca,
        "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT": cert,
        "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY": key,
        "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True",
    }
    with LocalCluster(protocol="tls://", host="127.0.0.1", security=security, **words) as cluster:
        address = cluster.scheduler_address
        monkeypatch.setattr(engine_module, "CONNECT_SECONDS", 2)
        with (
            pytest.raises(StoreUnreachable, match="no Dask scheduler answers"),
            open_engine(f"dask:{address}"),
        ):
            pytest.fail("reached without certificates")
        with (
            dask.config.set(_dotted(dask.config.collect_env(variables))),
            open_engine(f"dask:{address}") as opened,
        ):
            assert opened.executor.submit(double, 4).result(30) == 8


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address and the process of a scheduler without workers."""
    file = tmp_path / "scheduler.json"
    words = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    words += ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    command = [sys.executable, "-m", *words, "--scheduler-file", str(file)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        while not file.exists():
            assert process.poll() is None
            time.sleep(0.05)
        yield json.loads(file.read_text())["address"], process
        process.kill()


def test_tasks_that_wait_for_a_first_worker_say_so_and_end_with_one_line_where_the_scheduler_dies(
    lonely: tuple[str, subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    address, process = lonely
    monkeypatch.setattr(engine_module, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(engine_module, "POLL_SECONDS", 0.1)
    with caplog.at_level(logging.WARNING), open_engine(f"dask:{address}") as engine:
        future = engine.executor.submit(double, 1)
        start = time.monotonic()
        while not caplog.messages and time.monotonic() - start < 10:
            time.sleep(0.05)
        process.kill()
        with pytest.raises(StoreUnreachable, match=f"the Dask scheduler at {address} is gone"):
            future.result(30)
        with pytest.raises(StoreUnreachable, match="the same command goes on"):
            engine.executor.submit(double, 2).result(30)
    (line,) = [message for message in caplog.messages if "no worker yet" in message]
    assert f"dask worker {address} --nthreads 1" in line


def test_an_address_where_nothing_answers_is_one_line_with_what_to_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "CONNECT_SECONDS", 1)
    with (
        pytest.raises(
            StoreUnreachable, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 .*dask scheduler"
        ),
        open_engine("dask:tcp://127.0.0.1:9"),
    ):
        pass


@pytest.mark.parametrize("kind", ["dask", "slurm", "kubernetes"])
def test_a_missing_extra_is_one_line_that_says_how_to_install_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    rule = r"is not installed; from the repository: python -m pip install --editable"
    with pytest.raises(WrongUse, match=rule), open_engine(f"{kind}:x"):
        pytest.fail("opened")


def test_dask_is_not_imported_before_an_engine_asks_for_it() -> None:
    code = "import sys, mlproject.engines.dask; print('distributed' in sys.modules or 'dask' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert answer.stdout.strip() == b"False"
