"""Processes to kill, or to run side by side, forked from one that has imported what they need.

A process that starts cold takes seconds of imports. The one that is forked runs no code of a test, has one
thread, and lives as long as the tests.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import runpy
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMPORTED = (
    "pytest",
    "torch",
    "torch._dynamo",  # torch imports it at the first step of an optimizer and at the first count of FLOPs
    "onnxruntime",
    "optuna",
    "scipy.stats",
    "seaborn",
    "matplotlib.backends.backend_pdf",
    "fontTools.subset",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlproject.cli.session",
    "mlproject.analysis",
    "mlproject.report.study_report",
    "mlproject.runs.analysis_run",
    "mlproject.recipes.probe.run",
    "mlproject.features.engines",
    "mlproject.training.heads",
    "mlproject.training.networks",
    "mlproject.tuning.search.study",
)
"""Modules that the forked process imports once: those of a sweep, of its figures and of its search."""
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(list(IMPORTED))


def started(
    function: Callable[..., object], *arguments: object, output: Path | None = None, children: bool = False
) -> BaseProcess:
    """A process that calls a function of a module, in this folder and with this environment.

    ``output`` is a file to which its two streams are appended. With ``children`` it may start processes.
    """
    place = (dict(os.environ), os.getcwd(), output)
    process = CONTEXT.Process(target=_run, args=(place, function, arguments), daemon=not children)
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


PYTHON = """#!{python} -IS
import json, os, socket, sys
call = [sys.argv[1:], os.getcwd(), dict(os.environ)]
os.chdir({folder!r})
with socket.socket(socket.AF_UNIX) as line:
    line.connect("socket")
    socket.send_fds(line, [b"streams"], [1, 2])
    line.sendall(json.dumps(call).encode())
    line.shutdown(socket.SHUT_WR)
    sys.exit(int(line.makefile().read()))
"""


@contextlib.contextmanager
def python_in(folder: Path) -> Iterator[None]:
    """A command ``python`` in a new folder: ``python -m MODULE`` runs in a forked process.

    For what starts ``python`` by its name, such as entry points of a project. The process has the arguments,
    the folder, the environment and the streams of the command, which ends with its exit status.
    """
    folder.mkdir()
    server = started(_serve, folder)
    wait_for((folder / "socket").exists, server)
    program = folder / "python"
    program.write_text(PYTHON.format(python=sys.executable, folder=str(folder)))
    program.chmod(0o700)
    yield
    server.kill()
    server.join()


def _serve(folder: Path) -> None:
    os.chdir(folder)  # the path of a socket has at most 107 characters
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.new")
        listening.listen()
        os.rename("socket.new", "socket")
        while True:
            line, _ = listening.accept()
            with line:
                _, streams, *_ = socket.recv_fds(line, len(b"streams"), 2)
                words, where, environment = json.loads(line.makefile().read())
                if (child := os.fork()) == 0:
                    _run_module(words, where, environment, streams)
                for stream in streams:
                    os.close(stream)
                line.sendall(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def _run_module(words: list[str], folder: str, environment: dict[str, str], streams: list[int]) -> None:
    """``python -m MODULE``, and the end of this process."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for stream, given in zip((1, 2), streams, strict=True):
        os.dup2(given, stream)
    option, module, *arguments = words
    status: object = 1
    try:
        assert option == "-m"
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


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
