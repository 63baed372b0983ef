"""Engines: a cold plan of 36 cells on ``local:2`` against ``serial``, what a task costs, and equal losses.

    python benchmarks/engines.py [--quick]

Both runs have one thread a process, a new store and an empty feature cache; the time is that of ``run_plan``,
so it includes the start of the workers, and neither the planning nor the fit. Bars: 1.7 times as fast on two
free cores; 30 ms a task; the same losses bit for bit.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before any library starts its threads

MODELS = "efficientnet_lite0,efficientnet_lite1,efficientnet_lite2"
SPEED_UP, TASK_MS = 1.7, 30.0
N_TASKS = 200


def run(engine: str, sizes: str, seeds: str) -> None:
    """Run the plan on an engine here, in an empty folder, and print its time and its losses by cell."""
    from mlproject.losses import Silent
    from mlproject.plans import plan_of
    from mlproject.runs import run_plan
    from mlproject.tracking import open_store

    class Quiet(Silent):
        def __getattr__(self, name: str) -> object:
            return lambda *_: None

    models = MODELS if "," in sizes else MODELS.partition(",")[0]
    coordinates = {"model": models, "weights": "imagenet", "dataset_size": sizes, "seed": seeds}
    knobs = {"target": "labels", "optimizer": "adam", "lr": 1e-3, "steps": 400, "batch_size": 128}
    plan = plan_of("engines", {**coordinates, **knobs, "eval_size": 500 if "," in sizes else 50})
    store = open_store("engines")
    start = time.monotonic()
    run_plan(replaced(plan, engine), store, Quiet())  # type: ignore[arg-type]
    seconds = time.monotonic() - start
    digests = {seen.cell.key: seen.losses_digest for seen in store.observations()}
    print(json.dumps({"seconds": seconds, "digests": digests}))


def replaced(plan: object, engine: str) -> object:
    from dataclasses import replace

    return replace(plan, engine=engine)  # type: ignore[type-var]


def measured(engine: str, sizes: str, seeds: str) -> dict[str, object]:
    """What ``run`` prints, in a process with nothing stored."""
    with tempfile.TemporaryDirectory() as folder:
        place = {"MLPROJECT_CACHE": f"{folder}/cache", "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        command = [sys.executable, str(Path(__file__).resolve()), "--run", engine, sizes, seeds]
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **place}, check=True, capture_output=True, text=True
        )
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def nothing() -> None:
    """A task."""


def task_ms() -> float:
    """Milliseconds of a task that does nothing, of two workers that are busy."""
    from mlproject.engines import open_engine

    with open_engine("local:2") as engine:
        for future in [engine.executor.submit(nothing) for _ in range(10)]:
            future.result()
        times = []
        for _ in range(5):
            start = time.monotonic()
            for future in [engine.executor.submit(nothing) for _ in range(N_TASKS)]:
                future.result()
            times.append((time.monotonic() - start) / N_TASKS * 1000)
    return statistics.median(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="2 cells of 100 images, for which no bar of speed holds"
    )
    parser.add_argument("--run", nargs=3, metavar=("ENGINE", "SIZES", "SEEDS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run(*arguments.run)
        return 0
    sizes, seeds = ("100", "0,1") if arguments.quick else ("100,330,1100", "0,1,2,3")
    serial, local = (measured(engine, sizes, seeds) for engine in ("serial", "local:2"))
    n_cells, faster = len(serial["digests"]), serial["seconds"] / local["seconds"]  # type: ignore[arg-type,operator]
    equal, cost = serial["digests"] == local["digests"], task_ms()
    print(f"{n_cells} cells: serial {serial['seconds']:.1f} s, local:2 {local['seconds']:.1f} s,", end=" ")
    print(f"{faster:.2f} times as fast (bar {SPEED_UP} on two free cores, all cells)")
    print(f"losses: {'the same bit for bit' if equal else 'DIFFERENT'}")
    print(f"a task that does nothing: {cost:.1f} ms (bar {TASK_MS:.0f})")
    return int(not equal or cost > TASK_MS or (faster < SPEED_UP and not arguments.quick))


if __name__ == "__main__":
    sys.exit(main())
