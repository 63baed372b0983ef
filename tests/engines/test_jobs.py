from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from distributed import Security

from mlproject.engines.jobs import Jobs, OneGpu, open_jobs
from mlproject.engines.tables import JobTable, read_table
from tests.engines.test_tables import JOBS, write

LOOPBACK = JOBS.replace('"ib0"', '"lo"')


def script(kind: str, folder: Path, text: str, patch: pytest.MonkeyPatch) -> str:
    """The script that would be submitted; nothing is."""
    patch.chdir(folder)
    with open_jobs(kind, read_table(JobTable, write(folder, text))) as jobs:
        return str(jobs.cluster.job_script())


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (
            "slurm",
            [
                "-p gpu",
                "-A vision",
                "--cpus-per-task=8",
                "--mem=30G",
                "-t 04:00:00",
                "--gres=gpu:2",
                "--constraint=a100",
            ],
        ),
        (
            "pbs",
            [
                "-q gpu",
                "-A vision",
                "select=1:ncpus=8:ngpus=2:mem=30518MB",
                "walltime=04:00:00",
                "--constraint=a100",
            ],
        ),
        ("lsf", ["-q gpu", '-P "vision"', "-n 8", "-W 04:00", '-gpu "num=2"', "--constraint=a100"]),
    ],
)
def test_a_job_asks_for_what_the_table_says(
    kind: str, wanted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = script(kind, tmp_path, LOOPBACK, monkeypatch).splitlines()
    mark = {"slurm": "#SBATCH ", "pbs": "#PBS ", "lsf": "#BSUB "}[kind]
    directives = [line.removeprefix(mark) for line in lines if line.startswith(mark)]
    assert [text for text in wanted if not any(text in line for line in directives)] == []


def test_a_job_starts_a_worker_a_gpu_that_runs_one_task_at_a_time_and_ends_before_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = script("slurm", tmp_path, LOOPBACK, monkeypatch)
    assert "--nworkers 2" in text
    (command,) = [line for line in text.splitlines() if "dask_worker" in line]
    threads = [command.split()[i + 1] for i, word in enumerate(command.split()) if word == "--nthreads"]
    assert threads[-1] == "1"
    for wanted in (
        "--interface lo",
        "--lifetime 13680s",
        "--lifetime-stagger 360s",
        "--local-directory /scratch",
    ):
        assert wanted in command
    before = text.partition(command)[0]
    assert "export OMP_NUM_THREADS=4" in before
    assert before.index("export OMP_NUM_THREADS") < before.index("module load cuda\nsource env/bin/activate")


def test_a_job_without_tls_has_no_certificates_and_with_tls_names_those_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "tls" not in script("slurm", tmp_path, LOOPBACK, monkeypatch)
    temporary = Security.temporary()
    files = {"ca": temporary.tls_ca_file, "cert": temporary.tls_worker_cert, "key": temporary.tls_worker_key}
    for name, content in files.items():
        write(tmp_path, content, f"{name}.pem")
    keys = "".join(f'tls_{name}_file = "{name}.pem"\n' for name in files)
    text = script("slurm", tmp_path, LOOPBACK + keys, monkeypatch)
    for words in ("--tls-ca-file", "--tls-cert", "--tls-key"):
        assert f"{words} {tmp_path}" in text
    assert "tls://" in text


@pytest.mark.parametrize(
    ("visible", "name", "expected"),
    [
        ("4,7", "mlproject-0-1", "7"),
        ("4,7", "mlproject-0-0", "4"),
        ("", "mlproject-12-1", "1"),
        ("GPU-a,GPU-b", "SLURMCluster-3-1", "GPU-b"),
    ],
)
def test_each_worker_of_a_job_sees_one_gpu_also_when_it_is_set_up_again(
    visible: str, name: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    for _ in range(2):
        OneGpu().setup(SimpleNamespace(name=name))
        assert os.environ["CUDA_VISIBLE_DEVICES"] == expected


def test_the_interrupt_key_does_what_it_did_before_dask_jobqueue_was_imported() -> None:
    assert getattr(signal.getsignal(signal.SIGINT), "__module__", "") != "dask_jobqueue.runner"


def test_what_jobs_wait_for_is_said_with_the_command_that_lists_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    numbers = SimpleNamespace(workers={number: SimpleNamespace(job_id=number) for number in ("12", "13")})
    said = {kind: Jobs(kind=kind, cluster=numbers, refused=[]).waiting() for kind in ("slurm", "pbs")}
    assert said == {
        "slurm": "2 jobs in Slurm; see: squeue --jobs 12,13",
        "pbs": "2 jobs in PBS; see: qstat 12 13",
    }


def test_jobs_that_are_refused_are_a_refusal_where_none_was_taken() -> None:
    refused, taken = SimpleNamespace(job_id=None), SimpleNamespace(job_id="7")
    none = Jobs(kind="lsf", cluster=SimpleNamespace(workers={"0": refused}), refused=["no such queue"])
    assert none.refusal() == "LSF takes no job: no such queue"
    some = Jobs(kind="lsf", cluster=SimpleNamespace(workers={"0": refused, "1": taken}), refused=["too many"])
    assert some.refusal() == ""
