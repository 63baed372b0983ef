"""Settings of Dask's schedulers and workers that tasks of this package need."""

from __future__ import annotations

from collections.abc import Mapping

SCHEDULER: dict[str, float | bool] = {
    # A task whose worker died is run again so many times; a fourth death is taken for the task's own doing.
    "distributed.scheduler.allowed-failures": 3,
    # Tasks wait at the scheduler, not at workers: only those that a worker runs are suspected when it dies.
    "distributed.scheduler.worker-saturation": 1.0,
}
WORKER: dict[str, float | bool] = {
    # A worker may start processes that decode images.
    "distributed.worker.daemon": False,
    # A worker that fills its memory is started again; one that only paused would wait for ever.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # A look at every worker's stack a hundred times a second, for a dashboard that nobody sees.
    "distributed.worker.profile.enabled": False,
}


def worker_environment(n_threads: int) -> dict[str, str]:
    """The environment variables of a worker process with so many cores for its arithmetic."""
    return as_environment(WORKER) | {"OMP_NUM_THREADS": str(n_threads)}


def as_environment(settings: Mapping[str, float | bool]) -> dict[str, str]:
    """Settings of Dask as the environment variables that it reads.

    >>> print(as_environment({"distributed.worker.memory.pause": False}))
    {'DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE': 'False'}
    """
    names = {key: key.upper().replace(".", "__").replace("-", "_") for key in settings}
    return {f"DASK_{names[key]}": str(value) for key, value in settings.items()}
