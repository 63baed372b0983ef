"""A real Slurm of one node, where its packages are installed and its daemons may be started."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import dask
import pytest

from mlproject.engines import open_engine
from mlproject.errors import MLProjectError
from tests.engines import slurm
from tests.engines.tasks import touch_slowly

TABLE = """
max_jobs = 2
min_jobs = 2
cores = 1
memory = "1GB"
walltime = "01:00:00"
interface = "lo"
queue = "main"
"""
ROOT = Path(__file__).parents[2]
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


def test_tasks_of_a_job_that_is_cancelled_run_on_another_and_a_new_job_takes_its_place(
    cluster: Path, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    starts.mkdir()
    soon = {"distributed.deploy.lost-worker-timeout": "2s"}  # after which a job is replaced; 15 s by default
    with dask.config.set(soon), open_engine(f"slurm:{cluster}") as engine:
        assert engine.n_workers == 2
        futures = [engine.executor.submit(touch_slowly, starts, number, 1.0) for number in range(8)]
        while len(jobs := {path.name.split("-")[1] for path in starts.iterdir()}) < 2:
            assert not all(future.done() for future in futures)
            time.sleep(0.1)
        subprocess.run(["scancel", min(jobs)], check=True)
        assert sorted(future.result(60) for future in futures) == list(range(8))
        later = [engine.executor.submit(touch_slowly, starts, 100 + number, 0.5) for number in range(16)]
        assert all(future.result(60) >= 100 for future in later)
    attempts = [path.name.split("-")[:2] for path in starts.iterdir()]
    assert len(attempts) > 8 + 16, "the task of the cancelled job was started again"
    assert len({job for _, job in attempts}) == 3
    _no_partition(cluster)
    listing = ["squeue", "--noheader", "--states=PENDING,RUNNING"]
    assert subprocess.run(listing, capture_output=True, text=True, check=True).stdout == ""


def _no_partition(table: Path) -> None:
    """A job that Slurm refuses ends all tasks with what Slurm says."""
    table.write_text(TABLE.replace('"main"', '"nowhere"'))
    with open_engine(f"slurm:{table}") as engine:
        future = engine.executor.submit(touch_slowly, table.parent, 0, 0.0)
        with pytest.raises(MLProjectError, match=r"Slurm takes no job: .*invalid partition specified: no"):
            future.result(30)
