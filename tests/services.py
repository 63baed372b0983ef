"""Servers on 127.0.0.1, each on a free port: PostgreSQL, an S3-compatible store, MLflow's tracking server.

They are the ones of ``compose.yaml``, from the packages of a distribution and of the extra ``dev``.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import yaml

COMPOSE = Path(__file__).parents[1] / "compose.yaml"
USER = "mlproject"
SECONDS = 90.0
"""How long a server may take to answer."""


def postgres_binaries() -> Path | None:
    """The folder of PostgreSQL's programs; None where the server is not installed."""
    initdb = shutil.which("initdb")
    folders = [Path(initdb).resolve().parent] if initdb else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders and (folders[-1] / "postgres").exists() else None


def missing() -> str:
    """What is not installed that the servers need; empty where everything is."""
    packages = {"psycopg2": "psycopg2-binary", "moto": "moto[s3]", "boto3": "boto3"}
    lacking = [package for module, package in packages.items() if find_spec(module) is None]
    lacking += [] if postgres_binaries() else ["PostgreSQL's server (apt-get install postgresql)"]
    return f"needs {', '.join(lacking)}" if lacking else ""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return as soon as a server listens on a port. Raises: TimeoutError, RuntimeError where it ended."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server has ended with status {process.returncode}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


@dataclass(frozen=True, kw_only=True)
class Database:
    """PostgreSQL's server, with the databases ``mlflow`` and ``optuna``."""

    folder: Path
    port: int
    password: str

    def url(self, name: str, *, password: bool = False) -> str:
        """The address of a database; without its password, which ``PGPASSWORD`` gives."""
        user = f"{USER}:{quote(self.password, safe='')}" if password else USER
        return f"postgresql+psycopg2://{user}@127.0.0.1:{self.port}/{name}"

    def call(self, program: str, name: str) -> str:
        """What one of PostgreSQL's programs prints of a database: ``pg_dump``, ``createdb``."""
        command = [f"{postgres_binaries()}/{program}", "--host=127.0.0.1", f"--port={self.port}"]
        environment = {**os.environ, "PGPASSWORD": self.password}
        return subprocess.run(
            [*command, f"--username={USER}", name],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout


@contextmanager
def postgres(password: str) -> Iterator[Database]:
    """PostgreSQL's server, as an unprivileged user where this one is root."""
    binaries = postgres_binaries()
    assert binaries is not None
    folder, port = Path(tempfile.mkdtemp(prefix="pg-")), free_port()
    is_root = getpass.getuser() == "root"
    prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if is_root else []
    (folder / "password").write_text(password)
    for path in (folder, folder / "password") if is_root else ():
        shutil.chown(path, "postgres")
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
    create = [f"{binaries}/initdb", f"--pgdata={folder}/data", f"--username={USER}", "--auth=scram-sha-256"]
    subprocess.run([*prefix, *create, "--no-sync", f"--pwfile={folder}/password"], check=True, **quiet)
    settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off")
    serve = [f"{binaries}/postgres", "-D", f"{folder}/data", "-p", str(port)]
    serve += [word for setting in settings for word in ("-c", setting)]
    server = subprocess.Popen([*prefix, *serve], **quiet)
    try:
        wait_until_open(port, server)
        database = Database(folder=folder, port=port, password=password)
        for name in ("mlflow", "optuna"):
            database.call("createdb", name)
        yield database
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
        shutil.rmtree(folder)


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """An S3-compatible store, and the keys that its clients need."""

    endpoint: str
    keys: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a program that reads and writes the store."""
        return {"MLFLOW_S3_ENDPOINT_URL": self.endpoint, "AWS_DEFAULT_REGION": "us-east-1", **self.keys}

    @cached_property
    def client(self) -> Any:
        """A client of the store."""
        import boto3

        access, secret = self.keys.values()
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
        )

    def objects(self) -> dict[str, bytes]:
        """All artifacts by name."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="mlflow")
        names = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return {name: self.client.get_object(Bucket="mlflow", Key=name)["Body"].read() for name in names}


@contextmanager
def s3(secret: str) -> Iterator[Bucket]:
    """moto's S3 server, with the bucket that the script of ``compose.yaml`` makes."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _process(command, dict(os.environ)) as server:
        wait_until_open(port, server)
        keys = {"AWS_ACCESS_KEY_ID": "mlproject", "AWS_SECRET_ACCESS_KEY": secret}
        bucket = Bucket(endpoint=f"http://127.0.0.1:{port}", keys=keys)
        script = yaml.safe_load(COMPOSE.read_text("utf-8"))["configs"]["bucket"]["content"]
        for _ in range(2):  # as a second start does
            subprocess.run([sys.executable, "-c", script], env=os.environ | bucket.environment, check=True)
        yield bucket


@dataclass(kw_only=True)
class TrackingServer:
    """``mlflow server``, which can be killed and started again on its port."""

    database: Database
    bucket: Bucket
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={self.port}"]
        command += ["--workers=1", f"--backend-store-uri={self.database.url('mlflow')}"]
        command += ["--serve-artifacts", "--artifacts-destination=s3://mlflow"]
        own = {
            "PGPASSWORD": self.database.password,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        self.process = _started(command, {**os.environ, **self.bucket.environment, **own})
        wait_until_open(self.port, self.process)
        with urlopen(f"{self.uri}/health", timeout=SECONDS) as answer:
            assert answer.status == 200

    def kill(self) -> None:
        """Kill it with all its workers."""
        if self.process is not None:
            _kill(self.process)


@contextmanager
def tracking_server(password: str) -> Iterator[TrackingServer]:
    """All three servers; ``password`` is that of the database, and the secret key of the store."""
    with s3(password) as bucket, postgres(password) as database:
        server = TrackingServer(database=database, bucket=bucket, port=free_port())
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def _process(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = _started(command, environment)
    try:
        yield process
    finally:
        _kill(process)


def _started(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(
        command, env=environment, cwd=tempfile.gettempdir(), start_new_session=True, **quiet
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
