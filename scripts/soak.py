"""Kill commands at random moments, start them again, and count what was lost, doubled or left behind.

Each scenario is run undisturbed once. Then its command is killed (SIGKILL to the whole process group, or to
the launcher, the driver or a worker alone) up to three times in a row on a store of its own, at moments drawn
uniformly over the undisturbed duration, and started once more without a kill. A witness run that lives in
this process is RUNNING in the same store all along: nobody may close it.

``cluster`` is a Dask cluster of two workers: its scheduler, one of its workers or the driver is killed.

``--only services`` kills the tracking server in place of commands, for 30 s, while four of them run a tuned
plan through PostgreSQL and an S3-compatible store.

``python scripts/soak.py --kills 100`` prints a table; the exit status is 1 where any count is not 0.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import chdir, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
SERVICES, CLUSTER = "services", "cluster"
N_WORKERS, AWAY_SECONDS, UNREACHABLE = 4, 30.0, 4
IN_A_ROW = 3
LONGEST = 900.0
PLAN = """
name = "soak"
[[grid]]
model = "efficientnet_lite0"
weights = "imagenet"
dataset_size = [20, 30]
eval_size = 20
seed = [0, 1]
knobs = { target = "labels", epochs = 3 }
"""
TUNED = (
    PLAN
    + """
[tune]
trials = 4
[tune.space]
lr = { low = 1e-4, high = 1e-1, log = true }
"""
)
MORE = """
name = "more"
[[grid]]
model = "efficientnet_lite0"
weights = "imagenet"
dataset_size = [20, 30, 45, 70, 100, 150]
eval_size = 100
seed = [0, 1, 2]
knobs = { target = "labels", epochs = 3 }
"""
BUDGET = 700
UNTIL = ("--until=width <= 0.3 at 300 images", f"--budget={BUDGET}")
CLUSTER_SETTINGS = (
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION=1.0",
    "DASK_DISTRIBUTED__WORKER__DAEMON=False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE=False",
)
ME = (sys.executable, "-m", "mlproject")
CELL = ("--model=efficientnet_lite0", "--eval-size=20", "--target=labels", "--epochs=3")
LAUNCH = (sys.executable, "-m", "mlflow", "run", str(ROOT), "--env-manager", "local")
PARAMETERS = ["model=efficientnet_lite0", "dataset_size=20,30", "eval_size=20", "target=labels", "epochs=3"]
TRAINING = ("--recipe=scratch", "--model=resblock_w4_d1", "--dataset-size=100", "--eval-size=20", "--side=28")
LOCK_TAGS = {"cell": "cell.key", "fit": "fit.key", "regions": "regions.key", "study": "study"}
"""By kind of run, the tag that says what it holds: two finished runs with one value are a doubled result."""
COMPARED = {"fit": ("tables/exponents.csv",), "regions": ("masks.json",)}
"""By kind of run, the artifacts whose bytes must be those of the undisturbed run."""


@dataclass(frozen=True)
class Scenario:
    """A command to kill, and the command before it that prepares its store."""

    command: tuple[str, ...]
    prepare: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    """The last, undisturbed command, where it is another one."""
    targets: tuple[str, ...] = ("group",)
    """What may be killed: the process group, or a process alone, by its name."""
    status: int = 0
    budget: float = 0.0
    """Training images that may be spent: which cells are run depends on what was finished at each start."""


WORKERS = (*ME, "sweep", "--engine=local:2")
WORKER = "worker"
"""A process that the driver started, of which the command does not end."""
ON_WORKERS = ("group", "driver", WORKER)
SCENARIOS = {
    "grid": Scenario((*ME, "sweep", "--plan=plan.toml")),
    "grid on workers": Scenario((*WORKERS, "--plan=plan.toml"), targets=ON_WORKERS),
    "tuned sweep": Scenario((*ME, "sweep", "--plan=tuned.toml")),
    "tuned sweep on workers": Scenario((*WORKERS, "--plan=tuned.toml"), targets=ON_WORKERS),
    "until": Scenario((*ME, "sweep", "--plan=more.toml", *UNTIL), status=3, budget=BUDGET),
    "until on workers": Scenario(
        (*WORKERS, "--plan=more.toml", *UNTIL), targets=ON_WORKERS, status=3, budget=BUDGET
    ),
    "training": Scenario((*ME, "cell", *TRAINING, "--epochs=6", "--lr=1e-2", "--batch-size=16")),
    "aggregate": Scenario((*ME, "aggregate"), prepare=(*ME, "cell", "--dataset-size=20,30", *CELL)),
    "regions": Scenario((*ME, "regions", "--data=pictures")),
    "mlflow run": Scenario(
        (*LAUNCH, *(word for pair in PARAMETERS for word in ("-P", pair))),
        prepare=(*ME, "cell", "--dataset-size=20", *CELL),
        again=(*ME, "cell", "--dataset-size=20,30", *CELL),
        targets=("group", "launcher"),
    ),
    "first start": Scenario((*ME, "cell", "--dataset-size=20", *CELL)),
}


@dataclass
class Result:
    """What the kills of a scenario did."""

    starts: int = 0
    results: int = 0
    targets: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """Kills of all targets."""
        return self.targets.total()

    def fault(self, kind: str, detail: str) -> None:
        """Count a fault and keep what it was."""
        self.faults[kind] += 1
        self.details.append(f"{kind}: {detail}")


FAULTS = ("lost", "twice", "RUNNING", "closed", "differ", "status", "account")


@dataclass
class Place:
    """A folder with a store and a feature cache of its own."""

    folder: Path

    def __post_init__(self) -> None:
        for name in ("pictures", "cache"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "plan.toml").write_text(PLAN)
        (self.folder / "tuned.toml").write_text(TUNED)
        (self.folder / "more.toml").write_text(MORE)
        rng = np.random.default_rng(0)
        for i in range(6):
            image = np.full((120, 160, 3), 30, np.uint8)
            y, x = rng.integers(10, 60, 2)
            image[y : y + 40, x : x + 50] = rng.integers(120, 255, 3)
            Image.fromarray(image).save(self.folder / "pictures" / f"{i}.png")

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a command that finds this interpreter as ``python``, and the store here."""
        own = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/mlflow.db",
            "MLPROJECT_CACHE": str(self.folder / "cache"),
            "OMP_NUM_THREADS": "1",
        }
        return {**os.environ, **own}

    def start(self, command: tuple[str, ...], output: str = "output.txt") -> subprocess.Popen[bytes]:
        """Start a command in a session of its own; its output goes to a file."""
        with (self.folder / output).open("ab") as file:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, command: tuple[str, ...]) -> tuple[int, float]:
        """Run a command undisturbed: its status, and the seconds that it took."""
        begin = time.monotonic()
        process = self.start(command)
        return process.wait(LONGEST), time.monotonic() - begin

    @property
    def last_line(self) -> list[str]:
        """The last line that a command printed."""
        return (self.folder / "output.txt").read_text("utf-8", "replace").strip().splitlines()[-1:]

    def runs(self) -> list[Any]:
        """All runs of the store, of its only experiment."""
        from mlflow import MlflowClient

        if not (self.folder / "mlflow.db").exists():
            return []
        client = MlflowClient(tracking_uri=self.environment["MLFLOW_TRACKING_URI"])
        return list(client.search_runs(["0"], max_results=5000))

    def results(self) -> dict[str, list[str]]:
        """Digests of the finished results, by kind and what they hold."""
        digests: dict[str, list[str]] = {}
        for run in self.runs():
            tags = run.data.tags
            kind = tags.get("kind", "")
            if kind in LOCK_TAGS and tags.get("cell.complete") == "true" and run.info.status == "FINISHED":
                artifacts = Path(unquote(run.info.artifact_uri.removeprefix("file://")))
                digest = hashlib.sha256(tags.get("losses.digest", "").encode())
                for name in COMPARED.get(kind, ()):
                    digest.update((artifacts / name).read_bytes())
                digests.setdefault(f"{kind} {tags[LOCK_TAGS[kind]]}", []).append(digest.hexdigest())
        return digests


@dataclass
class ServedPlace(Place):
    """A folder whose commands use an experiment of a tracking server."""

    server: Any = None
    name: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a command on a machine that has no key of the store."""
        own = {
            "MLFLOW_TRACKING_URI": self.server.uri,
            "MLFLOW_EXPERIMENT_NAME": self.name,
            "PGPASSWORD": self.server.database.password,
            "XDG_CACHE_HOME": str(self.folder / "xdg"),
        }
        return super().environment | own

    def runs(self) -> list[Any]:
        """All runs of the experiment."""
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=self.server.uri)
        experiment = client.get_experiment_by_name(self.name)
        return list(client.search_runs([experiment.experiment_id], max_results=5000)) if experiment else []

    def results(self) -> dict[str, list[str]]:
        """Digests of the finished cells."""
        digests: dict[str, list[str]] = {}
        for run in self.runs():
            tags = run.data.tags
            if tags.get("kind") == "cell" and tags.get("cell.complete") == "true":
                digest = hashlib.sha256(tags["losses.digest"].encode()).hexdigest()
                digests.setdefault(f"cell {tags['cell.key']}", []).append(digest)
        return digests


def kill(process: subprocess.Popen[bytes], target: str = "group") -> None:
    """Kill the group of a process, or the process alone; return when nothing of the group is left."""
    (os.killpg if target == "group" else os.kill)(process.pid, signal.SIGKILL)
    process.wait(LONGEST)
    end = time.monotonic() + LONGEST
    with suppress(ProcessLookupError):
        while time.monotonic() < end:
            os.killpg(process.pid, 0)
            time.sleep(0.05)


def kill_worker(process: subprocess.Popen[bytes], rng: random.Random) -> bool:
    """Kill another process of the group of a process, and whether there was any."""
    others = [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if pid != process.pid]
    with suppress(ProcessLookupError, IndexError):
        os.kill(rng.choice([pid for pid in others if _group(pid) == process.pid]), signal.SIGKILL)
        return True
    return False


def _group(pid: int) -> int:
    with suppress(ProcessLookupError, PermissionError):
        return os.getpgid(pid)
    return 0


@contextmanager
def witness(place: Place, result: Result) -> Iterator[None]:
    """A run that lives in this process while commands are killed and started again beside it."""
    from mlproject.tracking import open_store

    os.environ["MLFLOW_TRACKING_URI"] = place.environment["MLFLOW_TRACKING_URI"]
    with chdir(place.folder):  # artifacts of a new store lie in the working folder
        store = open_store()
    with store.run(kind="witness", name="witness", tags={}) as run:
        yield
        if (status := store.client.get_run(run.run_id).info.status) != "RUNNING":
            result.fault("closed", f"the living witness {run.run_id} is {status}")


def soak(
    scenario: Scenario, place: Place, seconds: float, n_kills: int, rng: random.Random, result: Result
) -> float:
    """Kill the command up to ``n_kills`` times, then let it end; the seconds that this takes at most."""
    finished: set[str] = set()
    for _ in range(n_kills):
        process, begin = place.start(scenario.command), time.monotonic()
        result.starts += 1
        with suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0, seconds))
        target = rng.choice(scenario.targets)
        if process.poll() is None and target == WORKER:
            result.targets[target] += kill_worker(process, rng)
            if (status := process.wait(LONGEST)) != scenario.status:
                result.fault("status", f"{status} after a worker was killed: {place.last_line}")
        elif process.poll() is None:
            kill(process, target)
            result.targets[target] += 1
        else:
            seconds = min(seconds, time.monotonic() - begin)
        finished = check_finished(place, finished, result)
        if process.returncode >= 0:  # it ended: what is left to do takes less time than everything did
            break
    status, _ = place.run(scenario.again or scenario.command)
    result.starts += 1
    if status != scenario.status:
        result.fault("status", f"{status} at the last start: {place.last_line}")
    return seconds


def check_finished(place: Place, finished: set[str], result: Result) -> set[str]:
    """The runs that are FINISHED now; those that were are to be among them."""
    now = {run.info.run_id: run.info.status for run in place.runs()}
    for run_id in finished - {run_id for run_id, status in now.items() if status == "FINISHED"}:
        result.fault("closed", f"{run_id} was FINISHED and is {now.get(run_id)}")
    return finished | {run_id for run_id, status in now.items() if status == "FINISHED"}


def check(place: Place, expected: dict[str, list[str]], result: Result) -> None:
    """Compare the results with those of the undisturbed run, and look for runs that are left RUNNING."""
    results = place.results()
    result.results = len(results)
    for name, digests in expected.items():
        if name not in results:
            result.fault("lost", name)
        elif digests[0] != results[name][0]:
            result.fault("differ", name)
    for name, digests in results.items():
        if len(digests) > 1:
            result.fault("twice", f"{name}: {len(digests)} runs")
    for run in place.runs():
        if run.info.status == "RUNNING" and run.data.tags.get("kind") != "witness":
            result.fault("RUNNING", f"{run.info.run_id}: {run.data.tags}")


def check_account(place: Place, budget: float, result: Result) -> None:
    """Compare what the last report says was spent with the finished cells, and with the budget."""
    done = [run for run in place.runs() if run.data.tags.get("cell.complete") == "true"]
    cells = [run for run in done if run.data.tags.get("kind") == "cell"]
    images = sum(int(run.data.params["cell.dataset_size"]) for run in cells)
    fits = [run for run in done if run.data.tags.get("kind") == "fit"]
    last = max(fits, key=lambda run: run.info.start_time).data.metrics if fits else {}
    accounts = [(last.get("spent.n_cells"), len(cells)), (last.get("spent.images"), images)]
    if images > budget or any(reported != true for reported, true in accounts):
        result.fault("account", f"{accounts} of a budget of {budget:g}")


def soak_scenario(name: str, root: Path, n_kills: int, rng: random.Random) -> Result:
    """All kills of a scenario, three in a row on each store."""
    scenario, total = SCENARIOS[name], Result()
    reference = Place(root / f"{name} undisturbed")
    if scenario.prepare:
        reference.run(scenario.prepare)
    status, seconds = reference.run(scenario.command)
    expected = reference.results()
    if status != scenario.status or not expected:
        total.fault("status", f"{status} of the undisturbed run, {len(expected)} results")
        return total
    number = 0
    while total.kills < n_kills and number < 2 * n_kills:
        number += 1
        place = Place(root / f"{name} {number}")
        if not name.startswith("grid"):  # there the features are computed under kills, too
            shutil.copytree(reference.folder / "cache", place.folder / "cache", dirs_exist_ok=True)
        for unfinished in (place.folder / "cache").glob("unfinished"):
            shutil.rmtree(unfinished)
        if scenario.prepare:
            place.run(scenario.prepare)
        wanted = min(IN_A_ROW, n_kills - total.kills)
        result = Result()
        # A first start is to build the store itself.
        with nullcontext() if name == "first start" else witness(place, result):
            seconds = soak(scenario, place, seconds, wanted, rng, result)
            if scenario.budget:
                check_account(place, scenario.budget, result)
                known = place.results()
                check(place, {name: expected[name] for name in expected if name in known}, result)
            else:
                check(place, expected, result)
        _add(total, result)
        print(f"{name}: {total.kills} of {n_kills} kills; {total.details}", file=sys.stderr, flush=True)
    return total


def soak_services(root: Path, n_kills: int, rng: random.Random) -> Result:
    """Kill MLflow's server, with PostgreSQL and an S3 store behind it, for 30 s while four commands run."""
    sys.path.insert(0, str(ROOT))
    from tests.services import tracking_server

    reference, total = Place(root / "services undisturbed"), Result()
    status, seconds = reference.run((*ME, "sweep", "--plan=tuned.toml"))
    expected = {name: digests for name, digests in reference.results().items() if name.startswith("cell")}
    if status or not expected:
        total.fault("status", f"{status} of the undisturbed run, {len(expected)} results")
        return total
    with tracking_server("a secret") as server:
        for number in range(n_kills):
            place = ServedPlace(root / f"services {number}", server=server, name=f"soak-{number}")
            shutil.copytree(reference.folder / "cache", place.folder / "cache", dirs_exist_ok=True)
            server.database.call("createdb", place.name)
            storage = f"--storage={server.database.url(place.name)}"
            command = (*ME, "sweep", "--plan=tuned.toml", storage)
            workers = [place.start(command) for _ in range(N_WORKERS)]
            while not place.runs() and any(worker.poll() is None for worker in workers):
                time.sleep(0.5)
            time.sleep(rng.uniform(0, seconds / 4))  # four commands take less time than one
            n_at_work = sum(worker.poll() is None for worker in workers)
            server.kill()
            time.sleep(AWAY_SECONDS)
            server.start()
            result = Result(starts=N_WORKERS)
            result.targets["tracking server"] += int(n_at_work > 0)
            statuses = [worker.wait(LONGEST) for worker in workers]
            if UNREACHABLE in statuses:  # it took longer than a minute; what was computed is kept
                result.starts += 1
                statuses = [place.run(command)[0], *(s for s in statuses if s != UNREACHABLE)]
            if any(statuses):
                result.fault("status", f"{statuses} of the commands: {place.last_line}")
            check(place, expected, result)
            _add(total, result)
            print(f"services: {total.kills} of {n_kills} kills; {total.details}", file=sys.stderr, flush=True)
    return total


@dataclass
class Cluster:
    """A Dask scheduler on a port of 127.0.0.1 and its two workers, as the guide starts them."""

    place: Place
    port: int

    def __post_init__(self) -> None:
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port))
        from tests.services import wait_until_open

        wait_until_open(self.port, self.scheduler)
        workers = ("--host", "127.0.0.1", "--nworkers", "2", "--nthreads", "1")
        self.workers = self._start("worker", self.address, *workers, "--local-directory", "dask")
        self.wait_for_workers()

    @property
    def address(self) -> str:
        """The address of the scheduler."""
        return f"tcp://127.0.0.1:{self.port}"

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        page = ("--no-dashboard", "--dashboard-address", "127.0.0.1:0")
        command = ("env", *CLUSTER_SETTINGS, "dask", *words, *page)
        return self.place.start(command, output="cluster.txt")

    def wait_for_workers(self) -> None:
        """Return once both workers are known to the scheduler."""
        from distributed import Client

        with Client(self.address, timeout=LONGEST, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=LONGEST)

    def kill(self) -> None:
        """Kill whatever is left of it."""
        for process in (self.scheduler, self.workers):
            with suppress(ProcessLookupError):
                kill(process)


def soak_cluster(root: Path, n_kills: int, rng: random.Random) -> Result:
    """Kill a scheduler, a worker or the driver at random moments of a plan, three in a row on each store."""
    sys.path.insert(0, str(ROOT))
    from tests.services import free_port

    reference, total = Place(root / "cluster undisturbed"), Result()
    status, seconds = reference.run((*ME, "sweep", "--plan=plan.toml"))
    expected = reference.results()
    if status or not expected:
        total.fault("status", f"{status} of the undisturbed run, {len(expected)} results")
        return total
    number = 0
    while total.kills < n_kills and number < 2 * n_kills:
        number += 1
        place, result = Place(root / f"cluster {number}"), Result()
        cluster = Cluster(place, free_port())
        with witness(place, result):
            for _ in range(min(IN_A_ROW, n_kills - total.kills)):
                cluster = kill_part(cluster, seconds, rng, result)
            status, _ = place.run(on_cluster(cluster))
            result.starts += 1
            if status:
                result.fault("status", f"{status} at the last start: {place.last_line}")
            cluster.kill()
            check(place, expected, result)
        _add(total, result)
        print(f"cluster: {total.kills} of {n_kills} kills; {total.details}", file=sys.stderr, flush=True)
    return total


def on_cluster(cluster: Cluster) -> tuple[str, ...]:
    """The command of the plan on a cluster."""
    return (*ME, "sweep", "--plan=plan.toml", f"--engine=dask:{cluster.address}")


def kill_part(cluster: Cluster, seconds: float, rng: random.Random, result: Result) -> Cluster:
    """Start the plan and kill a part of it at a random moment; the cluster of the next start."""
    place, target = cluster.place, rng.choice(("scheduler", WORKER, "driver"))
    process = place.start(on_cluster(cluster))
    result.starts += 1
    with suppress(subprocess.TimeoutExpired):
        process.wait(rng.uniform(0, seconds))
    if process.poll() is not None:
        return cluster
    result.targets[target] += 1
    if target == "driver":
        kill(process)
        return cluster
    if target == WORKER:
        kill_worker(cluster.workers, rng)
    else:
        kill(cluster.scheduler)
    if (status := process.wait(LONGEST)) not in ((0, UNREACHABLE) if target == "scheduler" else (0,)):
        result.fault("status", f"{status} after the death of a {target}: {place.last_line}")
    if target == "scheduler":
        cluster.kill()
        return Cluster(place, cluster.port)
    return cluster


def _add(total: Result, result: Result) -> None:
    total.starts += result.starts
    total.results += result.results
    total.targets += result.targets
    total.faults += result.faults
    total.details += result.details


def main() -> int:
    """Run all scenarios and print their table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=35, help="kills in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only",
        choices=[*SCENARIOS, CLUSTER, SERVICES],
        action="append",
        help="scenarios (default: all but services and cluster)",
    )
    options = parser.parse_args()
    names = options.only or list(SCENARIOS)
    root = Path(tempfile.mkdtemp(prefix="soak-"))
    print(
        f"| scenario | kills | starts | results | {' | '.join(FAULTS)} |\n|{' --- |' * (4 + len(FAULTS))}",
        flush=True,
    )
    total = Result()
    for i, name in enumerate(names):
        print(f"{name} …", file=sys.stderr, flush=True)
        share = options.kills // len(names) + (i < options.kills % len(names))
        others = {SERVICES: soak_services, CLUSTER: soak_cluster}
        soaked = others.get(name) or partial(soak_scenario, name)
        result = soaked(root, share, random.Random(f"{options.seed} {name}"))
        _add(total, result)
        _print(name, result)
    _print("all", total)
    print("; ".join(f"{n} kills of a {target}" for target, n in sorted(total.targets.items())))
    print("\n".join(total.details) or f"nothing lost; removing {root}")
    if not total.faults:
        shutil.rmtree(root)
    return int(bool(total.faults))


def _print(name: str, result: Result) -> None:
    counts = (result.kills, result.starts, result.results, *(result.faults[fault] for fault in FAULTS))
    print(f"| {name} | {' | '.join(map(str, counts))} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
