"""Kill commands at random moments, start them again, and count what was lost, doubled or left behind.

Each scenario is run undisturbed once. Then its command is killed (SIGKILL to the whole process group; under
``mlflow run`` and with workers sometimes to the launcher or the driver alone) three times in a row on a store
of its own, at moments drawn uniformly over the undisturbed duration, and started once more without a kill. A
witness run that lives in this process is RUNNING in the same store all along: nobody may close it.

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
SERVICES = "services"
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
    """The last, undisturbed command: where there is one, the process started is sometimes killed alone."""
    status: int = 0
    budget: float = 0.0
    """Training images that may be spent: which cells are run depends on what was finished at each start."""


WORKERS = (*ME, "sweep", "--engine=local:2")
SCENARIOS = {
    "grid": Scenario((*ME, "sweep", "--plan=plan.toml")),
    "grid on workers": Scenario((*WORKERS, "--plan=plan.toml"), again=(*WORKERS, "--plan=plan.toml")),
    "tuned sweep": Scenario((*ME, "sweep", "--plan=tuned.toml")),
    "tuned sweep on workers": Scenario(
        (*WORKERS, "--plan=tuned.toml"), again=(*WORKERS, "--plan=tuned.toml")
    ),
    "until": Scenario((*ME, "sweep", "--plan=more.toml", *UNTIL), status=3, budget=BUDGET),
    "training": Scenario((*ME, "cell", *TRAINING, "--epochs=6", "--lr=1e-2", "--batch-size=16")),
    "aggregate": Scenario((*ME, "aggregate"), prepare=(*ME, "cell", "--dataset-size=20,30", *CELL)),
    "regions": Scenario((*ME, "regions", "--data=pictures")),
    "mlflow run": Scenario(
        (*LAUNCH, *(word for pair in PARAMETERS for word in ("-P", pair))),
        prepare=(*ME, "cell", "--dataset-size=20", *CELL),
        again=(*ME, "cell", "--dataset-size=20,30", *CELL),
    ),
    "first start": Scenario((*ME, "cell", "--dataset-size=20", *CELL)),
}


@dataclass
class Result:
    """What the kills of a scenario did."""

    kills: int = 0
    starts: int = 0
    results: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)

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

    def start(self, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
        """Start a command in a session of its own; its output goes to a file."""
        with (self.folder / "output.txt").open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdout=output,
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


def kill(process: subprocess.Popen[bytes], *, alone: bool) -> None:
    """Kill a process (``alone``), or its group; return when nothing of the group is left."""
    (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
    process.wait(LONGEST)
    end = time.monotonic() + LONGEST
    with suppress(ProcessLookupError):
        while time.monotonic() < end:
            os.killpg(process.pid, 0)
            time.sleep(0.05)


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
) -> None:
    """Kill the command up to ``n_kills`` times, then let it end."""
    finished: set[str] = set()
    for _ in range(n_kills):
        process = place.start(scenario.command)
        result.starts += 1
        with suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0, seconds))
        ended = process.poll() is not None
        if not ended:
            kill(process, alone=bool(scenario.again) and rng.random() < 0.5)
            result.kills += 1
        now = {run.info.run_id: run.info.status for run in place.runs()}
        for run_id in finished - {run_id for run_id, status in now.items() if status == "FINISHED"}:
            result.fault("closed", f"{run_id} was FINISHED and is {now.get(run_id)}")
        finished |= {run_id for run_id, status in now.items() if status == "FINISHED"}
        if ended:  # before its kill: what is left to do takes less time than everything did
            break
    status, _ = place.run(scenario.again or scenario.command)
    result.starts += 1
    if status != scenario.status:
        result.fault("status", f"{status} at the last start: {place.last_line}")


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
            soak(scenario, place, seconds, wanted, rng, result)
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
            result = Result(kills=int(n_at_work > 0), starts=N_WORKERS)
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


def _add(total: Result, result: Result) -> None:
    for name in ("kills", "starts", "results"):
        setattr(total, name, getattr(total, name) + getattr(result, name))
    total.faults += result.faults
    total.details += result.details


def main() -> int:
    """Run all scenarios and print their table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=35, help="kills in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only",
        choices=[*SCENARIOS, SERVICES],
        action="append",
        help="scenarios (default: all but services)",
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
        soaked = soak_services if name == SERVICES else partial(soak_scenario, name)
        result = soaked(root, share, random.Random(f"{options.seed} {name}"))
        _add(total, result)
        _print(name, result)
    _print("all", total)
    print("\n".join(total.details) or f"nothing lost; removing {root}")
    if not total.faults:
        shutil.rmtree(root)
    return int(bool(total.faults))


def _print(name: str, result: Result) -> None:
    counts = (result.kills, result.starts, result.results, *(result.faults[fault] for fault in FAULTS))
    print(f"| {name} | {' | '.join(map(str, counts))} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
