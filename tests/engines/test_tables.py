from __future__ import annotations

from pathlib import Path

import pytest

from mlproject.engines.dask import open_dask
from mlproject.engines.tables import JobTable, PodTable, n_bytes, read_table
from mlproject.errors import WrongUse

JOBS = """
max_jobs = 8
min_jobs = 1
cores = 8
memory = "32GB"
gpus = 2
walltime = "04:00:00"
interface = "ib0"
queue = "gpu"
account = "vision"
local_folder = "/scratch"
prologue = ["module load cuda", "source env/bin/activate"]
directives = ["--constraint=a100"]
"""
PODS = """
image = "registry.example/mlproject:0.3"
max_jobs = 4
cores = 4
memory = "16GiB"
"""


def write(folder: Path, text: str, name: str = "jobs.toml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_a_table_of_jobs_is_read_and_its_workers_end_before_the_job_does(tmp_path: Path) -> None:
    table = read_table(JobTable, write(tmp_path, JOBS))
    assert (table.max_jobs, table.gpus, table.n_workers, table.prologue[0]) == (8, 2, 2, "module load cuda")
    assert table.seconds == 14_400
    assert table.lifetime + table.margin == 14_400
    assert table.margin >= 120


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_jobs = 8", "", "max_jobs is missing"),
        ("max_jobs = 8", "max_jobs = 0", "max_jobs must be 1 to 10000, not 0"),
        ("min_jobs = 1", "min_jobs = 9", "min_jobs must be at most max_jobs (8), not 9"),
        ("cores = 8", "cores = 1", "cores must be at least gpus (2), not 1"),
        ("cores = 8", "core = 8", "unknown key 'core'; did you mean cores?"),
        ('"32GB"', '"32"', "memory must be a size such as 32GB, not '32'"),
        ('"04:00:00"', '"4h"', "walltime must be hours:minutes:seconds such as 04:00:00, not '4h'"),
        ('"04:00:00"', '"00:02:00"', "walltime must be more than two minutes, not '00:02:00'"),
        ('interface = "ib0"', "", "interface is missing; it must name a network interface, such as ib0"),
        ('"gpu"', '"gpu\\nrm"', "queue must be one line of text, not 'gpu\\nrm'"),
        (
            '["--constraint=a100"]',
            '"x"',
            "directives must be a list of lines, each a text of its own, not 'x'",
        ),
        ('["--constraint=a100"]', '["a\\nb"]', "directives must be a list of lines, each a text of its own"),
        ("gpus = 2", 'gpus = 2\ntls_ca_file = "ca.pem"', "TLS needs all of tls_ca_file, tls_cert_file"),
        ("max_jobs = 8", "max_jobs = [", "jobs.toml is not a TOML file of an engine"),
    ],
)
def test_each_fault_is_one_line_with_file_key_rule_and_value(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(WrongUse) as fault:
        read_table(JobTable, write(tmp_path, JOBS.replace(old, new)))
    text = str(fault.value)
    assert message in text
    assert "jobs.toml" in text
    assert "\n" not in text


def test_files_of_tls_have_to_exist(tmp_path: Path) -> None:
    files = "".join(f'tls_{name}_file = "{tmp_path}/{name}.pem"\n' for name in ("ca", "cert", "key"))
    with pytest.raises(WrongUse, match=r"TLS needs files that exist, not '.*ca\.pem'"):
        read_table(JobTable, write(tmp_path, JOBS + files))
    for name in ("ca", "cert", "key"):
        write(tmp_path, "", f"{name}.pem")
    assert read_table(JobTable, write(tmp_path, JOBS + files)).tls_ca_file == f"{tmp_path}/ca.pem"


def test_a_table_of_pods_is_read_and_keys_of_jobs_are_none_of_its_own(tmp_path: Path) -> None:
    table = read_table(PodTable, write(tmp_path, PODS + '[volumes]\ndata = "/data"\n'))
    assert (table.max_jobs, table.volumes) == (4, {"data": "/data"})
    with pytest.raises(WrongUse, match="unknown key 'queue'"):
        read_table(PodTable, write(tmp_path, 'queue = "gpu"\n' + PODS))
    with pytest.raises(WrongUse, match=r"volumes\.data must be a folder from the root /, not 'data'"):
        read_table(PodTable, write(tmp_path, PODS + '[volumes]\ndata = "data"\n'))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"cannot read the file of an engine .*none\.toml: No such file"):
        read_table(JobTable, tmp_path / "none.toml")


def test_sizes_are_powers_of_a_thousand_or_of_1024() -> None:
    assert [n_bytes(text) for text in ("32GB", "32GiB", "1.5TB")] == [32 * 10**9, 32 * 2**30, 15 * 10**11]


def test_an_interface_that_this_machine_lacks_is_named_with_those_that_it_has(tmp_path):
    file = tmp_path / "jobs.toml"
    file.write_text('max_jobs = 1\ncores = 1\nmemory = "1GB"\nwalltime = "01:00:00"\ninterface = "ib99"\n')
    with pytest.raises(WrongUse, match=r"unknown network interface in jobs\.toml 'ib99'; known: .*lo"):
        open_dask("slurm", str(file))
