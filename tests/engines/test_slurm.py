"""A plan on a real Slurm of one node, where its packages are installed and its daemons may be started."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dask
import distributed  # noqa: F401 (its settings have to be there before one is changed)
import pytest

from mlproject.cli.progress import Lines
from mlproject.engines import open_engine
from mlproject.errors import StoreUnreachable
from mlproject.plans import plan_of
from mlproject.runs import run_plan
from mlproject.tracking import Store, open_store
from tests.engines import slurm
from tests.engines.tasks import double

TABLE = """
max_jobs = 2
min_jobs = 2
cores = 1
memory = "3GB"
walltime = "01:00:00"
interface = "lo"
queue = "main"
"""
WORDS = {
    "model": "efficientnet_lite0",
    "weights": "imagenet",
    "target": "labels",
    "eval_size": 20,
    "epochs": 200,
}
ROOT = Path(__file__).parents[2]
SOON = {"distributed.deploy.lost-worker-timeout": "2s"}
"""After this time a job that is gone is replaced; 15 s by default."""
pytestmark = pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing() or "Slurm can be started")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The table of a Slurm that runs."""
    (tmp_path / "slurm").mkdir()
    with slurm.running_slurm(tmp_path / "slurm") as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT}")
        monkeypatch.chdir(tmp_path)
        (tmp_path / "slurm.toml").write_text(TABLE)
        yield tmp_path / "slurm.toml"


def jobs(*states: str) -> list[str]:
    """The ids of the jobs that wait or run."""
    words = ["squeue", "--noheader", "--format=%i", f"--states={','.join(states or ('PENDING', 'RUNNING'))}"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def cancel_one(store: Store, cancelled: list[str], stop: threading.Event) -> None:
    """Cancel a job once a first cell is done."""
    while not cancelled and not stop.wait(0.05):
        if list(store.search("tags.kind = 'cell' and attributes.status = 'FINISHED'")):
            cancelled.append(min(jobs("RUNNING")))
            subprocess.run(["scancel", cancelled[0]], check=True)


@pytest.mark.slow
def test_a_plan_on_two_jobs_one_of_them_cancelled_finishes_whole_and_the_job_is_replaced(
    cluster: Path,
) -> None:
    plan = plan_of("jobs", WORDS | {"dataset_size": "40,50", "seed": "0,1,2"})
    store, cancelled, stop = open_store("jobs"), list[str](), threading.Event()
    thread = threading.Thread(target=cancel_one, args=(open_store("jobs"), cancelled, stop))
    with dask.config.set(SOON), open_engine(f"slurm:{cluster}") as engine:
        thread.start()
        try:
            results = run_plan(plan, store, Lines(6), engine=engine)
        finally:
            stop.set()
            thread.join()
        start = time.monotonic()
        while len(seen := jobs()) < 2 or cancelled[0] in seen:
            assert time.monotonic() - start < 20, "no new job was submitted"
            time.sleep(0.1)
    assert [result.status for result in results] == ["done"] * 6
    finished = list(store.search("tags.kind = 'cell' and attributes.status = 'FINISHED'"))
    assert len({run.data.tags["cell.key"] for run in finished}) == len(finished) == 6
    assert store.running() == []
    assert jobs() == []
    refused = cluster.with_name("refused.toml")
    refused.write_text(TABLE.replace('"main"', '"nowhere"'))
    with (
        open_engine(f"slurm:{refused}") as engine,
        pytest.raises(StoreUnreachable, match=r"Slurm takes no job: .*invalid partition specified: nowhere"),
    ):
        engine.executor.submit(double, 1).result(30)
