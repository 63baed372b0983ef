"""A signal ends the process with its status, even where a library swallows the exception."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = str(Path(__file__).parents[1] / "src")
SWALLOWS = """
import sys, time
from mlproject.errors import REPEAT_SECONDS, Stopped, raise_on_signals, stop_received
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
    time.sleep(1.3 * REPEAT_SECONDS)
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
