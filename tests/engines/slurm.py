"""A Slurm of one node for tests, from Debian's packages slurm-wlm and munge.

python -m tests.engines.slurm FOLDER     starts it and prints how to use it; ends with Ctrl-C
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel")
N_CORES = 4
"""Cores that the node claims to have, so that two jobs run at a time on a small machine."""
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller}
SlurmdPort={daemon}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SchedulerParameters=sched_interval=2,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ReturnToService=2
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=8000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why Slurm cannot be started here; empty where it can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "Slurm's daemons are started by root alone"
    absent = [name for name in PROGRAMS if program(name) is None]
    return f"not installed: {', '.join(absent)} (apt-get install slurm-wlm munge)" if absent else ""


def program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")


@contextlib.contextmanager
def running_slurm(folder: Path) -> Iterator[dict[str, str]]:
    """A Slurm of one node with its files in ``folder``; gives the variables of its commands."""
    (folder / "state").mkdir()
    host = socket.gethostname().partition(".")[0]
    controller, daemon = _free_ports()
    configuration = folder / "slurm.conf"
    ports = {"controller": controller, "daemon": daemon}
    configuration.write_text(CONFIGURATION.format(folder=folder, host=host, cores=N_CORES, **ports))
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    environment = os.environ | {"SLURM_CONF": str(configuration)}
    with contextlib.ExitStack() as stack:
        files = [
            f"--{name}={folder}/munge.{name}" for name in ("socket", "pid-file", "log-file", "seed-file")
        ]
        _start(
            stack,
            ["munged", "--foreground", "--force", f"--key-file={folder}/munge.key", *files],
            environment,
        )
        _wait_for((folder / "munge.socket").exists)
        _start(stack, ["slurmctld", "-D"], environment)
        _start(stack, ["slurmd", "-D", "-N", host], environment)
        _wait_for(lambda: "idle" in _answer(["sinfo", "--noheader", "--format=%t"], environment))
        stack.callback(_answer, ["scancel", "--user=root"], environment)
        yield {"SLURM_CONF": str(configuration)}


def _start(stack: contextlib.ExitStack, words: list[str], environment: dict[str, str]) -> None:
    path = program(words[0])
    assert path
    process = subprocess.Popen(
        [path, *words[1:]], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    stack.callback(process.wait, 20)
    stack.callback(process.terminate)


def _answer(words: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False).stdout


def _wait_for(answer: object) -> None:
    start = time.monotonic()
    while not answer():  # type: ignore[operator]
        assert time.monotonic() - start < 20, "Slurm does not start; see its logs"
        time.sleep(0.1)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


if __name__ == "__main__":
    with running_slurm(Path(sys.argv[1]).absolute()) as variables, contextlib.suppress(KeyboardInterrupt):
        print(*(f"export {name}={value}" for name, value in variables.items()), sep="\n", flush=True)
        while True:
            time.sleep(1)
