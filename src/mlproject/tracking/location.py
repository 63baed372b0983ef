"""Open the tracking store that MLflow's environment variables name."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

from mlproject.errors import BadInput, NoRoom, StoreUnreachable, unknown
from mlproject.files import locked, sha256, write_atomic
from mlproject.tracking.store import Store, reaching

DEFAULT_URI = "sqlite:///mlflow.db"
SETTINGS = {
    "MLFLOW_TRUNCATE_LONG_VALUES": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Environment of MLflow, unless set already."""
DONE_FILE = "done.json"
SQLITE_HEADER = 100
"""Bytes of a SQLite file that hold, among others, its change counter."""


def open_store(experiment: str | None = None, *, create: bool = True) -> Store:
    """The store that MLflow's environment names (default: ``mlflow.db`` here) and its experiment.

    Raises: StoreUnreachable when it cannot be reached, or does not exist and ``create`` is false.
    """
    uri = tracking_uri()
    client = _connect(uri, create=create)
    with reaching(uri):
        launcher = os.environ.pop("MLFLOW_RUN_ID", None)
        experiment_id = client.get_run(launcher).info.experiment_id if launcher else None
        experiment_id = experiment_id or _experiment_id(client, _name(experiment), create)
    return _store(uri, client, experiment_id, launcher)


def done_keys(experiment: str | None = None) -> set[str]:
    """Keys of an experiment's finished cells, for display; ``Store.done`` decides which cells are run.

    Importing MLflow takes seconds. The answer is kept beside a SQLite store and used until its file changes.
    """
    uri, name = tracking_uri(), _name(experiment)
    path = sqlite_path(uri)
    if path is None:
        return _ask_done(uri, name)
    if not path.exists():
        return set()
    kept, question = _lock_folder(uri) / DONE_FILE, [name, _state(path)]
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        answer = json.loads(kept.read_text("utf-8"))
        if answer["question"] == question:
            return set(answer["keys"])
    keys = _ask_done(uri, name)
    with contextlib.suppress(OSError, NoRoom):  # a folder that is read-only or full: asked again next time
        write_atomic(kept, json.dumps({"question": question, "keys": sorted(keys)}).encode())
    return keys


def tracking_uri() -> str:
    """The address that MLflow's environment gives, or MLflow's default."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite address; None for any other."""
    return Path(uri.removeprefix("sqlite:///")).absolute() if uri.startswith("sqlite:///") else None


def _connect(uri: str, *, create: bool) -> Any:
    """A client of the store at ``uri``; a new SQLite store is built where ``create`` allows it."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    path = sqlite_path(uri)
    if path is not None and not path.exists() and not create:
        raise StoreUnreachable(f"no tracking store at {path}; run a cell first, or set MLFLOW_TRACKING_URI")
    import mlflow

    with reaching(uri):
        if path is not None:
            _build_sqlite(path)
        client = mlflow.MlflowClient(tracking_uri=uri)
    mlflow.set_tracking_uri(uri)
    return client


def _build_sqlite(path: Path) -> None:
    """Build a new store under a temporary name, then link it: killed midway it leaves no half-built store."""
    if path.exists():
        return
    from mlflow import MlflowClient

    with locked(_lock_folder(f"sqlite:///{path}") / "store.lock"):
        if path.exists():
            return
        stub = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
        try:
            MlflowClient(tracking_uri=f"sqlite:///{stub}").search_experiments(max_results=1)
            os.link(stub, path)
        finally:
            for leftover in path.parent.glob(f"{stub.name}*"):
                leftover.unlink()


def _store(uri: str, client: Any, experiment_id: str, launcher: str | None) -> Store:
    return Store(
        uri=uri,
        experiment_id=experiment_id,
        client=client,
        file=sqlite_path(uri),
        locks=_lock_folder(uri),
        launcher_run=launcher,
    )


def _ask_done(uri: str, name: str) -> set[str]:
    client = _connect(uri, create=False)
    with reaching(uri):
        experiment = client.get_experiment_by_name(name)
    return set(_store(uri, client, experiment.experiment_id, None).done()) if experiment else set()


def _state(path: Path) -> list[str | int]:
    """Change counter, size and time of a SQLite store: they differ after every change."""
    with path.open("rb") as file:
        state: list[str | int] = [file.read(SQLITE_HEADER).hex()]
    for each in (path, path.with_name(path.name + "-wal")):
        with contextlib.suppress(FileNotFoundError):
            status = each.stat()
            state += [status.st_ino, status.st_size, status.st_mtime_ns]
    return state


def _experiment_id(client: Any, name: str, create: bool) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None and not create:
        raise unknown("experiment", name, [known.name for known in client.search_experiments()])
    if experiment is None:
        return _create_experiment(client, name)
    if experiment.lifecycle_stage != "active":
        raise BadInput(f"experiment {name!r} was deleted; restore it or choose another name")
    return str(experiment.experiment_id)


def _create_experiment(client: Any, name: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.create_experiment(name))
    except MlflowException:
        experiment = client.get_experiment_by_name(name)  # another process may have created it
        if experiment is None:
            raise
        return str(experiment.experiment_id)


def _name(experiment: str | None) -> str:
    return experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "Default"


def _lock_folder(uri: str) -> Path:
    """Beside a SQLite store; for a server, a folder of this machine and user."""
    path = sqlite_path(uri)
    if path is not None:
        return path.with_name(path.name + ".locks")
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "mlproject" / "locks" / sha256(uri.encode())[:16]
