"""The TOML files of engines as pydantic models: the jobs of a queue, and the pods of a Kubernetes cluster.

For a reference of their keys, ``described(JobTable)`` and ``described(PodTable)`` of ``mlproject.recipes``
give a row for each.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, Field, model_validator

from mlproject.errors import WrongUse
from mlproject.recipes import STRICT, require, validated

MOST_BYTES = 1 << 16
"""A file of more is no table of an engine."""
UNITS = {"M": 2, "G": 3, "T": 4}
MEMORY = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s?([MGT])(i?)B")
WALLTIME = re.compile(r"(\d{1,4}):([0-5]\d):([0-5]\d)")
Table = TypeVar("Table", bound=BaseModel)


def _matching(pattern: re.Pattern[str], rule: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(rule)
        return text

    return AfterValidator(check)


def _lines(texts: list[str]) -> list[str]:
    if not all(map(str.isprintable, texts)):
        raise ValueError(LINES_RULE)
    return texts


LINES_RULE = "must be a list of lines, each a text of its own"
Line = Annotated[str, _matching(re.compile(r"[^\x00-\x1f\x7f]*"), "must be one line of text")]
Lines = Annotated[list[str], AfterValidator(_lines), Field(json_schema_extra={"rule": LINES_RULE})]
Memory = Annotated[str, _matching(MEMORY, "must be a size such as 32GB")]
FewJobs = Annotated[int, Field(ge=0, le=10_000)]
ManyJobs = Annotated[int, Field(ge=1, le=10_000)]
Cores = Annotated[int, Field(ge=1, le=1024)]


class JobTable(BaseModel):
    """The jobs of a batch system (Slurm, PBS, LSF), each with one worker process a GPU."""

    model_config = STRICT

    max_jobs: Annotated[ManyJobs, Field(description="Jobs at a time, at most.")]
    min_jobs: Annotated[FewJobs, Field(description="Jobs that are kept while fewer tasks wait.")] = 0
    cores: Annotated[Cores, Field(description="Cores of a job, divided among its workers.")]
    memory: Annotated[Memory, Field(description="Memory of a job (32GB), divided among its workers.")]
    gpus: Annotated[
        int,
        Field(ge=0, le=64, description="GPUs of a job, and its workers; 0 is one worker without."),
    ] = 0
    walltime: Annotated[
        str,
        _matching(WALLTIME, "must be hours:minutes:seconds such as 04:00:00"),
        Field(
            description="Time after which the batch system ends a job; workers hand their tasks back before.",
        ),
    ]
    interface: Annotated[
        Line,
        Field(
            min_length=1,
            description="Network interface of this process and of the jobs (ib0, eth0; lo on one machine).",
            json_schema_extra={"rule": "must name a network interface, such as ib0, or lo on one machine"},
        ),
    ]
    queue: Annotated[Line, Field(description="Queue or partition.")] = ""
    account: Annotated[Line, Field(description="Account or project that is charged.")] = ""
    local_folder: Annotated[Line, Field(description="Folder on a disk of the node, for files of Dask.")] = ""
    prologue: Annotated[
        Lines, Field(description="Lines of shell before the worker starts, such as module load cuda.")
    ] = []
    directives: Annotated[
        Lines, Field(description="Further directives of the job, such as --constraint=a100.")
    ] = []
    tls_ca_file: Annotated[Line, Field(description="Certificate of the authority, for TLS.")] = ""
    tls_cert_file: Annotated[Line, Field(description="Certificate of scheduler, workers and client.")] = ""
    tls_key_file: Annotated[Line, Field(description="Key of that certificate.")] = ""

    @model_validator(mode="after")
    def _check(self) -> JobTable:
        _check_jobs(self.min_jobs, self.max_jobs)
        require(self.cores >= self.gpus, "cores", f"must be at least gpus ({self.gpus})", self.cores)
        require(self.lifetime > 0, "walltime", "must be more than two minutes", self.walltime)
        named = (self.tls_ca_file, self.tls_cert_file, self.tls_key_file)
        rule = "needs all of tls_ca_file, tls_cert_file and tls_key_file"
        require(all(named) or not any(named), "TLS", rule, ", ".join(filter(None, named)))
        for path in filter(None, named):
            require(Path(path).is_file(), "TLS", "needs files that exist", path)
        return self

    @property
    def n_workers(self) -> int:
        """Worker processes of a job."""
        return max(1, self.gpus)

    @property
    def seconds(self) -> int:
        """The walltime in seconds."""
        hours, minutes, seconds = map(int, self.walltime.split(":"))
        return 3600 * hours + 60 * minutes + seconds

    @property
    def margin(self) -> int:
        """Seconds before the end of a job at which its workers begin to hand their tasks back."""
        return max(120, self.seconds // 20)

    @property
    def lifetime(self) -> int:
        """Seconds after which a worker takes no further tasks."""
        return self.seconds - self.margin


class PodTable(BaseModel):
    """The pods of a Kubernetes cluster with Dask's operator, each with one worker process."""

    model_config = STRICT

    image: Annotated[
        Line,
        Field(
            min_length=1,
            description="Image of scheduler and workers, with this package and the driver's versions in it.",
            json_schema_extra={"rule": "must name an image, for example registry.example/mlproject:0.3"},
        ),
    ]
    max_jobs: Annotated[ManyJobs, Field(description="Worker pods at a time, at most.")]
    min_jobs: Annotated[FewJobs, Field(description="Worker pods that are kept while fewer tasks wait.")] = 0
    cores: Annotated[Cores, Field(description="Cores of a pod.")]
    memory: Annotated[Memory, Field(description="Memory of a pod (32GB).")]
    gpus: Annotated[int, Field(ge=0, le=1, description="GPUs of a pod.")] = 0
    namespace: Annotated[Line, Field(description="Namespace; that of the current context by default.")] = ""
    secret: Annotated[
        Line, Field(description="Secret whose entries become environment variables of the workers.")
    ] = ""
    volumes: Annotated[
        dict[str, str],
        Field(description="Persistent volume claims and the folders where workers see them."),
    ] = {}

    @model_validator(mode="after")
    def _check(self) -> PodTable:
        _check_jobs(self.min_jobs, self.max_jobs)
        for claim, folder in self.volumes.items():
            require(folder.startswith("/"), f"volumes.{claim}", "must be a folder from the root /", folder)
        return self


def read_table(model: type[Table], path: Path) -> Table:
    """The table in an engine's TOML file. Raises: WrongUse naming file, key, rule and value."""
    try:
        with path.open("rb") as file:
            content = tomllib.loads(file.read(MOST_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise WrongUse(f"cannot read the file of an engine {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise WrongUse(f"{path} is not a TOML file of an engine: {error}") from error
    return validated(model, content, kind="key", prefix=f"{path.name}: ")


def n_bytes(memory: str) -> int:
    """Bytes of a size such as 32GB (powers of 1000) or 32GiB (powers of 1024)."""
    number, unit, binary = MEMORY.fullmatch(memory).groups()  # type: ignore[union-attr]
    return int(float(number) * (1024 if binary else 1000) ** UNITS[unit])


def _check_jobs(fewest: int, most: int) -> None:
    require(fewest <= most, "min_jobs", f"must be at most max_jobs ({most})", fewest)
