"""Processes to kill, or to run side by side, forked from one that has imported what they need.

A process that starts cold takes seconds of imports. The one that is forked runs no code of a test, has one
thread, and lives as long as the tests.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMPORTED = (
    "pytest",
    "torch",
    "onnxruntime",
    "optuna",
    "scipy.stats",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlproject.cli",
    "mlproject.report",
    "mlproject.runs",
    "mlproject.recipes",
    "mlproject.features",
    "mlproject.training.heads",
    "mlproject.training.networks",
    "mlproject.tuning.search.study",
)
"""Modules that the forked process imports once."""
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(list(IMPORTED))


def started(function: Callable[..., object], *arguments: object, output: Path | None = None) -> BaseProcess:
    """A process that calls a function of a module, in this folder and with this environment.

    ``output`` is a file to which its two streams are appended.
    """
    place = (dict(os.environ), os.getcwd(), output)
    process = CONTEXT.Process(target=_run, args=(place, function, arguments), daemon=True)
    with pytest.MonkeyPatch.context() as patch:  # for the imports of the first one
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT)]))
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        process.start()
    return process


def ended(process: BaseProcess) -> int | None:
    """The exit status of a process that is over within two minutes; a signal counts as negative."""
    process.join(120)
    return process.exitcode


def wait_for(answer: Callable[[], object], process: BaseProcess) -> None:
    """Return as soon as ``answer`` is true; the process has to be at work until then."""
    while not answer():
        assert process.exitcode is None, "the process is over"
        time.sleep(0.02)


def command(*words: str) -> None:
    """The command line, to be started in a process."""
    from mlproject import cli

    sys.argv = ["mlproject", *words]
    cli.main()


def _run(
    place: tuple[dict[str, str], str, Path | None],
    function: Callable[..., object],
    arguments: tuple[object, ...],
) -> None:
    environment, folder, output = place
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    if output is not None:
        with output.open("ab") as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
    function(*arguments)
