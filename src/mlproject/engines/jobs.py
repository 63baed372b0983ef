"""Dask clusters of Slurm, PBS and LSF jobs, as a table describes them."""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from distributed import Security, Status, WorkerPlugin

from mlproject.engines.tables import JobTable, n_bytes
from mlproject.engines.workers import worker_environment

_on_interrupt = signal.getsignal(signal.SIGINT)
from dask_jobqueue import LSFCluster, PBSCluster, SLURMCluster  # noqa: E402

signal.signal(signal.SIGINT, _on_interrupt)  # dask-jobqueue replaces it by an exit with status 0

CLUSTERS = {"slurm": SLURMCluster, "pbs": PBSCluster, "lsf": LSFCluster}
NAMES = {"slurm": "Slurm", "pbs": "PBS", "lsf": "LSF"}
LISTINGS = {"slurm": ["squeue", "--jobs"], "pbs": ["qstat"], "lsf": ["bjobs"]}
ROLES = ("scheduler", "worker", "client")
LOGS = "mlproject-jobs"
"""Folder, below the current one, of the output of jobs."""
SECONDS = 10
STATUS_PAGE = "127.0.0.1:0"
"""Where schedulers and workers show what they are at; by default on all interfaces, with no dashboard too."""
DEATH_SECONDS = 60
"""A worker whose driver is gone ends after this time."""


class OneGpu(WorkerPlugin):  # type: ignore[misc]  # Dask has no types
    """Gives each of a job's several workers one of its GPUs: the end of its name (``-0``) says which."""

    name = "one-gpu"

    def setup(self, worker: Any) -> None:
        """Hide the other GPUs from this process, before torch looks for any."""
        number = int(str(worker.name).rpartition("-")[2])
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        if visible:  # what the batch system gave to the job; a worker that is set up anew has its one already
            devices = visible.split(",")
            number_or_name = devices[number % len(devices)]
        else:
            number_or_name = str(number)
        os.environ["CUDA_VISIBLE_DEVICES"] = number_or_name


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """The jobs of a batch system: dask-jobqueue's cluster, and what was said to jobs that were refused."""

    kind: str
    cluster: Any
    refused: list[str]

    def refusal(self) -> str:
        """Why no job was taken at all, in words; empty where some was, or none was asked for."""
        if not self.refused or self._ids():
            return ""
        return f"{NAMES[self.kind]} takes no job: {self.refused[0]}"

    def waiting(self) -> str:
        """What the jobs wait for, in words, and the command that lists them."""
        ids = self._ids()
        if not ids:
            return f"{NAMES[self.kind]} has not answered yet"
        listing = [*LISTINGS[self.kind], *([",".join(ids)] if self.kind == "slurm" else ids)]
        states = _states(listing) if self.kind == "slurm" else ""
        return f"{len(ids)} jobs in {NAMES[self.kind]}{states}; see: {shlex.join(listing)}"

    def _ids(self) -> list[str]:
        return [str(job.job_id) for job in list(self.cluster.workers.values()) if job.job_id]


@contextlib.contextmanager
def open_jobs(kind: str, table: JobTable) -> Iterator[Jobs]:
    """The cluster of a batch system, which has no jobs yet; those that it gets end with the context."""
    refused: list[str] = []
    job_class = _reporting(CLUSTERS[kind].job_cls, refused)
    with CLUSTERS[kind](job_cls=job_class, **cluster_options(kind, table)) as cluster:
        yield Jobs(kind=kind, cluster=cluster, refused=refused)


def _reporting(job_class: Any, refused: list[str]) -> Any:
    """The class of a job that notes why it is refused; dask-jobqueue itself would only log a traceback."""

    async def start(self: Any) -> None:
        try:
            await job_class.start(self)
        except (RuntimeError, ValueError, OSError) as error:
            lines = str(error).rpartition("stderr:")[2].split("\n")
            refused.append("; ".join(filter(None, map(str.strip, lines))) or type(error).__name__)
            self.status = Status.running  # what the cluster expects of a job that was started

    return type(job_class.__name__, (job_class,), {"start": start})


def cluster_options(kind: str, table: JobTable) -> dict[str, Any]:
    """The arguments of dask-jobqueue's cluster of that kind."""
    n_threads = max(1, table.cores // table.n_workers)
    exports = [f"export {name}={value}" for name, value in worker_environment(n_threads).items()]
    ends = ["--lifetime", f"{table.lifetime}s", "--lifetime-stagger", f"{table.margin // 2}s"]
    return {
        "cores": table.cores,
        "memory": f"{n_bytes(table.memory)}B",
        "processes": table.n_workers,
        "interface": table.interface,
        "security": _security(table),
        "local_directory": table.local_folder or None,
        "log_directory": LOGS,
        "job_name": "mlproject",
        "death_timeout": DEATH_SECONDS,
        "queue": table.queue or None,
        "job_script_prologue": [*exports, *table.prologue],
        "worker_extra_args": ["--nthreads", "1", "--no-dashboard", "--dashboard-address", STATUS_PAGE, *ends],
        "scheduler_options": {"dashboard": False, "dashboard_address": STATUS_PAGE},
        **SPECIFIC[kind](table),
    }


def _states(listing: list[str]) -> str:
    """How many jobs are in which state and why, as Slurm says; empty where it does not answer."""
    words = [*listing, "--noheader", "--format=%T, reason: %r"]
    try:
        answer = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    counts = Counter(answer.split("\n")[:-1])
    return (
        " (" + "; ".join(f"{n} {state.lower()}" for state, n in counts.most_common()) + ")" if counts else ""
    )


def _slurm(table: JobTable) -> dict[str, Any]:
    gpus = [f"--gres=gpu:{table.gpus}"] if table.gpus else []
    directives = [*gpus, *table.directives]
    return {"account": table.account or None, "walltime": table.walltime, "job_extra_directives": directives}


def _pbs(table: JobTable) -> dict[str, Any]:
    gpus = f":ngpus={table.gpus}" if table.gpus else ""
    memory = f"{math.ceil(n_bytes(table.memory) / 2**20)}MB"
    return {
        "account": table.account or None,
        "walltime": table.walltime,
        "resource_spec": f"select=1:ncpus={table.cores}{gpus}:mem={memory}",
        "job_extra_directives": list(table.directives),
    }


def _lsf(table: JobTable) -> dict[str, Any]:
    gpus = [f'-gpu "num={table.gpus}"'] if table.gpus else []
    minutes = table.seconds // 60
    return {
        "project": table.account or None,
        "walltime": f"{minutes // 60:02}:{minutes % 60:02}",
        "job_extra_directives": [*gpus, *table.directives],
    }


SPECIFIC = {"slurm": _slurm, "pbs": _pbs, "lsf": _lsf}


def _security(table: JobTable) -> Security | None:
    """TLS for scheduler, workers and client, where the table names files."""
    if not table.tls_ca_file:
        return None
    pair = {"cert": os.path.abspath(table.tls_cert_file), "key": os.path.abspath(table.tls_key_file)}
    files = {f"tls_{role}_{part}": path for role in ROLES for part, path in pair.items()}
    return Security(require_encryption=True, tls_ca_file=os.path.abspath(table.tls_ca_file), **files)
