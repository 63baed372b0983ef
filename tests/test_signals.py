"""A signal ends a process, even where a library swallows it; Ctrl-C prints one line, or none."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SOURCE = str(Path(__file__).parents[1] / "src")
SWALLOWS = """
import sys, time
from mlproject import signals
from mlproject.errors import Stopped
from mlproject.signals import raise_on_signals, stop_received
signals.REPEAT_SECONDS = 0.5
raise_on_signals()
try:
    print("ready", flush=True)
    time.sleep(60)
except BaseException:
    print("swallowed", flush=True)
try:
    time.sleep(60)
except Stopped as stop:
    stop_received()
    time.sleep(1.3 * signals.REPEAT_SECONDS)
    sys.exit(stop.status)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_that_a_library_swallowed_is_raised_again_until_it_is_handled(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SWALLOWS],
        env=os.environ | {"PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        text, _ = process.communicate(timeout=50)
    assert text == "swallowed\n"
    assert process.returncode == 128 + number


STARTS = """
import sys
from mlproject.engines import open_engine
from mlproject.errors import Stopped
from mlproject.signals import raise_on_signals
raise_on_signals()
try:
    with open_engine("local:1", ["slow"]) as engine:
        engine.executor.submit(int).result()
except Stopped as stop:
    sys.exit(stop.status)
"""
SLOW = """
import pathlib, time
pathlib.Path("importing").touch()
time.sleep(1)
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_workers_that_are_being_started_print_nothing_at_ctrl_c_nor_when_their_driver_is_killed(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    with subprocess.Popen(
        [sys.executable, "-c", STARTS],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{SOURCE}{os.pathsep}{tmp_path}"},
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        while not (tmp_path / "importing").exists():
            assert process.poll() is None
            time.sleep(0.01)
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        _, errors = process.communicate(timeout=25)  # once nothing is left that could print
    assert (errors, process.returncode) == (b"", status)


COLLECTED = """
import gc, os, signal, sys, time
from mlproject import signals
signals.REPEAT_SECONDS = 0.2
signals.raise_on_signals()
class Cycle:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(1000))
Cycle().cycle = None
try:
    time.sleep(60)
except signals.Stopped as stop:
    sys.exit(stop.status)
"""


def test_a_stop_that_a_destructor_swallowed_prints_nothing() -> None:
    command = [sys.executable, "-c", COLLECTED]
    environment = os.environ | {"PYTHONPATH": SOURCE}
    ended = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=50)
    assert (ended.returncode, ended.stderr) == (130, b"")


def test_ctrl_c_while_the_command_is_imported_ends_it_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{SOURCE}"}
    command = [sys.executable, "-m", "mlproject", "--help"]
    ended = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, b"")
